"""Commands that read a job's results."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from producer.cli.options import (
    AsCsv,
    JobName,
    MinFace,
    MinProbability,
    MinSharpness,
    People,
    ReportFaces,
    Results,
    Threshold,
)
from producer.console.terminal import say
from shared.config.settings import load_settings
from shared.domain.errors import InvalidRequest
from shared.domain.options import DEFAULT_REPORT_FACES
from shared.domain.quality_limits import DEFAULT_LIMITS, QualityLimits

if TYPE_CHECKING:
    from shared.results.corrections import Correction


def report(
    job: JobName,
    images: Annotated[
        Path | None, typer.Option(help="The folder with the job's images.", show_default="where the job read them")
    ] = None,
    threshold: Threshold = None,
    min_face: MinFace = DEFAULT_LIMITS.size_px,
    min_probability: MinProbability = DEFAULT_LIMITS.probability,
    min_sharpness: MinSharpness = DEFAULT_LIMITS.sharpness,
    report_faces: ReportFaces = DEFAULT_REPORT_FACES,
    group: Annotated[
        int | None,
        typer.Option(min=1, help="Write a page of this group alone, with all its faces.", show_default=False),
    ] = None,
    people: People = None,
    results: Results = None,
) -> None:
    """Write report.html into a job's results folder again."""
    from shared.domain.paths import printable
    from shared.report.build import ReportRequest, build_report, images_folder

    folder = _find(job, results)
    if images is not None and not images.is_dir():
        raise InvalidRequest(f"--images {images} is not a folder.")
    source = images or images_folder(folder)
    if source is None:
        say("The images have moved: the report shows no faces. Give their folder with --images DIR.")
    limits = QualityLimits(size_px=min_face, probability=min_probability, sharpness=min_sharpness)
    request = ReportRequest(
        threshold=threshold,
        limits=limits,
        pictures=report_faces,
        group=group,
        corrections=_corrections(people, folder),
    )
    print(printable(str(build_report(folder, source, request))))


def neighbors(
    job: JobName,
    image: Annotated[str, typer.Argument(help="The image's path as in faces.csv, or its end.", show_default=False)],
    count: Annotated[int, typer.Option("--count", "-k", min=1, help="How many faces to list.")] = 10,
    people: People = None,
    min_face: MinFace = 0,
    min_probability: MinProbability = 0,
    min_sharpness: MinSharpness = 0,
    as_csv: AsCsv = False,
    results: Results = None,
) -> None:
    """List the faces nearest to those of an image."""
    from producer.results.queries import show_neighbors

    folder = _find(job, results)
    limits = QualityLimits(size_px=min_face, probability=min_probability, sharpness=min_sharpness)
    show_neighbors(folder, image, count, limits, as_csv=as_csv, corrections=_corrections(people, folder))


def groups(
    job: JobName,
    threshold: Threshold = None,
    people: People = None,
    min_face: MinFace = DEFAULT_LIMITS.size_px,
    min_probability: MinProbability = DEFAULT_LIMITS.probability,
    min_sharpness: MinSharpness = DEFAULT_LIMITS.sharpness,
    as_csv: AsCsv = False,
    results: Results = None,
) -> None:
    """Group faces that may be the same person."""
    from producer.results.queries import show_groups

    folder = _find(job, results)
    limits = QualityLimits(size_px=min_face, probability=min_probability, sharpness=min_sharpness)
    show_groups(folder, threshold, limits, as_csv=as_csv, corrections=_corrections(people, folder))


def _corrections(people: Path | None, folder: Path) -> "list[Correction] | None":
    from producer.results.corrections_source import corrections_from

    return None if people is None else corrections_from(people, folder, say)


def _find(job: str, results: Path | None) -> Path:
    from producer.results.lookup import find_results

    return find_results(job, results or load_settings().results_dir)
