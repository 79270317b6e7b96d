"""Which faces of a results folder are below the limits of quality, and are left out of groups."""

from array import array
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from shared.domain.boxes import MOST_PX
from shared.domain.errors import InvalidRequest
from shared.domain.paths import printable
from shared.domain.quality_limits import DEFAULT_LIMITS, QualityLimits
from shared.results.reader import columns_of, rows_of
from shared.results.schema import FACES

REASONS = ("size", "probability", "sharpness")
"""What a face has too little of."""


@dataclass(frozen=True)
class LeftOut:
    """The faces that are left out of groups."""

    limits: QualityLimits
    below: npt.NDArray[np.bool_]
    """[n, 3]: whether each face is below the limit of each of `REASONS`."""

    def __len__(self) -> int:
        return len(self.below)

    @property
    def faces(self) -> npt.NDArray[np.bool_]:
        """[n]: whether a face is left out."""
        faces: npt.NDArray[np.bool_] = np.logical_or.reduce(self.below, axis=1)
        return faces

    @property
    def count(self) -> int:
        """How many are."""
        return int(self.faces.sum())

    def but(self, faces: npt.NDArray[np.bool_]) -> "LeftOut":
        """The same, but none of `faces` [n] is."""
        return LeftOut(self.limits, self.below & ~faces[:, None])

    def reasons(self, face: int) -> str:
        """Why a face is left out: the words of `REASONS` that apply, with spaces between; empty if it is not."""
        return " ".join(reason for reason, below in zip(REASONS, self.below[face].tolist(), strict=True) if below)


def no_limits(faces: int) -> LeftOut:
    """None of so many faces."""
    return LeftOut(QualityLimits(), np.zeros((faces, len(REASONS)), bool))


def find_left_out(folder: Path, faces: int, limits: QualityLimits) -> LeftOut:
    """The faces below `limits` among the `faces` of a results folder.

    In a faces.csv of an earlier version, which has no sharpness, none is below the default limit; InvalidRequest for
    another one. OSError or ValueError if the file cannot be read.
    """
    names: list[str] = []
    if limits.sharpness:
        names = columns_of(folder / FACES)
        if "sharpness" not in names and limits.sharpness != DEFAULT_LIMITS.sharpness:
            raise InvalidRequest(
                f"The results in {printable(str(folder))} are of an earlier version, which did not measure sharpness. "
                "Leave out --min-sharpness, or run the job again with --fresh."
            )
    below = no_limits(faces).below
    if limits.size_px:
        # From the box: earlier versions have no column of its size.
        left, top, right, bottom = sides = _columns(folder, ("x1", "y1", "x2", "y2"), faces)
        if not (np.abs(sides) <= MOST_PX).all():
            raise ValueError(f"a face in {FACES} has no box")
        below[:, 0] = np.minimum(right - left, bottom - top) < limits.size_px
    if limits.probability:
        below[:, 1] = _columns(folder, ("probability",), faces)[0] < limits.probability
    if "sharpness" in names:
        below[:, 2] = _columns(folder, ("sharpness",), faces)[0] < limits.sharpness
    return LeftOut(limits, below)


def _columns(folder: Path, names: tuple[str, ...], faces: int) -> npt.NDArray[np.float64]:
    """These columns of faces.csv: [columns, faces]. ValueError if it has another number of faces."""
    values = array("d")
    for row in rows_of(folder / FACES, *names):
        values.extend(map(float, row))
    if len(values) != faces * len(names):
        raise ValueError(f"{FACES} has {len(values) // len(names)} faces instead of {faces}")
    return np.array(values).reshape(faces, len(names)).T
