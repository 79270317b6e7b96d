"""Keeps results of images in a file on this disk, across jobs and weeks. The processes of several `run`s share it.

A job never fails because of it and hardly ever waits: whatever goes wrong, results are computed.
"""

import os
import sqlite3
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from shared.config.logs import get_logger
from shared.disk_cache.cache_file import CacheFile, CacheUnusable, open_cache
from shared.disk_cache.entries import evict, find_entry, next_tick, shrink, write_entries

_log = get_logger("cache")
_PAUSE_S = 60.0  # after an error
_SHORT_PAUSE_S = 1.0  # while other processes write
_LEAST_FREE_BYTES = 512 * 2**20
_SLOW_S = 0.2
_REST = 20  # after a slow write, for so many times its duration: it costs 5 % of the time at most
_TICK_LASTS_S = 3600.0
_MOST_USES_NOTED = 10_000


class DiskCache:
    """This process's access to the file. Created before a fork, it is opened after it, when it is first used."""

    keeps_thumbnails = True

    def __init__(self, folder: Path, max_bytes: int, least_free_bytes: int = _LEAST_FREE_BYTES) -> None:
        """`max_bytes`: of the file. Nothing is written while the disk has less than `least_free_bytes` free."""
        self._folder, self._max_bytes, self._least_free_bytes = folder, max_bytes, least_free_bytes
        self._file: CacheFile | None = None
        self._tick, self._tick_since = 0, 0.0
        self._off_until = self._no_writes_until = 0.0
        self._used: set[int] = set()
        self._damaged: set[int] = set()
        self._said: set[str] = set()

    def get(self, label: str, digest: str) -> bytes | None:
        """A packed result; None if it is not cached, or the file cannot be read."""
        return self._guarded(lambda file: self._find(file, label, digest))

    def put(self, label: str, results: Mapping[str, bytes]) -> None:
        """Adds packed results by digest, and notes which ones were used since the last call."""
        if time.monotonic() < self._no_writes_until:
            if len(self._used) > _MOST_USES_NOTED:
                self._used.clear()
        elif results or self._used or self._damaged:
            self._guarded(lambda file: self._write(file, label, results))

    def close(self) -> None:
        """Closes the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _find(self, file: CacheFile, label: str, digest: str) -> bytes | None:
        entry = find_entry(file.connection, label, bytes.fromhex(digest))
        if entry is None:
            return None
        if entry.payload is None:
            self._damaged.add(entry.number)
        elif entry.used != self._tick:
            self._used.add(entry.number)
        return entry.payload

    def _write(self, file: CacheFile, label: str, results: Mapping[str, bytes]) -> None:
        disk = os.statvfs(self._folder)
        if disk.f_bavail * disk.f_frsize < self._least_free_bytes:
            self._pause_writes(f"the disk has less than {self._least_free_bytes // 2**20} MiB free", _PAUSE_S)
            return
        began = time.monotonic()
        # Taken out first: what could not be noted once is not tried again forever.
        used, self._used = self._used, set()
        damaged, self._damaged = self._damaged, set()
        connection = file.connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            if self._tick == 0 or began - self._tick_since > _TICK_LASTS_S:
                self._tick, self._tick_since = next_tick(connection), began
            payloads = {bytes.fromhex(digest): packed for digest, packed in results.items()}
            write_entries(connection, self._tick, label, payloads, used=used, damaged=damaged)
            evict(connection, self._max_bytes)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        shrink(connection, self._max_bytes)
        took = time.monotonic() - began
        if took > _SLOW_S:
            self._no_writes_until = time.monotonic() + _REST * took

    def _guarded(self, action: Callable[[CacheFile], bytes | None]) -> bytes | None:
        """Does something with the file; None if that fails. Errors turn the cache off for a while."""
        if time.monotonic() < self._off_until:
            return None
        try:
            if self._file is None:
                self._file = open_cache(self._folder, self._say)
            return action(self._file)
        except CacheUnusable as error:
            self._turn_off(str(error))
        except sqlite3.Error as error:
            self._tick = 0  # that of a transaction that did not take place
            self._handle(error)
        except Exception as error:  # a file from elsewhere: numbers that are text, for example
            self._turn_off(f"{type(error).__name__}: {error}")
        return None

    def _handle(self, error: sqlite3.Error) -> None:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_BUSY:
            self._no_writes_until = time.monotonic() + _SHORT_PAUSE_S
        elif code == sqlite3.SQLITE_FULL:
            self._pause_writes("the disk is full", _PAUSE_S)
        else:
            if self._file is not None:
                self._file.is_damaged_by(error)
            self._turn_off(str(error))

    def _pause_writes(self, reason: str, pause_s: float) -> None:
        self._no_writes_until = time.monotonic() + pause_s
        self._say(f"nothing is added to the cache in {self._folder} for now: {reason}")

    def _turn_off(self, reason: str) -> None:
        self.close()
        self._off_until = time.monotonic() + _PAUSE_S
        self._say(f"no cache on disk: {reason}")

    def _say(self, line: str) -> None:
        """Logs the line, once."""
        if line not in self._said:
            self._said.add(line)
            _log.warning("%s", line, extra={"action": "cache_off"})
