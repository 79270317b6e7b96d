"""Time of an update of the nearest neighbors beside a search from nothing.

    python benchmarks/neighbor_updates.py [FACES ...]

Made-up faces in random order, on all cores. Each update is compared with the search from nothing.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.groups import made_up_faces
from benchmarks.machine import describe_machine
from shared.analysis.calibration import SAME_PERSON
from shared.analysis.candidates import wanted_of
from shared.analysis.copies import find_copies, places_among
from shared.analysis.near_pairs import concatenated, near_neighbors
from shared.analysis.neighbor_update import Earlier, NeighborUpdate
from shared.domain.arrays import Float32
from shared.domain.cpu_limits import usable_cores

NEIGHBORS = 64
_CHANGES = ((100, 0), (0, 10), (0, 100), (100, 100))


def measure(before: Float32, now: Float32, threads: int) -> tuple[float, int, float]:
    """Seconds from nothing, rows that an update searches, and its seconds. The results are the same."""
    earlier = near_neighbors(before, NEIGHBORS, threads, within=SAME_PERSON)
    started = time.perf_counter()
    expected = near_neighbors(now, NEIGHBORS, threads, within=SAME_PERSON)
    nothing_s = time.perf_counter() - started
    started = time.perf_counter()
    copies = find_copies(before)
    searched, wanted = (wanted_of(NEIGHBORS, SAME_PERSON, len(faces)) for faces in (before, now))
    update = NeighborUpdate(now, wanted, Earlier(earlier, copies, searched, places_among(now, before, copies)))
    anew = update.anew
    found = concatenated(list(update.rows(threads)), len(now))
    update_s = time.perf_counter() - started
    assert all((getattr(found, name) == getattr(expected, name)).all() for name in ("starts", "faces", "distances"))
    return nothing_s, anew, update_s


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("faces", type=int, nargs="*", default=[20_000])
    arguments = parser.parse_args()
    print(describe_machine())
    print("\n| faces | new | gone | rows searched | from nothing, s | update, s |")
    print("| --- | --- | --- | --- | --- | --- |")
    for size in arguments.faces:
        faces = np.random.default_rng(1).permutation(made_up_faces(size + 100))
        for new, gone in _CHANGES:
            nothing_s, anew, update_s = measure(faces[:size], faces[gone : size + new], usable_cores())
            share = f"{anew:,} ({anew / (size + new - gone):.1%})"
            print(f"| {size:,} | {new} | {gone} | {share} | {nothing_s:.1f} | {update_s:.1f} |", flush=True)


if __name__ == "__main__":
    main()
