"""The cache on disk: it remembers, stays small, survives whatever happens to its file, and never stops a job."""

import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from shared.disk_cache.cache_file import FILE_NAME, CacheUnusable, open_cache
from tests.support.stage import ROOT, wait_until
from worker.execution.disk_cache import DiskCache

MIB = 2**20
DAMAGED = f"{FILE_NAME}.damaged"


def _digest(number: int) -> str:
    return f"{number:032x}"


def _result(number: int, size: int = 5000) -> bytes:
    return (f"{number} " * size).encode()[:size]


def _fill(cache: DiskCache, numbers: range, label: str = "contract") -> None:
    for start in range(numbers.start, numbers.stop, 16):
        batch = range(start, min(start + 16, numbers.stop))
        cache.put(label, {_digest(number): _result(number) for number in batch})


def _known(cache: DiskCache, numbers: range, label: str = "contract") -> list[int]:
    found = {number: cache.get(label, _digest(number)) for number in numbers}
    assert all(packed in (None, _result(number)) for number, packed in found.items())
    return [number for number, packed in found.items() if packed is not None]


def _cache(folder: Path, max_bytes: int = 64 * MIB) -> DiskCache:
    return DiskCache(folder, max_bytes, least_free_bytes=0)


def _sql(folder: Path, *statements: str) -> None:
    with closing(sqlite3.connect(folder / FILE_NAME, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def _check_whole(folder: Path) -> None:
    with closing(sqlite3.connect(folder / FILE_NAME)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_results_are_remembered_under_contract_and_digest(tmp_path: Path) -> None:
    """Also by another process later; and only this user can read them."""
    cache = _cache(tmp_path / "new")
    _fill(cache, range(40))
    for name in (FILE_NAME, f"{FILE_NAME}-wal"):
        assert stat.S_IMODE((tmp_path / "new" / name).stat().st_mode) == 0o600
    cache.close()
    later = _cache(tmp_path / "new")
    assert _known(later, range(50)) == list(range(40))
    assert _known(later, range(50), label="another contract") == []


def test_what_was_not_used_for_longest_makes_room(tmp_path: Path) -> None:
    """The file keeps its size limit. Results that were recalled stay, however old they are."""
    _fill(_cache(tmp_path), range(200))
    recalled = _cache(tmp_path)
    assert _known(recalled, range(100)) == list(range(100))
    recalled.put("contract", {})
    full = _cache(tmp_path, 2 * MIB)
    _fill(full, range(1000, 1400))
    known = _known(full, range(2000))
    assert not [number for number in known if 100 <= number < 200], "they were used before all others"
    assert [number for number in known if number >= 1000][-1] == 1399
    full.close()
    assert MIB < (tmp_path / FILE_NAME).stat().st_size <= 2 * MIB + 64 * 1024


def test_a_lower_limit_makes_the_file_smaller(tmp_path: Path) -> None:
    """Step by step, with what is added."""
    first = _cache(tmp_path)
    _fill(first, range(1000))
    first.close()
    assert (tmp_path / FILE_NAME).stat().st_size > 4 * MIB
    smaller = _cache(tmp_path, MIB)
    _fill(smaller, range(5000, 5300))
    smaller.close()
    assert (tmp_path / FILE_NAME).stat().st_size <= MIB + 64 * 1024
    assert _known(_cache(tmp_path), range(5200, 5300)) == list(range(5200, 5300))


_WRITER = """
import sys
from pathlib import Path
from tests.unit.worker.execution.test_disk_cache import _cache, _digest, _result
cache, first = _cache(Path(sys.argv[1])), int(sys.argv[2])
for start in range(first, first + int(sys.argv[3]), 16):
    cache.put("contract", {_digest(number): _result(number) for number in range(start, start + 16)})
    print(start, flush=True)
assert not cache._said, cache._said
"""


def _writer(folder: Path, first: int, count: int, **options: object) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", _WRITER, str(folder), str(first), str(count)]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        **options,  # type: ignore[call-overload]
    )


def test_several_processes_write_at_once(tmp_path: Path) -> None:
    """They begin with no file. Nothing is lost, and none of them gives up."""
    writers = [_writer(tmp_path, first, 800) for first in (0, 800, 1600, 1600)]
    for writer in writers:
        _, errors = writer.communicate(timeout=60)
        assert writer.returncode == 0, errors
    assert _known(_cache(tmp_path), range(2400)) == list(range(2400))
    _check_whole(tmp_path)


def test_kill_9_in_the_middle_of_writing_loses_nothing_that_was_written(tmp_path: Path) -> None:
    """What the process has finished writing is there, and the file is whole."""
    written = 0
    for attempt in range(4):
        writer = _writer(tmp_path, written, 10**6)
        assert writer.stdout is not None
        lines = [writer.stdout.readline() for _ in range(20 + 13 * attempt)]
        os.kill(writer.pid, signal.SIGKILL)
        written = int(([*lines, *writer.stdout.readlines()])[-1]) + 16
        writer.wait()
        writer.communicate()
        cache = _cache(tmp_path)
        assert _known(cache, range(written)) == list(range(written))
        cache.close()
    _check_whole(tmp_path)


def _overwrite(start: int, stop: int | None) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        with (folder / FILE_NAME).open("r+b") as file:
            size = file.seek(0, os.SEEK_END) if stop is None else stop
            file.seek(start)
            file.write(os.urandom(size - start))

    return damage


def _cut_off(folder: Path) -> None:
    os.truncate(folder / FILE_NAME, 10_000)


def _empty(folder: Path) -> None:
    os.truncate(folder / FILE_NAME, 0)


@pytest.mark.parametrize("damage", [_overwrite(0, 200), _overwrite(4096, None), _overwrite(0, None), _cut_off, _empty])
def test_a_damaged_file_is_set_aside(
    tmp_path: Path, damage: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    """With a warning. A process that meets the damage later goes on without, and the next one begins a new file."""
    first = _cache(tmp_path)
    _fill(first, range(500))
    first.close()
    damage(tmp_path)
    second = _cache(tmp_path)
    assert _known(second, range(500)) == []
    second.close()
    third = _cache(tmp_path)
    _fill(third, range(500))
    assert _known(third, range(500)) == list(range(500))
    third.close()
    assert (tmp_path / DAMAGED).exists() and DAMAGED in caplog.text
    _check_whole(tmp_path)


def test_a_file_that_others_have_open_is_not_set_aside(tmp_path: Path) -> None:
    """SQLite would mix up the logs of both files. It happens once they have ended."""
    other = _cache(tmp_path)
    _fill(other, range(100))
    (tmp_path / f"{FILE_NAME}.is-damaged").touch()
    with pytest.raises(CacheUnusable, match="still have it open"):
        open_cache(tmp_path, print)
    assert _known(other, range(100)) == list(range(100))
    other.close()
    warnings: list[str] = []
    open_cache(tmp_path, warnings.append).close()
    assert len(warnings) == 1 and (tmp_path / DAMAGED).exists()
    open_cache(tmp_path, warnings.append).close()
    assert len(warnings) == 1


def test_an_altered_result_is_not_recalled(tmp_path: Path) -> None:
    """Neither is one that got into another one's place. Both are computed and kept again."""
    cache = _cache(tmp_path)
    _fill(cache, range(16))
    altered = "UPDATE payloads SET payload = CAST('x' || substr(payload, 2) AS BLOB) WHERE id = 3"
    exchanged = "UPDATE payloads SET id = CASE id WHEN 7 THEN -8 ELSE -7 END WHERE id IN (7, 8)"
    _sql(tmp_path, altered, exchanged, "UPDATE payloads SET id = -id WHERE id < 0")
    assert sorted(set(range(16)) - set(_known(cache, range(16)))) == [2, 6, 7]
    _fill(cache, range(16))
    assert _known(cache, range(16)) == list(range(16))


def test_values_of_other_types_are_not_recalled(tmp_path: Path) -> None:
    """Whatever a file contains, it costs no more than the cache."""
    cache = _cache(tmp_path)
    _fill(cache, range(16))
    _sql(tmp_path, "UPDATE payloads SET payload = 'text'", "UPDATE entries SET used = 9e99 WHERE id < 4")
    _sql(tmp_path, "UPDATE clock SET ticks = 'soon'")
    assert _known(cache, range(16)) == []
    _fill(_cache(tmp_path), range(16))
    assert _known(_cache(tmp_path), range(16)) in ([], list(range(16)))


def test_another_programs_file_is_left_alone(tmp_path: Path) -> None:
    """The same for a newer version of facequeue: nothing in it is changed, and there is no cache."""
    _sql(tmp_path, "CREATE TABLE mine (value)", "INSERT INTO mine VALUES (1)")
    before = (tmp_path / FILE_NAME).read_bytes()
    with pytest.raises(CacheUnusable, match="another program"):
        open_cache(tmp_path, print)
    cache = _cache(tmp_path)
    _fill(cache, range(16))
    assert _known(cache, range(16)) == [] and (tmp_path / FILE_NAME).read_bytes() == before
    newer = tmp_path / "newer"
    open_cache(newer, print).close()
    _sql(newer, "PRAGMA user_version = 99")
    with pytest.raises(CacheUnusable, match="newer version"):
        open_cache(newer, print)
    assert not (newer / DAMAGED).exists()


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: path.symlink_to("elsewhere")])
def test_what_is_no_file_is_left_alone(tmp_path: Path, make: Callable[[Path], None]) -> None:
    """A pipe does not block, and a link is not followed."""
    make(tmp_path / FILE_NAME)
    with pytest.raises(CacheUnusable, match="not a regular file"):
        open_cache(tmp_path, print)
    assert not (tmp_path / "elsewhere").exists() and not (tmp_path / DAMAGED).exists()


def test_damage_that_is_found_while_others_work_is_repaired_later(tmp_path: Path) -> None:
    """Who finds it goes on without the cache, and leaves a mark; who opens the file alone sets it aside."""
    other, finder = _cache(tmp_path), _cache(tmp_path)
    _fill(other, range(500))
    _fill(finder, range(500, 516))
    other.close()
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    bystander = open_cache(tmp_path, print)
    _overwrite(4096, None)(tmp_path)
    assert _known(finder, range(500)) == [] and finder._file is None
    with pytest.raises(CacheUnusable, match="still have it open"):
        open_cache(tmp_path, print)
    bystander.close()
    warnings: list[str] = []
    open_cache(tmp_path, warnings.append).close()
    assert len(warnings) == 1 and (tmp_path / DAMAGED).exists()


@pytest.mark.parametrize(
    "change",
    [
        "PRAGMA user_version = 0",
        "CREATE TRIGGER evil AFTER INSERT ON entries BEGIN DELETE FROM payloads; END",
        "CREATE VIEW evil AS SELECT randomblob(1000000000)",
        "DROP TABLE clock",
        "PRAGMA journal_mode = DELETE",
    ],
)
def test_a_file_of_another_layout_is_set_aside(tmp_path: Path, change: str) -> None:
    """An older version's, or one that somebody has given triggers."""
    open_cache(tmp_path, print).close()
    _sql(tmp_path, change)
    warnings: list[str] = []
    open_cache(tmp_path, warnings.append).close()
    assert len(warnings) == 1 and (tmp_path / DAMAGED).exists()


def test_there_is_no_cache_on_a_network_file_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes of several machines cannot share it."""
    mounts = [SimpleNamespace(mountpoint="/", fstype="ext4"), SimpleNamespace(mountpoint=str(tmp_path), fstype="nfs4")]
    monkeypatch.setattr(psutil, "disk_partitions", lambda all: mounts)
    with pytest.raises(CacheUnusable, match="nfs4"):
        open_cache(tmp_path / "cache", print)


def test_a_folder_that_cannot_be_written_costs_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Everything is computed."""
    (tmp_path / "file").touch()
    cache = _cache(tmp_path / "file" / "cache")
    for _ in range(3):
        cache._off_until = 0.0
        _fill(cache, range(32))
        assert _known(cache, range(32)) == []
    assert len(caplog.records) == 1 and "Not a directory" in caplog.text


def test_nothing_is_written_to_a_disk_that_is_nearly_full(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The results of the job need the rest. What is known is still recalled."""
    _fill(_cache(tmp_path), range(16))
    cache = DiskCache(tmp_path, 64 * MIB, least_free_bytes=shutil.disk_usage(tmp_path).total)
    _fill(cache, range(100))
    assert _known(cache, range(100)) == list(range(16))
    assert len(caplog.records) == 1


_LIMITED = """
import logging, resource, sys
from pathlib import Path
logging.basicConfig(level=logging.INFO)
from tests.unit.worker.execution.test_disk_cache import _cache, _fill, _known
cache = _cache(Path(sys.argv[1]))
_fill(cache, range(100))
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
for start in range(100, 2000, 100):
    cache._off_until = cache._no_writes_until = 0.0
    _fill(cache, range(start, start + 100))
assert len(cache._said) == 1, cache._said
assert len(_known(cache, range(100))) in (0, 100)
"""


def test_a_full_disk_stops_nothing(tmp_path: Path) -> None:
    """The process goes on without an error, and the file stays whole."""
    done = subprocess.run([sys.executable, "-c", _LIMITED, str(tmp_path)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    _check_whole(tmp_path)
    known = _known(_cache(tmp_path), range(2000))
    assert known[:100] == list(range(100)) and len(known) < 2000


_TINY = """
import logging, sys
from pathlib import Path
from tests.unit.worker.execution.test_disk_cache import FILE_NAME, _cache, _check_whole, _fill, _known
folder = Path(sys.argv[1]) / "cache"
cache = _cache(folder)
for start in range(0, 2000, 100):
    cache._off_until = cache._no_writes_until = 0.0
    _fill(cache, range(start, start + 100))
known = _known(cache, range(2000))
cache.close()
assert len(cache._said) == 1 and "full" in min(cache._said), cache._said
again = _cache(folder)
assert len(known) < 2000 and _known(again, range(2000)) == known
again.close()
left = sorted(path.name for path in folder.iterdir() if not path.name.endswith(("-wal", "-shm", ".lock")))
assert left == ([FILE_NAME] if known else []), left
"""


@pytest.mark.parametrize("size", ["60k", "100k", "400k", "2m"])
def test_a_disk_that_is_full_from_the_start(tmp_path: Path, size: str) -> None:
    """Also if the file cannot even be created: no part of it is taken for a damaged one."""
    namespace = ["unshare", "--mount"] + ([] if os.geteuid() == 0 else ["--user", "--map-root-user"])
    mount = [*namespace, "sh", "-c", f'mount -t tmpfs -o size={size} none "$0" && exec "$@"', str(tmp_path)]
    if shutil.which("unshare") is None or subprocess.run([*mount, "true"], capture_output=True).returncode != 0:
        pytest.skip("no mount namespace here: root, or unprivileged user namespaces, are needed for a disk of its own")
    command = [*mount, sys.executable, "-c", _TINY, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_process_does_not_wait_for_one_that_writes_for_long(tmp_path: Path) -> None:
    """It recalls meanwhile, gives up on keeping a batch, and keeps the next ones."""
    cache = _cache(tmp_path)
    _fill(cache, range(16))
    with closing(sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        _fill(cache, range(16, 160))
        assert _known(cache, range(160)) == list(range(16))
        assert time.monotonic() - began < 2
        other.execute("ROLLBACK")

    def kept() -> bool:
        _fill(cache, range(160, 176))
        return bool(_known(cache, range(160, 176)))

    wait_until(kept, 10, "it writes again")
