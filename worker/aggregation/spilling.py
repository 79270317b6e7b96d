"""Moves finished blocks from the server to spill files, reads them back in order, and removes old spill files."""

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
from shared.domain.job import Job, JobState
from shared.domain.paths import printable
from shared.domain.text import one_line
from shared.store.jobs import JobRecord
from shared.store.keys import SERVER_NAME, job_key
from shared.store.redis_client import Client, run_despite_oom, wait_for_disk
from worker.aggregation.hidden_names import scratch_of, spill_path, spilled_job, stage_of
from worker.aggregation.spill_file import Owner, SpillFile, read_owner, remove_if

_log = get_logger("spilling")
_PORTION_BYTES = 8 * 2**20  # in this process's memory at once, and on the disk before it leaves the server
_MOST_BLOCKS = 256  # the most that one script removes: the server answers nobody meanwhile
_BLOCKS_AT_ONCE = 16
_LEFT_ALONE_S = 300.0
_SCRATCH_LEFT_ALONE_S = 3600.0
_SERVER_NAME = re.compile(rb"[0-9a-f]{32}")


def _spill_file_of(client: Client, job: Job, results_dir: Path) -> SpillFile:
    return SpillFile(spill_path(job, results_dir), Owner(_server_name(client), job.uid))


def _server_name(client: Client) -> str:
    """The random name of the server's data. It exists because several servers can share a results folder.

    ResultsError if the key holds something else: then every spill file would look like another server's.
    """
    key = SERVER_NAME
    run_despite_oom(client, "SET", key, uuid.uuid4().hex, "NX")
    name: bytes = client.get(key)
    if not _SERVER_NAME.fullmatch(name):
        raise ResultsError(
            f"The key {key} of the server holds {one_line(name, 80)!r}, not the 32 hexadecimal digits that name its "
            "spill files. Delete that key. Jobs that have a spill file already must then be cancelled and run again."
        )
    return name.decode()


def move_blocks(client: Client, job: Job, results_dir: Path, wanted_bytes: float) -> int:
    """Moves finished blocks into the spill file until `wanted_bytes` are moved or none is left; returns the bytes
    moved.

    Nothing is moved while the job is being aggregated. ResultsError if the spill file is held elsewhere or unusable.
    """
    record, spill = JobRecord(client, job.name), _spill_file_of(client, job, results_dir)
    if record.aggregation_claimed():
        return 0
    if job.spool_bytes and not spill.path.exists():
        raise _missing(job, spill.path)
    results_dir.mkdir(parents=True, exist_ok=True)
    moved = 0
    with spill.held() as writer:
        if writer is None:
            raise ResultsError(f"another process holds the spill file {spill.path.name}")
        counted = record.load().spool_bytes  # loaded again: the value is reliable only while the file is locked
        while moved < wanted_bytes and not record.aggregation_claimed():
            batches, blocks = _next_portion(record)
            if not batches:
                break
            size = writer.append(counted, blocks)
            if not record.count_spilled(job.uid, counted, size, socket.gethostname(), batches):
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
    """All blocks of a job in order, from the server and the spill file. The caller holds the aggregation lease, so none
    is moved meanwhile.
    """
    record = JobRecord(client, job.name)
    counted = record.load().spool_bytes
    spill = _spill_file_of(client, job, results_dir)
    with ExitStack() as stack:
        spilled = None
        if counted:
            try:
                spilled = stack.enter_context(spill.reading(counted))
            except FileNotFoundError:
                raise _missing(record.load(), spill.path) from None
        for first in range(0, job.batches, _BLOCKS_AT_ONCE):
            batches = range(first, min(job.batches, first + _BLOCKS_AT_ONCE))
            wanted = [batch for batch in batches if spilled is None or batch not in spilled]
            on_server = dict(zip(wanted, record.blocks(wanted), strict=True)) if wanted else {}
            for batch in batches:
                block = on_server[batch] if batch in on_server else spilled.block(batch) if spilled else None
                if block is None:
                    raise BlockMissing(
                        f"Block {batch} of job '{job.name}' is no longer on the server. Cancel the job and run it "
                        "again."
                    )
                yield block


def _missing(job: Job, path: Path) -> ResultsError:
    return ResultsError(
        f"Finished blocks of job '{job.name}' are in the spool {path.name} in the results folder of {job.spool_host}, "
        f"not in {printable(str(path.parent))} here. Let only workers with that folder serve the queue `aggregate`, "
        "and the others the queue `embed`."
    )


def remove_spill_file(client: Client, job: Job, results_dir: Path) -> None:
    """Removes the spill file of a finished job, once the end of the job is on the server's disk.

    Otherwise a server that loses its last second of data could restart with the job unfinished and its spill file gone.
    """
    path = spill_path(job, results_dir)
    if not path.exists():
        return
    if not wait_for_disk(client):
        _log.warning(
            "the server does not confirm that the end of job %s is on its disk; %s stays for some minutes",
            job.name,
            path.name,
            extra={"action": "spill_file_kept"},
        )
        return
    with suppress(OSError):  # `sweep_spill_files` removes it later
        path.unlink()


def sweep_spill_files(client: Client, results_dir: Path) -> None:
    """Removes old files that no unfinished job of this server will read: spill files and scratch folders.

    A spill file is old after five minutes without a write, a scratch folder after an hour. The scratch folder of a job
    that is being aggregated stays, however long a step of the aggregation takes.
    """
    if not results_dir.is_dir():
        return
    server = _server_name(client)
    for path in results_dir.iterdir():
        # Removed by another process, or not ours to remove; or the record that would tell is damaged.
        with suppress(OSError, ValueError, redis.ResponseError):
            if copy := scratch_of(path.name):
                _sweep_copy(client, path, copy.job, copy.uid_begins)
            elif folder := stage_of(path.name):
                _sweep_stage(client, path, folder.job, folder.uid_begins)
            elif job := spilled_job(path.name):
                remove_if(path, partial(_is_leftover, client, path, job, server))


def _sweep_copy(client: Client, path: Path, job: str, uid_begins: str) -> None:
    newest = max(part.stat().st_mtime for part in (path, *path.rglob("*")))
    if time.time() - newest > _SCRATCH_LEFT_ALONE_S and not _is_being_aggregated(client, job, uid_begins):
        shutil.rmtree(path, ignore_errors=True)


def _sweep_stage(client: Client, path: Path, name: str, uid_begins: str) -> None:
    """Removes the folder of a second stage whose job has ended."""
    uid, state = client.hmget(job_key(name), "uid", "state")
    if uid is not None and uid.startswith(uid_begins.encode()) and state == JobState.SEALED.encode():
        return
    newest = max(part.stat().st_mtime for part in (path, *path.rglob("*")))
    if time.time() - newest > _SCRATCH_LEFT_ALONE_S:
        shutil.rmtree(path, ignore_errors=True)


def _is_leftover(client: Client, path: Path, job: str, server: str) -> bool:
    if time.time() - path.stat().st_mtime <= _LEFT_ALONE_S:
        return False
    owner = read_owner(path)
    return owner is None or (owner.server == server and not _is_wanted(client, job, owner.uid))


def _is_wanted(client: Client, name: str, uid: str) -> bool:
    found, state = client.hmget(job_key(name), "uid", "state")
    return found == uid.encode() and state in (JobState.ENQUEUING.encode(), JobState.SEALED.encode())


def _is_being_aggregated(client: Client, name: str, uid_begins: str) -> bool:
    found: bytes | None = client.hget(job_key(name), "uid")
    return bool(found and found.startswith(uid_begins.encode()) and JobRecord(client, name).aggregation_claimed())
