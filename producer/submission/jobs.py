"""Puts a folder into the queue, batch by batch, while the workers are already at the first."""

import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import islice
from pathlib import Path

import redis
from celery import Celery

from producer.submission.backpressure import Gate, Stopped
from producer.submission.discovery import find_images
from producer.submission.heartbeat import Heartbeat, attach
from producer.submission.kept_results import refuse_to_replace
from shared.config.settings import Settings
from shared.domain.contract import Contract
from shared.domain.errors import JobNotFound, JobNotRetryable, ServerError, WrongUsage
from shared.domain.job_names import check_job_name
from shared.domain.paths import DATA_ROOT, FolderPath, RootPath, below_folder, below_root, printable
from shared.messaging.celery_app import BrokerError, make_celery, send_aggregate, send_batch
from shared.messaging.messages import Aggregate, EmbedBatch
from shared.results.failed_list import failed_images
from shared.store.image_payloads import pack_image
from shared.store.jobs import Job, JobRecord, Options, job_names, list_jobs
from shared.store.redis_client import Client, explain_server_errors, wait_for_disk


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is to be enqueued."""

    folder: Path
    """As given on the command line."""
    contract: Contract
    batch_size: int
    distances: str
    job: str | None
    results_dir: Path | None
    """Part of the job's identity for `run`, which writes them itself."""
    inline: bool = False
    """Whether the images travel through the server."""
    installation: str = ""
    """Tells the `run`s of different machines on one server apart."""


def check_folder(folder: Path) -> Path:
    """The folder's real path; WrongUsage where it is none or has no file."""
    try:
        if not folder.exists():
            raise WrongUsage(f"There is no folder {folder}.")
        if not folder.is_dir():
            raise WrongUsage(f"{folder} is not a folder. Give the folder that the images are in.")
        first = next(find_images(folder), None)
    except OSError as error:
        raise WrongUsage(f"The folder {error.filename} cannot be read: {error.strerror}.") from None
    if first is None:
        raise WrongUsage(f"{folder} holds no file (hidden ones do not count).")
    return folder.resolve()


def folder_in_root(folder: Path, root: Path) -> RootPath:
    """The folder relative to the data root; WrongUsage names the ways out where it is not inside."""
    real_root = root.resolve()
    if folder != real_root and real_root not in folder.parents:
        raise WrongUsage(
            f"{folder} is not inside the data root {real_root}, and workers open nothing outside it, not even through a "
            "symbolic link. Move or mount the images there, set FACEQUEUE_DATA_ROOT (for the workers too), or use "
            "`python -m producer run`."
        )
    return RootPath(folder.relative_to(real_root).as_posix())


def origin_of(request: Request, folder: Path) -> str:
    """Fingerprint of folder, settings and results folder."""
    parts = [
        request.installation, str(folder), request.contract.as_dict(), request.batch_size, request.distances,
        str(request.results_dir), *(["inline"] if request.inline else []),
    ]  # fmt: skip
    return hashlib.blake2b(json.dumps(parts, sort_keys=True).encode(), digest_size=16).hexdigest()


