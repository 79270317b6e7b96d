"""Linkage that keeps to must-links and cannot-links, compared with a naive one over all pairs."""

import random
from itertools import combinations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.analysis import group_links, neighbor_linkage
from shared.analysis.constraints import Constraints, constraints_of
from shared.analysis.contradictions import Contradiction
from shared.analysis.copies import Copies, find_copies
from shared.analysis.near_pairs import near_neighbors
from shared.analysis.neighbor_linkage import link_neighbors
from shared.domain.arrays import Float32
from shared.results.found_faces import FoundCorrection
from tests.support.corrections import all_distinct, different, person, same
from tests.support.results_folders import people

Labels = npt.NDArray[np.intp]


def _linked(embeddings: Float32, threshold: float, corrections: list[FoundCorrection]) -> Labels:
    copies = find_copies(embeddings)
    neighbors = near_neighbors(embeddings, 1, within=threshold)
    return link_neighbors(embeddings, neighbors, copies, threshold, constraints_of(corrections, copies))


def _naive(embeddings: Float32, threshold: float, constraints: Constraints) -> list[list[int]]:
    """Joins the closest pair of groups that may be joined, again and again, over all squared distances. Groups that
    must be together must stay apart from the same.
    """
    exact = embeddings.astype(np.float64)
    squares = ((exact[:, None] - exact[None]) ** 2).sum(axis=2)
    groups = [[face] for face in range(len(embeddings))]
    together = [set(np.flatnonzero(constraints.together == first).tolist()) for first in constraints.together]
    refused = {tuple(pair) for pair in constraints.apart.tolist()}

    def may_be_joined(one: set[int], other: set[int]) -> bool:
        if one is other:
            return True
        firsts = [constraints.together[list(faces)].tolist() for faces in (one, other)]
        named = {int(constraints.person[face]) for face in one | other} - {-1}
        return len(named) < 2 and not any((min(a, b), max(a, b)) in refused for a in firsts[0] for b in firsts[1])

    for face, faces in enumerate(together):  # one object for all of a set
        for other in faces:
            together[other] = together[face]
    while True:
        near = [
            (squares[np.ix_(one, other)].mean(), one, other)
            for one, other in combinations(groups, 2)
            if may_be_joined(together[one[0]], together[other[0]])
        ]
        square, one, other = min(near, default=(np.inf, [], []), key=lambda found: found[0])
        if square > threshold**2:
            return sorted(sorted(faces) for faces in {id(faces): faces for faces in together}.values())
        groups = [group for group in groups if group not in (one, other)] + [one + other]
        both = together[one[0]] | together[other[0]]
        for face in both:
            together[face] = both


def _groups(labels: Labels) -> list[list[int]]:
    return sorted(np.flatnonzero(labels == first).tolist() for first in np.unique(labels))


def _any_corrections(faces: int, count: int, seed: int) -> list[FoundCorrection]:
    """As many corrections as fit together, some of them of faces that are far apart."""
    draw = random.Random(seed)
    kept: list[FoundCorrection] = []
    for _ in range(count):
        one, other = draw.randrange(faces), draw.randrange(faces)
        more = draw.choice(
            [person(one, draw.choice("ABC")), same(one, other), different(one, other), different(one, other)]
        )
        try:
            constraints_of([*kept, more], all_distinct(faces))
        except Contradiction:
            continue
        kept.append(more)
    return kept


