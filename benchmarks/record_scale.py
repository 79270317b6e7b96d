"""Measures what many jobs, many batches and long queues cost the server and its clients.

    python benchmarks/record_scale.py [--jobs 10000] [--batches 1000000] [--messages 100000]

The server itself measures the duration of scripts (SLOWLOG) in wall-clock time: on a machine with other work, the
longest duration includes waiting for a core. The server's processor time does not. Client and server share this
machine's cores.
"""

import argparse
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from hashlib import sha1
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from prometheus_client import CollectorRegistry, generate_latest

from benchmarks.machine import describe_machine
from producer.local.redis_server import EmbeddedServer
from producer.monitoring.prometheus import QueueCollector
from producer.submission.jobs import cancel_job
from shared.config.settings import Settings
from shared.domain.contract import KNOWN_WEIGHTS, Contract
from shared.domain.options import Options
from shared.messaging.celery_app import make_celery, send_batch
from shared.messaging.messages import EmbedBatch
from shared.store.jobs import JobRecord
from shared.store.keys import PREFIX, REGISTRY, UNFINISHED
from shared.store.queue_inspection import waiting_tasks
from shared.store.redis_client import connect
from worker.supervision.reconciler import Reconciler

WEIGHTS = "casia-webface"
CONTRACT = Contract(faces="largest", mode="fast", margin_px=32, weights=WEIGHTS, weights_sha256=KNOWN_WEIGHTS[WEIGHTS])
MOST_MS = 10.0
SCRIPTS = Path(__file__).parent.parent / "shared" / "store" / "lua"
STEPS = 20


class Bench:
    """A server, and its measurements."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.client, self.app = settings, connect(settings), make_celery(settings)

    def make_job(self, name: str) -> JobRecord:
        """A new job without batches."""
        record = JobRecord(self.client, name)
        options = Options(folder=".", batch_size=16, distances="auto")
        record.create(origin=name, source=name, contract=CONTRACT, options=options, queue_prefix="")
        return record

    def in_portions(self, amount: int) -> Iterator[tuple[Any, range]]:
        """Yields pipelines for 10,000 steps each, and runs each when it is full."""
        for first in range(0, amount, 10_000):
            with self.client.pipeline(transaction=False) as pipe:
                yield pipe, range(first, min(amount, first + 10_000))
                pipe.execute()

    def measure(self, what: str, call: Callable[[], object], times: int = 1) -> None:
        """Prints the duration of some calls, the server's time for one call, its scripts, and this process's memory
        growth.
        """
        self.client.config_set("slowlog-log-slower-than", 0)
        self.client.config_set("slowlog-max-len", 100_000)
        self.client.slowlog_reset()
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        server_ms, took_ms = self._server_ms(), []
        for _ in range(times):
            started = time.perf_counter()
            call()
            took_ms.append((time.perf_counter() - started) * 1000)
        server_ms = (self._server_ms() - server_ms) / times
        entries = [entry for entry in self.client.slowlog_get(100_000) if entry["command"][:4] == b"EVAL"]
        scripts = sorted((entry["duration"] / 1000, _script_of(entry["command"])) for entry in entries) or [(0.0, "-")]
        usual, (longest, name) = scripts[int(0.99 * (len(scripts) - 1))][0], scripts[-1]
        missed = ", missed" if longest > MOST_MS else ""
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - grown) / 1024
        print(
            f"| {what} | {min(took_ms):.0f} | {median(took_ms):.0f} | {server_ms:.0f} | {usual:.1f} | "
            f"{longest:.1f} ({name}{missed}) | {len(entries)} | {grown:.0f} |",
            flush=True,
        )
        self.client.config_set("slowlog-log-slower-than", -1)

    def _server_ms(self) -> float:
        """The processor time of the server's thread that runs the scripts."""
        used = self.client.info("cpu")
        return 1000 * float(used["used_cpu_user_main_thread"] + used["used_cpu_sys_main_thread"])

    def copy_jobs(self, jobs: int, state: str) -> None:
        """Copies a record many times, each with an open batch whose message is in no queue."""
        raw = self.client.hgetall(f"{PREFIX}job:{self.make_job('original').name}")
        for pipe, numbers in self.in_portions(jobs):
            for number in numbers:
                name = f"{state}-{number:07}"
                pipe.hset(
                    f"{PREFIX}job:{name}", mapping=raw | {b"uid": f"{number:032x}", b"state": state, b"batches": 1}
                )
                pipe.zadd(REGISTRY, {name: number})
                if state == "sealed":
                    pipe.zadd(UNFINISHED, {f":{name}": 0})
                    pipe.zadd(f"{PREFIX}job:{name}:open", {"0": 1})

    def done_batches(self, record: JobRecord, batches: int) -> None:
        """Writes a record as if so many batches of a sealed job were done."""
        key = f"{PREFIX}job:{record.name}"
        for pipe, numbers in self.in_portions(batches):
            pipe.mset({f"{key}:block:{batch}": b"x" * 200 for batch in numbers})
            pipe.zadd(f"{key}:stored", {str(batch): batch for batch in numbers})
        self.client.hset(key, mapping={"state": "sealed", "batches": batches})

    def scrape(self) -> None:
        """Collects the metrics, as for Prometheus."""
        registry = CollectorRegistry()
        registry.register(QueueCollector(self.client, self.settings))
        generate_latest(registry)

    def start_over(self) -> None:
        """Empties the server."""
        self.client.flushall()


