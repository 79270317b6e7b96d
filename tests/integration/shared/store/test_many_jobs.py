"""The cost of many jobs and long queues for the server and its clients."""

from prometheus_client import CollectorRegistry, generate_latest

from producer.monitoring.prometheus import QueueCollector
from producer.submission.jobs import cancel_job
from shared.domain.task_ids import embed_task_id
from shared.messaging.celery_app import make_celery, send_batch
from shared.messaging.messages import EmbedBatch
from shared.store.jobs import list_jobs
from shared.store.keys import PREFIX, REGISTRY, UNFINISHED
from shared.store.queue_inspection import waiting_tasks
from shared.store.registry import unfinished_names
from tests.support.jobs import make_job
from tests.support.stage import Stage
from worker.supervision.reconciler import Reconciler

JOBS = 600


def _copies(stage: Stage, state: str, *, indexed: bool) -> None:
    """Copies the record of a new job many times."""
    make_job(stage, "original")
    raw = stage.client.hgetall(f"{PREFIX}job:original")
    with stage.client.pipeline(transaction=False) as pipe:
        for number in range(JOBS):
            name = f"copy-{number:05}"
            pipe.hset(f"{PREFIX}job:{name}", mapping=raw | {b"uid": f"{number:032x}", b"state": state, b"batches": 1})
            pipe.zadd(REGISTRY, {name: number})
            if indexed:
                pipe.zadd(UNFINISHED, {f":{name}": 0})
        pipe.execute()


def _hashes_read(stage: Stage) -> int:
    return int(stage.client.info("commandstats").get("cmdstat_hgetall", {"calls": 0})["calls"])


def test_finished_jobs_cost_a_reconciler_and_the_metrics_little(stage: Stage) -> None:
    """Neither reads their records: only a few are compared with the index or counted on the server."""
    _copies(stage, "finished", indexed=False)
    reconciler = Reconciler(make_celery(stage.settings), stage.client, stage.settings, "w")
    before = _hashes_read(stage)
    for _ in range(3):
        reconciler.step()
    assert _hashes_read(stage) - before <= 6  # the one that is not finished, and the diverted ones, each time
    registry = CollectorRegistry()
    registry.register(QueueCollector(stage.client, stage.settings))
    stage.client.config_resetstat()
    text = generate_latest(registry).decode()
    assert _hashes_read(stage) <= 1  # the totals
    assert stage.client.info("commandstats")["cmdstat_hmget"]["calls"] == 1  # the job that is not finished
    assert f'facequeue_jobs{{state="finished"}} {JOBS}.0' in text
    assert 'facequeue_jobs{state="enqueuing"} 1.0' in text


def test_every_unfinished_job_has_its_turn(stage: Stage) -> None:
    """A step handles some jobs and the next one continues. Lost batches of the last job are requeued."""
    _copies(stage, "sealed", indexed=True)
    settings = stage.settings.model_copy(update={"lease_s": 0.01})
    stage.client.hset(f"{PREFIX}job:copy-{JOBS - 1:05}:batches", "0", '["a.jpg"]')
    stage.client.zadd(f"{PREFIX}job:copy-{JOBS - 1:05}:open", {"0": 1})
    reconciler = Reconciler(make_celery(settings), stage.client, settings, "w")
    for _ in range(400):
        reconciler.step()
        if stage.client.llen("embed"):
            break
    assert waiting_tasks(stage.client, "embed") == {embed_task_id(f"copy-{JOBS - 1:05}", 0, 1)}


def test_the_index_follows_a_job(stage: Stage) -> None:
    """From creation to the end and from a retry to removal. Jobs of other queues are not read."""
    record, job = make_job(stage)
    assert unfinished_names(stage.client, "", None, 10) == (["j"], None)
    assert unfinished_names(stage.client, "other-", None, 10) == ([], None)
    record.seal(job.uid, record.attach_producer(job.uid))
    assert record.claim_aggregation("h", 5)
    assert record.finish(record.load(), "h", 60, {0: "a.jpg"}) == "finished"
    assert unfinished_names(stage.client, "", None, 10) == ([], None)
    assert record.reopen(record.load()) == 1
    assert unfinished_names(stage.client, "", None, 10) == (["j"], None)
    record.delete()
    assert unfinished_names(stage.client, "", None, 10) == ([], None)


def test_the_index_is_repaired(stage: Stage) -> None:
    """Records from before the index existed are added. Names without a record are removed."""
    make_job(stage, "old")
    make_job(stage, "gone")
    stage.client.delete(UNFINISHED, f"{PREFIX}job:gone")
    stage.client.zadd(UNFINISHED, {":lost": 0})
    Reconciler(make_celery(stage.settings), stage.client, stage.settings, "w").step()
    assert stage.client.zrange(UNFINISHED, 0, -1) == [b":old"]
    assert stage.client.zrange(REGISTRY, 0, -1) == [b"old"]
    assert [job.name for job in list_jobs(stage.client)] == ["old"]


def test_unleased_batches_are_found_in_stretches(stage: Stage) -> None:
    """All unleased batches are found, and the leased ones in between are left out."""
    record, job = make_job(stage)
    stage.client.zadd(f"{PREFIX}job:j:open", {str(batch): batch + 1 for batch in range(2500)})
    assert record.take(job.uid, 1200, 1201, "h", 60) != "done"
    assert record.find_unleased() == {batch: str(batch + 1) for batch in range(2500) if batch != 1200}


def _long_queue(stage: Stage, messages: int) -> int:
    """Enqueues messages of two jobs, a third of them of `gone`; returns their size in bytes."""
    app = make_celery(stage.settings)
    for name in ("gone", "kept"):
        make_job(stage, name)
    for batch in range(messages):
        name = "gone" if batch % 3 == 0 else "kept"
        paths = [f"some/folder/photograph-{batch:05}-{k}.jpg" for k in range(20)]
        message = EmbedBatch(version=1, job=name, uid="0" * 32, batch=batch, send=1, images=paths)
        send_batch(app, stage.settings, "embed", message)
    return sum(map(len, stage.client.lrange("embed", 0, -1)))


def test_cancelling_does_not_look_through_the_queue(stage: Stage) -> None:
    """Workers drop the messages (`test_cancelling_leaves_only_messages_behind_and_they_do_nothing`)."""
    _long_queue(stage, 30)
    before = stage.client.lrange("embed", 0, -1)
    stage.client.config_resetstat()
    cancel_job(stage.client, "gone", stage.settings)
    assert not {f"cmdstat_{name}" for name in ("lrange", "lset", "lrem", "lpop", "rpop")} & _commands(stage)
    assert stage.client.lrange("embed", 0, -1) == before


def _commands(stage: Stage) -> set[str]:
    return set(stage.client.info("commandstats"))


def test_the_task_ids_of_a_long_queue_are_read_on_the_server(stage: Stage) -> None:
    """All ids are read in short ranges, without transferring the messages."""
    size = _long_queue(stage, 600)
    stage.client.config_resetstat()
    assert waiting_tasks(stage.client, "embed") == {
        embed_task_id("kept" if batch % 3 else "gone", batch, 1) for batch in range(600)
    }
    assert stage.client.info("stats")["total_net_output_bytes"] < size / 20
    assert stage.client.info("commandstats")["cmdstat_evalsha"]["calls"] >= 600 / 64
