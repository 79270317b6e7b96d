"""Samples on a real server: a week of them, with bounded memory everywhere."""

import csv
import itertools
import random
import tracemalloc
from datetime import UTC, datetime
from pathlib import Path

from shared.results.schema import SAMPLE_COLUMNS
from shared.store.keys import PREFIX
from shared.store.redis_client import server_time_ms
from tests.support.samples import sample_row
from tests.support.stage import Stage
from worker.aggregation.sample_files import earlier_samples, write_samples
from worker.aggregation.sample_reader import samples_between
from worker.sample_stream import MAX_BYTES
from worker.supervision.sample_sender import SampleStreams

WORKER = "worker-1@host"
PROCESSES = 17  # sixteen children and the main process
BEGAN = 1_800_000_000.0
WEEK_S, HOUR_S = 7 * 24 * 3600, 3600
_STEP_S = 30  # before the last hour: a sample a second would take the test ten minutes


def _moments() -> list[list[dict[str, str]]]:
    """Moments with varying numbers, so that they compress as real ones do."""
    rng = random.Random(0)
    return [
        [
            sample_row(
                0,
                4711 + k,
                cpu=rng.uniform(40, 100),
                rss=rng.uniform(480, 520),
                images=rng.randrange(10**6),
                batch=str(rng.randrange(10**5)),
            )
            for k in range(PROCESSES)
        ]
        for _ in range(50)
    ]


def _send_a_week(stage: Stage) -> None:
    streams, moments = SampleStreams(WORKER), itertools.cycle(_moments())
    ends = BEGAN + WEEK_S
    times = itertools.chain(range(int(BEGAN), int(ends) - HOUR_S, _STEP_S), range(int(ends) - HOUR_S, int(ends)))
    for count, at in enumerate(times, start=1):
        time = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
        streams.add([row | {"time": time} for row in next(moments)], at)
        if count % 1000 == 0:
            streams.send(stage.client)
    streams.send(stage.client)


def _seconds(row: dict[str, str]) -> float:
    return datetime.fromisoformat(row["time"]).timestamp()


def test_a_week_of_sixteen_processes_fits(stage: Stage, tmp_path: Path) -> None:
    """All of it, with bounded memory in server and aggregator; the latest part with every second."""
    _send_a_week(stage)
    keys = stage.client.keys(f"{PREFIX}resources:*")
    assert sum(stage.client.memory_usage(key, samples=0) for key in keys) <= MAX_BYTES == 8 * 2**20
    assert all(stage.client.ttl(key) > 7 * 24 * 3600 for key in keys)
    tracemalloc.start()
    write_samples(samples_between(stage.client, 0), tmp_path, {})
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * 2**20
    with (tmp_path / "resources" / f"{WORKER}.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == SAMPLE_COLUMNS
    times = [_seconds(row) for row in rows[::PROCESSES]]
    assert times == sorted(set(times)) and len(rows) == PROCESSES * len(times)
    spacings = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert times[0] - BEGAN < 60 and max(spacings) <= 60, "no part of the week is missing"
    assert sum(time < BEGAN + HOUR_S for time in times) == 60, "a row a minute and process of the first hour"
    assert spacings[-1800:] == [1.0] * 1800, "every second of the last half hour"
    recent = [row for row in rows if _seconds(row) < BEGAN + HOUR_S]
    assert 60 < sum(float(row["cpu_percent"]) for row in recent) / len(recent) < 80, "the mean of 40 to 100"


def test_a_short_job_has_every_sample_once(stage: Stage) -> None:
    """Nothing is thinned before that is necessary."""
    streams = SampleStreams(WORKER)
    for second in range(100):
        streams.add([sample_row(BEGAN + second, 1), sample_row(BEGAN + second, 2)], BEGAN + second)
        streams.send(stage.client)
    rows = list(samples_between(stage.client, 0)[WORKER])
    assert [(_seconds(row), row["pid"]) for row in rows] == [(BEGAN + k, pid) for k in range(100) for pid in "12"]


def test_samples_are_found_though_the_servers_clock_was_set_back(stage: Stage) -> None:
    """An existing stream continues after its last time; a new one starts with the current time."""
    now_ms = server_time_ms(stage.client)
    for worker in ("old@host", WORKER):
        streams = SampleStreams(worker)
        for second in range(3):
            streams.add([sample_row(BEGAN + second, 1)], BEGAN + second)
            if worker != WORKER and not second:
                stage.client.xadd(
                    f"{PREFIX}resources:0:{worker}", {"other": "field"}, id=f"{now_ms + 2 * HOUR_S * 1000}-0"
                )
            streams.send(stage.client)
    found = samples_between(stage.client, now_ms + HOUR_S * 1000)
    assert [len(list(found[worker])) for worker in ("old@host", WORKER)] == [3, 3]


def test_an_hour_without_the_server_is_not_lost(stage: Stage) -> None:
    """The samples that the worker kept arrive thinned, in order and without a gap."""
    streams = SampleStreams(WORKER)
    stage.server.kill()
    for second in range(2 * HOUR_S):
        streams.add([sample_row(BEGAN + second, 1)], BEGAN + second)
    stage.server.start()
    streams.send(stage.client)
    times = [_seconds(row) for row in samples_between(stage.client, 0)[WORKER]]
    assert times[0] - BEGAN < 60 and times[-1] == BEGAN + 2 * HOUR_S - 1
    assert all(0 < later - earlier <= 60 for earlier, later in itertools.pairwise(times))


def test_what_is_no_stream_of_samples_costs_nobody_his_results(stage: Stage, tmp_path: Path) -> None:
    """Other types, other entries and a name that leads out of the folder: the valid worker's file is still written."""
    streams = SampleStreams(WORKER)
    streams.add([sample_row(BEGAN, 1)], BEGAN)
    streams.send(stage.client)
    stage.client.set(f"{PREFIX}resources:0:text@host", "in the way")
    stage.client.xadd(f"{PREFIX}resources:0:{WORKER}", {"csv": b"no zlib"})
    stage.client.xadd(f"{PREFIX}resources:0:{WORKER}", {"other": "field"})
    up = SampleStreams("../../up@host")
    up.add([sample_row(BEGAN, 2)], BEGAN)
    up.send(stage.client)
    write_samples(samples_between(stage.client, 0), tmp_path, {})
    assert sorted(path.name for path in tmp_path.rglob("*.csv")) == ["..%2F..%2Fup@host.csv", f"{WORKER}.csv"]
    assert not list(tmp_path.parent.glob("up@host.csv"))
    rows = list(earlier_samples(tmp_path)[WORKER])
    assert [row["pid"] for row in rows] == ["1"]
