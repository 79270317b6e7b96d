"""Embeddings in fewer dimensions, with a bound on what their distances lose.

Networks use few of the dimensions that they write: FaceNet's 512 values lie within 0.02 of a subspace of 96. Which
faces may be near can be seen from products of such projections, in a fifth of the time.
"""

import numpy as np
import numpy.typing as npt

from shared.domain.arrays import Float32

Basis = npt.NDArray[np.float64]
_SAMPLE = 4096
_STEP = 16
_MOST = 0.5
"""Of the dimensions: with more, projecting gains little."""
MOST_LOST = 2e-3
"""Of a squared distance. Neighbors at a distance of 1 then count as up to 0.001 nearer than they are, which makes a few
per cent more candidates."""


def principal_basis(embeddings: Float32) -> Basis | None:
    """The principal components [d, p] within which a sample of the embeddings [n, d] lies, not centered; None if these
    are more than half of the dimensions.
    """
    sample = np.asarray(embeddings[:: max(1, len(embeddings) // _SAMPLE)], np.float64)
    basis: Basis = np.linalg.eigh(sample.T @ sample)[1][:, ::-1]
    squares = np.square(sample @ basis)
    outside = np.cumsum(squares[:, ::-1], axis=1)[:, ::-1].max(axis=0, initial=0.0)  # in the last d - p dimensions
    dimensions = embeddings.shape[1]
    for count in range(_STEP, int(_MOST * dimensions) + 1, _STEP):
        # The others may be further outside.
        if 2 * _lost(outside[count]) <= MOST_LOST:
            return np.ascontiguousarray(basis[:, :count])
    return None


def project(embeddings: Float32, basis: Basis, out: Float32) -> float:
    """Writes the projections [n, p] and gives the most that the square of one of their distances, of whichever pair, is
    smaller than that of the embeddings.
    """
    outside = 0.0
    for first in range(0, len(embeddings), _SAMPLE):
        rows = np.asarray(embeddings[first : first + _SAMPLE], np.float64)
        projected = rows @ basis
        out[first : first + len(rows)] = projected
        outside = max(outside, float((np.vecdot(rows, rows) - np.vecdot(projected, projected)).max()))
    return _lost(outside)


def _lost(outside: float) -> float:
    """From the largest square of a distance to the subspace: two faces may be on opposite sides of it."""
    rounding = 1e-9
    return 4 * max(0.0, outside) + rounding