@settings(max_examples=60, deadline=None)
@given(
    groups=st.integers(1, 6),
    each=st.integers(1, 6),
    spread=st.floats(0.2, 0.9),
    threshold=st.floats(0.3, 1.6),
    corrections=st.integers(0, 25),
    portion=st.sampled_from([1, 30, 1 << 20]),
    pairs_a_step=st.sampled_from([0.05, 1, 1000]),
    seed=st.integers(0, 1000),
)
def test_groups_are_those_of_a_naive_linkage_that_keeps_to_the_corrections(
    groups: int,
    each: int,
    spread: float,
    threshold: float,
    corrections: int,
    portion: int,
    pairs_a_step: float,
    seed: int,
) -> None:
    """What must be together is, what must be apart is not, and of the rest the closest that may be are joined. The
    order of corrections does not matter.
    """
    embeddings = people(groups, each, seed, spread=spread)
    said = _any_corrections(len(embeddings), corrections, seed)
    constraints = constraints_of(said, all_distinct(len(embeddings)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(group_links, "_AT_ONCE", portion)
        patch.setattr(neighbor_linkage, "_PAIRS_A_STEP", pairs_a_step)
        labels = _linked(embeddings, threshold, said)
        again = _linked(embeddings, threshold, random.Random(seed).sample(said, len(said)))
    assert (labels == again).all()
    assert (labels[constraints.together] == labels).all()
    assert all(labels[one] != labels[other] for one, other in constraints.apart.tolist())
    for label in np.unique(labels):
        assert len(set(constraints.person[labels == label].tolist()) - {-1}) < 2
    assert _groups(labels) == _naive(embeddings, threshold, constraints)


def test_without_corrections_groups_are_the_same() -> None:
    """To the label."""
    embeddings, threshold = people(30, 6, spread=0.75), 0.85
    neighbors, copies = near_neighbors(embeddings, 4, within=threshold), find_copies(embeddings)
    plain = link_neighbors(embeddings, neighbors, copies, threshold)
    assert 30 < len(set(plain.tolist())) < 180
    assert (plain == _linked(embeddings, threshold, [])).all()


def test_a_forbidden_closest_group_does_not_keep_others_away() -> None:
    """Face 1 is nearest to face 0, which it must stay apart from, then to 2 and 3, which are a group. Of equally near
    ones that may be joined, the first is.
    """
    angles = np.deg2rad([0, 8, 20, 21])
    row = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    assert _groups(_linked(row, 0.4, [different(0, 1)])) == [[0], [1, 2, 3]]
    square = np.eye(4, dtype=np.float32)
    assert _groups(_linked(square, 1.5, [different(0, 1)])) == [[0, 2, 3], [1]]
    assert _groups(_linked(square, 1.5, [])) == [[0, 1, 2, 3]]


def test_groups_beyond_the_threshold_are_one_if_somebody_says_so_of_two_faces() -> None:
    """By a pair, or by one name: as of a child and the adult. Others join them as if each was alone."""
    embeddings = people(3, 4, spread=0.3)
    for said in ([same(0, 4)], [person(0, "Ann"), person(4, "Ann")]):
        assert _groups(_linked(embeddings, 0.9, said)) == [[0, 1, 2, 3, 4, 5, 6, 7], [8, 9, 10, 11]]


def test_who_is_different_from_one_group_of_a_person_is_different_from_all() -> None:
    """Face 5 is nearly equal to face 0, which is the same person as 1, and 1 is not 5."""
    embeddings = people(2, 4, spread=0.3)
    some = np.concatenate([embeddings[:1], embeddings[4:], embeddings[:1] + np.float32(0.001)])
    assert _groups(_linked(some, 0.9, [])) == [[0, 5], [1, 2, 3, 4]]
    assert _groups(_linked(some, 0.9, [same(0, 1), different(1, 5)])) == [[0, 1, 2, 3, 4], [5]]


def test_people_with_names_are_never_joined() -> None:
    """Whatever the threshold, also by way of others."""
    embeddings = people(1, 12, spread=0.3)
    named = [person(face, f"{face}") for face in (2, 5, 11)]
    labels = _linked(embeddings, 2.0, named)
    assert len({int(labels[2]), int(labels[5]), int(labels[11])}) == len(set(labels.tolist())) == 3


def test_copies_count_with_their_number() -> None:
    """As they do without corrections."""
    once = people(4, 3, spread=0.6)
    counts = np.random.default_rng(0).integers(1, 5, 12)
    copies = Copies(np.cumsum(counts) - counts, np.repeat(np.arange(12), counts))
    everyone, threshold = np.repeat(once, counts, axis=0), 1.1
    said = [same(int(copies.first[0]), int(copies.first[7]) + int(counts[7]) - 1), different(0, int(copies.first[1]))]
    neighbors = near_neighbors(once, 1, within=threshold)
    labels = link_neighbors(everyone, neighbors, copies, threshold, constraints_of(said, copies))
    of_all = constraints_of(
        [*said, *(same(int(copies.first[number]), face) for face, number in enumerate(copies.number))],
        all_distinct(len(everyone)),
    )
    assert _groups(labels[copies.number]) == _naive(everyone, threshold, of_all)
