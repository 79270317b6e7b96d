"""What faces are called on a page."""

from array import array
from collections.abc import Iterable

import numpy as np

from shared.domain.paths import ShownPath
from shared.results.distances import Faces


def places_in_images(paths: Iterable[ShownPath]) -> tuple[Faces, Faces]:
    """For each face its place among those of its image, from 1, and how many these are: [n], [n].

    `paths` are those of faces.csv, where the faces of an image are side by side.
    """
    begins = array("q")
    before, count = None, 0
    for path in paths:
        if path != before:
            begins.append(count)
            before = path
        count += 1
    starts = np.frombuffer(begins, np.int64) if begins else np.empty(0, np.int64)
    counts = np.diff(starts, append=count)
    return np.arange(count) - np.repeat(starts, counts) + 1, np.repeat(counts, counts)


def face_name(path: ShownPath, place: int, of: int) -> str:
    """The path, and which of its faces this is if it has several."""
    return path if of == 1 else f"{path} ({place}/{of})"


def face_words(row: int, path: ShownPath, place: int, of: int) -> str:
    """The face for screen readers."""
    return f"Face {row}, in {path}" if of == 1 else f"Face {row}, {place} of {of} in {path}"
