"""Spools beside a real server: which ones are swept, and whose they are."""

import os
import time

import pytest

from shared.domain.errors import ResultsError
from shared.store.keys import PREFIX
from tests.integration.conftest import FreshJob
from tests.support.stage import Stage
from worker.aggregation.spill_file import Owner, Spool
from worker.aggregation.spilling import spool_path, sweep_spools
from worker.supervision.spill_policy import Relief

_OLD_S = 3600.0


def _make_old(spool: Spool) -> None:
    os.utime(spool.path, (time.time() - _OLD_S,) * 2)


def test_an_old_spool_is_swept_unless_somebody_holds_it(stage: Stage) -> None:
    """Its holder may have opened the leftover of a crash, and is about to write the header of a job that needs it."""
    stage.results.mkdir(exist_ok=True)
    spool = Spool(stage.results / ".j.01234567.spool", Owner("s" * 32, "u" * 32))
    spool.path.write_bytes(b"half a header")
    with spool.held() as writer:
        assert writer is not None
        _make_old(spool)
        sweep_spools(stage.client, stage.results)
        assert spool.path.exists()
        counted = writer.append(0, [(0, b"block")])
    with spool.reading(counted) as reader:
        assert reader.block(0) == b"block"
    spool.path.write_bytes(b"half a header")
    sweep_spools(stage.client, stage.results)
    assert spool.path.exists(), "new"
    _make_old(spool)
    sweep_spools(stage.client, stage.results)
    assert not spool.path.exists()


def test_a_spool_that_another_process_holds_is_said_once(fresh: FreshJob, caplog: pytest.LogCaptureFixture) -> None:
    """Blocks stay on the server meanwhile, and are moved when it is free."""
    stage = fresh.stage
    fresh.complete()
    settings = stage.settings.model_copy(update={"blocks_in_server_mib": 0})
    relief, job = Relief(fresh.client, settings), fresh.load()
    path = spool_path(job, stage.results)
    path.parent.mkdir(exist_ok=True)
    with Spool(path, Owner("s" * 32, fresh.uid)).held():
        for _ in range(3):
            relief.step([job])
    assert caplog.text.count(f"blocks stay on the server: another process holds the spool {path.name}") == 1
    assert fresh.load().spool_bytes == 0
    relief.step([job])
    assert fresh.load().spool_bytes > 0


def test_a_key_of_another_kind_does_not_stop_the_sweep(fresh: FreshJob, caplog: pytest.LogCaptureFixture) -> None:
    """Neither in the place of a job, whose files stay, nor in that of the server's name, which is said."""
    stage, old = fresh.stage, time.time() - 2 * _OLD_S
    fresh.client.set(f"{PREFIX}job:a", "7")
    stage.results.mkdir(exist_ok=True)
    sweep_spools(stage.client, stage.results)
    server = stage.client.get(f"{PREFIX}server").decode()
    for name in ("a", "b"):
        copy = stage.results / f".{name}.01234567-0a.making"
        copy.mkdir()
        os.utime(copy, (old, old))
        spool = Spool(stage.results / f".{name}.01234567.spool", Owner(server, "0" * 32))
        with spool.held() as writer:
            assert writer is not None
            writer.append(0, [(0, b"block")])
        os.utime(spool.path, (old, old))
    sweep_spools(stage.client, stage.results)
    left = {path.name for path in stage.results.iterdir() if path.name[1] in "ab"}
    assert left == {".a.01234567-0a.making", ".a.01234567.spool"}
    stage.client.delete(f"{PREFIX}server")
    stage.client.lpush(f"{PREFIX}server", "7")
    Relief(stage.client, stage.settings).step([])
    assert "old spools stay: WRONGTYPE" in caplog.text


@pytest.mark.parametrize("name", [b"", b"x" * 32, b"0" * 33, b"\xff" * 32, b"../" * 11])
def test_a_server_name_of_another_kind_is_an_error_that_names_the_key(stage: Stage, name: bytes) -> None:
    """All spools would look like another server's, and finished blocks would seem to be lost."""
    stage.results.mkdir(exist_ok=True)
    stage.client.set(f"{PREFIX}server", name)
    with pytest.raises(ResultsError, match=f"key {PREFIX}server of the server holds .*32 hexadecimal digits"):
        sweep_spools(stage.client, stage.results)
