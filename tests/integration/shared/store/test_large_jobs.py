"""The cost of a job with many batches: what is asked while it runs depends on its open batches, not on all of them."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, generate_latest

from producer.monitoring.prometheus import QueueCollector
from producer.submission.backpressure import Backpressure
from shared.messaging.celery_app import make_celery, send_batch
from shared.messaging.messages import EmbedBatch
from shared.store.jobs import list_jobs
from tests.integration.conftest import FreshJob
from worker.supervision.reconciler import Reconciler

OPEN, FEW, MANY = 20, 200, 10_000
REPLY_BYTES = 500
"""More digits in the numbers of a larger job, and in the server's answer about its own work."""


def _grow(fresh: FreshJob, batches: int) -> None:
    """Makes the record look as if so many batches were done."""
    with fresh.client.pipeline(transaction=False) as pipe:
        pipe.mset({fresh.key(f"block:{batch}"): b"x" * 50 for batch in range(batches)})
        pipe.zadd(fresh.key("stored"), {str(batch): batch for batch in range(batches)})
        done = {"batches": batches, "images": batches, "images_done": batches, "block_bytes": 50 * batches}
        pipe.hset(fresh.key(), mapping=done | {"outcome:ok": batches})
        pipe.execute()


def _open_batches(fresh: FreshJob, first: int) -> None:
    app = make_celery(fresh.stage.settings)
    for batch in range(first, first + OPEN):
        paths = [f"{batch:06}.jpg"]
        message = EmbedBatch(
            version=1, job="j", uid=fresh.uid, batch=batch, send=fresh.add(batch, *paths), images=paths
        )
        send_batch(app, fresh.stage.settings, fresh.stage.settings.embed_queue, message)


def _do_one(fresh: FreshJob) -> None:
    batch = fresh.load().batches
    fresh.take(batch, fresh.add(batch))
    assert fresh.commit(batch) == "stored"


def _calls(fresh: FreshJob) -> dict[str, Callable[[], object]]:
    client, settings = fresh.client, fresh.stage.settings
    registry = CollectorRegistry()
    registry.register(QueueCollector(client, settings))
    reconciler = Reconciler(make_celery(settings), client, settings, "w")
    reconciler.step()  # elected, with old files swept
    backpressure = Backpressure(client, fresh.record, settings, print, lambda: False)
    return {
        "status and watch": fresh.load,
        "jobs": lambda: list_jobs(client),
        "metrics": lambda: generate_latest(registry),
        "reconciler": reconciler.step,
        "producer": backpressure.wait,
        "producer and worker, one batch": lambda: _do_one(fresh),
        "aggregator, before it spills": lambda: fresh.record.stored(16),
    }


def _cost(fresh: FreshJob, call: Callable[[], object]) -> tuple[int, int]:
    """The server's commands, those of scripts included, and the bytes of its replies."""
    call()  # the first time, the server is sent the scripts
    fresh.client.config_resetstat()
    call()
    replies = int(fresh.client.info("stats")["total_net_output_bytes"])
    used = fresh.client.info("commandstats")
    own = ("cmdstat_info", "cmdstat_config|resetstat")
    return sum(int(command["calls"]) for name, command in used.items() if name not in own), replies


def test_what_is_asked_of_a_large_job_costs_the_server_no_more(fresh: FreshJob) -> None:
    """Fifty times as many done batches: the same commands, and replies of the same size."""
    costs: list[dict[str, tuple[int, int]]] = []
    for batches in (FEW, MANY):
        fresh.client.flushall()
        again = FreshJob(fresh.stage)
        _grow(again, batches)
        _open_batches(again, batches)
        costs.append({name: _cost(again, call) for name, call in _calls(again).items()})
    few, many = costs
    assert {name: commands for name, (commands, _) in few.items()} == {
        name: commands for name, (commands, _) in many.items()
    }
    more = {name: many[name][1] - few[name][1] for name in few}
    assert all(grown <= REPLY_BYTES for grown in more.values()), more
