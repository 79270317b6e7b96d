"""Faces with equal embeddings, as copies of a file have."""

import hashlib
from dataclasses import dataclass

import numpy as np

from shared.domain.arrays import Bool, Float32
from shared.results.distances import Faces

_SUMMED_AT_ONCE = 4096


@dataclass(frozen=True)
class Copies:
    """Which of n faces are equal."""

    first: Faces
    """[m]: the first face with each of m embeddings, in ascending order."""
    number: Faces
    """[n]: for each face the place of its embedding in `first`."""

    @property
    def counts(self) -> Faces:
        """[m]: how many faces have each embedding."""
        return np.bincount(self.number, minlength=len(self.first))


def distinct_rows(embeddings: Float32, copies: Copies) -> Float32:
    """Each embedding once: float32 [m, d], in the order of `copies.first`. It is not copied if all are distinct."""
    return embeddings if len(copies.first) == len(embeddings) else np.asarray(embeddings[copies.first])


def find_copies(embeddings: Float32) -> Copies:
    """The faces with equal bytes among float32 [n, d], which may be mapped from a file. Memory: 100 bytes a face."""
    known: dict[bytes, int] = {}
    first: list[int] = []
    number = np.empty(len(embeddings), np.intp)
    for face in range(len(embeddings)):
        digest = _digest(embeddings, face)
        number[face] = known.setdefault(digest, len(first))
        if number[face] == len(first):
            first.append(face)
    return Copies(np.array(first, np.intp), number)


def perhaps_equal(embeddings: Float32) -> Bool:
    """[n]: which of float32 [n, d] may have an equal; hardly any of the others. Memory: 16 bytes a face."""
    factors = np.random.default_rng(0).integers(0, 2**63, embeddings.shape[1], np.uint64) | np.uint64(1)
    sums = np.empty(len(embeddings), np.uint64)
    for start in range(0, len(embeddings), _SUMMED_AT_ONCE):
        bits = np.ascontiguousarray(embeddings[start : start + _SUMMED_AT_ONCE], np.float32).view(np.uint32)
        sums[start : start + len(bits)] = (bits * factors).sum(axis=1)  # modulo 2^64
    order = np.argsort(sums)
    same = np.diff(sums[order]) == 0
    found = np.zeros(len(embeddings), np.bool_)
    found[order[1:][same]] = found[order[:-1][same]] = True
    return found


def places_among(distinct: Float32, others: Float32, copies_of_others: Copies) -> Faces:
    """[m]: of each of m distinct embeddings its place among the distinct ones of `others`, or -1. Both may be mapped
    from files. Memory: 100 bytes for each of the others.
    """
    known = {_digest(others, face): place for place, face in enumerate(copies_of_others.first.tolist())}
    return np.array([known.get(_digest(distinct, face), -1) for face in range(len(distinct))], np.intp)


def _digest(embeddings: Float32, face: int) -> bytes:
    return hashlib.blake2b(embeddings[face].tobytes(), digest_size=16).digest()
