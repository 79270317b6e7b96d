"""The blocks of a search are small enough for the candidates of a tile to stay in memory."""

import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from shared.analysis.candidates import Wanted
from shared.domain.arrays import Float32
from tests.support.made_up_blocks import sealed_job
from worker.aggregation import block_rows
from worker.aggregation.block_rows import CandidateEstimate, choose_block_rows
from worker.aggregation.pair_stage import PairStage

MIB = 2**20


def _unit(rows: np.ndarray) -> Float32:
    unit: Float32 = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return unit


def _faces(count: int, crowd: int, dimensions: int) -> Float32:
    """Strangers, and then one person."""
    random = np.random.default_rng(0)
    rows = random.standard_normal((count, dimensions))
    rows[count - crowd :] = random.standard_normal(dimensions) + 0.02 * rows[count - crowd :]
    return _unit(rows)


@pytest.mark.parametrize(
    ("kept", "crowd", "rows"),
    [(64, 0, 50_000), (200, 0, 12_500), (1024, 0, 3125), (64, 150_000, 3125), (64, 15_000, 3125)],
)
def test_blocks_are_smaller_with_more_candidates(kept: int, crowd: int, rows: int) -> None:
    """Because more neighbors are asked for, or because many faces are of one person, wherever these stand."""
    faces = _faces(150_000, crowd, 24)
    assert choose_block_rows(CandidateEstimate(faces, Wanted(kept, 0.3, 1024))) == rows


@pytest.mark.parametrize("faces", [0, 1, 2, 4095, 4096, 4097, 10_001])
def test_any_number_of_faces_has_blocks(faces: int) -> None:
    """Also with blocks without a face of the sample."""
    estimate = CandidateEstimate(_faces(faces, 0, 24), Wanted(max(0, min(64, faces - 1)), 0.3, 1024))
    assert choose_block_rows(estimate) == 50_000
    assert np.isfinite(estimate.in_tiles(1)).all() if faces < 4097 else np.isfinite(estimate.in_tiles(2)).all()


def test_a_tile_of_a_crowd_takes_no_more_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Photos of one person all day: each face has a thousand others within the threshold. The room for their candidates
    on disk is known before.
    """
    monkeypatch.setattr(block_rows, "_MOST_BYTES", 64 * MIB)
    monkeypatch.setattr(block_rows, "_LEAST_ROWS", 100)
    faces = _faces(4000, 4000, 512)
    job = replace(sealed_job(len(faces), "none"))
    stage = PairStage.begin(job, [faces], tmp_path, 50, 4000)
    assert stage is not None and stage.plan.tiles > 20
    peaks = []
    for tile in (0, stage.plan.tiles - 1):
        tracemalloc.start()
        stage.compute(tile, 1)
        peaks.append(tracemalloc.get_traced_memory()[1] / MIB)
        tracemalloc.stop()
    assert max(peaks) < 64 + 30, peaks  # with a sub-tile
