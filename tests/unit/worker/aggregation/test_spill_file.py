"""The spool: what counts is read back, what does not is cut off, what is damaged is said to be."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from shared.domain.errors import ResultsError
from worker.aggregation import spill_file
from worker.aggregation.spill_file import Owner, Spool, remove_if

OWNER = Owner("s" * 32, "u" * 32)
BLOCKS = [(3, b"three"), (0, b""), (7, b"seven" * 1000)]


def append(spool: Spool, counted: int, blocks: list[tuple[int, bytes]]) -> int:
    """What the aggregator does."""
    with spool.held() as writer:
        assert writer is not None
        return writer.append(counted, blocks)


def read(spool: Spool, counted: int, batches: list[int]) -> dict[int, bytes]:
    """The blocks that are there of these batches."""
    with spool.reading(counted) as reader:
        return {batch: reader.block(batch) for batch in batches if batch in reader}


def test_blocks_come_back_whatever_their_order(tmp_path: Path) -> None:
    """Several appends, one empty block."""
    spool = Spool(tmp_path / "s", OWNER)
    counted = append(spool, append(spool, 0, BLOCKS), [(1, b"one")])
    assert read(spool, counted, list(range(9))) == {**dict(BLOCKS), 1: b"one"}
    assert spool.path.stat().st_size == counted


def test_what_a_crash_has_left_is_not_read_and_is_cut_off(tmp_path: Path) -> None:
    """Frames that nobody counted, half a frame, and a file that was never counted at all."""
    spool = Spool(tmp_path / "s", OWNER)
    spool.path.write_bytes(b"half a hea")
    counted = append(spool, 0, BLOCKS)
    append(spool, counted, [(1, b"uncounted")])
    with spool.path.open("ab") as file:
        file.write(b"\1\2\3")
    assert read(spool, counted, [1, 3]) == {3: b"three"}
    counted = append(spool, counted, [(2, b"two")])
    assert spool.path.stat().st_size == counted
    assert read(spool, counted, [1, 2]) == {2: b"two"}


@pytest.mark.parametrize("at", [-1, -5005, 90, 100])
def test_a_damaged_spool_is_an_error_that_names_it(tmp_path: Path, at: int) -> None:
    """In a block, in a frame's length or checksum: never a wrong embedding."""
    spool = Spool(tmp_path / "s", OWNER)
    counted = append(spool, 0, BLOCKS)
    data = bytearray(spool.path.read_bytes())
    data[at] ^= 0x55
    spool.path.write_bytes(data)
    with pytest.raises(ResultsError, match=str(spool.path)):
        read(spool, counted, [3, 0, 7])


def test_a_short_spool_is_an_error(tmp_path: Path) -> None:
    """For whoever reads, and for whoever would append."""
    spool = Spool(tmp_path / "s", OWNER)
    counted = append(spool, 0, BLOCKS)
    with spool.path.open("r+b") as file:
        file.truncate(counted - 1)
    with pytest.raises(ResultsError, match="too short"):
        read(spool, counted, [3, 7])
    with pytest.raises(ResultsError, match="too short"):
        append(spool, counted, [(1, b"one")])


def test_the_spool_of_another_job_is_not_taken_for_ours(tmp_path: Path) -> None:
    """The same name on another server."""
    counted = append(Spool(tmp_path / "s", OWNER), 0, BLOCKS)
    other = Spool(tmp_path / "s", Owner("t" * 32, "u" * 32))
    with pytest.raises(ResultsError):
        read(other, counted, [3])
    with pytest.raises(ResultsError):
        append(other, counted, [(1, b"one")])


def test_only_one_appends_at_a_time(tmp_path: Path) -> None:
    """The other is told so, and changes nothing."""
    spool = Spool(tmp_path / "s", OWNER)
    with spool.held() as first, spool.held() as second:
        assert first is not None
        assert second is None


@pytest.mark.parametrize("by", ["a writer", "a sweep"])
def test_a_process_that_was_forked_meanwhile_does_not_keep_a_spool(tmp_path: Path, by: str) -> None:
    """A worker's child has the file open for as long as it lives, and would have the lock."""
    spool = Spool(tmp_path / "s", OWNER)
    counted = append(spool, 0, BLOCKS)
    children: list[int] = []

    def fork() -> bool:
        child = os.fork()
        if child == 0:
            signal.pause()
        children.append(child)
        return False

    try:
        if by == "a writer":
            with spool.held():
                fork()
        else:
            remove_if(spool.path, fork)
        assert append(spool, counted, [(1, b"one")]) > counted
    finally:
        os.kill(children[0], signal.SIGKILL)
        os.waitpid(children[0], 0)


@pytest.mark.parametrize("kind", ["a link", "a pipe", "a folder"])
def test_only_a_regular_file_is_a_spool(tmp_path: Path, kind: str) -> None:
    """Whoever can write to the results folder must not have others write elsewhere, or wait."""
    spool, victim = Spool(tmp_path / "s", OWNER), tmp_path / "victim"
    victim.write_text("dear")
    if kind == "a link":
        spool.path.symlink_to(victim)
    elif kind == "a pipe":
        os.mkfifo(spool.path)
    else:
        spool.path.mkdir()
    with pytest.raises(OSError):
        append(spool, 0, BLOCKS)
    with pytest.raises(OSError):
        remove_if(spool.path, lambda: True)
    assert victim.read_text() == "dear" and os.path.lexists(spool.path)


def test_a_spool_that_is_held_is_not_removed(tmp_path: Path) -> None:
    """Its holder is about to write the header; without a holder it goes, unless it turns out to be wanted."""
    spool = Spool(tmp_path / "s", OWNER)
    with spool.held() as writer:
        assert writer is not None
        remove_if(spool.path, lambda: True)
        counted = writer.append(0, BLOCKS)
    assert read(spool, counted, [3]) == {3: b"three"}
    remove_if(spool.path, lambda: False)
    assert spool.path.exists()
    remove_if(spool.path, lambda: True)
    assert not spool.path.exists()


def test_a_spool_that_is_removed_before_it_is_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blocks that are written into a file without a name would be lost."""
    spool = Spool(tmp_path / "s", OWNER)
    real, removals = spill_file.fcntl.flock, [spool.path]

    def flock(*arguments: Any) -> None:
        if removals:
            removals.pop().unlink()
        real(*arguments)

    monkeypatch.setattr(spill_file.fcntl, "flock", flock)
    counted = append(spool, 0, BLOCKS)
    assert not removals
    assert read(spool, counted, [3]) == {3: b"three"}


def test_a_spool_that_another_has_made_anew_is_not_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the opening and the lock: the new one is another file."""
    spool = Spool(tmp_path / "s", OWNER)
    append(spool, 0, BLOCKS)
    real, counted = spill_file.fcntl.flock, []

    def flock(*arguments: Any) -> None:
        monkeypatch.setattr(spill_file.fcntl, "flock", real)
        spool.path.unlink()
        counted.append(append(spool, 0, BLOCKS))
        real(*arguments)

    monkeypatch.setattr(spill_file.fcntl, "flock", flock)
    remove_if(spool.path, lambda: True)
    assert read(spool, counted[0], [3]) == {3: b"three"}
