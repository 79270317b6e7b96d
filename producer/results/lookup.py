"""Finds the results of a job, and the faces of an image in them."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path

from shared.domain.errors import InvalidRequest
from shared.domain.job_names import is_job_name
from shared.domain.paths import ShownPath, printable
from shared.results.reader import Results
from shared.results.schema import IMAGES, SUMMARY

_MATCHES = 5


def find_results(job: str, results_dir: Path) -> Path:
    """The job's results folder; InvalidRequest names the ones that exist."""
    name = job.rstrip("/")  # a shell completes the name of a folder with a slash
    # Anything but a job name could lead out of the results folder.
    if is_job_name(name) and (results_dir / name / SUMMARY).is_file():
        return results_dir / name
    there = sorted(path.parent.name for path in results_dir.glob(f"[!.]*/{SUMMARY}"))
    where = f"No results of a job '{printable(job)}' in {printable(str(results_dir))}"
    if not there:
        raise InvalidRequest(f"{where}, nor of any other job. Give their folder with `--results DIR`.")
    named = get_close_matches(job, there, _MATCHES) or there[-_MATCHES:]
    raise InvalidRequest(
        f"{where}. It has results of {len(there)} jobs, among them: {', '.join(map(printable, named))}."
    )


def find_faces(results: Results, image: str) -> list[int]:
    """The faces (rows) of the image with this path, or with a path that ends so.

    InvalidRequest if no image or several images match, or if the image has no face.
    """
    wanted = printable(image).removeprefix("./")
    paths = results.images.paths
    found = [path for path in paths if path == wanted] or [path for path in paths if path.endswith(f"/{wanted}")]
    if len(found) > 1:
        raise InvalidRequest(
            f"The paths of {len(found)} images end in {wanted}: {_some(found)}. Give more of the path."
        )
    if not found:
        close = get_close_matches(wanted, paths, _MATCHES) or _named_like(wanted, paths)
        hint = f"Similar paths: {_some(close)}." if close else f"{IMAGES} lists all images."
        raise InvalidRequest(f"No image {wanted} in {printable(results.folder.name)}. {hint}")
    faces = [face for face, path in enumerate(results.faces.paths) if path == found[0]]
    if not faces:
        row = next(row for row in results.images if row.path == found[0])
        reason = f" ({row.error})" if row.error else ""
        raise InvalidRequest(f"{found[0]} has no face to compare: {row.outcome}{reason}.")
    return faces


def _named_like(wanted: str, paths: Iterable[ShownPath]) -> list[ShownPath]:
    """Paths whose file name is similar to the last part of `wanted`, or contains it."""
    name = wanted.rsplit("/", 1)[-1].lower()
    by_name: dict[str, list[ShownPath]] = {}
    for path in paths:
        by_name.setdefault(path.rsplit("/", 1)[-1].lower(), []).append(path)
    names = [other for other in by_name if name in other] or get_close_matches(name, by_name, _MATCHES)
    return [path for other in names for path in by_name[other]]


def _some(paths: Sequence[str]) -> str:
    more = f" and {len(paths) - _MATCHES} more" if len(paths) > _MATCHES else ""
    return ", ".join(paths[:_MATCHES]) + more
