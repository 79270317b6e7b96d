"""Finds the results of a job, and the faces of an image in them."""

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from difflib import get_close_matches
from pathlib import Path

from shared.domain.counts import counted
from shared.domain.errors import InvalidRequest
from shared.domain.job_names import is_job_name
from shared.domain.paths import ShownPath, printable
from shared.results.row_table import RowTable
from shared.results.schema import FACES, IMAGES, SUMMARY

_MATCHES = 5
_MOST_COMPARED = 20_000  # paths, each in 50 microseconds


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
        f"{where}. It has results of {counted(len(there), 'job')}, such as {', '.join(map(printable, named))}."
    )


class Tables:
    """`faces.csv` and `images.csv`, of which only the rows in question are read."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        """Opens the files until `stack` ends."""
        self.folder, self._stack = folder, stack
        self.faces = RowTable(folder / FACES, stack)

    def images(self) -> RowTable:
        """The table of images, opened when it is needed."""
        return RowTable(self.folder / IMAGES, self._stack)

    def path_of(self, face: int) -> ShownPath:
        """The path of the image of a face (row)."""
        return ShownPath(printable(self.faces[face]["path"]))


def find_faces(tables: Tables, image: str) -> list[int]:
    """The faces (rows) of the image with this path, or with a path that ends so.

    InvalidRequest if no image or several images match, or if the image has no face.
    """
    wanted = printable(image).removeprefix("./")
    rows = tables.faces.rows_with("path", wanted) or tables.faces.rows_ending("path", f"/{wanted}")
    faces: dict[str, list[int]] = {}
    for row in rows:
        faces.setdefault(tables.faces[row]["path"], []).append(row)
    if len(faces) > 1:
        raise InvalidRequest(
            f"The paths of {len(faces)} images end in {wanted}: {_some(list(faces), len(faces))}. "
            "Give more of the path."
        )
    if not faces:
        raise _no_faces(tables, wanted)
    return rows


def _no_faces(tables: Tables, wanted: str) -> InvalidRequest:
    """Why there are none of such an image."""
    images = tables.images()
    found = images.rows_with("path", wanted) or images.rows_ending("path", f"/{wanted}")
    if not found:
        close = _close_paths(wanted, images)
        hint = f"Similar paths: {_some(close, len(close))}." if close else f"{IMAGES} lists all images."
        return InvalidRequest(f"No image {wanted} in {printable(tables.folder.name)}. {hint}")
    row = images[found[0]]
    reason = f" ({printable(row['error'])})" if row["error"] else ""
    return InvalidRequest(f"{printable(row['path'])} has no face to compare: {printable(row['outcome'])}{reason}.")


def _close_paths(wanted: str, images: RowTable) -> list[str]:
    """Similar paths; in a large table, those whose name begins with that of `wanted`."""
    if len(images) > _MOST_COMPARED:
        name = wanted.rsplit("/", 1)[-1].rsplit(".", 1)[0]
        return [images[row]["path"] for row in images.rows_containing("path", f"/{name}", _MATCHES)] if name else []
    paths = [images[row]["path"] for row in range(len(images))]
    return get_close_matches(wanted, paths, _MATCHES) or _named_like(wanted, paths)


def _named_like(wanted: str, paths: Iterable[str]) -> list[str]:
    """Paths whose file name is similar to the last part of `wanted`, or contains it."""
    name = wanted.rsplit("/", 1)[-1].lower()
    by_name: dict[str, list[str]] = {}
    for path in paths:
        by_name.setdefault(path.rsplit("/", 1)[-1].lower(), []).append(path)
    names = [other for other in by_name if name in other] or get_close_matches(name, by_name, _MATCHES)
    return [path for other in names for path in by_name[other]]


def _some(paths: Sequence[str], count: int) -> str:
    more = f" and {count - _MATCHES} more" if count > _MATCHES else ""
    return ", ".join(map(printable, paths[:_MATCHES])) + more