def open_job(client: Client, request: Request, settings: Settings, *, anew: bool = False) -> tuple[Job, bool]:
    """The job to enqueue into, and whether it is new.

    `--job NAME` means the job of that name; otherwise an unfinished one of the same origin, or else a new one. With `anew` it
    is a new one in any case; WrongUsage where there is one of the name already.
    """
    folder = check_folder(request.folder)
    origin = origin_of(request, folder)
    name = check_job_name(request.job) if request.job else None
    if name is None and not anew:
        unfinished = [job for job in list_jobs(client) if job.origin == origin and job.state in ("enqueuing", "sealed")]
        if unfinished:
            JobRecord(client, unfinished[-1].name).go_on(unfinished[-1].uid)
            return unfinished[-1], False
    options = Options(
        # Images that travel are in no folder of the workers'.
        folder=DATA_ROOT if request.inline else folder_in_root(folder, settings.data_root),
        batch_size=request.batch_size,
        distances=request.distances,
        inline=request.inline,
    )
    if name is not None:
        refuse_to_replace(settings.results_dir, name, origin, printable(str(folder)))
    job, new = JobRecord(client, name or new_job_name(folder, client)).create(
        origin=origin,
        source=printable(str(folder)),
        contract=request.contract,
        options=options,
        queue_prefix=settings.queue_prefix,
    )
    if job.origin != origin:
        raise WrongUsage(
            f"Job '{job.name}' is there already, for {job.source} with other settings. Choose another --job"
            + ("." if request.results_dir else f", or `python -m producer cancel {job.name}` first.")
        )
    if not new:
        if anew:
            raise WrongUsage(
                f"Job '{job.name}' is there already, so --new cannot make it. Choose another --job, or none."
            )
        JobRecord(client, job.name).go_on(job.uid)
    return job, new


def new_job_name(folder: Path, client: Client) -> str:
    """A readable name that no job on this server has: `photos-20260131-142501`."""
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", folder.name).strip("-._")[:60] or "images"
    base = f"{stem}-{datetime.now():%Y%m%d-%H%M%S}"
    names = set(job_names(client))
    return base if base not in names else next(f"{base}-{k}" for k in range(2, 10_000) if f"{base}-{k}" not in names)


def enqueue_images(
    client: Client, app: Celery, job: Job, folder: Path | None, settings: Settings, say: Callable[[str], None],
    should_stop: Callable[[], bool] = lambda: False, *, take_over: bool = False,
) -> None:  # fmt: skip
    """Adds the batches that the job has not recorded yet, and seals it.

    Going on after a break, the record says what its batches hold; the walk goes on behind the last recorded path. A job
    that was reopened has its failed images instead of a walk, and needs no folder. AnotherProducer where one is alive
    that does this, unless this one is to `take_over` from it.
    """
    if job.state != "enqueuing":
        return
    record = JobRecord(client, job.name)
    gate = Gate(client, record, settings, say, should_stop)
    try:
        producer = attach(gate, record, job, settings.lease_s, take_over=take_over)
        with Heartbeat(record, job.uid, producer, settings.lease_s):
            job = gate.pass_through(record.load)  # again: the one before may have added batches until now
            if job.state == "sealed":
                return
            _add_batches(gate, record, app, job, producer, folder, settings)
    except Stopped:
        return
    except BrokerError as error:
        raise ServerError(
            f"The server stopped taking messages ({error}). Everything recorded is kept; repeat the command to go on."
        ) from None
    with suppress(redis.ConnectionError, redis.TimeoutError):  # the seal is there, or the next producer makes it
        if not wait_for_disk(client):
            say(
                f"The server does not confirm that job {job.name} is on its disk. Is the disk slow, or `appendfsync no`? If the "
                "server's machine loses power now, the job may be gone: look with `python -m producer jobs`, and enqueue it again."
            )


def _add_batches(
    gate: Gate, record: JobRecord, app: Celery, job: Job, producer: str, folder: Path | None, settings: Settings
) -> None:
    batch = job.batches
    for images in _in_batches(_still_to_enqueue(job, record, folder, settings), job.options.batch_size):
        gate.wait()
        if job.options.inline and folder is not None:
            for path in images:
                packed = pack_image(folder, FolderPath(path), settings.max_image_mib * 2**20)
                gate.pass_through(partial(record.put_image, job.uid, producer, batch, path, packed))
        send = gate.pass_through(partial(record.add_batch, job.uid, producer, batch, images))
        message = EmbedBatch(version=1, job=job.name, uid=job.uid, batch=batch, send=send, images=images)
        queue = gate.pass_through(record.embed_queue)  # it may have been diverted meanwhile
        gate.pass_through(partial(send_batch, app, settings, queue, message))
        batch += 1
    if gate.pass_through(partial(record.seal, job.uid, producer)):
        last = Aggregate(version=1, job=job.name, uid=job.uid)
        with suppress(BrokerError):  # the workers notice
            gate.pass_through(partial(send_aggregate, app, job.aggregate_queue, last))


