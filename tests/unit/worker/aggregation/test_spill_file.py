"""The spill file: valid blocks are read back, leftovers are cut off, and damage is reported."""

import fcntl
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from shared.domain.errors import ResultsError
from worker.aggregation.spill_file import Owner, SpillFile, remove_if

OWNER = Owner("s" * 32, "u" * 32)
BLOCKS = [(3, b"three"), (0, b""), (7, b"seven" * 1000)]


def append(spill: SpillFile, counted: int, blocks: list[tuple[int, bytes]]) -> int:
    """Appends blocks as the reconciler does."""
    with spill.held() as writer:
        assert writer is not None
        return writer.append(counted, blocks)


def read(spill: SpillFile, counted: int, batches: list[int]) -> dict[int, bytes]:
    """The blocks of these batches that are in the file."""
    with spill.reading(counted) as reader:
        return {batch: reader.block(batch) for batch in batches if batch in reader}


def test_blocks_come_back_whatever_their_order(tmp_path: Path) -> None:
    """After several appends, with one empty block."""
    spill = SpillFile(tmp_path / "s", OWNER)
    counted = append(spill, append(spill, 0, BLOCKS), [(1, b"one")])
    assert read(spill, counted, list(range(9))) == {**dict(BLOCKS), 1: b"one"}
    assert spill.path.stat().st_size == counted


def test_what_a_crash_has_left_is_not_read_and_is_cut_off(tmp_path: Path) -> None:
    """Uncounted frames, half a frame, and a file that was never counted are ignored."""
    spill = SpillFile(tmp_path / "s", OWNER)
    spill.path.write_bytes(b"half a hea")
    counted = append(spill, 0, BLOCKS)
    append(spill, counted, [(1, b"uncounted")])
    with spill.path.open("ab") as file:
        file.write(b"\1\2\3")
    assert read(spill, counted, [1, 3]) == {3: b"three"}
    counted = append(spill, counted, [(2, b"two")])
    assert spill.path.stat().st_size == counted
    assert read(spill, counted, [1, 2]) == {2: b"two"}


@pytest.mark.parametrize("at", [-1, -5005, 90, 100])
def test_a_damaged_spill_file_is_an_error_that_names_it(tmp_path: Path, at: int) -> None:
    """Damage to a block, a length or a checksum never gives a wrong embedding."""
    spill = SpillFile(tmp_path / "s", OWNER)
    counted = append(spill, 0, BLOCKS)
    data = bytearray(spill.path.read_bytes())
    data[at] ^= 0x55
    spill.path.write_bytes(data)
    with pytest.raises(ResultsError, match=str(spill.path)):
        read(spill, counted, [3, 0, 7])


def test_a_short_spill_file_is_an_error(tmp_path: Path) -> None:
    """It is an error for reading and for appending."""
    spill = SpillFile(tmp_path / "s", OWNER)
    counted = append(spill, 0, BLOCKS)
    with spill.path.open("r+b") as file:
        file.truncate(counted - 1)
    with pytest.raises(ResultsError, match="too short"):
        read(spill, counted, [3, 7])
    with pytest.raises(ResultsError, match="too short"):
        append(spill, counted, [(1, b"one")])


def test_the_spill_file_of_another_job_is_not_taken_for_ours(tmp_path: Path) -> None:
    """It may belong to a job with the same name on another server."""
    counted = append(SpillFile(tmp_path / "s", OWNER), 0, BLOCKS)
    other = SpillFile(tmp_path / "s", Owner("t" * 32, "u" * 32))
    with pytest.raises(ResultsError):
        read(other, counted, [3])
    with pytest.raises(ResultsError):
        append(other, counted, [(1, b"one")])


def test_only_one_appends_at_a_time(tmp_path: Path) -> None:
    """The other process learns that, and changes nothing."""
    spill = SpillFile(tmp_path / "s", OWNER)
    with spill.held() as first, spill.held() as second:
        assert first is not None
        assert second is None


@pytest.mark.parametrize("by", ["a writer", "a sweep"])
def test_a_process_that_was_forked_meanwhile_does_not_keep_a_spill_file(tmp_path: Path, by: str) -> None:
    """A worker's child has the file open for as long as it lives, and would have the lock."""
    spill = SpillFile(tmp_path / "s", OWNER)
    counted = append(spill, 0, BLOCKS)
    children: list[int] = []

    def fork() -> bool:
        child = os.fork()
        if child == 0:
            signal.pause()
        children.append(child)
        return False

    try:
        if by == "a writer":
            with spill.held():
                fork()
        else:
            remove_if(spill.path, fork)
        assert append(spill, counted, [(1, b"one")]) > counted
    finally:
        os.kill(children[0], signal.SIGKILL)
        os.waitpid(children[0], 0)


@pytest.mark.parametrize("kind", ["a link", "a pipe", "a folder"])
def test_only_a_regular_file_is_a_spill_file(tmp_path: Path, kind: str) -> None:
    """Whoever can write to the results folder must not have others write elsewhere, or wait."""
    spill, victim = SpillFile(tmp_path / "s", OWNER), tmp_path / "victim"
    victim.write_text("dear")
    if kind == "a link":
        spill.path.symlink_to(victim)
    elif kind == "a pipe":
        os.mkfifo(spill.path)
    else:
        spill.path.mkdir()
    with pytest.raises(OSError):
        append(spill, 0, BLOCKS)
    with pytest.raises(OSError):
        remove_if(spill.path, lambda: True)
    assert victim.read_text() == "dear" and os.path.lexists(spill.path)


def test_a_spill_file_that_is_held_is_not_removed(tmp_path: Path) -> None:
    """The holder is about to write the header. Without a holder it is removed, unless it is wanted."""
    spill = SpillFile(tmp_path / "s", OWNER)
    with spill.held() as writer:
        assert writer is not None
        remove_if(spill.path, lambda: True)
        counted = writer.append(0, BLOCKS)
    assert read(spill, counted, [3]) == {3: b"three"}
    remove_if(spill.path, lambda: False)
    assert spill.path.exists()
    remove_if(spill.path, lambda: True)
    assert not spill.path.exists()


def test_a_spill_file_that_is_removed_before_it_is_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blocks that are written to an unlinked file would be lost."""
    spill = SpillFile(tmp_path / "s", OWNER)
    real, removals = fcntl.flock, [spill.path]

    def flock(*arguments: Any) -> None:
        if removals:
            removals.pop().unlink()
        real(*arguments)

    monkeypatch.setattr(fcntl, "flock", flock)
    counted = append(spill, 0, BLOCKS)
    assert not removals
    assert read(spill, counted, [3]) == {3: b"three"}


def test_a_spill_file_that_another_has_made_anew_is_not_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between opening and locking, another process has replaced the file."""
    spill = SpillFile(tmp_path / "s", OWNER)
    append(spill, 0, BLOCKS)
    real, counted = fcntl.flock, []

    def flock(*arguments: Any) -> None:
        monkeypatch.setattr(fcntl, "flock", real)
        spill.path.unlink()
        counted.append(append(spill, 0, BLOCKS))
        real(*arguments)

    monkeypatch.setattr(fcntl, "flock", flock)
    remove_if(spill.path, lambda: True)
    assert read(spill, counted[0], [3]) == {3: b"three"}
