"""Measures an update beside a job from nothing.

    python benchmarks/update.py DATA/humans [--images 5000] [--new 50] [--faces 50000] [--new-faces 100]

First, `run` with copies of the given photos whose bytes differ, so that each is computed; then some more are added, and
`run` is repeated. Then the steps of an update with made-up embeddings: that measures everything except the pipeline.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np

from benchmarks.machine import describe_machine
from benchmarks.targets import print_targets
from producer.local.redis_server import EmbeddedServer
from producer.submission.batches import enqueue_images
from producer.submission.folder_source import FolderSource
from producer.submission.jobs import open_job
from producer.submission.requests import Request
from shared.config.settings import Settings
from shared.domain.contract import KNOWN_WEIGHTS, Contract, Runtime
from shared.domain.options import WhenDistances
from shared.domain.outcomes import Outcome
from shared.messaging.celery_app import make_celery
from shared.store.jobs import JobRecord
from shared.store.redis_client import connect
from tests.support.made_up_blocks import commit_batch
from worker.aggregation.results_writer import write_results
from worker.aggregation.spilling import read_blocks
from worker.batch_result import ImageRecord

ROOT = Path(__file__).parent.parent
WEIGHTS = "casia-webface"
CONTRACT = Contract(faces="largest", mode="fast", margin_px=32, weights=WEIGHTS, weights_sha256=KNOWN_WEIGHTS[WEIGHTS])
RUNTIME = Runtime(backend="made up", device="cpu", instruction_set="none", decoder="none")
OLD_S = 1_600_000_000
START_S = 10
STEPS_S = 30


def main() -> None:
    """Prints both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--new", type=int, default=50)
    parser.add_argument("--faces", type=int, default=50_000)
    parser.add_argument("--new-faces", type=int, default=100)
    arguments = parser.parse_args()
    print(describe_machine() + "\n")
    images, new, faces, new_faces = arguments.images, arguments.new, arguments.faces, arguments.new_faces
    with tempfile.TemporaryDirectory(prefix="update-") as folder:
        nothing, update, unchanged = measure_run(Path(folder), arguments.photos, images, new)
        steps, copying = measure_steps(Path(folder), faces, new_faces)
    # Starting, and the new images at the rate of the first job, whose loading of the networks is part of it.
    share = nothing * new / images
    most = START_S + 2 * share
    print_targets(
        [
            (
                f"`run` with {new:,} new images among {images:,}",
                f"under {most:.0f} s",
                f"{update:.1f} s",
                update < most,
            ),
            ("`run` without changes", f"under {START_S} s", f"{unchanged:.1f} s", unchanged < START_S),
            (
                f"update of {faces:,} faces with {new_faces:,} new ones, beyond copying the matrix ({copying:.1f} s)",
                f"under {STEPS_S} s",
                f"{steps - copying:.1f} s",
                steps - copying < STEPS_S,
            ),
        ]
    )


def measure_run(folder: Path, photos: Path, images: int, new: int) -> tuple[float, float, float]:
    """`run` from nothing, with more photos, and again without changes: seconds by the clock."""
    sources = sorted(path for path in photos.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))
    numbered = enumerate(islice(cycle(sources), images + new))
    (folder / "photos").mkdir()
    add = islice(numbered, images)
    print("| run | images | computed | s |\n| --- | ---: | ---: | ---: |")
    spent: list[float] = []
    for label, count in (("from nothing", images), ("update", new), ("nothing changed", 0)):
        for number, source in add:
            path = folder / "photos" / f"{number:06d}.jpg"
            path.write_bytes(source.read_bytes() + number.to_bytes(4, "big"))  # decoders ignore what follows the end
            os.utime(path, (OLD_S, OLD_S))
        total = sum(1 for _ in (folder / "photos").iterdir())
        spent.append(_run(folder))
        print(f"| {label} | {total:,} | {count:,} | {spent[-1]:.1f} |", flush=True)
        add = numbered if label == "from nothing" else iter(())
    return spent[0], spent[1], spent[2]


def _run(folder: Path) -> float:
    command = [sys.executable, "-m", "producer", "run", "photos", "--results", "out", "--job", "archive"]
    own = {"FACEQUEUE_STATE_DIR": str(folder / "state"), "FACEQUEUE_CACHE_TTL_S": "0", "PYTHONPATH": str(ROOT)}
    started = time.perf_counter()
    subprocess.run(command, cwd=folder, env=os.environ | own, check=True, capture_output=True)
    return time.perf_counter() - started


