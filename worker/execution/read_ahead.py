"""Reads the objects of a batch ahead of the computing, so that the network's latency costs no time."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from shared.domain.errors import LocationUnavailable
from shared.domain.file_status import FileStatus, settled
from shared.domain.image_formats import HEAD_BYTES
from shared.domain.locations import check_name
from shared.domain.outcomes import Outcome
from shared.domain.paths import RootPath
from shared.objects.store import (
    AccessRefused,
    NetworkFault,
    ObjectStore,
    ObjectTrouble,
    ReadObject,
    probe_store,
    retried,
)
from worker.vision.decode import ImageTrouble, Limits, check_file

_OBJECTS_AHEAD = 16
_BYTES_AHEAD = 64 * 2**20
_LOOK_EVERY_S = 1.0


class _Postponed(Exception):
    """There is no room for an object now; it is read when its turn has come."""


class ReadAhead:
    """The objects of one batch, which are taken in their order.

    At most 16 objects are being read or wait to be taken, and those beyond the next take at most 64 MiB.
    """

    def __init__(
        self,
        store: ObjectStore,
        paths: list[RootPath],
        limits: Limits,
        patience_s: float,
        beat: Callable[[], object],
    ) -> None:
        """`beat` is called every second while an object is waited for, and may raise to give up."""
        self._store, self._limits, self._patience_s, self._beat = store, limits, patience_s, beat
        self._waiting = list(reversed(paths))
        self._reads: dict[RootPath, Future[Any]] = {}
        self._held: dict[RootPath, int] = {}
        """Reserved bytes, by the loop's thread. A path's are released when it is taken."""
        self._statuses: dict[RootPath, FileStatus] = {}
        """Of the objects whose first bytes have come, by the loop's thread."""
        self._taken: tuple[RootPath, ReadObject | Exception] | None = None

    def status(self, path: RootPath) -> FileStatus:
        """Size and time of the object, as its service said with its first bytes; unknown if it could not be read, so
        that an update tries it again.
        """
        found = self._take(path)
        known = isinstance(found, ReadObject | ImageTrouble)
        return settled(self._statuses.get(path, FileStatus()) if known else FileStatus(), time.time_ns())

    def read(self, path: RootPath) -> bytes:
        """The bytes of an object. ImageTrouble says why there are none; LocationUnavailable if there can be none."""
        found = self._take(path)
        self._taken = None
        if isinstance(found, ReadObject):
            return found.data
        if isinstance(found, ObjectTrouble):
            raise ImageTrouble(Outcome.UNREADABLE, f"cannot be read: {found}") from None
        raise found

    def close(self) -> None:
        """Gives up what is still being read."""
        for read in self._reads.values():
            read.cancel()
        self._reads.clear()

    def _take(self, path: RootPath) -> ReadObject | Exception:
        if self._taken is not None and self._taken[0] == path:
            return self._taken[1]
        while self._waiting and len(self._reads) < _OBJECTS_AHEAD:
            self._start(self._waiting.pop(), ahead=True)
        if path not in self._reads:
            self._start(path, ahead=False)
        found = self._wait(path)
        if isinstance(found, _Postponed):
            self._start(path, ahead=False)
            found = self._wait(path)
        self._held.pop(path, None)
        self._taken = (path, found)
        return found

    def _wait(self, path: RootPath) -> ReadObject | Exception:
        read = self._reads[path]
        while True:
            try:
                found: ReadObject = read.result(_LOOK_EVERY_S)
                return found
            except TimeoutError as error:
                if read.done():
                    return NetworkFault(f"the connection failed ({type(error).__name__})")
                self._beat()
            except (ImageTrouble, ObjectTrouble, LocationUnavailable, _Postponed) as error:
                return error
            finally:
                if read.done():
                    self._reads.pop(path, None)

    def _start(self, path: RootPath, *, ahead: bool) -> None:
        self._reads[path] = asyncio.run_coroutine_threadsafe(self._read(path, ahead=ahead), self._store.loop)

    async def _read(self, path: RootPath, *, ahead: bool) -> Any:
        location, limits = self._store.location, self._limits
        try:
            check_name(location.scheme, path)
        except ValueError as error:
            raise ObjectTrouble(str(error)) from None

        def judge(head: bytes, size: int | None, mtime_ns: int) -> None:
            self._statuses[path] = FileStatus(size or 0, mtime_ns)
            check_file(path, head, len(head) if size is None else size, limits)
            if ahead:
                expected = limits.max_bytes if size is None else size
                if sum(self._held.values()) + expected > _BYTES_AHEAD:
                    raise _Postponed
                self._held[path] = expected

        found = await retried(self._patience_s, lambda: self._store.read(path, judge, limits.max_bytes + 1))
        assert isinstance(found, ReadObject)
        check_file(path, found.data[:HEAD_BYTES], len(found.data), limits)  # where no size was known before
        if ahead:
            self._held[path] = len(found.data)
        return found


def check_reachable(store: ObjectStore, patience_s: float, *, all_failed: bool) -> None:
    """LocationUnavailable if the location can no longer be read, after images of a batch could not be.

    `all_failed`: none of the batch's images could be read, so a service that denies a listing too denies everything.
    """
    try:
        probe_store(store, patience_s)
    except AccessRefused:
        if all_failed:
            raise LocationUnavailable(f"{store.location} cannot be read: access denied") from None
    except ObjectTrouble as error:
        raise LocationUnavailable(f"{store.location} cannot be read: {error}") from None
