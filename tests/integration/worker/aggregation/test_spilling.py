"""Spill files with a real server: which ones are removed, and to which server they belong."""

import os
import time

import pytest

from shared.domain.errors import ResultsError
from shared.store.keys import PREFIX
from tests.integration.conftest import FreshJob
from tests.support.stage import Stage
from worker.aggregation.spill_file import Owner, SpillFile
from worker.aggregation.spilling import spill_path, sweep_spill_files
from worker.supervision.spill_policy import SpillPolicy

_OLD_S = 3600.0


def _make_old(spill: SpillFile) -> None:
    os.utime(spill.path, (time.time() - _OLD_S,) * 2)


def test_an_old_spill_file_is_swept_unless_somebody_holds_it(stage: Stage) -> None:
    """The holder may have opened an old leftover and be about to write a new header."""
    stage.results.mkdir(exist_ok=True)
    spill = SpillFile(stage.results / ".j.01234567.spool", Owner("s" * 32, "u" * 32))
    spill.path.write_bytes(b"half a header")
    with spill.held() as writer:
        assert writer is not None
        _make_old(spill)
        sweep_spill_files(stage.client, stage.results)
        assert spill.path.exists()
        counted = writer.append(0, [(0, b"block")])
    with spill.reading(counted) as reader:
        assert reader.block(0) == b"block"
    spill.path.write_bytes(b"half a header")
    sweep_spill_files(stage.client, stage.results)
    assert spill.path.exists(), "new"
    _make_old(spill)
    sweep_spill_files(stage.client, stage.results)
    assert not spill.path.exists()


def test_a_spill_file_held_elsewhere_is_said_once(fresh: FreshJob, caplog: pytest.LogCaptureFixture) -> None:
    """Blocks stay on the server meanwhile, and are moved later."""
    stage = fresh.stage
    fresh.complete()
    settings = stage.settings.model_copy(update={"blocks_in_server_mib": 0})
    policy, job = SpillPolicy(fresh.client, settings), fresh.load()
    path = spill_path(job, stage.results)
    path.parent.mkdir(exist_ok=True)
    with SpillFile(path, Owner("s" * 32, fresh.uid)).held():
        for _ in range(3):
            policy.step([job])
    assert caplog.text.count(f"blocks stay on the server: another process holds the spill file {path.name}") == 1
    assert fresh.load().spool_bytes == 0
    policy.step([job])
    assert fresh.load().spool_bytes > 0


def test_a_key_of_another_kind_does_not_stop_the_sweep(fresh: FreshJob, caplog: pytest.LogCaptureFixture) -> None:
    """Neither with a job's key, whose files stay, nor with the server name's key, which is reported."""
    stage, old = fresh.stage, time.time() - 2 * _OLD_S
    fresh.client.set(f"{PREFIX}job:a", "7")
    stage.results.mkdir(exist_ok=True)
    sweep_spill_files(stage.client, stage.results)
    server = stage.client.get(f"{PREFIX}server").decode()
    for name in ("a", "b"):
        copy = stage.results / f".{name}.01234567-0a.making"
        copy.mkdir()
        os.utime(copy, (old, old))
        spill = SpillFile(stage.results / f".{name}.01234567.spool", Owner(server, "0" * 32))
        with spill.held() as writer:
            assert writer is not None
            writer.append(0, [(0, b"block")])
        os.utime(spill.path, (old, old))
    sweep_spill_files(stage.client, stage.results)
    left = {path.name for path in stage.results.iterdir() if path.name[1] in "ab"}
    assert left == {".a.01234567-0a.making", ".a.01234567.spool"}
    stage.client.delete(f"{PREFIX}server")
    stage.client.lpush(f"{PREFIX}server", "7")
    SpillPolicy(stage.client, stage.settings).step([])
    assert "old spill files stay: WRONGTYPE" in caplog.text


@pytest.mark.parametrize("name", [b"", b"x" * 32, b"0" * 33, b"\xff" * 32, b"../" * 11])
def test_a_server_name_of_another_kind_is_an_error_that_names_the_key(stage: Stage, name: bytes) -> None:
    """Otherwise every spill file would look like another server's, and finished blocks would seem lost."""
    stage.results.mkdir(exist_ok=True)
    stage.client.set(f"{PREFIX}server", name)
    with pytest.raises(ResultsError, match=f"key {PREFIX}server of the server holds .*32 hexadecimal digits"):
        sweep_spill_files(stage.client, stage.results)