def measure_steps(folder: Path, faces: int, new: int) -> tuple[float, float]:
    """The steps of an update without the pipeline: comparing, recording, and writing results. Returns the seconds that
    they take together with a matrix, and those of copying the matrix alone.
    """
    images, results = folder / "made-up", folder / "results"
    images.mkdir()
    for number in range(faces):
        _make(images / f"{number:06d}.jpg")
    server = EmbeddedServer(folder / "server")
    server.start()
    try:
        print(f"\n| step, {faces:,} faces and {new:,} new ones | from nothing, s | update, s |\n| --- | ---: | ---: |")
        settings = Settings(_env_file=None, redis_url=server.url, data_root=images, results_dir=results, lease_s=60)
        columns: list[dict[str, float]] = []
        for distances in ("none", "full"):
            for added in (0, new):
                for number in range(added):
                    _make(images / f"{number * faces // new:06d}-{distances}.jpg")
                columns.append(_steps(settings, images, f"with-{distances}", distances))
        nothing, update, with_matrix, update_matrix = columns
        for step in nothing:
            print(f"| {step} | {nothing[step]:.2f} | {update[step]:.2f} |")
        writing = "writing results"
        print(f"| {writing} with distances | {with_matrix[writing]:.2f} | {update_matrix[writing]:.2f} |")
        started = time.perf_counter()
        shutil.copyfile(results / "with-full" / "distances.npy", folder / "copy.npy")
        copying = time.perf_counter() - started
        print(f"\nCopying the matrix alone takes {copying:.2f} s.")
        return sum(update_matrix.values()), copying
    finally:
        server.stop()


def _make(path: Path) -> None:
    path.write_text(path.name)
    os.utime(path, (OLD_S, OLD_S))


def _steps(settings: Settings, images: Path, name: str, distances: WhenDistances) -> dict[str, float]:
    client, source = connect(settings), FolderSource.open(images)
    request = Request(
        source=source, contract=CONTRACT, batch_size=1024, distances=distances, report=False, job=name, results_dir=None
    )
    times = [time.perf_counter()]
    opened = open_job(client, request, settings, lambda line: None)
    times.append(time.perf_counter())
    assert opened.job is not None
    enqueue_images(client, make_celery(settings), opened.job, source, settings, print, plan=opened.plan)
    times.append(time.perf_counter())
    record = JobRecord(client, name)
    _compute(record, images)
    job = record.load()
    begun = time.perf_counter()
    written = write_results(
        job,
        read_blocks(client, job, settings.results_dir),
        {},
        settings.results_dir,
        resources=dict,
        threads=os.cpu_count() or 1,
        distances_max_bytes=float("inf"),
        may_publish=lambda: True,
    )
    wrote = time.perf_counter() - begun
    assert record.claim_aggregation("a", 600)
    record.finish(job, "a", 600, written.failed)
    return {"comparing": times[1] - times[0], "recording": times[2] - times[1], "writing results": wrote}


def _compute(record: JobRecord, images: Path) -> None:
    """Commits made-up blocks for every open batch."""
    job = record.load()
    record.agree_on_runtime(job.uid, RUNTIME)
    while record.dispatch(job.turns_queue, job.priority) is not None:
        pass
    for batch, send in record.find_unleased().items():
        found = record.resend(job.uid, batch, send)
        assert found is not None
        record.take(job.uid, batch, found.send, "h", 600)
        commit_batch(record, job.uid, batch, list(_records(images, found.images)), _embeddings(found.images))


def _records(images: Path, paths: list[str]) -> Iterator[ImageRecord]:
    for path in paths:
        status = (images / path).stat()
        yield ImageRecord(
            path=path,  # type: ignore[arg-type]
            outcome=Outcome.OK,
            faces=[[1.0, 2.0, 3.0, 4.0, 0.9, *[2.0] * 15]],
            digest=path.encode().hex()[-32:],
            size=status.st_size,
            mtime_ns=status.st_mtime_ns,
        )


def _embeddings(paths: list[str]) -> np.ndarray:
    vectors = np.random.default_rng(abs(hash(paths[0]))).standard_normal((len(paths), CONTRACT.dimensions), np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


if __name__ == "__main__":
    main()
