"""Reads `groups.csv`: the group of each face, and its distance to the group's medoid."""

from array import array
from pathlib import Path

import numpy as np

from shared.domain.arrays import Float32
from shared.results.distances import Faces
from shared.results.reader import rows_of
from shared.results.schema import GROUP_COLUMNS, GROUPS


def read_groups(folder: Path, faces: int) -> tuple[Faces, Float32]:
    """The number of each face's group, from 1, intp [n], and its distance to the medoid, float32 [n].

    OSError as `open_regular`; ValueError if the file is not about this many faces.
    """
    numbers, distances = array("q"), array("f")
    for row, (face, number, distance) in enumerate(rows_of(folder / GROUPS, *GROUP_COLUMNS[:3])):
        if int(face) != row:
            raise ValueError(f"{GROUPS} has face {face} in row {row}")
        numbers.append(int(number))
        distances.append(float(distance))
    found = np.frombuffer(numbers, np.int64) if numbers else np.empty(0, np.int64)
    if len(found) != faces or (len(found) and not 1 <= found.min() <= found.max() <= faces):
        raise ValueError(f"{GROUPS} has {len(found)} faces, and faces.csv {faces}, or numbers that are no groups")
    return found.astype(np.intp), np.array(distances, np.float32)
