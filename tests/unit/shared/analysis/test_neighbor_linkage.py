"""Linkage over the nearest neighbors is SciPy's average linkage of all squared distances, at any size."""

import math
import tracemalloc

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import pdist

from shared.analysis import group_links, neighbor_linkage
from shared.analysis.constraints import NOBODY, Constraints
from shared.analysis.copies import Copies, find_copies
from shared.analysis.group_means import GroupMeans
from shared.analysis.near_pairs import near_neighbors
from shared.analysis.neighbor_linkage import link_neighbors
from shared.domain.arrays import Float32
from tests.support.results_folders import people

Labels = npt.NDArray[np.intp]


def _linked(embeddings: Float32, threshold: float, count: int = 1) -> Labels:
    neighbors = near_neighbors(embeddings, count, within=threshold)
    return link_neighbors(embeddings, neighbors, find_copies(embeddings), threshold)


def _same_partition(a: Labels, b: Labels) -> bool:
    pairs = set(zip(a.tolist(), b.tolist(), strict=True))
    return len(pairs) == len(set(a.tolist())) == len(set(b.tolist()))


def _of_all_pairs(embeddings: Float32, threshold: float) -> Labels:
    tree = linkage(pdist(embeddings.astype(np.float64), "sqeuclidean"), method="average")
    return fcluster(tree, threshold**2, criterion="distance").astype(np.intp)


