"""The SQLite file with the cache on disk: created whole, checked when it is opened, set aside if it is damaged.

A process holds a shared lock while it has the file open. Only with the exclusive lock is the file moved or removed:
SQLite would otherwise mix up the write-ahead logs of the old file and of the new one.
"""

import os
import secrets
import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from fcntl import LOCK_EX, LOCK_SH
from pathlib import Path
from urllib.parse import quote

from shared.disk_cache.file_systems import network_file_system
from shared.domain.file_locks import try_lock
from shared.domain.paths import printable

FILE_NAME = "image-results.sqlite"
_LOG_NAMES = (f"{FILE_NAME}-wal", f"{FILE_NAME}-shm")
_DAMAGED = f"{FILE_NAME}.damaged"
"""A damaged file is renamed to this. There is only one: faces must not pile up."""
_MARK = f"{FILE_NAME}.is-damaged"
"""Exists if a process has found damage while others had the file open."""
_LOCK = f".{FILE_NAME}.lock"

_APPLICATION = 0x66716972  # "fqir"
_VERSION = 1
_BUSY_S = 0.25
_LONGEST_VALUE = 16 * 2**20
_TABLES = {
    "contracts": "CREATE TABLE contracts (id INTEGER PRIMARY KEY, label TEXT NOT NULL UNIQUE)",
    # Separate from `payloads`, so that noting a use does not write the result again.
    "entries": "CREATE TABLE entries (id INTEGER PRIMARY KEY, contract INTEGER NOT NULL, digest BLOB NOT NULL, "
    "used INTEGER NOT NULL, UNIQUE (contract, digest))",
    "payloads": "CREATE TABLE payloads (id INTEGER PRIMARY KEY, checksum BLOB NOT NULL, payload BLOB NOT NULL)",
    # Counts the processes that have written. Unlike the time of day it never goes back.
    "clock": "CREATE TABLE clock (id INTEGER PRIMARY KEY, ticks INTEGER NOT NULL)",
    "entries_by_use": "CREATE INDEX entries_by_use ON entries (used)",
}


class CacheUnusable(Exception):
    """Why there is no cache on disk: the file system, its rights, or the file."""


@dataclass(frozen=True)
class CacheFile:
    """The open file."""

    path: Path
    connection: sqlite3.Connection
    _lock: int

    def close(self) -> None:
        """Closes the file and gives up its lock."""
        with suppress(sqlite3.Error):
            self.connection.close()
        os.close(self._lock)

    def is_damaged_by(self, error: sqlite3.Error) -> bool:
        """Whether the error says that the file is damaged; then whoever opens it next as the only one sets it aside."""
        if not _tells_damage(error):
            return False
        with suppress(OSError):
            (self.path.parent / _MARK).touch()
        return True


def open_cache(folder: Path, warn: Callable[[str], object]) -> CacheFile:
    """Opens the file in this folder, and creates both if they are missing. CacheUnusable says why it cannot.

    `warn` is called with one line if a damaged file was set aside.
    """
    path = folder / FILE_NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if kind := network_file_system(folder):
            raise CacheUnusable(f"{printable(str(folder))} is on a network file system ({kind})")
        lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise CacheUnusable(f"{printable(str(folder))} cannot be used: {error.strerror}") from None
    try:
        if not try_lock(lock, LOCK_SH):
            raise CacheUnusable(f"{printable(str(path))} is being removed")
        return CacheFile(path, _open_locked(path, lock, warn), lock)
    except OSError as error:
        os.close(lock)
        raise CacheUnusable(f"{printable(str(path))} cannot be used: {error.strerror}") from None
    except sqlite3.Error as error:
        os.close(lock)
        raise CacheUnusable(f"{printable(str(path))} cannot be used: {error}") from None
    except BaseException:
        os.close(lock)
        raise


def exists(folder: Path) -> bool:
    """Whether the folder has a cache, or one that was set aside."""
    return any(os.path.lexists(folder / name) for name in (FILE_NAME, _DAMAGED))


def size_on_disk(folder: Path) -> int:
    """The bytes of the file, its write-ahead log, and a damaged one that was set aside."""
    total = 0
    for name in (FILE_NAME, *_LOG_NAMES, _DAMAGED):
        with suppress(FileNotFoundError):
            total += (folder / name).stat().st_size
    return total


def remove_cache(folder: Path) -> bool:
    """Removes the file and what was set aside; False if a process has it open. The file must be facequeue's."""
    lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        (folder / _DAMAGED).unlink(missing_ok=True)
        if not try_lock(lock, LOCK_EX):
            return False
        for name in (FILE_NAME, *_LOG_NAMES, _MARK):
            (folder / name).unlink(missing_ok=True)
        for scratch in folder.glob(f".{FILE_NAME}.*"):  # of a process that was killed while it created the file
            if scratch.name != _LOCK:
                scratch.unlink(missing_ok=True)
        return True
    finally:
        os.close(lock)


