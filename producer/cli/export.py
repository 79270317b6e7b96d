"""The command that writes a job's faces for other programs."""

import os
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from producer.cli.options import JobName, People, Results, Threshold
from producer.cli.session import exit_with
from producer.console.terminal import say
from producer.sidecars.names import Naming
from shared.config.settings import load_settings
from shared.domain.counts import counted
from shared.domain.errors import InvalidRequest

if TYPE_CHECKING:
    from producer.results.face_people import FacePeople
    from shared.results.corrections import Correction


class Format(StrEnum):
    """What is written."""

    XMP = "xmp"
    PEOPLE = "people"
    CSV = "csv"
    JSON = "json"


def export(
    form: Annotated[
        Format,
        typer.Argument(
            metavar="xmp|people|csv|json",
            help="`xmp`: a sidecar for each image with a named face, for digiKam, Lightroom and Immich. `people`: the "
            "names in sidecars as people.csv. `csv`, `json`: a table of all faces.",
            show_default=False,
        ),
    ],
    job: JobName,
    people: People = None,
    to: Annotated[
        Path | None,
        typer.Option(
            help="Where to write: a folder (xmp), or a file.",
            show_default="standard output (csv, json)",
        ),
    ] = None,
    suggested: Annotated[
        bool, typer.Option("--suggested", help="Name also the other faces in the group of a named one (xmp).")
    ] = False,
    names: Annotated[
        Naming, typer.Option(help="Names of sidecars: `full` makes photo.jpg.xmp, `stem` photo.xmp.")
    ] = Naming.FULL,
    lines: Annotated[
        bool, typer.Option("--lines", help="One JSON object a line, without an array around them.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that are there.")] = False,
    threshold: Threshold = None,
    images: Annotated[
        Path | None, typer.Option(help="The folder with the job's images.", show_default="where the job read them")
    ] = None,
    results: Results = None,
) -> None:
    """Write faces and people for other programs."""
    from producer.results.lookup import find_results
    from producer.sidecars.target_folder import check_outside_results

    folder = find_results(job, results or load_settings().results_dir)
    if lines and form is not Format.JSON:
        raise InvalidRequest(f"--lines is for json, and not for {form}.")
    if form is not Format.XMP and (suggested or names is not Naming.FULL or images is not None):
        raise InvalidRequest(f"--suggested, --names and --images are for xmp, and not for {form}.")
    if form is not Format.XMP and to is not None:
        check_outside_results(to)
    if form in (Format.CSV, Format.JSON):
        _write_table(folder, form, people, to, threshold, lines=lines, overwrite=overwrite)
        return
    if people is None or to is None:
        what = "a folder for the sidecars" if form is Format.XMP else "the file to write"
        raise InvalidRequest(f"`export {form} {folder.name}` needs --people (the names) and --to ({what}).")
    if form is Format.XMP:
        _write_sidecars(folder, people, to, images, names, threshold, suggested=suggested, overwrite=overwrite)
    else:
        _write_people(folder, people, to, overwrite=overwrite)


def _write_sidecars(
    folder: Path,
    people: Path,
    to: Path,
    images: Path | None,
    names: Naming,
    threshold: float | None,
    *,
    suggested: bool,
    overwrite: bool,
) -> None:
    from producer.results.corrections_source import corrections_from
    from producer.results.face_people import confirmed_people, grouped_people
    from producer.sidecars.writing import SidecarRequest, write_sidecars
    from shared.domain.paths import printable
    from shared.report.build import images_folder

    if images is not None and not images.is_dir():
        raise InvalidRequest(f"--images {images} is not a folder.")
    source = images or images_folder(folder)
    if source is None:
        raise InvalidRequest(
            f"The images of job '{folder.name}' are not on this machine, and they say how they are turned. Give their "
            "folder, or that of a copy, with --images DIR."
        )
    corrections = corrections_from(people, folder, say)
    if suggested:
        found = grouped_people(folder, corrections, threshold)
        if found.groups is None:
            raise InvalidRequest("No threshold is calibrated for this job's options. Give one with --threshold D.")
    elif threshold is not None:
        raise InvalidRequest("--threshold makes the groups that --suggested names: give both.")
    else:
        found = confirmed_people(folder, corrections)
    _say_missing(found, corrections)
    if not found.people:
        raise InvalidRequest(
            f"{printable(str(people))} names no face of job '{folder.name}'. Name some in the report, or in rows "
            "of the kind `person`."
        )
    request = SidecarRequest(target=to, images=source, naming=names, overwrite=overwrite)
    named = {face: each.person for face, each in found.people.items()}
    counts = write_sidecars(folder, named, request, say)
    same = f", {counts.same:,} were there already" if counts.same else ""
    troubles = f", {counts.troubles:,} with problems (see above)" if counts.troubles else ""
    print(f"{printable(str(to))}: {counted(counts.written, 'sidecar')} written{same}{troubles}.")
    exit_with(counts.troubles)


def _write_people(folder: Path, people: Path, to: Path, *, overwrite: bool) -> None:
    from producer.results.corrections_source import corrections_from
    from shared.domain.errors import ResultsError
    from shared.domain.paths import printable
    from shared.results.people_file import write_people

    if os.path.lexists(to) and not overwrite:
        raise InvalidRequest(f"{printable(str(to))} is there already. --overwrite replaces it.")
    try:
        write_people(to, corrections_from(people, folder, say))
    except OSError as error:
        raise ResultsError(
            f"{printable(str(to))} cannot be written: {error.strerror}. Fix that, or give another --to."
        ) from None


def _write_table(
    folder: Path,
    form: Format,
    people: Path | None,
    to: Path | None,
    threshold: float | None,
    *,
    lines: bool,
    overwrite: bool,
) -> None:
    from producer.results.corrections_source import corrections_from
    from producer.results.face_people import grouped_people
    from producer.results.face_table import FaceTable, TableForm, write_table

    corrections = None if people is None else corrections_from(people, folder, say)
    found = grouped_people(folder, corrections, threshold)
    _say_missing(found, corrections or [])
    chosen = TableForm.CSV if form is Format.CSV else TableForm.JSON_LINES if lines else TableForm.JSON
    write_table(FaceTable(folder, found.groups, found.people), chosen, to, overwrite=overwrite)


def _say_missing(found: "FacePeople", corrections: "list[Correction]") -> None:
    from shared.report.captions import missing_note

    if note := missing_note(found.missing, len(corrections)):
        say(note)
