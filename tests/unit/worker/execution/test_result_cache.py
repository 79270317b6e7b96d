"""What is recalled is what was computed, whichever way it was kept."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from shared.domain.contract import Runtime
from shared.domain.outcomes import Outcome
from tests.support.made_up_blocks import CONTRACT
from worker.batch_result import ImageRecord
from worker.execution.result_cache import ContractCache, pack_result, unpack_result
from worker.vision.decode import Limits
from worker.vision.pipeline import Networks, Result, process_images

DATA = b"the bytes of a file"
DIGEST = hashlib.blake2b(DATA, digest_size=16).hexdigest()
RUNTIME = Runtime(backend="b", device="cpu", instruction_set="avx2", decoder="d")
JPEGS = [b"\xff\xd8\xff first", b"\xff\xd8\xff second"]


class Kept(dict[tuple[str, str], bytes]):
    """Results in memory."""

    def __init__(self, keeps_thumbnails: bool) -> None:
        self.keeps_thumbnails = keeps_thumbnails

    def get(self, label: str, digest: str) -> bytes | None:  # type: ignore[override]
        return super().get((label, digest))

    def put(self, label: str, results: Mapping[str, bytes]) -> None:
        self.update({(label, digest): packed for digest, packed in results.items()})


def _computed() -> Result:
    faces = [[0.1 + k, 2.3, 30.7, 40.9, 0.987654321, *[20.1] * 15] for k in range(2)]
    record = ImageRecord(path="a.jpg", outcome=Outcome.OK, faces=faces, digest=DIGEST, width=640, height=480)
    record.thumbnails, record.decode_ms = list(JPEGS), 7.0
    return Result(record, np.random.default_rng(0).random((2, 512), np.float32))


@pytest.mark.parametrize("keeps", [True, False])
@pytest.mark.parametrize("wants", [True, False])
def test_a_recalled_image_is_as_it_was_computed(tmp_path: Path, networks: Networks, keeps: bool, wants: bool) -> None:
    """To the last bit, and with its thumbnails if they were kept and the job has a report."""
    (tmp_path / "copy.jpg").write_bytes(DATA)
    computed, kept = _computed(), Kept(keeps)
    ContractCache(kept, CONTRACT, RUNTIME).keep([computed])
    recall = ContractCache(kept, CONTRACT, RUNTIME).recall
    (result,) = process_images(
        tmp_path, ["copy.jpg"], networks, CONTRACT, Limits(10**6, 10**6), recall=recall, thumbnails=wants
    )
    assert np.array_equal(result.embeddings, computed.embeddings)
    cut = JPEGS if keeps and wants else []
    of_this_file = {"path": "copy.jpg", "size": len(DATA), "mtime_ns": result.record.mtime_ns}
    assert result.record == replace(computed.record, **of_this_file, recalled=True, thumbnails=cut, decode_ms=0.0)


def test_other_contracts_and_runtimes_know_nothing() -> None:
    """Neither do failures count as results, nor what was recalled itself."""
    computed, kept = _computed(), Kept(True)
    cache = ContractCache(kept, CONTRACT, RUNTIME)
    failed = Result(replace(computed.record, outcome=Outcome.UNREADABLE), computed.embeddings)
    cache.keep([failed, Result(replace(computed.record, recalled=True), computed.embeddings)])
    assert cache.recall(DIGEST) is None
    cache.keep([computed])
    assert cache.recall(DIGEST) is not None
    assert ContractCache(kept, replace(CONTRACT, margin_px=0), RUNTIME).recall(DIGEST) is None
    assert ContractCache(kept, CONTRACT, replace(RUNTIME, instruction_set="sse41")).recall(DIGEST) is None


def test_numbers_that_are_none_are_not_recalled() -> None:
    """Otherwise a foreign entry would spoil the distances of every face."""
    spoilt = _computed()
    spoilt.embeddings[1, 7] = np.nan
    assert unpack_result(pack_result(spoilt, thumbnails=True), 512) is None
    spoilt = _computed()
    spoilt.record.faces[0][2] = float("inf")
    assert unpack_result(pack_result(spoilt, thumbnails=True), 512) is None
    spoilt = _computed()
    spoilt.record.width = -1
    assert unpack_result(pack_result(spoilt, thumbnails=True), 512) is None
