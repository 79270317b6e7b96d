"""Moves finished blocks from the server to spools, reads them back in order, and removes old spools."""

import re
import shutil
import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path

import redis

from shared.config.logs import get_logger
from shared.domain.errors import BlockMissing, ResultsError
from shared.domain.job import Job
from shared.domain.paths import printable
from shared.domain.text import one_line
from shared.store.jobs import JobRecord
from shared.store.keys import SERVER_NAME, job_key
from shared.store.redis_client import Client, insist, wait_for_disk
from worker.aggregation.spill_file import Owner, Spool, read_owner, remove_if

_log = get_logger("spooling")
_PORTION_BYTES = 8 * 2**20  # is in this process's memory at once, and on the disk before it leaves the server
_MOST_BLOCKS = 256  # that one script removes: the server answers nobody meanwhile
_BLOCKS_AT_ONCE = 16
_LEFT_ALONE_S = 300.0
_SCRATCH_LEFT_ALONE_S = 3600.0
_SCRATCH_NAME = re.compile(r"\.(?P<job>[A-Za-z0-9][A-Za-z0-9._-]{0,99})\.(?P<uid>[0-9a-f]{8})-[0-9a-f]+\.making")
_SERVER_NAME = re.compile(rb"[0-9a-f]{32}")
_SPOOL_NAME = re.compile(r"\.(?P<job>[A-Za-z0-9][A-Za-z0-9._-]{0,99})\.[0-9a-f]{8}\.spool")


def spool_path(job: Job, results_dir: Path) -> Path:
    """The path of a job's spool. It is hidden, because everything visible in the results folder is results."""
    return results_dir / f".{job.name}.{job.uid[:8]}.spool"


def _spool_of(client: Client, job: Job, results_dir: Path) -> Spool:
    return Spool(spool_path(job, results_dir), Owner(_server_name(client), job.uid))


def _server_name(client: Client) -> str:
    """A random name that the server's data carries, because several servers can share a results folder.

    ResultsError if the key holds something else: all its spools would look like another server's.
    """
    key = SERVER_NAME
    insist(client, "SET", key, uuid.uuid4().hex, "NX")
    name: bytes = client.get(key)
    if not _SERVER_NAME.fullmatch(name):
        raise ResultsError(
            f"The key {key} of the server holds {one_line(name, 80)!r}, not the 32 hexadecimal digits that name its "
            "spools. Delete that key. Jobs that have a spool already must then be cancelled and run again."
        )
    return name.decode()


def move_blocks(client: Client, job: Job, results_dir: Path, wanted_bytes: float) -> int:
    """Moves finished blocks into the spool until `wanted_bytes` are moved or none is left; returns how many bytes were.

    Blocks of a job that is being aggregated stay. ResultsError if the spool is held elsewhere or unusable.
    """
    record, spool = JobRecord(client, job.name), _spool_of(client, job, results_dir)
    if record.aggregation_claimed():
        return 0
    if job.spool_bytes and not spool.path.exists():
        raise _missing(job, spool.path)
    results_dir.mkdir(parents=True, exist_ok=True)
    moved = 0
    with spool.held() as writer:
        if writer is None:
            raise ResultsError(f"another process holds the spool {spool.path.name}")
        counted = record.load().spool_bytes  # loaded again: only the holder of the file may rely on it
        while moved < wanted_bytes and not record.aggregation_claimed():
            batches, blocks = _next_portion(record)
            if not batches:
                break
            size = writer.append(counted, blocks)
            if not record.count_spooled(job.uid, counted, size, socket.gethostname(), batches):
                break
            counted = size
            moved += sum(len(block) for _, block in blocks)
    return moved


def _next_portion(record: JobRecord) -> tuple[list[int], list[tuple[int, bytes]]]:
    batches: list[int] = []
    blocks: list[tuple[int, bytes]] = []
    size = 0
    for batch in record.stored(_MOST_BLOCKS):
        (block,) = record.blocks([batch])  # one by one: a reply takes memory on the server
        batches.append(batch)
        if block is not None:  # otherwise it was removed, and aggregation will report it
            blocks.append((batch, block))
            size += len(block)
        if size >= _PORTION_BYTES:
            break
    return batches, blocks


