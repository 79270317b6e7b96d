"""Regions find their faces, although programs draw boxes differently."""

import pytest

from producer.sidecars.matching import match
from shared.domain.boxes import Box

FACE: Box = (100, 100, 140, 150)
NEIGHBOR: Box = (160, 100, 200, 150)


def _around(face: Box, factor: float, down: float = 0.0) -> Box:
    """A box `factor` times as wide and high, moved down by this part of the face's height."""
    x, y = (face[0] + face[2]) / 2, (face[1] + face[3]) / 2 + down * (face[3] - face[1])
    width, height = factor * (face[2] - face[0]), factor * (face[3] - face[1])
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2


@pytest.mark.parametrize("factor", [0.5, 0.8, 1.0, 1.6, 2.4])
@pytest.mark.parametrize("down", [-0.2, 0.0, 0.2])
def test_a_larger_or_smaller_region_finds_its_face(factor: float, down: float) -> None:
    """A region with hair and neck is that of the face; one half as large is that too."""
    assert match([_around(FACE, factor, down)], [NEIGHBOR, FACE]) == {0: 1}


def test_a_whole_person_is_no_face() -> None:
    """A region of a body contains the face, but overlaps little."""
    assert match([_around(FACE, 5)], [FACE]) == {}


def test_a_neighbor_in_a_large_region_is_not_its_face() -> None:
    """The region of a face that the job does not have gives its name to nobody else."""
    assert match([_around(NEIGHBOR, 2.4)], [FACE]) == {}


def test_each_face_has_one_region() -> None:
    """The region that overlaps most comes first; another program's duplicate has no face."""
    assert match([_around(FACE, 1.6), _around(FACE, 1.1)], [FACE]) == {1: 0}
    assert match([_around(NEIGHBOR, 1.5), _around(FACE, 1.5)], [FACE, NEIGHBOR]) == {0: 1, 1: 0}


def test_nothing_matches_nothing() -> None:
    """Images without regions or faces have no pairs."""
    assert match([], [FACE]) == match([FACE], []) == {}
