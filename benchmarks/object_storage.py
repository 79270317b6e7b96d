"""Measures what object storage costs: images/s from this disk, and from an S3 server that is 50 ms away.

    python benchmarks/object_storage.py IMAGES [--rounds 5] [--delay-ms 50] [--batch-size 32]

IMAGES are copied into a folder and into a bucket of moto's S3 server, behind a proxy that delays every request. One
worker with one process serves jobs of the two kinds in turn, in batches of the same size, without a cache. Images per
second are counted from the first batch that is leased to the last commit.
"""

import argparse
import json
import logging
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import boto3
from moto.server import ThreadedMotoServer

from benchmarks.machine import describe_machine
from benchmarks.targets import print_targets
from producer.local.redis_server import EmbeddedServer
from tests.support.faulty_proxy import FaultyProxy

ROOT = Path(__file__).parent.parent
MOST_LOSS_PERCENT = 10.0
_KEYS = {"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench", "AWS_DEFAULT_REGION": "us-east-1"}


@contextmanager
def far_bucket(folder: Path, delay_s: float) -> Iterator[FaultyProxy]:
    """The bucket `photos` with the files of a folder, behind a proxy that delays every request."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    port = moto.get_host_and_port()[1]
    client = boto3.client(
        "s3",
        endpoint_url=f"http://127.0.0.1:{port}",
        aws_access_key_id="bench",
        aws_secret_access_key="bench",  # noqa: S106 - moto takes any
        region_name="us-east-1",
    )
    client.create_bucket(Bucket="photos")
    for path in folder.iterdir():
        client.put_object(Bucket="photos", Key=path.name, Body=path.read_bytes())
    proxy = FaultyProxy(port)
    proxy.delay_s = delay_s
    try:
        yield proxy
    finally:
        proxy.close()
        moto.stop()


def enqueue(folder: Path, environment: dict[str, str], source: str, job: str, batch_size: int) -> float:
    """Runs a job on the worker that is there; returns its images/s."""
    command = [sys.executable, "-m", "producer", "enqueue", source, "--job", job, "--wait", "--no-report"]
    command += ["--distances", "none", "--batch-size", str(batch_size)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode not in (0, 3):
        raise SystemExit(done.stderr)
    summary = json.loads((folder / "results" / job / "summary.json").read_text())
    assert set(summary["outcomes"]) <= {"ok", "no_face"}, summary["outcomes"]
    return float(summary["images_per_s"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--delay-ms", type=float, default=50.0)
    parser.add_argument("--batch-size", type=int, default=32)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="objects-") as temporary:
        folder = Path(temporary)
        images = folder / "data"
        images.mkdir()
        for number, path in enumerate(sorted(p for p in arguments.images.rglob("*") if p.is_file())):
            (images / f"{number:05d}{path.suffix}").write_bytes(path.read_bytes())
        count = sum(1 for _ in images.iterdir())
        print(f"{count} images, batches of {arguments.batch_size}, {arguments.delay_ms:g} ms. {describe_machine()}\n")
        with far_bucket(images, arguments.delay_ms / 1000) as proxy:
            print("| round | from this disk, images/s | from object storage, images/s |\n| ---: | ---: | ---: |")
            near, far = _measure(folder, proxy, arguments.rounds, arguments.batch_size)
    loss = 100 * (1 - statistics.median(b / a for a, b in zip(near, far, strict=True)))
    what = f"throughput lost to {arguments.delay_ms:g} ms an object (median)"
    print_targets([(what, f"under {MOST_LOSS_PERCENT:g} %", f"{loss:.1f} %", loss < MOST_LOSS_PERCENT)])


def _measure(folder: Path, proxy: FaultyProxy, rounds: int, batch_size: int) -> tuple[list[float], list[float]]:
    server = EmbeddedServer(folder / "server")
    server.start()
    environment = (
        os.environ
        | _KEYS
        | {
            "REDIS_URL": server.url,
            "AWS_ENDPOINT_URL": proxy.url,
            "FACEQUEUE_ALLOWED_URLS": "s3://photos",
            "FACEQUEUE_RESULTS_DIR": str(folder / "results"),
            "FACEQUEUE_DATA_ROOT": str(folder / "data"),
            "FACEQUEUE_STATE_DIR": str(folder / "state"),
            "FACEQUEUE_CACHE_TTL_S": "0",
            "PYTHONPATH": str(ROOT),
        }
    )
    command = [sys.executable, "-m", "worker", "--concurrency", "1"]
    worker = subprocess.Popen(
        command, cwd=folder, env=environment | {"FACEQUEUE_THREADS": "1"}, stderr=subprocess.DEVNULL
    )
    try:
        sources = {"near": str(folder / "data"), "far": "s3://photos"}
        for kind, source in sources.items():  # connections and networks are warm then
            enqueue(folder, environment, source, f"warm-up-{kind}", batch_size)
        found: dict[str, list[float]] = {kind: [] for kind in sources}
        for round_ in range(rounds):
            for kind in sorted(sources, reverse=round_ % 2 == 0):
                found[kind].append(enqueue(folder, environment, sources[kind], f"{kind}-{round_}", batch_size))
            print(f"| {round_ + 1} | {found['near'][-1]:.1f} | {found['far'][-1]:.1f} |", flush=True)
        return found["near"], found["far"]
    finally:
        worker.terminate()
        worker.wait(60)
        server.stop()


if __name__ == "__main__":
    main()