def read_blocks(client: Client, job: Job, results_dir: Path) -> Iterator[bytes]:
    """All blocks of a job in order, from the server and the spool. The caller's claim keeps them from being moved."""
    record = JobRecord(client, job.name)
    counted = record.load().spool_bytes
    spool = _spool_of(client, job, results_dir)
    with ExitStack() as stack:
        spooled = None
        if counted:
            try:
                spooled = stack.enter_context(spool.reading(counted))
            except FileNotFoundError:
                raise _missing(record.load(), spool.path) from None
        for first in range(0, job.batches, _BLOCKS_AT_ONCE):
            batches = range(first, min(job.batches, first + _BLOCKS_AT_ONCE))
            wanted = [batch for batch in batches if spooled is None or batch not in spooled]
            on_server = dict(zip(wanted, record.blocks(wanted), strict=True)) if wanted else {}
            for batch in batches:
                block = on_server[batch] if batch in on_server else spooled.block(batch) if spooled else None
                if block is None:
                    raise BlockMissing(
                        f"Block {batch} of job '{job.name}' is no longer on the server. Cancel the job and run it "
                        "again."
                    )
                yield block


def _missing(job: Job, path: Path) -> ResultsError:
    return ResultsError(
        f"Finished blocks of job '{job.name}' are in the spool {path.name} in the results folder of {job.spool_host}, "
        f"not in {printable(str(path.parent))} here. Let only workers with that folder aggregate (`--queues embed` "
        "for the others)."
    )


def remove_spool(client: Client, job: Job, results_dir: Path) -> None:
    """Removes the spool of a finished job, once the server has the job's end on its disk.

    A server that loses its last second could otherwise come back with the job unfinished and its spool gone.
    """
    path = spool_path(job, results_dir)
    if not path.exists():
        return
    if not wait_for_disk(client):
        _log.warning(
            "the server does not confirm that the end of job %s is on its disk; %s stays for some minutes",
            job.name,
            path.name,
            extra={"action": "spool_kept"},
        )
        return
    with suppress(OSError):  # swept later
        path.unlink()


def sweep_spools(client: Client, results_dir: Path) -> None:
    """Removes old files that no unfinished job of this server will read: spools, and copies in the making.

    A spool is old after five minutes, a copy after an hour without a write. The copy of a job that is being aggregated
    stays, however long a step of the aggregation takes.
    """
    if not results_dir.is_dir():
        return
    server = _server_name(client)
    for path in results_dir.iterdir():
        # Removed by another process, or not ours to remove; or somebody has damaged the record that tells.
        with suppress(OSError, ValueError, redis.ResponseError):
            if copy := _SCRATCH_NAME.fullmatch(path.name):
                _sweep_copy(client, path, copy["job"], copy["uid"])
            elif spool := _SPOOL_NAME.fullmatch(path.name):
                remove_if(path, partial(_is_leftover, client, path, spool["job"], server))


def _sweep_copy(client: Client, path: Path, job: str, uid_begins: str) -> None:
    newest = max(part.stat().st_mtime for part in (path, *path.rglob("*")))
    if time.time() - newest > _SCRATCH_LEFT_ALONE_S and not _is_being_aggregated(client, job, uid_begins):
        shutil.rmtree(path, ignore_errors=True)


def _is_leftover(client: Client, path: Path, job: str, server: str) -> bool:
    if time.time() - path.stat().st_mtime <= _LEFT_ALONE_S:
        return False
    owner = read_owner(path)
    return owner is None or (owner.server == server and not _is_wanted(client, job, owner.uid))


def _is_wanted(client: Client, name: str, uid: str) -> bool:
    found, state = client.hmget(job_key(name), "uid", "state")
    return found == uid.encode() and state in (b"enqueuing", b"sealed")


def _is_being_aggregated(client: Client, name: str, uid_begins: str) -> bool:
    found: bytes | None = client.hget(job_key(name), "uid")
    return bool(found and found.startswith(uid_begins.encode()) and JobRecord(client, name).aggregation_claimed())
