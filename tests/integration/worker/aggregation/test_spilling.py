"""Spill files with a real server: which ones are removed, and to which server they belong."""

import os
import time

import pytest

from shared.domain.errors import ResultsError
from shared.store.keys import PREFIX
from tests.support.stage import Stage
from worker.aggregation.spill_file import Owner, SpillFile
from worker.aggregation.spilling import sweep_spill_files

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


@pytest.mark.parametrize("name", [b"", b"x" * 32, b"0" * 33, b"\xff" * 32, b"../" * 11])
def test_a_server_name_of_another_kind_is_an_error_that_names_the_key(stage: Stage, name: bytes) -> None:
    """Otherwise every spill file would look like another server's, and finished blocks would seem lost."""
    stage.results.mkdir(exist_ok=True)
    stage.client.set(f"{PREFIX}server", name)
    with pytest.raises(ResultsError, match=f"key {PREFIX}server of the server holds .*32 hexadecimal digits"):
        sweep_spill_files(stage.client, stage.results)
