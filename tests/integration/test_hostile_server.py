"""Anyone who can write to the server can neither stop its readers nor control their terminals."""

import json
from pathlib import Path

import pytest

from producer.monitoring.doctor import examine
from producer.monitoring.prometheus import QueueCollector
from shared.domain.errors import RecordUnreadable
from shared.domain.paths import RootPath, unpack_paths
from shared.domain.priority import Priority
from shared.store.dead_letters import MOST_LETTERS, list_dead_letters
from shared.store.keys import DEAD_LETTERS, METRICS, PREFIX, UNFINISHED, WORKER, WORKERS, clock_key, turns_key
from shared.store.totals import Totals
from shared.store.worker_registry import Worker, announce, living_workers
from tests.support.jobs import add_batch, finish_job, make_job
from tests.support.samples import sample_row
from tests.support.stage import Stage, wait_until
from worker.aggregation.sample_files import write_samples
from worker.aggregation.sample_reader import samples_between
from worker.supervision.sample_sender import SampleStreams

TURN = "\u202e"
ESCAPE = f"\x1b]0;mine\x07{TURN}"
GOOD = {"name": "w@h", "queues": ["embed"], "processes": 1, "resources": {"rss_mib": 1.5}}


@pytest.mark.parametrize(
    "said",
    [
        b"{",
        b"\xff",
        b"[]",
        b"7",
        b"{}",
        b"[" * 100_000,
        json.dumps(GOOD | {"queues": 3}).encode(),
        json.dumps(GOOD | {"resources": {"rss_mib": [1]}}).encode(),
        json.dumps(GOOD | {"current": [1]}).encode(),
        json.dumps(GOOD | {"started_ms": "x"}).encode(),
    ],
)
def test_an_announcement_of_no_worker_is_passed_over(stage: Stage, said: bytes) -> None:
    """The valid ones are listed, and the metrics are served."""
    announce(stage.client, Worker("w@h", ["embed"], 1, {"rss_mib": 1.5, "weights": "casia-webface"}), 60)
    stage.client.sadd(f"{PREFIX}workers", "bad@h", b"\xff@h", "e\x1b@h")
    for name in (b"bad@h", b"\xff@h", b"e\x1b@h"):
        stage.client.set(f"{PREFIX}worker:".encode() + name, said)
    assert [worker.name for worker in living_workers(stage.client, "embed")] == ["w@h"]


def _metrics(stage: Stage) -> dict[str, list[float]]:
    collector = QueueCollector(stage.client, stage.settings)
    return {metric.name: [sample.value for sample in metric.samples] for metric in collector.collect()}


def test_keys_of_another_kind_cost_no_metric(stage: Stage) -> None:
    """Keys of a job, its leases, a worker or a queue are skipped, and the others are counted."""
    for name in ("a", "j", "k"):
        record, job = make_job(stage, name)
        add_batch(record, job.uid, record.attach_producer(job.uid), 0, [RootPath("a.jpg")])
        record.take(job.uid, 0, 1, "w/1", 60)
    announce(stage.client, Worker("w@h", ["embed"], 1, {"rss_mib": 1.5}), 60)
    stage.client.delete(f"{PREFIX}job:a", f"{PREFIX}job:j:leases")
    for key in (f"{PREFIX}job:a", f"{PREFIX}job:j:leases", "embed"):
        stage.client.set(key, "7")
    stage.client.sadd(WORKERS, "a@h")
    stage.client.hset(f"{WORKER}a@h", "in", "the way")
    found = _metrics(stage)
    assert found["facequeue_up"] == [1]
    assert found["facequeue_batches_in_flight"] == [1]
    assert found["facequeue_worker_rss_bytes"] == [1.5 * 2**20]
    assert 2 in found["facequeue_jobs"]
    assert [worker.name for worker in living_workers(stage.client)] == ["w@h"]


@pytest.mark.parametrize("key", [METRICS, UNFINISHED, WORKERS])
def test_the_place_of_an_index_costs_only_its_own_metrics(stage: Stage, key: str) -> None:
    """The server answers, so the other metrics are served."""
    stage.client.set(key, "7")
    found = _metrics(stage)
    assert found["facequeue_up"] == [1]
    missing = {METRICS: "facequeue_faces", UNFINISHED: "facequeue_jobs", WORKERS: "facequeue_worker_images"}
    assert [name for of, name in missing.items() if name not in found] == [missing[key]]


def test_turns_of_another_kind_cost_no_metric(stage: Stage) -> None:
    """Batches that wait there are not counted, the others are."""
    record, job = make_job(stage)
    record.add_batch(job.uid, record.attach_producer(job.uid), 0, ["a.jpg"])
    record.queue_up(job.uid, "embed")
    stage.client.set(turns_key("embed", Priority.HIGH), "7")
    stage.client.set(clock_key("aggregate"), "7")
    found = _metrics(stage)
    assert (found["facequeue_up"], found["facequeue_queue_length"]) == ([1], [1, 0])
    assert sorted(found["facequeue_batches_waiting"]) == [0, 0, 0, 0, 0, 1]


def test_doctor_names_keys_that_another_program_writes(stage: Stage) -> None:
    """Also that of the list of workers, and a queue's."""
    keys = (WORKERS, "embed", clock_key("aggregate"))
    for key in keys:
        stage.client.set(key, "7")
    findings = examine(stage.settings)
    for key in keys:
        (finding,) = (one for one in findings if f"another program writes {key} (type string)" in one.what)
        assert not finding.good
    assert findings[0].good


