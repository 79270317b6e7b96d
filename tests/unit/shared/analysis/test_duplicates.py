"""Near duplicates among the neighbors of all faces."""

import tracemalloc

import numpy as np
import pytest

from shared.analysis import duplicates
from shared.analysis.duplicates import near_pairs, recorded_near_pairs
from shared.analysis.near_pairs import near_neighbors
from shared.report.outside_faces import outside_in_neighbors
from shared.results.distances import Distances
from tests.support.results_folders import people


def test_the_nearest_pairs_of_a_film_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each frame has all others within the distance: the nearest pairs of all are taken, however they are read."""
    embeddings = people(2, 60, spread=0.1)
    neighbors = near_neighbors(embeddings, 59, 1)
    monkeypatch.setattr("shared.analysis.duplicates._NEAREST", 119)
    everyone = near_pairs(Distances(embeddings))
    assert len(everyone) > 3000
    for most, at_once in ((100, 7), (100, 10**6), (10**6, 100)):
        monkeypatch.setattr(duplicates, "MOST_NEAR_PAIRS", most)
        monkeypatch.setattr(duplicates, "_ENTRIES_AT_ONCE", at_once)
        assert recorded_near_pairs(neighbors) == everyone[:most]


def test_memory_does_not_grow_with_the_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither that of near duplicates nor that of the nearest faces outside of a group."""
    monkeypatch.setattr(duplicates, "MOST_NEAR_PAIRS", 1000)
    for module in ("shared.analysis.duplicates", "shared.report.outside_faces"):
        monkeypatch.setattr(f"{module}._ENTRIES_AT_ONCE", 1 << 12)
    embeddings = people(1, 1000, spread=0.05)
    neighbors = near_neighbors(embeddings, 999, 1)
    for read in (recorded_near_pairs, lambda some: outside_in_neighbors(some, np.arange(1000) % 7)):
        tracemalloc.start()
        read(neighbors)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 2e6, peak