def _script_of(command: bytes) -> str:
    """The name of the script that `EVALSHA digest ...` runs."""
    digest = command.split()[1].decode()
    names = {sha1(path.read_bytes(), usedforsecurity=False).hexdigest(): path.stem for path in SCRIPTS.glob("*.lua")}
    return names.get(digest, digest)


def jobs_together(bench: Bench, jobs: int) -> None:
    """Measures the reconciler and the metrics with many jobs."""
    for state in ("finished", "sealed"):
        bench.copy_jobs(jobs, state)
        reconciler = Reconciler(bench.app, bench.client, bench.settings, "w")
        bench.measure(f"a reconciler's step, {jobs} {state} jobs", reconciler.step, STEPS)
        bench.measure(
            f"a scrape of the metrics, {jobs} {state} jobs", bench.scrape, 5
        )  # the log holds the commands of scripts too
        bench.start_over()


def one_large_job(bench: Bench, batches: int) -> None:
    """Measures removing and finishing a job with many batches."""
    record = bench.make_job("large")
    bench.done_batches(record, batches)
    bench.measure(f"removing a job of {batches} blocks", record.delete)
    record = bench.make_job("large")
    bench.done_batches(record, batches)
    record.claim_aggregation("h", 600)
    job = record.load()
    bench.measure(f"finishing a job of {batches} blocks", lambda: record.finish(job, "h", 60, {}))
    bench.measure("removing it then", record.delete)
    bench.start_over()


def long_queue(bench: Bench, messages: int) -> None:
    """Measures reading a long queue, and cancelling a job with a hundredth of its messages."""
    bench.make_job("gone")
    paths = [f"some/folder/of/photographs/photograph-{k:06}.jpg" for k in range(16)]
    message = EmbedBatch(version=1, job="kept", uid="0" * 32, batch=0, send=1, images=paths)
    for name in ("kept", "gone"):
        send_batch(bench.app, bench.settings, "embed", message.model_copy(update={"job": name}))
    gone, kept = bench.client.lrange("embed", 0, -1)
    for pipe, numbers in bench.in_portions(messages - 2):
        for number in numbers:
            pipe.lpush("embed", gone if number % 100 == 0 else kept)
    bench.measure(f"the task ids of {messages} messages", lambda: waiting_tasks(bench.client, "embed"), 3)
    bench.measure(
        f"cancelling a job of {messages // 100} of them", lambda: cancel_job(bench.client, "gone", bench.settings)
    )
    bench.start_over()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--batches", type=int, default=1_000_000)
    parser.add_argument("--messages", type=int, default=100_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        server = EmbeddedServer(Path(temporary))
        server.start()
        try:
            settings = Settings(_env_file=None, redis_url=server.url, results_dir=Path(temporary) / "results")
            bench = Bench(settings)
            print(f"{describe_machine()}; client and server on the same cores\n")
            print(
                "| what | ms, fastest | ms, median | server's processor time, ms | 99 % of scripts "
                "below, ms | longest, ms "
                "| scripts | MiB more in the client |"
            )
            print("| --- | --- | --- | --- | --- | --- | --- | --- |")
            jobs_together(bench, arguments.jobs)
            one_large_job(bench, arguments.batches)
            long_queue(bench, arguments.messages)
        finally:
            server.stop()


if __name__ == "__main__":
    main()
