"""Reading and writing the results in the cache's file."""

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from sqlite3 import Connection

_CHECKSUM_BYTES = 8
_EVICTED_AT_ONCE = 32
_MOST_EVICTIONS = 8  # a lower limit than before is reached step by step, and no batch waits for it
_PAGES_TO_VACUUM = 256
_NEVER_KEPT_BYTES = 4 * 2**20


@dataclass(frozen=True)
class Entry:
    """A result as it is stored."""

    number: int
    used: int
    """The tick of the process that used it last."""
    payload: bytes | None
    """None if it is damaged."""


def find_entry(connection: Connection, label: str, digest: bytes) -> Entry | None:
    """The entry of a file's digest under a contract's label; None if there is none. sqlite3.Error as from SQLite."""
    row = connection.execute(
        "SELECT entries.id, used, checksum, payload FROM contracts JOIN entries ON contract = contracts.id "
        "JOIN payloads ON payloads.id = entries.id WHERE label = ? AND digest = ?",
        (label, digest),
    ).fetchone()
    if row is None:
        return None
    number, used, checksum, payload = row
    intact = isinstance(payload, bytes) and checksum == _checksum(label, digest, payload)
    return Entry(number, used, payload if intact else None)


def next_tick(connection: Connection) -> int:
    """Advances the file's clock, for a process that begins to write. Call it in a transaction."""
    (ticks,) = connection.execute("UPDATE clock SET ticks = ticks + 1 WHERE id = 1 RETURNING ticks").fetchone()
    return int(ticks)


def write_entries(
    connection: Connection,
    tick: int,
    label: str,
    payloads: Mapping[bytes, bytes],
    *,
    used: Collection[int],
    damaged: Collection[int],
) -> None:
    """Adds results by digest, notes which entries were `used`, and removes `damaged` ones. Call it in a transaction."""
    _remove(connection, damaged)
    connection.executemany("UPDATE entries SET used = ? WHERE id = ?", [(tick, number) for number in used])
    if not payloads:
        return
    connection.execute("INSERT OR IGNORE INTO contracts (label) VALUES (?)", (label,))
    (contract,) = connection.execute("SELECT id FROM contracts WHERE label = ?", (label,)).fetchone()
    for digest, payload in payloads.items():
        if len(payload) > _NEVER_KEPT_BYTES:
            continue
        added = connection.execute(
            "INSERT OR IGNORE INTO entries (contract, digest, used) VALUES (?, ?, ?) RETURNING id",
            (contract, digest, tick),
        ).fetchone()
        if added is not None:
            # A payload without an entry is left if only one of the tables was restored by hand.
            connection.execute(
                "INSERT OR REPLACE INTO payloads (id, checksum, payload) VALUES (?, ?, ?)",
                (added[0], _checksum(label, digest, payload), payload),
            )


def evict(connection: Connection, max_bytes: int) -> None:
    """Removes the entries that were not used for longest while more than `max_bytes` are in use, in a transaction."""
    (page,) = connection.execute("PRAGMA page_size").fetchone()
    for _ in range(_MOST_EVICTIONS):
        if _pages(connection) * page <= max_bytes:
            break
        oldest = connection.execute("SELECT id FROM entries ORDER BY used, id LIMIT ?", (_EVICTED_AT_ONCE,)).fetchall()
        if not oldest:
            break
        _remove(connection, [number for (number,) in oldest])


def shrink(connection: Connection, max_bytes: int) -> None:
    """Gives some free space back to the file system if the file is larger than `max_bytes`, outside a transaction."""
    (page,) = connection.execute("PRAGMA page_size").fetchone()
    (total,) = connection.execute("PRAGMA page_count").fetchone()
    if total * page > max_bytes:
        _vacuum(connection, _PAGES_TO_VACUUM)


def count_entries(connection: Connection) -> dict[str, int]:
    """The number of results by their contract's label."""
    return dict(
        connection.execute(
            "SELECT label, count(*) FROM contracts JOIN entries ON contract = contracts.id GROUP BY label"
        )
    )


def remove_all_entries(connection: Connection) -> None:
    """Removes every result, and gives the space back to the file system."""
    connection.execute("PRAGMA busy_timeout=10000")
    connection.execute("BEGIN IMMEDIATE")
    for table in ("payloads", "entries", "contracts"):
        connection.execute(f"DELETE FROM {table}")  # noqa: S608
    connection.execute("COMMIT")
    _vacuum(connection, 2**31 - 1)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def _vacuum(connection: Connection, pages: int) -> None:
    # `execute` stops after the first page, since the statement has rows without columns.
    connection.executescript(f"PRAGMA incremental_vacuum({pages})")


def _pages(connection: Connection) -> int:
    """How many pages are in use."""
    (total,) = connection.execute("PRAGMA page_count").fetchone()
    (free,) = connection.execute("PRAGMA freelist_count").fetchone()
    return int(total) - int(free)


def _remove(connection: Connection, numbers: Collection[int]) -> None:
    for table in ("entries", "payloads"):
        connection.executemany(f"DELETE FROM {table} WHERE id = ?", [(number,) for number in numbers])  # noqa: S608


def _checksum(label: str, digest: bytes, payload: bytes) -> bytes:
    """Over everything, so that an entry that got into another one's place is noticed too."""
    hashed = hashlib.blake2b(label.encode(), digest_size=_CHECKSUM_BYTES)
    hashed.update(digest)
    hashed.update(payload)
    return hashed.digest()