def _still_to_enqueue(job: Job, record: JobRecord, folder: Path | None, settings: Settings) -> Iterator[RootPath]:
    """Paths relative to the data root, behind those that are in batches already."""
    if job.retries:
        failed = failed_images(record, job, settings.results_dir)
        yield from list(failed.values())[job.batches * job.options.batch_size :]
    elif folder is not None:
        below = job.options.folder
        after = None if job.cursor is None else below_folder(below, job.cursor)
        for path in find_images(folder, after):
            yield below_root(below, path)


def _in_batches(paths: Iterator[RootPath], size: int) -> Iterator[list[RootPath]]:
    while batch := list(islice(paths, size)):
        yield batch


def retry_job(client: Client, name: str, settings: Settings, say: Callable[[str], None]) -> Job:
    """Opens a finished job again for its failed images; also goes on with a retry that was cut short."""
    with explain_server_errors(settings):
        record = JobRecord(client, name)
        job = record.load()
        folder_of(job)  # before anything is changed
        refuse_to_replace(settings.results_dir, name, job.origin, job.source)
        failed_images(record, job, settings.results_dir)
        if not (job.retries and job.state == "enqueuing"):
            failed = record.reopen(job)
            if failed == 0:
                raise JobNotRetryable(f"No image of job '{name}' failed: there is nothing to try again.")
            say(f"Trying {failed} failed images of job {name} again")
        return record.load()


def folder_of(job: Job) -> Path | None:
    """The folder whose images a job sends through the server; None where they do not travel. WrongUsage where it is gone."""
    if not job.options.inline:
        return None
    folder = Path(job.source)
    if not folder.is_dir():
        raise WrongUsage(
            f"The images of job '{job.name}' travel through the server, and their folder {folder} is not here."
        )
    return folder


def cancel_job(client: Client, name: str, settings: Settings, *, only: Job | None = None, mark_s: int = 60) -> bool:
    """Ends a job and removes its record, except for a mark that tells those who watch.

    Its messages stay in the shared queues: to find them among those of other jobs takes seconds of the server's time. A worker
    that reads one drops it, as its batch is nobody's any more (`take`).

    With `only`, a job that is still as it was read then; False where it is not.
    """
    with explain_server_errors(settings):
        record = JobRecord(client, name)
        if not record.exists():
            raise JobNotFound(name)
        own = record.embed_queue()
        if not record.delete(only, keep_mark_s=mark_s):
            return False
        record.undivert(own)
        return True


class BackgroundProducer:
    """Enqueues in a thread, so that the following can begin."""

    def __init__(
        self, client: Client, job: Job, folder: Path | None, settings: Settings, say: Callable[[str], None],
        *, take_over: bool = False,
    ) -> None:  # fmt: skip
        self._stop = threading.Event()
        self._error: BaseException | None = None
        self._arguments = (client, make_celery(settings), job, folder, settings, say, self._stop.is_set)
        self._take_over = take_over
        self._thread = threading.Thread(target=self._work, daemon=True, name="producer")
        self._settings = settings

    def _work(self) -> None:
        try:
            with explain_server_errors(self._settings):
                enqueue_images(*self._arguments, take_over=self._take_over)
        # Raised again in the main thread, by `check`.
        except BaseException as error:
            self._error = error

    def start(self) -> None:
        """Begins."""
        self._thread.start()

    def check(self) -> bool:
        """Raises what went wrong in the thread. False: it brings no worker (see `follow`)."""
        if self._error is not None:
            raise self._error
        return False

    def stop(self) -> None:
        """Ends the enqueuing after the batch it is at; the next producer goes on there."""
        self._stop.set()
        self._thread.join(10)
