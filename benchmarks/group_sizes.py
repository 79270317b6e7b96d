"""Times the groups of large jobs, once the neighbors of all faces are in a file.

    python benchmarks/group_sizes.py [--sizes 100000 1000000] [--copies 67]

The made-up faces are drawn around one center for 20 of them, each with its 64 nearest: those of its center, then
unrelated ones, and for a tenth of the faces one of another center within the threshold, so that most faces hang
together. The copies are of 1,500 faces. Memory is the private memory of a process that does nothing else. Linux only.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.machine import describe_machine
from benchmarks.peak_memory import peak_memory
from benchmarks.targets import print_targets
from shared.analysis.calibration import SAME_PERSON
from shared.analysis.clustering import number_groups
from shared.analysis.copies import Copies, find_copies
from shared.analysis.face_neighbors import rows_of_embeddings, rows_of_faces
from shared.analysis.medoids import medoid_distances
from shared.analysis.near_pairs import near_neighbors
from shared.analysis.neighbor_linkage import link_neighbors
from shared.domain.arrays import Float32
from shared.results.neighbors_file import Neighbors, NeighborsWriter, read_neighbors

Float64 = npt.NDArray[np.float64]
ROOT = Path(__file__).parent.parent
NEIGHBORS, OF_A_CENTER, COPIED = 64, 20, 1500
MOST_S_OF_100_000, MOST_S_OF_A_MILLION, MOST_MIB = 30, 300, 4096
_DIMENSIONS = 128
_EMBEDDINGS, _FILE, _FOUND = "embeddings.npy", "neighbors.npz", "found.json"
_ROWS = 10_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="*", type=int, default=[100_000, 1_000_000], help="numbers of made-up faces")
    parser.add_argument("--copies", type=int, default=67, help="copies of each of 1,500 faces; 0: none")
    parser.add_argument("--of", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.of is not None:
        time_groups(arguments.of)
    else:
        compare_sizes(arguments.sizes, arguments.copies)


def compare_sizes(sizes: list[int], copies: int) -> None:
    """Prints seconds and memory of each size."""
    print(f"{describe_machine()}\n\n| faces | copies, s | groups, s | medoids, s | groups | private memory, MiB |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    rows = [_measure(f"{size:,}", size, partial(make_faces, count=size)) for size in sizes]
    if copies:
        rows.append(_measure(f"{copies} copies of {COPIED:,}", 1, partial(make_copies, copies=copies)))
    print_targets([row for some in rows for row in some])


def _measure(name: str, faces: int, make: Callable[[Path], None]) -> list[tuple[str, str, str, bool]]:
    """Prints a row of the table; returns the targets."""
    with tempfile.TemporaryDirectory(prefix="groups-") as folder:
        make(Path(folder))
        peak = peak_memory([sys.executable, str(Path(__file__).resolve()), "--of", folder], ROOT)
        found = json.loads((Path(folder) / _FOUND).read_text())
    seconds = [found["copies_s"], found["groups_s"], found["medoids_s"]]
    cells = " | ".join(f"{value:.1f}" for value in seconds)
    print(f"| {name} | {cells} | {found['groups']:,} | {peak.private:,.0f} |", flush=True)
    most = MOST_S_OF_100_000 if faces <= 100_000 else MOST_S_OF_A_MILLION
    total = sum(seconds)
    return [
        (f"groups of {name}", f"at most {most} s", f"{total:.1f} s", total <= most),
        (f"memory of {name}", f"at most {MOST_MIB:,} MiB", f"{peak.private:,.0f} MiB", peak.private <= MOST_MIB),
    ]


def time_groups(folder: Path) -> None:
    """Does what an aggregator does with the neighbors, and writes the seconds."""
    embeddings = np.load(folder / _EMBEDDINGS, mmap_mode="r")
    started = time.perf_counter()
    copies = find_copies(embeddings)
    copied = time.perf_counter()
    neighbors = read_neighbors(folder / _FILE, len(embeddings))
    known = rows_of_embeddings(neighbors, copies, SAME_PERSON)
    labels = link_neighbors(embeddings, known, copies, SAME_PERSON)
    numbers = number_groups(labels[copies.number])
    grouped = time.perf_counter()
    medoid_distances(copies, labels, embeddings)
    ended = time.perf_counter()
    found = {"copies_s": copied - started, "groups_s": grouped - copied, "medoids_s": ended - grouped}
    (folder / _FOUND).write_text(json.dumps(found | {"groups": int(numbers.max())}))


def make_copies(folder: Path, copies: int) -> None:
    """Writes embeddings and neighbors of faces that are all there several times."""
    random = np.random.default_rng(0)
    rows = _around(random, np.repeat(random.standard_normal((COPIED // OF_A_CENTER, _DIMENSIONS)), OF_A_CENTER, 0))
    np.save(folder / _EMBEDDINGS, np.tile(rows, (copies, 1)))
    number = np.tile(np.arange(len(rows)), copies)
    with NeighborsWriter(folder / _FILE, len(number)) as file:
        for some in rows_of_faces(near_neighbors(rows, NEIGHBORS), Copies(np.arange(len(rows)), number)):
            file.add(some)


def make_faces(folder: Path, count: int) -> None:
    """Writes embeddings and neighbors of faces around centers."""
    random = np.random.default_rng(0)
    center = random.integers(0, max(1, count // OF_A_CENTER), count)
    order = np.argsort(center, kind="stable")
    embeddings = np.lib.format.open_memmap(folder / _EMBEDDINGS, "w+", np.float32, (count, _DIMENSIONS))
    faces = random.integers(0, count, (count, NEIGHBORS), np.int32)
    distances = np.sort(random.uniform(1.25, 1.4, (count, NEIGHBORS)).astype(np.float32), axis=1)
    begins = np.flatnonzero(np.diff(center[order], prepend=-1, append=count)).tolist()
    for begin, end in pairwise(begins):
        own = order[begin:end]
        rows = _around(random, np.repeat(random.standard_normal((1, _DIMENSIONS)), len(own), 0))
        apart = np.sqrt(np.maximum(2 - 2 * (rows @ rows.T), 0))
        np.fill_diagonal(apart, np.inf)
        nearest = np.argsort(apart, axis=1, kind="stable")[:, : min(NEIGHBORS, len(own) - 1)]
        embeddings[own] = rows
        faces[own, : nearest.shape[1]] = own[nearest]
        distances[own, : nearest.shape[1]] = np.take_along_axis(apart, nearest, 1)
    strangers = random.random(count) < 0.1
    distances[strangers, -1] = random.uniform(0.88, SAME_PERSON, int(strangers.sum()))
    with NeighborsWriter(folder / _FILE, count) as file:
        for first in range(0, count, _ROWS):
            some, near = faces[first : first + _ROWS], distances[first : first + _ROWS]
            by_distance = np.argsort(near, axis=1, kind="stable")
            some, near = (np.take_along_axis(values, by_distance, 1) for values in (some, near))
            file.add(Neighbors(np.arange(len(some) + 1) * NEIGHBORS, some.reshape(-1), near.reshape(-1)))


def _around(random: np.random.Generator, centers: Float64) -> Float32:
    """Rows of length 1, 0.6 to 0.9 apart if they have one center."""
    rows = centers + 0.6 * random.standard_normal(centers.shape)
    unit: Float32 = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return unit


if __name__ == "__main__":
    main()
