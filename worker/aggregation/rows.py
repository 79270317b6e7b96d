"""The images of a job's batches, row by row."""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from shared.domain.arrays import Float32
from shared.domain.errors import ResultsError
from shared.domain.file_status import FileStatus
from shared.domain.paths import RootPath, ShownPath, below_folder, show_path
from worker.batch_result import FACE_FIGURES, Block, ImageRecord

_OTHER_VERSION = (
    "Images of this job were computed by another version of facequeue, whose records differ. Nothing is lost: a worker "
    "of that version writes the results, after `python -m producer aggregate`. Or cancel the job and run it again."
)


@dataclass(frozen=True)
class Origin:
    """The batch of an image, and the worker and time of its computation."""

    worker: str
    started_ms: int
    ended_ms: int
    commit_ms: float


@dataclass(frozen=True, kw_only=True)
class Row:
    """One image as the tables show it, without the values that depend on its position: numbers and `same_as`."""

    path: RootPath
    shown: ShownPath
    outcome: str
    error: str
    digest: str
    status: FileStatus
    figures: list[str]
    """The `FIGURE_COLUMNS` of images.csv."""
    faces: list[list[str]]
    """The `FOUND_COLUMNS` of faces.csv, for each face."""
    embeddings: Float32
    """[faces, dimensions]"""
    thumbnails: list[bytes] = field(default_factory=list)
    """Of each face; empty if none were cut."""
    recalled: bool = False
    spent_ms: dict[str, float] = field(default_factory=dict)
    """The milliseconds of each stage."""
    origin: Origin | None = None
    """None for an image of earlier results."""
    earlier_face: int | None = None
    """The row of its first face in earlier results; None if it was computed now."""

    @property
    def earlier_faces(self) -> Sequence[int]:
        """Of each face: its row in earlier results, or -1."""
        first, count = self.earlier_face, len(self.faces)
        return [-1] * count if first is None else range(first, first + count)


def earlier_faces(rows: Iterable[Row]) -> "array[int]":
    """Of each face of these images: its row in earlier results, or -1."""
    found = array("q")
    for row in rows:
        found.extend(row.earlier_faces)
    return found


def rows_of_blocks(blocks: Iterable[bytes], folder: RootPath, dimensions: int) -> Iterator[Row]:
    """The images of a job's batches. `folder` is the enqueued folder."""
    for packed in blocks:
        yield from rows_of_block(packed, folder, dimensions)


def rows_of_block(packed: bytes, folder: RootPath, dimensions: int) -> Iterator[Row]:
    """The images of one batch. ResultsError if a version with other records, or other figures of a face, made it."""
    try:
        block = Block.unpack(packed, dimensions)
    except TypeError:  # a field that this version does not have, or lacks
        raise ResultsError(_OTHER_VERSION) from None
    origin = Origin(block.worker, block.started_ms, block.ended_ms, block.commit_ms)
    first = 0
    for image in block.images:
        end = first + len(image.faces)
        yield Row(
            path=image.path,
            shown=show_path(below_folder(folder, image.path)),
            outcome=image.outcome,
            error=image.error,
            digest=image.digest,
            status=FileStatus(image.size, image.mtime_ns),
            figures=_figures(image, block),
            faces=[_found(face) for face in image.faces],
            embeddings=block.embeddings[first:end],
            thumbnails=image.thumbnails,
            recalled=image.recalled,
            spent_ms=image.spent_ms,
            origin=origin,
        )
        first = end


def _found(face: list[float]) -> list[str]:
    if len(face) != FACE_FIGURES:
        raise ResultsError(_OTHER_VERSION)
    *box, probability = face[:5]
    size_px, sharpness, yaw, roll_deg, inside = face[15:]
    return [
        *(f"{edge:.4f}" for edge in box),
        f"{probability:.6f}",
        *(f"{place:.4f}" for place in face[5:15]),
        *(f"{size_px:.4f}", f"{sharpness:.3f}", f"{yaw:.4f}", f"{roll_deg:.2f}", f"{inside:.4f}"),
    ]


def _figures(image: ImageRecord, block: Block) -> list[str]:
    milliseconds = [f"{spent:.1f}" for spent in image.spent_ms.values()]
    return [str(image.width), str(image.height), *milliseconds, block.worker, str(block.attempt)]
