"""Measures the memory and time that large archives take: the producer's walk, a worker process's reading, and a job.

    python benchmarks/archives.py [--gib 10] [--compressed-gib 1] [--job-members 20000]

Each kind of archive is made twice, small (64 MiB) and large, and memory must not depend on which. The members of a
plain tar are holes in a file, which take no disk; the others hold random bytes. A worker's reading is measured without
computing: its member reader gets every stretch in order. The job is a real `run` of a tar with copies of the sample
images, which are computed once. Linux only.
"""

import argparse
import csv
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from itertools import islice
from pathlib import Path
from typing import IO

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.machine import describe_machine
from benchmarks.peak_memory import Peak, peak_memory
from benchmarks.targets import print_targets

ROOT = Path(__file__).parent.parent
MEMBER_BYTES = 100 * 1024
SMALL_BYTES = 64 * 2**20
MOST_MORE_MIB = 12
"""By how much the large archive may exceed the small one: memory of a process also differs by chance."""
_BATCH = 16


def make_archive(path: Path, size: int) -> int:
    """Writes an archive of the kind that the suffix names, of about `size` bytes. Returns its number of members."""
    members = size // MEMBER_BYTES
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
            for k in range(members):
                archive.writestr(f"folder/{k:08}.jpg", os.urandom(MEMBER_BYTES))
    elif path.suffix == ".tar":
        with path.open("wb") as file:
            _write_tar(file, members, holes=True)
    else:
        tool = {".gz": ["gzip", "-1"], ".zst": [sys.executable, "-c", _ZSTD]}[path.suffix]
        with path.open("wb") as file, subprocess.Popen(tool, stdin=subprocess.PIPE, stdout=file) as process:
            assert process.stdin is not None
            _write_tar(process.stdin, members, holes=False)
    return members


_ZSTD = "import sys, zstandard; zstandard.ZstdCompressor().copy_stream(sys.stdin.buffer, sys.stdout.buffer)"


def _write_tar(file: IO[bytes], members: int, *, holes: bool) -> None:
    padding = -MEMBER_BYTES % tarfile.BLOCKSIZE
    for k in range(members):
        info = tarfile.TarInfo(f"folder/{k:08}.jpg")
        info.size = MEMBER_BYTES
        file.write(info.tobuf(tarfile.USTAR_FORMAT))
        if holes:
            file.seek(MEMBER_BYTES + padding, os.SEEK_CUR)
        else:
            file.write(os.urandom(MEMBER_BYTES) + bytes(padding))
    file.write(bytes(2 * tarfile.BLOCKSIZE))


def walk(path: Path) -> int:
    """What the producer does with an archive, without a server."""
    from producer.submission.archive_source import ArchiveSource

    return sum(1 for _ in ArchiveSource.open(path).find())


def read(path: Path) -> int:
    """What a worker process does with the batches of an archive, except computing. Returns the number of members."""
    from producer.submission.archive_source import ArchiveSource
    from shared.domain.paths import RootPath
    from shared.domain.stretch import Stretch
    from worker.execution.member_reader import MemberReader
    from worker.vision.decode import Limits

    reader, limits, count = MemberReader(), Limits(1 << 30, 1 << 30), 0
    found = ArchiveSource.open(path).find()
    while batch := list(islice(found, _BATCH)):
        members = [image.member for image in batch if image.member is not None]
        stretch = Stretch(
            archive=RootPath(members[0].archive),
            size=members[0].size,
            mtime_ns=members[0].mtime_ns,
            places=[member.place for member in members],
        )
        for image, member in zip(batch, members, strict=True):
            data = reader.read(path.parent, RootPath(image.path), stretch, member.place, limits, lambda: None)
            assert len(data) == MEMBER_BYTES
            count += 1
    return count


def measured(task: str, path: Path) -> Peak:
    """The peak memory of a process that walks or reads an archive."""
    peak = peak_memory([sys.executable, __file__, "--task", task, "--archive", str(path)], ROOT)
    if peak.exit_code:
        raise SystemExit(f"{task} {path.name} ended with code {peak.exit_code}")
    return peak


