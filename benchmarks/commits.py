"""Measures how many batches per second one server handles, and so how many worker processes it can serve.

    python benchmarks/commits.py [--processes 2] [--batches 2000] [--batch-size 16]

Each batch gets its turn, is leased, its lease is renewed once, and it is committed with a block of one face per image,
over the server's socket, as in a worker. The batches are recorded beforehand, and messages are left out. Client and
server share this machine's cores.
"""

import argparse
import multiprocessing
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np

from benchmarks.machine import describe_machine
from producer.local.redis_server import EmbeddedServer
from shared.config.settings import Settings
from shared.domain.contract import KNOWN_WEIGHTS, Contract
from shared.domain.options import Options
from shared.domain.outcomes import Outcome
from shared.store.jobs import JobRecord
from shared.store.redis_client import connect
from shared.store.turns import next_turn
from worker.batch_result import Block, ImageRecord

IMAGES_PER_S = 13.0  # of one worker process, default mode: `make bench`


def commit(url: str, name: str, batches: int, batch_size: int, answers: "multiprocessing.Queue[float]") -> None:
    """Commits the batches of one job; returns the seconds that it took."""
    client = connect(Settings(_env_file=None, redis_url=url))
    record = JobRecord(client, name)
    weights = "casia-webface"
    contract = Contract(
        faces="largest", mode="fast", margin_px=32, weights=weights, weights_sha256=KNOWN_WEIGHTS[weights]
    )
    options = Options(folder=".", batch_size=batch_size, distances="auto")
    job, _ = record.create(origin=name, source=name, contract=contract, options=options, queue_prefix=name)
    token = record.attach_producer(job.uid)
    paths = [f"some/folder/photograph-{k:06}.jpg" for k in range(batch_size)]
    for batch in range(batches):
        record.add_batch(job.uid, token, batch, paths)
    record.queue_up(job.uid, job.turns_queue)
    images = [
        ImageRecord(path=path, outcome=Outcome.OK, faces=[[1.5, 2.5, 3.5, 4.5, 0.99, *[2.5] * 15]]) for path in paths
    ]
    block = Block(
        batch=0,
        attempt=1,
        worker="w",
        started_ms=0,
        ended_ms=0,
        commit_ms=0,
        images=images,
        embeddings=np.random.default_rng(0).random((batch_size, 512), np.float32),
    ).pack()
    started = time.perf_counter()
    for batch in range(batches):
        assert next_turn(client, job.turns_queue) is not None
        one = record.dispatch(job.turns_queue, job.priority)
        assert one is not None and one.batch == batch
        record.take(job.uid, batch, one.sent.send, "h", 15)
        record.renew(batch, "h", 15)
        record.commit(job.uid, batch, block, {"ok": batch_size}, batch_size)
    answers.put(time.perf_counter() - started)
    record.delete()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--batches", type=int, default=2000)
    parser.add_argument("--batch-size", type=int, default=16)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        server = EmbeddedServer(Path(temporary))
        server.start()
        try:
            answers: multiprocessing.Queue[float] = multiprocessing.Queue()
            clients = [
                multiprocessing.Process(
                    target=commit, args=(server.url, f"c{k}", arguments.batches, arguments.batch_size, answers)
                )
                for k in range(arguments.processes)
            ]
            for client in clients:
                client.start()
            slowest = max(answers.get(timeout=300) for _ in clients)
            for client in clients:
                client.join(60)
        finally:
            server.stop()
    rate = arguments.processes * arguments.batches / slowest
    print(f"{describe_machine()}; {arguments.processes} clients and the server on the same cores\n")
    print("| batches/s | images/s | worker processes at 13 images/s each |\n| --- | --- | --- |")
    images = rate * arguments.batch_size
    print(f"| {rate:.0f} | {images:.0f} | {images / IMAGES_PER_S:.0f} |")


if __name__ == "__main__":
    main()
