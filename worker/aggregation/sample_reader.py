"""Reads the samples of all workers from the server, for a job's results."""

from collections.abc import Iterator
from functools import partial
from itertools import dropwhile

import redis

from shared.config.logs import get_logger
from shared.results.schema import samples_name
from shared.store.keys import SAMPLES, worker_of_stream
from shared.store.redis_client import Client, server_time_ms
from worker.sample_stream import FIELD, LEVELS, Row, unpack_sample

_PAGE = 100  # entries read at once
_LONGEST_FILE_NAME = 255  # bytes
_log = get_logger("sample_reader")


def samples_between(client: Client, started_ms: int) -> dict[str, Iterator[Row]]:
    """The samples of every worker from `started_ms` (the server's clock) until now, in order, read on access.

    The most recent samples are complete; older ones are means over ten seconds and over a minute. Some workers have
    none.
    """
    # If the server's clock was set back meanwhile, an older stream goes on with the time that it had reached, but a new
    # one begins with an earlier time: then everything is read.
    first = str(started_ms) if started_ms <= server_time_ms(client) else "-"
    keys = [key.decode("utf-8", "replace") for key in client.scan_iter(match=f"{SAMPLES}*", count=1000)]
    workers = {worker_of_stream(key) for key in keys}
    return {worker: _rows(client, worker, first, "+") for worker in sorted(workers) if _names_a_file(worker)}


def _names_a_file(worker: str) -> bool:
    """Whether the worker's name can be a file name. A single invalid one would prevent the results of every job."""
    return bool(worker) and worker.isprintable() and len(samples_name(worker).encode()) <= _LONGEST_FILE_NAME


def _rows(client: Client, worker: str, first: str, until: str) -> Iterator[Row]:
    try:
        for moment in _moments(client, worker, first, until):
            yield from moment
    except redis.ResponseError as error:  # not a stream, or not one of facequeue: the results lack it
        _log.warning("no samples of %s: %s", worker, error, extra={"action": "samples_unread"})


def _moments(client: Client, worker: str, first: str, until: str) -> Iterator[list[Row]]:
    """The coarse samples until the finer ones start. All times are of the worker's clock."""
    keys = [level.key(worker) for level in reversed(LEVELS)]
    begins = [next((moment[0]["time"] for moment in _entries(client, key, first, until)), None) for key in keys]
    reached = ""
    for place, key in enumerate(keys):
        finer = next((time for time in begins[place + 1 :] if time is not None), None)
        entries = _entries(client, key, first, until)
        for count, moment in enumerate(dropwhile(partial(_is_until, reached), entries)):
            late = finer is not None and moment[0]["time"] >= finer
            if late and count == 0:
                break
            reached = moment[0]["time"]
            yield moment
            if late:  # the window in which the finer samples start
                break


def _is_until(reached: str, moment: list[Row]) -> bool:
    return moment[0]["time"] <= reached


def _entries(client: Client, key: str, first: str, until: str) -> Iterator[list[Row]]:
    while True:
        page = client.xrange(key, min=first, max=until, count=_PAGE)
        for _, fields in page:
            if rows := unpack_sample(fields.get(FIELD, b"")):
                yield rows
        if len(page) < _PAGE:
            return
        first = f"({page[-1][0].decode()}"
