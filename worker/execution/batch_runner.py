"""Runs a batch so that an image that crashes or hangs its process does not affect its neighbors.

A system alarm ends a process that spends too much time on one image. After some crashes with a batch, its images run in
isolation. Each is recorded in the job record before it runs, so that the main process, which counts crashes
(`worker.execution.crash_attribution`), can attribute the next one.
"""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import numpy as np
import redis

from shared.config.settings import Settings
from shared.domain.file_status import FileStatus, settled
from shared.domain.job import Job
from shared.domain.outcomes import Verdict
from shared.domain.paths import RootPath
from shared.domain.thumbnail import images_with_thumbnails
from shared.messaging.messages import EmbedBatch
from shared.store.jobs import JobRecord
from shared.store.leases import LOSSES_TOGETHER, Lease
from shared.store.redis_client import Client
from worker.batch_result import ImageRecord
from worker.execution.image_source import read_inline, read_status
from worker.execution.member_reader import MemberReader
from worker.execution.object_stores import ObjectStores
from worker.execution.read_ahead import ReadAhead
from worker.execution.result_cache import ContractCache
from worker.models.allocator import release_free_memory
from worker.vision.decode import Limits
from worker.vision.pipeline import Networks, Result, process_images

_ASK_EVERY_S = 2.0


class BatchAbandoned(Exception):
    """The job was cancelled, or the batch was leased to another process, while it was computed."""


class BatchRunner:
    """Runs one attempt at a batch, in a process that holds its lease."""

    def __init__(
        self,
        client: Client,
        settings: Settings,
        job: Job,
        batch: EmbedBatch,
        holder: str,
        networks: Networks,
        cache: ContractCache,
        members: MemberReader,
        objects: ObjectStores,
    ) -> None:
        self._client, self._settings = client, settings
        self._job, self._batch, self._holder = job, batch, holder
        self._record = JobRecord(client, job.name)
        self._networks, self._cache, self._members, self._objects = networks, cache, members, objects
        self._ahead: ReadAhead | None = None
        self._limits = Limits(settings.max_image_mib * 2**20, settings.max_image_megapixels * 10**6)
        self._asked = time.monotonic()

    def process(self, lease: Lease) -> list[Result]:
        """One result per image, in the batch's order; BatchAbandoned if the lease is lost or the job cancelled."""
        with _alarm_off_at_the_end():
            results = self._embed(self._batch.images) if lease.losses < LOSSES_TOGETHER else self._embed_in_isolation()
        release_free_memory()
        return results

    def _embed_in_isolation(self) -> list[Result]:
        verdicts = self._record.verdicts(self._batch.batch, len(self._batch.images))
        results = []
        for index, path in enumerate(self._batch.images):
            if index in verdicts:
                results.append(_failed(path, self._status(path), verdicts[index], self._job.contract.dimensions))
                continue
            self._record.note_alone(self._batch.batch, self._holder, index)
            results += self._embed([path])
            _disarm()
            # Cached at once: the next image may crash this process.
            self._cache.keep(results[-1:])
        self._record.note_alone(self._batch.batch, self._holder, None)
        return results

    def _embed(self, paths: list[RootPath]) -> list[Result]:
        try:
            self._ahead = self._read_ahead(paths)
            return process_images(
                self._settings.data_root,
                paths,
                self._networks,
                self._job.contract,
                self._limits,
                read=self._reader(),
                status=self._status,
                recall=self._cache.recall,
                thumbnails=self._wants_thumbnails(),
                step=self._step,
            )
        except MemoryError:
            # The state of this process is unknown now. It ends as if the out-of-memory killer had ended it.
            os.kill(os.getpid(), signal.SIGKILL)
            raise
        finally:
            if self._ahead is not None:
                self._ahead.close()
                self._ahead = None

    def _read_ahead(self, paths: list[RootPath]) -> ReadAhead | None:
        """What reads the images if they are objects."""
        if not self._job.options.location:
            return None
        store = self._objects.open(self._job.options.location)
        return ReadAhead(store, paths, self._limits, self._settings.object_patience_s, self._step)

    def _wants_thumbnails(self) -> bool:
        """Whether the report may show these faces, and this machine has the images: a job that sends them may not want
        them seen where its report is made.
        """
        options = self._job.options
        # The blocks of an update have different numbers of images, at least one.
        before = self._batch.batch * (1 if options.update else options.batch_size)
        return options.report and not options.inline and before < images_with_thumbnails(options.report_faces)

    def _reader(self) -> Callable[[RootPath], bytes] | None:
        """What reads the batch's images; None if they are files in the data root."""
        root, limits, options, stretch = self._settings.data_root, self._limits, self._job.options, self._batch.stretch
        if options.inline:
            return lambda path: read_inline(self._client, self._record.inline_key(self._batch.batch), path, limits)
        if self._ahead is not None:
            return self._ahead.read
        if stretch is not None:
            places = dict(zip(self._batch.images, stretch.places, strict=True))
            return lambda path: self._members.read(root, path, stretch, places[path], limits, self._arm)
        if options.archives:
            return lambda path: self._members.find(root, path, limits, self._arm)
        return None

    def _status(self, path: RootPath) -> FileStatus:
        """The status that is recorded of an image; of a member of an archive, the archive's time."""
        if self._ahead is not None:
            return self._ahead.status(path)
        if self._batch.stretch is not None:
            return settled(FileStatus(mtime_ns=self._batch.stretch.mtime_ns), time.time_ns())
        if self._job.options.inline or self._job.options.archives or self._job.options.location:
            return FileStatus()
        return read_status(self._settings.data_root, path)

    def _step(self) -> None:
        _disarm()  # a request to the server does not count as the image's time
        if time.monotonic() - self._asked > _ASK_EVERY_S:
            self._asked = time.monotonic()
            with suppress(redis.RedisError):  # results are kept until the server is back
                if not self._record.is_wanted(self._job.uid, self._batch.batch, self._holder):
                    raise BatchAbandoned("cancelled, or returned to the queue")
        self._arm()

    def _arm(self) -> None:
        """Gives the image its whole time from now on."""
        signal.setitimer(signal.ITIMER_REAL, self._settings.image_timeout_s)


@contextmanager
def _alarm_off_at_the_end() -> Iterator[None]:
    # The default action ends the process even if it hangs while it holds the interpreter's lock.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    try:
        yield
    finally:
        _disarm()


def _disarm() -> None:
    signal.setitimer(signal.ITIMER_REAL, 0)


def _failed(path: RootPath, status: FileStatus, verdict: Verdict, dimensions: int) -> Result:
    record = ImageRecord(
        path=path, outcome=verdict.outcome, error=verdict.reason, size=status.size, mtime_ns=status.mtime_ns
    )
    return Result(record, np.empty((0, dimensions), np.float32))
