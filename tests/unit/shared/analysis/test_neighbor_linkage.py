"""Linkage over the nearest neighbors is SciPy's average linkage of the matrix that it stands for, at any size."""

import tracemalloc
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from shared.analysis import group_links
from shared.analysis.near_pairs import near_neighbors
from shared.analysis.neighbor_linkage import UNRELATED, link_neighbors
from shared.results.neighbors_file import Neighbors
from tests.support.results_folders import people


def _same_partition(a: npt.NDArray[np.intp], b: npt.NDArray[np.intp]) -> bool:
    pairs = set(zip(a.tolist(), b.tolist(), strict=True))
    return len(pairs) == len(set(a.tolist())) == len(set(b.tolist()))


def _matrix(neighbors: Neighbors, copies: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Of all faces, copies included: distances of the nearest, 0 between copies, `UNRELATED` elsewhere."""
    square = np.full((len(neighbors), len(neighbors)), UNRELATED)
    for face in range(len(neighbors)):
        others, distances = neighbors.of(face)
        square[face, others] = square[others, face] = distances
    np.fill_diagonal(square, 0)
    return np.repeat(np.repeat(square, copies, axis=0), copies, axis=1)


@settings(max_examples=60, deadline=None)
@given(
    groups=st.integers(1, 12),
    each=st.integers(1, 6),
    count=st.integers(1, 12),
    spread=st.floats(0.2, 0.9),
    threshold=st.floats(0.3, 1.35),
    seed=st.integers(0, 1000),
)
def test_groups_are_those_of_average_linkage(
    groups: int, each: int, count: int, spread: float, threshold: float, seed: int
) -> None:
    """For any threshold below `UNRELATED`; a face that stands for several weighs as much as they would."""
    embeddings = people(groups, each, seed, spread=spread)
    copies = np.random.default_rng(seed).integers(1, 4, len(embeddings))
    neighbors = near_neighbors(embeddings, count)
    labels = link_neighbors(neighbors, copies, threshold)
    if copies.sum() > 1:
        tree = linkage(squareform(_matrix(neighbors, copies), checks=False), method="average")
        expected = fcluster(tree, threshold, criterion="distance")
        assert _same_partition(np.repeat(labels, copies), expected)


def test_faces_that_are_not_near_each_other_are_never_joined() -> None:
    """Whatever the threshold: nothing is known of their distance."""
    embeddings = people(4, 5, spread=0.2)
    labels = link_neighbors(near_neighbors(embeddings, 4), np.ones(20, np.int64), 10.0)
    assert len(set(labels.tolist())) == 4


def _closest_first(neighbors: Neighbors, copies: npt.NDArray[np.int64], threshold: float) -> list[int]:
    """The definition: the closest pair of all is joined, of equally close ones the one with the smaller labels."""
    known = {}
    for face in range(len(neighbors)):
        for other, distance in zip(*(values.tolist() for values in neighbors.of(face)), strict=True):
            known[face, other] = known[other, face] = distance
    groups = {face: [face] for face in range(len(neighbors))}
    while True:
        closest = []
        for one, other in ((a, b) for a in groups for b in groups if a < b):
            pairs = [(a, b) for a in groups[one] for b in groups[other]]
            numbers = [(known[pair], int(copies[pair[0]] * copies[pair[1]])) for pair in pairs if pair in known]
            total, number = sum(d * n for d, n in numbers), sum(n for _, n in numbers)
            all_pairs = int(copies[groups[one]].sum() * copies[groups[other]].sum())
            mean = (total + (all_pairs - number) * UNRELATED) / all_pairs
            if number and mean <= threshold:
                closest.append((mean, one, other))
        if not closest:
            label = {face: first for first, faces in groups.items() for face in faces}
            return [label[face] for face in range(len(neighbors))]
        _, one, other = min(closest)
        groups[one] += groups.pop(other)


@settings(max_examples=40, deadline=None)
@given(
    groups=st.integers(1, 5),
    each=st.integers(1, 5),
    count=st.integers(1, 12),
    spread=st.floats(0.2, 0.9),
    steps=st.sampled_from([4, 16, 1 << 20]),
    threshold=st.floats(0.3, 1.35),
    portion=st.sampled_from([1, 30, 1 << 20]),
    seed=st.integers(0, 1000),
)
def test_labels_are_those_of_joining_the_closest_pair_first(
    groups: int, each: int, count: int, spread: float, steps: int, threshold: float, portion: int, seed: int
) -> None:
    """With many equal distances too, and however few links are read at once."""
    embeddings = people(groups, each, seed, spread=spread)
    neighbors = near_neighbors(embeddings, count)
    neighbors = replace(neighbors, distances=np.rint(neighbors.distances * np.float32(steps)) / np.float32(steps))
    copies = np.random.default_rng(seed).integers(1, 4, len(embeddings))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(group_links, "_AT_ONCE", portion)
        labels = link_neighbors(neighbors, copies, threshold)
    assert labels.tolist() == _closest_first(neighbors, copies, threshold)


def test_copies_without_number_have_no_cost() -> None:
    """A face that stands for a million equal ones weighs as much, and costs as much as one."""
    neighbors = near_neighbors(people(3, 4, spread=0.3), 5)
    labels = link_neighbors(neighbors, np.full(12, 1_000_000), 0.95)
    assert labels.tolist() == [0] * 4 + [4] * 4 + [8] * 4


def _chain(faces: int) -> Neighbors:
    """Faces in a row, each near to the 10 before and after it: one component."""
    steps = np.concatenate([np.arange(-10, 0), np.arange(1, 11)])
    others = (np.arange(faces)[:, None] + steps) % faces
    gaps = np.abs(np.tile(steps, (faces, 1))) + np.minimum(np.arange(faces)[:, None], others) % 7 / 10
    distances = (0.6 + gaps * 0.02).astype(np.float32)
    order = np.argsort(distances, axis=1, kind="stable")
    others, distances = np.take_along_axis(others, order, 1), np.take_along_axis(distances, order, 1)
    return Neighbors(np.arange(faces + 1) * 20, others.astype(np.int32).reshape(-1), distances.reshape(-1))


def test_memory_and_links_read_grow_with_the_links(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice the faces take twice the memory, and twice the links are read, also where all faces hang together."""
    figures = []
    for faces in (2_000, 4_000):
        read = 0
        of = group_links.GroupLinks.of

        def counted(self: group_links.GroupLinks, groups: group_links.Links) -> group_links.Found:
            nonlocal read
            found = of(self, groups)  # noqa: B023
            read += len(found.other)
            return found

        neighbors = _chain(faces)
        with monkeypatch.context() as patch:
            patch.setattr(group_links.GroupLinks, "of", counted)
            tracemalloc.start()
            link_neighbors(neighbors, np.ones(faces, np.int64), 0.95)
            figures.append((read, tracemalloc.get_traced_memory()[1] / faces))
            tracemalloc.stop()
    (read, each), (twice, each_of_twice) = figures
    assert twice < 2.2 * read < 2.2 * 8 * 20 * 2_000
    assert each_of_twice < 1.2 * each < 1.2 * 4_000
