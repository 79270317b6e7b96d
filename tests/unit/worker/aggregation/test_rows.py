"""Blocks that another version of facequeue has made are read, or refused by name."""

from collections.abc import Callable
from typing import Any

import msgpack
import numpy as np
import pytest

from shared.domain.errors import ResultsError
from shared.domain.outcomes import Outcome
from shared.domain.paths import DATA_ROOT
from worker.aggregation.rows import rows_of_block
from worker.batch_result import FACE_FIGURES, Block, ImageRecord


def _changed(change: Callable[[dict[str, Any]], object]) -> bytes:
    """The block of one image with one face, after a change."""
    image = ImageRecord(path="a.jpg", outcome=Outcome.OK, faces=[[1.0] * FACE_FIGURES], width=9, height=9)
    embeddings = np.eye(1, 8, dtype=np.float32)
    block = Block(
        batch=0, attempt=1, worker="w", started_ms=1, ended_ms=2, commit_ms=0.0, images=[image], embeddings=embeddings
    )
    values = msgpack.unpackb(block.pack())
    change(values)
    packed: bytes = msgpack.packb(values)
    return packed


def _rows(packed: bytes) -> list[Any]:
    return list(rows_of_block(packed, DATA_ROOT, 8))


@pytest.mark.parametrize("field", ["thumbnails", "recalled", "size", "mtime_ns", "digest"])
def test_what_an_earlier_version_did_not_record_has_its_default(field: str) -> None:
    """A job that was begun before an upgrade is finished after it."""
    (row,) = _rows(_changed(lambda values: values["images"][0].pop(field)))
    assert (row.path, row.outcome, len(row.faces)) == ("a.jpg", "ok", 1)


@pytest.mark.parametrize(
    "change",
    [
        lambda values: values["images"][0].update(aura="blue"),
        lambda values: values.update(weather="fine"),
        lambda values: values.pop("commit_ms"),
        lambda values: values["images"][0]["faces"][0].pop(),
        lambda values: values["images"][0]["faces"][0].append(1.0),
    ],
    ids=["image's field", "block's field", "no field", "fewer figures", "more figures"],
)
def test_other_records_are_refused_by_name(change: Callable[[dict[str, Any]], object]) -> None:
    """Nothing is written with columns that mean something else."""
    with pytest.raises(ResultsError, match="computed by another version of facequeue"):
        _rows(_changed(change))
