"""`neighbors.npz` and `groups.csv` hold what brute force finds, whatever copies there are among the faces."""

import csv
import json
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from shared.analysis.calibration import SAME_PERSON
from shared.analysis.candidates import MOST_WITHIN
from shared.analysis.clustering import find_groups
from shared.analysis.grouping import find_grouping
from shared.domain.arrays import Float32
from shared.domain.options import Options
from shared.results.neighbors_file import read_neighbors
from tests.support.made_up_blocks import block_of_faces, sealed_job, write_job
from tests.support.results_folders import people
from worker.aggregation.neighbor_files import write_neighbors


def _written(embeddings: Float32, folder: Path, count: int) -> scipy.sparse.csr_matrix:
    folder.mkdir(exist_ok=True)
    np.save(folder / "embeddings.npy", embeddings)
    job = sealed_job(len(embeddings))
    for name in ("neighbors.npz", "groups.csv"):
        (folder / name).unlink(missing_ok=True)
    options = Options(**vars(job.options) | {"neighbors": count})
    write_neighbors(job.__class__(**vars(job) | {"options": options}), folder, 2)
    return scipy.sparse.load_npz(folder / "neighbors.npz")


def _expected(embeddings: Float32, count: int) -> list[tuple[int | None, set[int], float]]:
    """For each face an equal one, the embeddings (by their first faces) that its row must have, and the farthest."""
    _, first, number = np.unique(embeddings, axis=0, return_index=True, return_inverse=True)
    distances = cdist(embeddings.astype(np.float64), embeddings.astype(np.float64))
    rows = []
    for face in range(len(embeddings)):
        mine = first[number[face]]
        equal = [k for k in np.flatnonzero(number == number[face]).tolist() if k != face]
        others = sorted((distances[face, other], other) for other in first.tolist() if other != mine)
        near = sum(distance <= SAME_PERSON for distance, _ in others)
        kept = others[: max(count, min(near, MOST_WITHIN))]
        rows.append((equal[0] if equal else None, {other for _, other in kept}, kept[-1][0] if kept else 0.0))
    return rows


@settings(max_examples=25, deadline=None)
@given(
    persons=st.integers(1, 30),
    each=st.integers(1, 8),
    copied=st.lists(st.integers(0, 10**6), max_size=30),
    count=st.integers(1, 40),
    spread=st.sampled_from([0.05, 0.4, 0.9]),
)
def test_rows_are_those_of_brute_force(
    tmp_path_factory: object, persons: int, each: int, copied: list[int], count: int, spread: float
) -> None:
    """An equal face first, then the nearest embeddings by their first faces, and all within the threshold."""
    folder = tmp_path_factory.getbasetemp() / "brute"  # type: ignore[attr-defined]
    once = people(persons, each, spread=spread)
    embeddings = np.concatenate([once, once[[k % len(once) for k in copied]]])
    found = _written(embeddings, folder, count)
    for face, (equal, others, farthest) in enumerate(_expected(embeddings, count)):
        row = slice(found.indptr[face], found.indptr[face + 1])
        faces, distances = found.indices[row].tolist(), found.data[row]
        assert distances.tolist() == sorted(distances.tolist())
        if equal is not None:
            assert faces[0] == equal and distances[0] == 0
            faces, distances = faces[1:], distances[1:]
        assert len(faces) == len(set(faces)) == len(others)
        exact = np.linalg.norm(embeddings[faces].astype(np.float64) - embeddings[face].astype(np.float64), axis=1)
        np.testing.assert_allclose(distances, exact, atol=1e-6)
        # But for ties.
        assert all(abs(exact[faces.index(k)] - farthest) < 1e-6 for k in set(faces) - others)


def test_faces_within_the_threshold_are_limited(tmp_path: Path) -> None:
    """A crowd of one person has the nearest 1,024."""
    embeddings = people(1, MOST_WITHIN + 100, spread=0.1)
    found = _written(embeddings, tmp_path / "j", 5)
    assert set(np.diff(found.indptr)) == {MOST_WITHIN}
    distances = np.sort(cdist(embeddings, embeddings), axis=1)[:, 1 : MOST_WITHIN + 1]
    np.testing.assert_allclose(found.data.reshape(-1, MOST_WITHIN), distances, atol=1e-6)


def test_groups_are_those_of_the_neighbors(tmp_path: Path) -> None:
    """The same that `groups` finds, the largest as 1; and each face's distance to the middle of its group."""
    once = people(30, 5, spread=0.4)
    embeddings = np.concatenate([once, once[:40]])
    _written(embeddings, tmp_path / "j", 64)
    with (tmp_path / "j" / "groups.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["face"]) for row in rows] == list(range(190))
    found = find_groups(embeddings, SAME_PERSON)
    neighbors = read_neighbors(tmp_path / "j" / "neighbors.npz", len(embeddings))
    grouping = find_grouping(embeddings, neighbors, SAME_PERSON)
    assert [members.tolist() for members in grouping.members()] == found.members
    distances = cdist(embeddings, embeddings)
    for number, members in enumerate(found.members, start=1):
        assert {int(rows[face]["group"]) for face in members} == {number}
        medoid = members[int((distances[np.ix_(members, members)] ** 2).sum(axis=1).argmin())]
        for face in members:
            assert abs(float(rows[face]["distance"]) - distances[face, medoid]) < 1e-5


@pytest.mark.parametrize("copied", [0, 300])
def test_groups_take_no_memory_for_the_neighbors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, copied: int) -> None:
    """They are read from the file: a crowd of one person has 1,000 for each face, 8 MB here."""
    monkeypatch.setattr("shared.analysis.neighbor_linkage._READ_AT_ONCE", 1 << 14)
    monkeypatch.setattr("shared.analysis.face_neighbors._ROWS", 64)
    once = people(1, MOST_WITHIN, spread=0.1)[:, :16]
    once /= np.linalg.norm(once, axis=1, keepdims=True)
    embeddings = np.concatenate([once, once[:copied]])
    _written(embeddings, tmp_path / "j", 5)
    neighbors = read_neighbors(tmp_path / "j" / "neighbors.npz", len(embeddings))
    assert len(neighbors.faces) > 1000 * len(embeddings)
    tracemalloc.start()
    grouping = find_grouping(embeddings, neighbors, 0.02)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert grouping.numbers.max() > 100 and peak < 4e6, peak


def test_a_job_can_go_without(tmp_path: Path) -> None:
    """With 0 neighbors there are neither neighbors nor groups; without a calibrated threshold there are no groups."""
    job = sealed_job(3)
    without = job.__class__(**vars(job) | {"options": Options(**vars(job.options) | {"neighbors": 0})})
    summary = write_job(without, [block_of_faces(3)], tmp_path)
    assert summary["options"]["neighbors"] == 0
    assert not {"neighbors.npz", "groups.csv"} & {path.name for path in (tmp_path / "j").iterdir()}
    other = replace(job.contract, margin_px=33)
    write_job(job.__class__(**vars(job) | {"contract": other}), [block_of_faces(3)], tmp_path)
    assert (tmp_path / "j" / "neighbors.npz").exists() and not (tmp_path / "j" / "groups.csv").exists()
    assert json.loads((tmp_path / "j" / "summary.json").read_text())["options"]["neighbors"] == 64
