"""Distances between faces: from `distances.npy` where there is one, else from the embeddings, block by block."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

Float32 = npt.NDArray[np.float32]
Faces = npt.NDArray[np.intp]
BLOCK_ROWS = 1024  # of 20,000 faces in float64: 160 MiB


class Distances:
    """The Euclidean distances between n faces."""

    def __init__(self, embeddings: Float32, matrix: Float32 | None = None) -> None:
        """`embeddings` float32 [n, d]; `matrix` float32 [n, n] or None. Both may be mapped from files."""
        self.embeddings = embeddings
        self._matrix = matrix

    def __len__(self) -> int:
        return len(self.embeddings)

    def rows(self, faces: Faces) -> Float32:
        """Distances from each of `faces` [m] to every face: float32 [m, n]."""
        if self._matrix is not None:
            return np.asarray(self._matrix[faces])
        return self._compute(faces, np.arange(len(self)))

    def among(self, faces: Faces) -> Float32:
        """Distances between `faces` [m]: float32 [m, m], exactly symmetric, exactly 0 on the diagonal."""
        if self._matrix is not None and len(faces) == len(self) and (faces == np.arange(len(self))).all():
            return np.asarray(self._matrix)
        # Also with a matrix: a few columns of many long rows would be read from all over a large file.
        square: Float32 = np.concatenate(
            [self._compute(faces[k : k + BLOCK_ROWS], faces) for k in range(0, len(faces), BLOCK_ROWS)]
            or [np.empty((0, 0), np.float32)]
        )
        upper: Float32 = np.triu(square, 1)
        return np.add(upper, upper.T)

    def blocks(self) -> Iterator[tuple[Faces, Float32]]:
        """All rows, `BLOCK_ROWS` at a time: the faces [m] and their distances to every face, float32 [m, n]."""
        for start in range(0, len(self), BLOCK_ROWS):
            faces = np.arange(start, min(start + BLOCK_ROWS, len(self)))
            yield faces, self.rows(faces)

    def _compute(self, faces: Faces, others: Faces) -> Float32:
        # In float64, and with one BLAS thread, for the reasons that worker/distances.py gives.
        a = np.asarray(self.embeddings[faces], np.float64)
        b = np.asarray(self.embeddings[others], np.float64)
        with threadpool_limits(limits=1, user_api="blas"):
            squares = (a * a).sum(axis=1)[:, None] + (b * b).sum(axis=1)[None, :] - 2.0 * (a @ b.T)
        found: Float32 = np.sqrt(np.maximum(squares, 0.0)).astype(np.float32)
        found[faces[:, None] == others[None, :]] = 0.0
        return found


def evenly_spaced(count: int, at_most: int) -> Faces:
    """`at_most` of `count` faces, spread over all of them; the same ones every time. All where they are no more."""
    if count <= at_most:
        return np.arange(count)
    return np.linspace(0, count - 1, at_most).round().astype(np.intp)
