"""What corrections demand, and which of them exclude each other."""

import random

import numpy as np
import pytest

from shared.analysis.constraints import NOBODY, constraints_of
from shared.analysis.contradictions import Contradiction
from shared.analysis.copies import Copies
from shared.results.found_faces import FoundCorrection
from tests.support.corrections import all_distinct, different, hidden, person, same

CORRECTIONS = [
    *(person(3, "Bob"), same(3, 1), same(1, 5), person(0, "Ann"), person(6, "Ann"), hidden(4)),
    *(different(7, 5), different(5, 7), different(0, 2)),
]


def test_faces_that_are_one_person_are_together_whatever_the_order() -> None:
    """Names hold for all faces that must be with a named one."""
    for seed in range(10):
        shuffled = random.Random(seed).sample(CORRECTIONS, len(CORRECTIONS))
        found = constraints_of(shuffled, all_distinct(8))
        assert found.names == ["Ann", "Bob"]
        assert found.together.tolist() == [0, 1, 2, 1, 4, 1, 0, 7]
        assert found.person.tolist() == [0, 1, NOBODY, 1, NOBODY, 1, 0, NOBODY]
        assert found.apart.tolist() == [[0, 2], [1, 7]]
        assert found.hidden.tolist() == [face == 4 for face in range(8)]


def test_a_correction_of_a_face_holds_for_its_copies() -> None:
    """Faces 0 and 2 are equal, and so are 1 and 3."""
    copies = Copies(np.array([0, 1]), np.array([0, 1, 0, 1]))
    found = constraints_of([person(2, "Ann"), hidden(3), different(2, 3)], copies)
    assert (found.person.tolist(), found.hidden.tolist(), found.apart.tolist()) == (
        [0, NOBODY],
        [False, True],
        [[0, 1]],
    )


@pytest.mark.parametrize(
    ("corrections", "said"),
    [
        (
            [same(0, 1), same(2, 1), different(0, 2)],
            "line 0-1: 0.jpg is the same person as 1.jpg; line 2-1: 2.jpg is the same person as 1.jpg; "
            "line 0-2: 0.jpg is not the person of 2.jpg.",
        ),
        ([person(0, "Ann"), person(0, "Bob")], "line 0: 0.jpg is Ann; line 0: 0.jpg is Bob."),
        (
            [person(0, "Ann"), person(2, "Bob"), same(0, 1), same(1, 2)],
            "line 0: 0.jpg is Ann; line 0-1: 0.jpg is the same person as 1.jpg; line 1-2: 1.jpg is the same person as "
            "2.jpg; line 2: 2.jpg is Bob.",
        ),
        (
            [person(0, "Ann"), different(0, 1), person(1, "Ann")],
            "line 0: 0.jpg is Ann; line 1: 1.jpg is Ann; line 0-1: 0.jpg is not the person of 1.jpg.",
        ),
        # Of two ways to the contradiction the shorter one is said.
        (
            [*(same(face, face + 1) for face in range(6)), same(0, 6), different(6, 0)],
            "line 0-6: 0.jpg is the same person as 6.jpg; line 6-0: 6.jpg is not the person of 0.jpg.",
        ),
        ([different(1, 1)], "line 1-1: 1.jpg is not the person of 1.jpg."),
    ],
)
def test_a_contradiction_is_said_with_its_faces(corrections: list[FoundCorrection], said: str) -> None:
    """In one line: each statement with its place, and what to do."""
    with pytest.raises(Contradiction) as raised:
        constraints_of(corrections, all_distinct(8))
    assert str(raised.value) == f"Corrections exclude each other: {said} Change or remove one of them."


def test_a_long_contradiction_is_shortened() -> None:
    """Its ends are shown."""
    with pytest.raises(Contradiction, match=r"0.jpg is the same.*; \(15 more\); .*is not the person of 20.jpg\."):
        constraints_of([*(same(face, face + 1) for face in range(20)), different(0, 20)], all_distinct(21))


def test_copies_cannot_be_different_people() -> None:
    """Nothing could tell them apart. The message says why the statements exclude each other."""
    copies = Copies(np.array([0]), np.array([0, 0]))
    for corrections in ([different(0, 1)], [person(0, "Ann"), person(1, "Bob")]):
        with pytest.raises(Contradiction, match="Files with equal faces are copies"):
            constraints_of(corrections, copies)


def test_faces_that_are_gone_still_say_something_of_others() -> None:
    """Of the job's three faces, 0 is the same person as 1 and different from 2, by faces that it does not have."""
    said = [same(0, 7), same(7, 8), same(8, 1), person(8, "Ann"), different(9, 2), person(9, "Ann"), hidden(9)]
    found = constraints_of([*said, person(10, "Gone"), different(10, 0), different(10, 11)], all_distinct(3))
    assert (found.together.tolist(), found.apart.tolist()) == ([0, 0, 2], [[0, 2]])
    assert (found.names, found.person.tolist(), found.hidden.any()) == (["Ann"], [0, 0, NOBODY], False)
    with pytest.raises(Contradiction, match=r"7\.jpg is not the person of 1\.jpg"):
        constraints_of([*said, different(7, 1)], all_distinct(3))