def run_job(folder: Path, members: int) -> tuple[float, float, float]:
    """Runs a job of a tar with copies of the sample images. Returns the peak of the producer's private memory and of
    its worker process's resident memory, in MiB, and the seconds it took.
    """
    from producer.sample_images import write_sample

    write_sample(folder / "sample")
    images = [path.read_bytes() for path in sorted((folder / "sample" / "hopper").glob("*.jpg"))]
    shard = folder / f"shard-{members}.tar"
    with tarfile.open(shard, "w") as tar:
        for k in range(members):
            info = tarfile.TarInfo(f"{k:08}.jpg")
            info.size = len(images[k % len(images)])
            tar.addfile(info, io.BytesIO(images[k % len(images)]))
    command = [
        sys.executable,
        "-m",
        "producer",
        "run",
        str(shard),
        "--job",
        f"j{members}",
        "--workers",
        "1",
        "--no-report",
    ]
    started = time.perf_counter()
    peak = peak_memory(
        [*command, "--distances", "none", "--results", str(folder / f"out-{members}")],
        ROOT,
        FACEQUEUE_STATE_DIR=str(folder / "state"),
        FACEQUEUE_CACHE_DIR=str(folder / "cache"),
    )
    spent_s = time.perf_counter() - started
    results = folder / f"out-{members}" / f"j{members}"
    assert json.loads((results / "summary.json").read_text())["images"] == members
    (samples,) = (results / "resources").glob("*.csv")
    with samples.open() as file:
        rss = [float(row["rss_mib"]) for row in csv.DictReader(file) if row["role"] == "child"]
    shard.unlink()
    return peak.private, max(rss), spent_s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gib", type=float, default=10.0, help="size of the plain tar")
    parser.add_argument("--compressed-gib", type=float, default=1.0, help="size of each other archive")
    parser.add_argument("--job-members", type=int, default=20_000, help="members of the job's tar; 0: no job")
    parser.add_argument("--task", choices=["walk", "read"], help=argparse.SUPPRESS)
    parser.add_argument("--archive", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.task:
        {"walk": walk, "read": read}[arguments.task](arguments.archive)
        return
    print(f"{describe_machine()}\n")
    print("| archive | GiB | members | task | private, MiB | of the small one | s | MiB/s |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |", flush=True)
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for suffix in (".tar", ".zip", ".tar.gz", ".tar.zst"):
            gib = arguments.gib if suffix == ".tar" else arguments.compressed_gib
            small, large = folder / f"small{suffix}", folder / f"large{suffix}"
            make_archive(small, SMALL_BYTES)
            members = make_archive(large, int(gib * 2**30))
            for task in ("walk", "read"):
                before = measured(task, small).private
                started = time.perf_counter()
                after = measured(task, large).private
                spent_s = time.perf_counter() - started
                print(
                    f"| {suffix} | {gib:g} | {members:,} | {task} | {after:.0f} | {before:.0f} | {spent_s:.1f} | "
                    f"{gib * 1024 / spent_s:.0f} |",
                    flush=True,
                )
                what = f"more private memory to {task} the large {suffix} than the small one"
                rows.append(
                    (what, f"under {MOST_MORE_MIB} MiB", f"{after - before:.1f} MiB", after - before < MOST_MORE_MIB)
                )
            small.unlink()
            large.unlink()
        if arguments.job_members:
            print("\n| job of a tar, members | producer, private MiB | worker process, MiB | s |")
            print("| --- | --- | --- | --- |", flush=True)
            peaks = []
            for members in (arguments.job_members // 10, arguments.job_members):
                producer, process, spent_s = run_job(folder, members)
                peaks.append((producer, process))
                print(f"| {members:,} | {producer:.0f} | {process:.0f} | {spent_s:.1f} |", flush=True)
            for k, who in enumerate(("producer", "worker process")):
                more = peaks[1][k] - peaks[0][k]
                target = 4 * MOST_MORE_MIB
                rows.append(
                    (
                        f"more memory of the {who} in the larger job",
                        f"under {target} MiB",
                        f"{more:.1f} MiB",
                        more < target,
                    )
                )
    print_targets(rows)


if __name__ == "__main__":
    main()
