"""The neighbors of earlier results are updated only if nothing but the faces has changed."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse

from shared.domain.job import Job
from shared.domain.options import Options
from tests.support.complete_jobs import made_up_faces
from tests.support.made_up_blocks import sealed_job
from worker.aggregation.known_neighbors import describe_neighbors, neighbor_update
from worker.aggregation.neighbor_files import write_neighbors
from worker.aggregation.pair_stage import PairStage

_FACES = made_up_faces()
_BEFORE = _FACES[3:]
_DISTINCT = _FACES[:300]


def _job(count: int = 8) -> Job:
    job = sealed_job(len(_FACES), "none")
    return replace(job, options=Options(**vars(job.options) | {"neighbors": count}))


@pytest.fixture
def earlier(tmp_path: Path) -> Path:
    """Results of 337 of the 340 faces."""
    folder = tmp_path / "earlier"
    folder.mkdir()
    np.save(folder / "embeddings.npy", _BEFORE)
    write_neighbors(replace(_job(), faces=len(_BEFORE)), folder, 1)
    (folder / "summary.json").write_text(json.dumps({"neighbors": describe_neighbors(_job())}))
    return folder


def test_a_few_new_faces_need_no_second_stage(earlier: Path, tmp_path: Path) -> None:
    """The aggregator searches them alone, and writes the bytes of a search from nothing."""
    assert PairStage.begin(_job(), [_FACES], tmp_path, 50, 16, earlier=earlier) is None
    assert PairStage.begin(_job(), [_FACES], tmp_path, 50, 16) is not None
    written = []
    for name, update_of in (("updated", earlier), ("nothing", None)):
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / "embeddings.npy", _FACES)
        write_neighbors(_job(), tmp_path / name, 2, earlier=update_of)
        written.append({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()})
    assert written[0] == written[1] and {"neighbors.npz", "groups.csv"} <= written[0].keys()


@pytest.mark.parametrize("changed", [{"count": 9}, {"within": 0.5}, {"within": None}, {"arithmetic": "another"}])
def test_after_another_search_everything_is_searched(earlier: Path, changed: dict[str, object]) -> None:
    """Another number of neighbors, another threshold, or distances with other last bits."""
    assert neighbor_update(_job(), _DISTINCT, earlier) is not None
    (earlier / "summary.json").write_text(json.dumps({"neighbors": describe_neighbors(_job()) | changed}))
    assert neighbor_update(_job(), _DISTINCT, earlier) is None


def test_damage_does_not_live_on_in_an_update(earlier: Path) -> None:
    """Of any byte: a distance that is a little off would be taken over for ever."""
    assert neighbor_update(_job(), _DISTINCT, earlier) is not None
    path = earlier / "neighbors.npz"
    content, data = path.read_bytes(), scipy.sparse.load_npz(path).data
    place = content.index(data.tobytes()) + data.nbytes // 2
    path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
    assert neighbor_update(_job(), _DISTINCT, earlier) is None


def test_without_most_of_the_neighbors_everything_is_searched(earlier: Path) -> None:
    """If most faces are new, and if the earlier files are missing or do not fit together."""
    assert neighbor_update(_job(), -_DISTINCT, earlier) is None
    assert neighbor_update(_job(9), _DISTINCT, earlier) is None
    np.save(earlier / "embeddings.npy", _BEFORE[1:])
    assert neighbor_update(_job(), _DISTINCT, earlier) is None
    np.save(earlier / "embeddings.npy", _BEFORE)
    (earlier / "neighbors.npz").write_bytes((earlier / "neighbors.npz").read_bytes()[:-100])
    assert neighbor_update(_job(), _DISTINCT, earlier) is None
    (earlier / "summary.json").unlink()
    assert neighbor_update(_job(), _DISTINCT, earlier) is None
