"""The distance matrix of a second stage, tile by tile."""

from pathlib import Path

import numpy as np

from shared.domain.arrays import Float32
from shared.results.distance_tiles import arithmetic
from tests.support.complete_jobs import made_up_faces
from tests.support.made_up_blocks import sealed_job
from worker.aggregation.distance_matrix import write_distances
from worker.aggregation.matrix_tiles import MatrixTiles
from worker.aggregation.pair_stage import PairStage
from worker.aggregation.stage_plan import MatrixPlan


def _tiles(folder: Path, faces: Float32, digest: str = "d") -> MatrixTiles:
    tiles = MatrixTiles(folder, MatrixPlan(len(faces), 100, digest, arithmetic()))
    tiles.create()
    return tiles


def test_the_tiles_in_any_order_make_the_matrix_of_one_process(tmp_path: Path) -> None:
    """To the last byte of the file, which is that of `distances.npy`, with blocks that are no multiple of anything."""
    faces = made_up_faces()
    alone = np.empty((len(faces), len(faces)), np.float32)
    write_distances(faces, alone, 1)
    np.save(tmp_path / "alone.npy", alone)
    tiles = _tiles(tmp_path, faces)
    for tile in reversed(range(len(tiles.plan.tiles))):
        assert not tiles.has(tile)
        tiles.compute(tile, faces, 2)
        assert tiles.has(tile)
    tiles.put(tmp_path / "made.npy")
    assert (tmp_path / "made.npy").read_bytes() == (tmp_path / "alone.npy").read_bytes()
    assert tiles.exists


def test_a_file_that_is_gone_has_no_tiles(tmp_path: Path) -> None:
    """It is created again, without the marks of before."""
    faces = made_up_faces()
    tiles = _tiles(tmp_path, faces)
    tiles.compute(0, faces, 1)
    tiles.create()
    assert tiles.has(0)
    next(tmp_path.glob("matrix-*.npy")).unlink()
    assert not tiles.exists
    tiles.create()
    assert tiles.exists and not tiles.has(0)


def test_a_process_with_an_older_plan_does_not_write_into_the_new_file(tmp_path: Path) -> None:
    """It finds its file gone."""
    faces = made_up_faces()
    old, new = _tiles(tmp_path, faces, "old"), _tiles(tmp_path, faces, "new")
    assert not old.exists and new.exists
    try:
        old.compute(0, faces, 1)
        raise AssertionError("it wrote")
    except FileNotFoundError:
        pass


def test_a_stage_without_its_matrix_is_not_found(tmp_path: Path) -> None:
    """Then it is begun again; with another arithmetic its tiles say so."""
    faces, job = made_up_faces(), sealed_job(340)
    stage = PairStage.begin(job, [faces], tmp_path, 50, 16, matrix=True)
    assert stage is not None and stage.plan.tiles == 2 * 78
    assert [stage.arithmetic_of(tile) for tile in (77, 78)] == [None, arithmetic()]
    begun = job.__class__(**vars(job) | {"stage": stage.plan.stage})
    found = PairStage.find(begun, tmp_path)
    assert found is not None and found.plan == stage.plan and not found.whole
    next(stage.folder.glob("matrix-*.npy")).unlink()
    assert PairStage.find(begun, tmp_path) is None
