"""Puts a job's images into the queue, batch by batch, while workers are already processing the first."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from itertools import groupby, islice
from typing import NamedTuple, TypeVar

import redis
from celery import Celery

from producer.submission.backpressure import Backpressure, Stopped
from producer.submission.heartbeat import Heartbeat, attach
from producer.submission.sources import Found, Source
from producer.submission.update_plan import KnownImage, UpdatePlan
from producer.submission.updates import results_of
from shared.config.settings import Settings
from shared.dispatch.dispatcher import Dispatcher
from shared.domain.errors import ServerError
from shared.domain.job import Job, JobState
from shared.domain.paths import RootPath, below_folder, below_root
from shared.domain.stretch import Images, Stretch
from shared.messaging.celery_app import BrokerError, send_aggregate
from shared.messaging.messages import Aggregate
from shared.results.failed_list import failed_images
from shared.results.kept_rows import MOST_KEPT, KeptRow, pack_kept
from shared.store.jobs import JobRecord
from shared.store.redis_client import Client, wait_for_disk
from shared.tracing.spans import job_span, note_span, traced, why_not_traced

T = TypeVar("T")
_KNOWN = "known"


def enqueue_images(
    client: Client,
    app: Celery,
    job: Job,
    source: Source | None,
    settings: Settings,
    say: Callable[[str], None],
    should_stop: Callable[[], bool] = lambda: False,
    *,
    take_over: bool = False,
    plan: UpdatePlan | None = None,
) -> None:
    """Adds the batches that the job record does not have yet, then seals the job.

    After an interruption, the record says what its batches hold, and the walk resumes after the last recorded path. A
    reopened job has its failed images instead of a walk, and needs no source. AnotherProducer if a live producer is
    already doing this, unless this one is to `take_over` from it. `plan` says what an update takes from the earlier
    results; without it, they are compared again.
    """
    if job.state != JobState.ENQUEUING:
        return
    if (missing := why_not_traced(settings.otel_exporter_otlp_endpoint)) is not None:
        say(missing)
    record = JobRecord(client, job.name)
    backpressure = Backpressure(client, record, settings, say, should_stop)
    try:
        producer = attach(backpressure, record, job, settings.lease_s, take_over=take_over)
        with (
            Heartbeat(record, job.uid, producer, settings.lease_s),
            traced(settings.otel_exporter_otlp_endpoint, "facequeue-producer"),
            job_span("enqueue", job.uid, job=job.name),
        ):
            job = backpressure.pass_through(record.load)  # the producer before may have added batches until now
            if job.state == JobState.SEALED:
                return
            if job.options.update and not job.retries and plan is None and source is not None:
                plan = UpdatePlan(source, results_of(job, settings))
            _Submission(client, backpressure, record, app, job, producer, source, settings, plan).add_all()
    except Stopped:
        return
    except BrokerError as error:
        raise ServerError(
            f"The server stopped accepting messages ({error}). Everything recorded is kept; repeat the command to "
            "resume."
        ) from None
    with suppress(redis.ConnectionError, redis.TimeoutError):  # the job is sealed, or the next producer seals it
        if not wait_for_disk(client):
            say(_not_on_disk(job))


def _not_on_disk(job: Job) -> str:
    return (
        f"The server does not confirm that job {job.name} is on its disk. The disk may be slow, or `appendfsync` "
        "may be `no`. If the server's machine loses power now, the job may be lost and must be enqueued again."
    )


class _Known(NamedTuple):
    """A batch of images that the earlier results have."""

    images: list[tuple[RootPath, KnownImage]]


def _kind(pair: tuple[Found, KnownImage | None]) -> object:
    """What images of one batch have in common: a worker reads a batch from one archive, or from files."""
    image, known = pair
    return _KNOWN if known is not None else image.member and image.member[:-1]


class _Submission:
    """The batches of one job that are still to be recorded and sent."""

    def __init__(
        self,
        client: Client,
        backpressure: Backpressure,
        record: JobRecord,
        app: Celery,
        job: Job,
        producer: str,
        source: Source | None,
        settings: Settings,
        plan: UpdatePlan | None,
    ) -> None:
        self._backpressure, self._record, self._app, self._plan = backpressure, record, app, plan
        self._job, self._producer, self._source, self._settings = job, producer, source, settings
        self._dispatcher = Dispatcher(client, app, settings, job.queue_prefix)

    def add_all(self) -> None:
        """Adds every batch and seals the job."""
        began_ms, found = int(time.time() * 1000), _Stopwatch(self._still_to_enqueue())
        for batch, images in enumerate(found, start=self._job.batches):
            self._backpressure.wait()
            if isinstance(images, _Known):
                self._add_known(batch, images)
                continue
            self._store_images(batch, images.paths)
            self._add(batch, images)
        note_span("discover", self._job.uid, began_ms, busy_ms=1000 * found.spent_s)
        self._seal()

    def _still_to_enqueue(self) -> "Iterator[Images | _Known]":
        """The images that no batch holds yet, batch by batch."""
        job = self._job
        folder, size = job.options.folder, job.options.batch_size
        if job.retries:
            failed = failed_images(self._record, job, self._settings.results_dir)
            yield from map(Images, _in_batches(iter(list(failed.values())[job.batches * size :]), size))
        elif self._source is not None:
            after = None if job.cursor is None else below_folder(folder, job.cursor)
            plan, found = self._plan, self._source.find(after)
            pairs = ((image, None if plan is None else plan.find(image.path)) for image in found)
            for kind, some in groupby(pairs, key=_kind):
                if kind == _KNOWN:
                    known = ((below_root(folder, image.path), entry) for image, entry in some if entry is not None)
                    yield from map(_Known, _in_batches(known, MOST_KEPT))
                else:
                    yield from (_images(folder, new) for new in _in_batches((image for image, _ in some), size))

    def _store_images(self, batch: int, images: list[RootPath]) -> None:
        """Stores the bytes of the images on the server, if the job sends them through it."""
        if not self._job.options.inline or self._source is None:
            return
        most = self._settings.max_image_mib * 2**20
        for path in images:
            packed = self._source.pack(below_folder(self._job.options.folder, path), most)
            put = partial(self._record.put_image, self._job.uid, self._producer, batch, path, packed)
            self._backpressure.pass_through(put)

    def _add(self, batch: int, images: Images) -> None:
        """Records a batch, and sends the messages of the batches whose turn it is. What is recorded is not lost."""
        job, wait = self._job, self._backpressure.pass_through
        wait(partial(self._record.add_batch, job.uid, self._producer, batch, *images))
        wait(partial(self._record.queue_up, job.uid, job.turns_queue))
        wait(self._dispatcher.fill_embed)

    def _add_known(self, batch: int, known: "_Known") -> None:
        """Records a batch of known images, which is done at once."""
        block = pack_kept([KeptRow(path, entry.row, *entry.status) for path, entry in known.images])
        outcomes = Counter(entry.outcome.value for _, entry in known.images)
        faces, cursor = sum(entry.faces for _, entry in known.images), known.images[-1][0]
        uid, producer = self._job.uid, self._producer
        self._backpressure.pass_through(
            partial(self._record.add_kept, uid, producer, batch, block, cursor, outcomes, faces)
        )

    def _seal(self) -> None:
        """Seals the job, and sends its aggregation if every batch is already done."""
        job = self._job
        if self._backpressure.pass_through(partial(self._record.seal, job.uid, self._producer)):
            last = Aggregate(version=1, job=job.name, uid=job.uid)
            with suppress(BrokerError):  # the reconciler sends it
                self._backpressure.pass_through(partial(send_aggregate, self._app, job.aggregate_queue, last))


class _Stopwatch(Iterator[T]):
    """The same items, and the time that they took to come."""

    def __init__(self, items: Iterator[T]) -> None:
        self._items, self.spent_s = items, 0.0

    def __next__(self) -> T:
        began = time.perf_counter()
        try:
            return next(self._items)
        finally:
            self.spent_s += time.perf_counter() - began


def _in_batches(images: Iterator[T], size: int) -> Iterator[list[T]]:
    while batch := list(islice(images, size)):
        yield batch


def _images(folder: RootPath, found: list[Found]) -> Images:
    """The images of a batch, all of them files or all of them in one archive."""
    paths, members = [below_root(folder, image.path) for image in found], [image.member for image in found]
    if members[0] is None:
        return Images(paths)
    archive, size, mtime_ns, _ = members[0]
    places = [member.place for member in members if member is not None]
    return Images(paths, Stretch(archive=below_root(folder, archive), size=size, mtime_ns=mtime_ns, places=places))
