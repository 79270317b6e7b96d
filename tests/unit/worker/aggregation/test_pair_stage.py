"""The folder of a second stage when an aggregator wakes up after another one has taken over."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from shared.analysis.near_pairs import tiles_of
from shared.domain.arrays import Float32
from shared.domain.errors import ResultsError
from tests.support.complete_jobs import made_up_faces
from tests.support.made_up_blocks import sealed_job
from worker.aggregation import matrix_tiles, stage_plan
from worker.aggregation.distance_matrix import write_distances
from worker.aggregation.pair_stage import PairStage
from worker.aggregation.reserved_array import new_array
from worker.aggregation.stage_plan import PairsPlan, StagePlan

_FACES = made_up_faces()


def _begun_and_done(folder: Path) -> PairStage:
    stage = PairStage.begin(sealed_job(len(_FACES)), [_FACES], folder, 50, 100, matrix=True)
    assert stage is not None
    for tile in range(stage.plan.tiles):
        stage.compute(tile, 1)
    return stage


def _is_whole(stage: PairStage, folder: Path) -> bool:
    found = PairStage.find(replace(sealed_job(len(_FACES)), stage=stage.plan.stage), folder)
    return found is not None and found.whole


def test_the_stage_of_another_aggregator_stays(tmp_path: Path) -> None:
    """It was begun and computed while the first one slept, which then writes the rest of its embeddings."""
    begun: list[PairStage] = []

    def portions() -> Iterator[Float32]:
        yield _FACES[:100]
        begun.append(_begun_and_done(tmp_path))
        yield _FACES[100:]

    with pytest.raises((ResultsError, OSError)):
        PairStage.begin(
            sealed_job(len(_FACES)), portions(), tmp_path, 50, 100, matrix=True, may_begin=lambda: not begun
        )
    assert _is_whole(begun[0], tmp_path)
    np.testing.assert_array_equal(begun[0].embeddings, _FACES[:300])


def test_no_empty_matrix_replaces_one_that_is_filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first one slept while it reserved the room."""
    begun: list[PairStage] = []

    def slow(path: Path, shape: tuple[int, int]) -> Float32:
        monkeypatch.setattr(matrix_tiles, "new_array", new_array)
        begun.append(_begun_and_done(tmp_path))
        return new_array(path, shape)

    monkeypatch.setattr(matrix_tiles, "new_array", slow)
    with pytest.raises((ResultsError, OSError)):
        PairStage.begin(sealed_job(len(_FACES)), [_FACES], tmp_path, 50, 100, matrix=True, may_begin=lambda: not begun)
    assert _is_whole(begun[0], tmp_path) and begun[0].matrix is not None
    begun[0].matrix.put(tmp_path / "made.npy")
    expected = np.empty((len(_FACES), len(_FACES)), np.float32)
    write_distances(_FACES, expected, 1)
    np.testing.assert_array_equal(np.load(tmp_path / "made.npy"), expected)


def test_all_tiles_are_looked_at_in_one_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A large stage has fifty thousand of them: dividing the faces anew for each would take minutes."""
    divided: list[int] = []

    def counted(blocks: int) -> list[tuple[int, int]]:
        divided.append(blocks)
        return tiles_of(blocks)

    monkeypatch.setattr(stage_plan, "tiles_of", counted)
    stage = PairStage(tmp_path, StagePlan("a" * 32, PairsPlan(1000, 10, "d", 64, 0.95, None), None))
    assert stage.plan.tiles == 5050 and not any(stage.has(tile) for tile in range(5050))
    assert divided == [100]
