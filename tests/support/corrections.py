"""Corrections of faces in made-up results, as found in them."""

import numpy as np

from shared.analysis.copies import Copies, find_copies
from shared.domain.arrays import Float32
from shared.domain.paths import ShownPath
from shared.results.corrections import Correction, FaceReference, Kind
from shared.results.found_faces import FoundCorrection


def person(face: int, name: str) -> FoundCorrection:
    """The face in this row is of the person with this name."""
    return FoundCorrection(Correction(Kind.PERSON, _reference(face), name, None, f"line {face}"), face)


def same(face: int, other: int) -> FoundCorrection:
    """Both faces are of one person."""
    return _pair(Kind.SAME, face, other)


def different(face: int, other: int) -> FoundCorrection:
    """The faces are not of one person."""
    return _pair(Kind.DIFFERENT, face, other)


def hidden(face: int) -> FoundCorrection:
    """The face is not to be shown."""
    return FoundCorrection(Correction(Kind.HIDDEN, _reference(face)), face)


def all_distinct(count: int) -> Copies:
    """As many faces, none of which are equal."""
    return Copies(np.arange(count), np.arange(count))


def copied(embeddings: Float32, times: int) -> tuple[Float32, Copies]:
    """Every face several times, all of them again and again."""
    everyone = np.tile(embeddings, (times, 1))
    return everyone, find_copies(everyone)


def _pair(kind: Kind, face: int, other: int) -> FoundCorrection:
    origin = f"line {face}-{other}"
    return FoundCorrection(Correction(kind, _reference(face), "", _reference(other), origin), face, other)


def _reference(face: int) -> FaceReference:
    return FaceReference(ShownPath(f"{face}.jpg"))
