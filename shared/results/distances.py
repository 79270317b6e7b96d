"""Distances between faces: from `distances.npy` if it exists, else from the embeddings, block by block."""

from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from shared.domain.arrays import Float32
from shared.results.distance_tiles import TILE_ROWS, euclidean_tile, one_blas_thread

Faces = npt.NDArray[np.intp]
Number = TypeVar("Number", bound=np.floating[Any])


class Distances:
    """The Euclidean distances between n faces."""

    def __init__(self, embeddings: Float32, matrix: Float32 | None = None) -> None:
        """`embeddings` float32 [n, d]; `matrix` float32 [n, n] or None. Both may be mapped from files."""
        self.embeddings = embeddings
        self._matrix = matrix

    def __len__(self) -> int:
        return len(self.embeddings)

    def between(self, faces: Faces, left: int, right: int) -> Float32:
        """The distances from each of `faces` [m] to the faces from `left` to before `right`: float32 [m, c], writable.

        Call it within `one_blas_thread`.
        """
        if self._matrix is not None:
            return self._matrix[:, left:right][faces]
        return self._compute(faces, np.arange(left, min(right, len(self))))

    def among(self, faces: Faces) -> Float32:
        """Distances between `faces` [m]: float32 [m, m], exactly symmetric, exactly 0 on the diagonal."""
        if self._matrix is not None and len(faces) == len(self) and (faces == np.arange(len(self))).all():
            return np.asarray(self._matrix)
        # Also with a matrix: reading a few columns of many long rows would touch all of a large file.
        square: Float32 = np.empty((len(faces), len(faces)), np.float32)
        with one_blas_thread():
            for start in range(0, len(faces), TILE_ROWS):
                square[start : start + TILE_ROWS] = self._compute(faces[start : start + TILE_ROWS], faces)
        for row in range(len(faces)):
            square[row + 1 :, row] = square[row, row + 1 :]
        return square

    def _compute(self, faces: Faces, others: Faces) -> Float32:
        found = euclidean_tile(self.embeddings[faces], self.embeddings[others])
        found[faces[:, None] == others[None, :]] = 0.0
        return found


def condensed(square: Float32, dtype: type[Number]) -> npt.NDArray[Number]:
    """The distances above the diagonal of [n, n], row after row: [n (n - 1) / 2], as SciPy has them."""
    count = len(square)
    upper = np.empty(count * (count - 1) // 2, dtype)
    end = 0
    for row in range(count - 1):
        begin, end = end, end + count - 1 - row
        upper[begin:end] = square[row, row + 1 :]
    return upper


def evenly_spaced(count: int, at_most: int) -> Faces:
    """`at_most` of `count` faces, evenly spread and always the same ones; all of them if there are no more."""
    if count <= at_most:
        return np.arange(count)
    return np.linspace(0, count - 1, at_most).round().astype(np.intp)