def test_who_follows_a_job_waits_until_a_key_is_put_right(stage: Stage) -> None:
    """Another program has written the list of workers. If nobody puts it right for long, one line says so."""
    record, _ = make_job(stage)
    stage.client.set(WORKERS, "7")
    following = stage.spawn("producer", "watch", "j", log="watch.log")
    wait_until(lambda: stage.client.pubsub_channels(), 30, "it follows the job")
    assert stage.producer("watch", "j", FACEQUEUE_WORKER_TIMEOUT_S="1").returncode == 4
    assert following.poll() is None
    stage.client.delete(WORKERS)
    finish_job(record, {})
    assert following.wait(30) == 3, stage.log("watch.log")
    assert "Traceback" not in stage.log("watch.log")


def test_an_announcement_without_bounds_is_passed_over(stage: Stage) -> None:
    """Only its first part is read. A worker with a small announcement is listed."""
    for name, padding in (("w@h", 0), ("long@h", 2**20)):
        stage.client.sadd(WORKERS, name)
        stage.client.set(f"{WORKER}{name}", json.dumps(GOOD) + " " * padding)
    assert [worker.name for worker in living_workers(stage.client)] == ["w@h"]


def test_more_dead_letters_than_workers_keep_are_not_read(stage: Stage) -> None:
    """Someone else has added them."""
    stage.client.rpush(DEAD_LETTERS, *(json.dumps({"body": str(place)}) for place in range(MOST_LETTERS + 1)))
    assert len(list_dead_letters(stage.client)) == MOST_LETTERS


def test_a_figure_that_is_no_number_is_shown_as_none(stage: Stage) -> None:
    """A worker's text values are shown as text, never as numbers."""
    announce(stage.client, Worker("w@h", ["embed"], 1, {"rss_mib": "much", "cpu_percent": 7.4}), 60)
    (worker,) = living_workers(stage.client)
    assert (worker.figure("rss_mib"), worker.figure("cpu_percent"), worker.figure("images_done")) == (None, 7.4, None)
    done = stage.producer("workers")
    assert done.returncode == 0 and "w" in done.stdout, done.stderr


@pytest.mark.parametrize("field", ["contract", "cursor", "options", "runtime"])
def test_a_record_is_unreadable_however_deep_it_is(stage: Stage, field: str) -> None:
    """Too deep to be parsed, or only to be written again: listing the jobs reports it."""
    record, _ = make_job(stage)
    for depth in (100_000, *range(800, 1000, 7)):
        stage.client.hset(f"{PREFIX}job:j", field, "[" * depth + "]" * depth)
        with pytest.raises(RecordUnreadable):
            record.load()
        stage.client.hset(f"{PREFIX}job:j", field, f'{{"x": {"[" * depth}{"]" * depth}}}')
        with pytest.raises(RecordUnreadable):
            record.load()


def test_paths_of_a_batch_are_refused_however_deep_they_are() -> None:
    """It is treated like any value that is not a list of paths."""
    with pytest.raises(ValueError, match="nested too deeply"):
        unpack_paths("[" * 100_000)


def test_nothing_on_the_server_commands_a_terminal(stage: Stage) -> None:
    """Workers and dead letters are listed with escaped control characters and escaped surrogates."""
    bad = GOOD | {"host": ESCAPE, "refuses": {f"j{ESCAPE}": "\ud800" + ESCAPE}}
    stage.client.sadd(f"{PREFIX}workers", "w@h")
    stage.client.set(f"{PREFIX}worker:w@h", json.dumps(bad))
    letter = {"time": ESCAPE, "where": ESCAPE, "reason": 7, "body": ["\ud800", ESCAPE]}
    stage.client.rpush(DEAD_LETTERS, json.dumps(letter), json.dumps(letter | {"reason": ESCAPE}), "[" * 100_000)
    for command in ("workers", "dead-letters"):
        done = stage.producer(command)
        assert done.returncode == 0, done.stderr
        assert "\x1b" not in done.stdout + done.stderr and "\\x1b]0;mine" in done.stdout
        assert TURN not in done.stdout + done.stderr and "\\u202e" in done.stdout


def test_a_record_does_not_command_a_terminal(stage: Stage, sample: Path) -> None:
    """`jobs` and `status` escape control characters in a job's record."""
    done = stage.producer("enqueue", str(sample), "--job", "j", FACEQUEUE_DATA_ROOT=str(sample))
    assert done.returncode == 0, done.stderr
    for field in ("source", "refusal", "problem"):
        stage.client.hset(f"{PREFIX}job:j", field, ESCAPE)
    for command in (("jobs",), ("status", "j")):
        done = stage.producer(*command)
        assert "\x1b" not in done.stdout + done.stderr and "\\x1b]0;mine" in done.stdout, done.stderr
        assert TURN not in done.stdout + done.stderr and "\\u202e" in done.stdout


def test_samples_under_a_name_that_no_file_can_have_cost_no_results(stage: Stage, tmp_path: Path) -> None:
    """They are left out, and the others are written."""
    for name in ("w@h", "x" * 300, "nul\0", "\x1b[2J", "é" * 130):
        streams = SampleStreams(name)
        streams.add([sample_row(0, 1, cpu=1.0, rss=1.0, images=1, batch="0")], 1_800_000_000.0)
        streams.send(stage.client)
    write_samples(samples_between(stage.client, 0), tmp_path, {})
    assert [path.name for path in (tmp_path / "resources").iterdir()] == ["w@h.csv"]


def test_totals_that_are_no_numbers_do_not_end_a_scrape(stage: Stage) -> None:
    """The valid ones are counted."""
    stage.client.hset(METRICS, mapping={"faces": "7", "images:ok": "many", b"\xff": "1", "embed:us": "9" * 5000})
    totals = Totals.read(stage.client)
    assert totals.faces == 7 and totals.images()["ok"] == 0 and totals.seconds("embed") == 0