@settings(max_examples=80, deadline=None)
@given(
    groups=st.integers(1, 12),
    each=st.integers(1, 9),
    spread=st.floats(0.2, 0.9),
    threshold=st.floats(0.3, 1.5),
    portion=st.sampled_from([1, 30, 1 << 20]),
    pairs_a_step=st.sampled_from([0.05, 1, 1000]),
    at_once=st.sampled_from([7, 1 << 20]),
    seed=st.integers(0, 1000),
)
def test_groups_are_those_of_average_linkage(
    groups: int, each: int, spread: float, threshold: float, portion: int, pairs_a_step: float, at_once: int, seed: int
) -> None:
    """At any threshold, however few links are read at once, and however many steps lead there. A face that stands for
    several weighs as much as they would.
    """
    embeddings = people(groups, each, seed, spread=spread)
    counts = np.random.default_rng(seed).integers(1, 4, len(embeddings))
    copies = Copies(np.cumsum(counts) - counts, np.repeat(np.arange(len(embeddings)), counts))
    neighbors = near_neighbors(embeddings, 1, within=threshold)
    everyone = np.repeat(embeddings, counts, axis=0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(group_links, "_AT_ONCE", portion)
        patch.setattr(neighbor_linkage, "_PAIRS_A_STEP", pairs_a_step)
        patch.setattr(neighbor_linkage, "_READ_AT_ONCE", at_once)
        labels = link_neighbors(everyone, neighbors, copies, threshold)
    assert (labels <= np.arange(len(labels))).all() and (labels[labels] == labels).all()
    if len(everyone) > 1:
        assert _same_partition(np.repeat(labels, counts), _of_all_pairs(everyone, threshold))


def test_people_with_many_photographs_stay_together() -> None:
    """Far more than a face has neighbors, and pairs beyond the threshold, which count with their distances."""
    embeddings = people(4, 250, spread=0.75)
    distances = pdist(embeddings[:250])
    threshold = float(np.quantile(distances, 0.9))
    labels = _linked(embeddings, threshold, 64)
    assert _same_partition(labels, np.repeat(np.arange(4), 250))
    assert _same_partition(labels, _of_all_pairs(embeddings, threshold))


def test_of_equally_close_groups_the_one_with_the_smaller_labels_is_joined() -> None:
    """The middle one of three faces is as near to the first as to the last."""
    row = np.array([[0.8, -0.6, 0], [1, 0, 0], [0.8, 0.6, 0]], np.float32)
    assert _linked(row, 0.7).tolist() == [0, 0, 2]
    assert _linked(row[[0, 2, 1]], 0.7).tolist() == [0, 1, 0]


def test_faces_that_are_not_near_each_other_are_never_joined() -> None:
    """Whatever the threshold: only neighbors are compared."""
    embeddings = people(4, 5, spread=0.2)
    labels = link_neighbors(embeddings, near_neighbors(embeddings, 4), find_copies(embeddings), 10.0)
    assert len(set(labels.tolist())) == 4


@pytest.mark.parametrize("threshold", [1e200, math.inf])
def test_any_threshold_is_possible(threshold: float) -> None:
    """The square of a large one is no number. Groups that must stay apart do, whatever the threshold."""
    embeddings = people(4, 5, spread=0.2)
    copies = find_copies(embeddings)
    everyone = near_neighbors(embeddings, 19)
    assert not link_neighbors(embeddings, everyone, copies, threshold).any()
    first, nobody = np.arange(20), np.full(20, NOBODY, np.intp)
    apart = Constraints([], first, nobody, np.array([[0, 19]]), np.zeros(20, np.bool_))
    labels = link_neighbors(embeddings, everyone, copies, threshold, apart)
    assert len(set(labels.tolist())) == 2 and labels[0] != labels[19]


@pytest.mark.parametrize("faces", [0, 1])
def test_hardly_any_faces(faces: int) -> None:
    """There is nothing to join."""
    assert _linked(people(1, 1)[:faces], 0.95).tolist() == [0] * faces


def test_copies_without_number_have_no_cost() -> None:
    """A face that stands for a hundred thousand equal ones costs as much as one."""
    once = people(3, 4, spread=0.3)
    copies = Copies(np.arange(12), np.repeat(np.arange(12), 100_000))
    labels = link_neighbors(once, near_neighbors(once, 5), copies, 0.95)
    assert labels.tolist() == [0] * 4 + [4] * 4 + [8] * 4


@pytest.mark.parametrize("dimensions", [3, 128, 512])
def test_mean_squared_distances_follow_from_the_means(dimensions: int) -> None:
    """Of groups that were joined in any order. The two directions have the same bits."""
    random = np.random.default_rng(dimensions)
    rows = random.standard_normal((60, dimensions))
    embeddings = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    means, members = GroupMeans(embeddings, find_copies(embeddings)), {face: [face] for face in range(60)}
    for _ in range(50):
        low, high = sorted(random.choice(list(members), 2, replace=False).tolist())
        members[low] += members.pop(high)
        means.join(np.array([low], np.int32), np.array([high], np.int32))
    left = np.array(list(members), np.int32)
    one, other = (part.reshape(-1) for part in np.meshgrid(left, left))
    found, reverse = means.mean_squares(one, other), means.mean_squares(other, one)
    assert found.tobytes() == reverse.tobytes()
    exact = embeddings.astype(np.float64)
    for a, b, square in zip(one.tolist(), other.tolist(), found.tolist(), strict=True):
        squares = ((exact[members[a], None] - exact[None, members[b]]) ** 2).sum(axis=2)
        assert abs(square - squares.mean()) < 1e-5 or a == b


def _row(faces: int) -> tuple[Float32, float]:
    """Faces in a row, each within the threshold of about 10 before and after it: one component."""
    angles = np.cumsum(1 + np.arange(faces) % 7 / 10) / faces
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32), 13 / faces


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

        embeddings, threshold = _row(faces)
        neighbors, copies = near_neighbors(embeddings, 1, within=threshold), find_copies(embeddings)
        with monkeypatch.context() as patch:
            patch.setattr(group_links.GroupLinks, "of", counted)
            tracemalloc.start()
            link_neighbors(embeddings, neighbors, copies, threshold)
            figures.append((read, tracemalloc.get_traced_memory()[1] / faces))
            tracemalloc.stop()
    (read, each), (twice, each_of_twice) = figures
    assert twice < 2.2 * read < 2.2 * 8 * 20 * 2_000
    assert each_of_twice < 1.2 * each < 1.2 * 4_000