def _open_locked(path: Path, lock: int, warn: Callable[[str], object]) -> sqlite3.Connection:
    if os.path.lexists(path.parent / _MARK):
        _set_aside(path, lock, "its content is damaged", warn)
    if not os.path.lexists(path):
        _create(path)
    try:
        return _open_checked(path)
    except _Outdated as error:
        reason = str(error)
    except sqlite3.Error as error:
        if not _tells_damage(error):
            raise
        reason = str(error)
    _set_aside(path, lock, reason, warn)
    _create(path)
    return _open_checked(path)


class _Outdated(Exception):
    """The file is one of facequeue's, but not as this version has it."""


def _open_checked(path: Path) -> sqlite3.Connection:
    """Opens a file that another program may have written, or an older or newer version of this one."""
    if not stat.S_ISREG(path.lstat().st_mode):  # a pipe would block, and a link would have its logs elsewhere
        raise CacheUnusable(f"{printable(str(path))} is not a regular file; move it away")
    connection = _connect(path)
    try:
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        tables = dict(connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL LIMIT 100"))
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if application != _APPLICATION and not (application == 0 and not tables):  # the latter: empty
            raise CacheUnusable(f"{printable(str(path))} belongs to another program; move it away")
        if version > _VERSION:
            raise CacheUnusable(f"{printable(str(path))} was written by a newer version of facequeue")
        # All of the schema is compared: a view or a trigger would run whatever its author wanted.
        if version < _VERSION or tables != _TABLES:
            raise _Outdated("it is not as this version of facequeue writes it")
        if connection.execute("PRAGMA journal_mode").fetchone() != ("wal",):
            raise _Outdated("it has no write-ahead log")
    except BaseException:
        connection.close()
        raise
    return connection


def _connect(path: Path) -> sqlite3.Connection:
    uri = f"file:{quote(str(path))}?mode=rw"
    connection = sqlite3.connect(uri, uri=True, timeout=_BUSY_S, isolation_level=None)
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST_VALUE)
    for setting in ("trusted_schema=OFF", "cell_size_check=ON", "synchronous=NORMAL", f"journal_size_limit={2**24}"):
        connection.execute(f"PRAGMA {setting}").fetchall()
    return connection


def _create(path: Path) -> None:
    """Creates the file under another name and links it into place: nobody sees a part of it, and the first one wins."""
    scratch = path.with_name(f".{FILE_NAME}.{secrets.token_hex(8)}")
    os.close(os.open(scratch, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    try:
        with closing(_connect(scratch)) as connection:
            connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
            if connection.execute("PRAGMA journal_mode=WAL").fetchone() != ("wal",):
                raise CacheUnusable(f"{printable(str(path.parent))} allows no memory that processes share")
            connection.execute("BEGIN IMMEDIATE")
            for statement in _TABLES.values():
                connection.execute(statement)
            connection.execute("INSERT INTO clock VALUES (1, 0)")
            connection.execute(f"PRAGMA application_id={_APPLICATION}")
            connection.execute(f"PRAGMA user_version={_VERSION}")
            connection.execute("COMMIT")
            # Closing would do that too, but would not say so if the disk is full.
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        with suppress(FileExistsError):
            path.hardlink_to(scratch)
    finally:
        for name in (scratch.name, f"{scratch.name}-wal", f"{scratch.name}-shm"):
            path.with_name(name).unlink(missing_ok=True)


def _set_aside(path: Path, lock: int, reason: str, warn: Callable[[str], object]) -> None:
    """Renames the file. CacheUnusable if other processes have it open; they end sooner or later."""
    folder = path.parent
    if not try_lock(lock, LOCK_EX):
        with suppress(OSError):
            (folder / _MARK).touch()
        try_lock(lock, LOCK_SH)  # changing a lock gives up the old one first
        raise CacheUnusable(f"{printable(str(path))} is unusable ({reason}), and other processes still have it open")
    for name in _LOG_NAMES:
        (folder / name).unlink(missing_ok=True)
    if os.path.lexists(path):
        path.replace(folder / _DAMAGED)
        warn(
            f"The cache {printable(str(path))} is unusable ({reason}): it was renamed to {_DAMAGED}, a new one is begun"
        )
    (folder / _MARK).unlink(missing_ok=True)
    if not try_lock(lock, LOCK_SH):
        raise CacheUnusable(f"{printable(str(path))} is being removed")


def _tells_damage(error: sqlite3.Error) -> bool:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT)
