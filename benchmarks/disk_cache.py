"""Measures the cache on disk: its size per face, and the time to keep a batch and to recall an image.

    python benchmarks/disk_cache.py [--images 50000] [--processes 2]

The processes write to one file at the same time, in batches of 16, as workers do: one face per image, with a made-up
embedding and a thumbnail of 2.5 KB.
"""

import argparse
import json
import multiprocessing
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np

from benchmarks.machine import describe_machine
from benchmarks.targets import print_targets
from shared.disk_cache.cache_file import size_on_disk
from shared.domain.contract import DEFAULT_WEIGHTS, KNOWN_WEIGHTS, Contract, Runtime
from shared.domain.outcomes import Outcome
from worker.batch_result import ImageRecord
from worker.execution.disk_cache import DiskCache
from worker.execution.result_cache import ContractCache
from worker.vision.pipeline import Result

BATCH = 16
MOST_KEEP_MS, MOST_RECALL_US, MOST_BYTES_A_FACE = 10.0, 200.0, 6000.0
CONTRACT = Contract(
    faces="largest", mode="fast", margin_px=32, weights=DEFAULT_WEIGHTS, weights_sha256=KNOWN_WEIGHTS[DEFAULT_WEIGHTS]
)
RUNTIME = Runtime(backend="openvino", device="cpu", instruction_set="avx2", decoder="Pillow")


def work(folder: Path, first: int, count: int, answers: "multiprocessing.Queue[str]") -> None:
    """Keeps and recalls `count` images; answers with the milliseconds per batch and the microseconds per image."""
    random = np.random.default_rng(first)
    disk = DiskCache(folder, 2**36, least_free_bytes=0)
    cache = ContractCache(disk, CONTRACT, RUNTIME)
    keep_s = []
    for start in range(first, first + count, BATCH):
        batch = [_result(number, random) for number in range(start, start + BATCH)]
        began = time.perf_counter()
        cache.keep(batch)
        keep_s.append(time.perf_counter() - began)
    order = random.permutation(np.arange(first, first + count)).tolist()
    began = time.perf_counter()
    known = sum(cache.recall(_digest(number)) is not None for number in order)
    recall_s = time.perf_counter() - began
    keep_s.sort()
    figures = {"median": keep_s[len(keep_s) // 2] * 1e3, "longest": keep_s[-1] * 1e3, "recall": recall_s / count * 1e6}
    answers.put(json.dumps(figures | {"known": known}))


def _result(number: int, random: np.random.Generator) -> Result:
    thumbnail = b"\xff\xd8\xff" + random.bytes(2500)
    faces = [[1.5, 2.5, 30.5, 40.5, 0.99, *[9.5] * 15]]
    record = ImageRecord(path="p", outcome=Outcome.OK, faces=faces, digest=_digest(number), thumbnails=[thumbnail])
    return Result(record, random.random((1, 512), np.float32))


def _digest(number: int) -> str:
    # Digests come in no order, which matters to an index.
    return f"{number * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128:032x}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=50_000)
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    each = arguments.images // arguments.processes // BATCH * BATCH
    answers: multiprocessing.Queue[str] = multiprocessing.Queue()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        processes = [
            multiprocessing.Process(target=work, args=(folder, number * each, each, answers))
            for number in range(arguments.processes)
        ]
        for process in processes:
            process.start()
        found = [json.loads(answers.get()) for _ in processes]
        for process in processes:
            process.join()
        size = size_on_disk(folder) / (each * arguments.processes)
    known = sum(figures["known"] for figures in found)
    keep, longest, recall = (max(figures[name] for figures in found) for name in ("median", "longest", "recall"))
    print(f"{each * arguments.processes:,} images by {arguments.processes} processes. {describe_machine()}\n")
    print("| kept | bytes per face | to keep a batch, ms | the longest, ms | to recall an image, us |")
    print(f"| --- | --- | --- | --- | --- |\n| {known:,} | {size:.0f} | {keep:.1f} | {longest:.0f} | {recall:.0f} |")
    print_targets(
        [
            ("a face on the disk", f"at most {MOST_BYTES_A_FACE:.0f} B", f"{size:.0f} B", size <= MOST_BYTES_A_FACE),
            ("to keep a batch of 16", f"at most {MOST_KEEP_MS:g} ms", f"{keep:.1f} ms", keep <= MOST_KEEP_MS),
            ("to recall an image", f"at most {MOST_RECALL_US:g} us", f"{recall:.0f} us", recall <= MOST_RECALL_US),
        ]
    )


if __name__ == "__main__":
    main()
