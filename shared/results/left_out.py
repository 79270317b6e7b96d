"""Which faces of a results folder are below the limits of quality, and are left out of groups."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from shared.domain.errors import InvalidRequest
from shared.domain.paths import printable
from shared.domain.quality_limits import QualityLimits
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

    InvalidRequest if its faces.csv is of an earlier version, which has no sharpness. OSError or ValueError if it cannot
    be read.
    """
    left_out = LeftOut(limits, no_limits(faces).below)
    if limits:
        if limits.sharpness and "sharpness" not in columns_of(folder / FACES):
            raise InvalidRequest(
                f"The results in {printable(str(folder))} are of an earlier version, which did not measure sharpness. "
                "Leave out --min-sharpness, or run the job again with --fresh."
            )
        for face, measures in enumerate(_measures(folder, sharpness=limits.sharpness > 0)):
            left_out.below[face] = np.less(measures, (limits.size_px, limits.probability, limits.sharpness))
    return left_out


def _measures(folder: Path, *, sharpness: bool) -> Iterator[tuple[float, float, float]]:
    """Size, probability and sharpness of each face. The size is that of the box, which earlier versions have too."""
    columns = ("x1", "y1", "x2", "y2", "probability", *(("sharpness",) if sharpness else ()))
    for values in rows_of(folder / FACES, *columns):
        left, top, right, bottom, probability, *sharp = map(float, values)
        yield min(right - left, bottom - top), probability, sharp[0] if sharp else 0.0
