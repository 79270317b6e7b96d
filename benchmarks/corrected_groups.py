"""Compares the time of groups that keep to corrections with that of groups without.

    python benchmarks/corrected_groups.py [--faces 100000] [--corrections 5000]

The faces are those of `group_sizes.py`. A third of the corrections names faces, four of a person; a third says that
faces of two groups are one person, and a third that faces of one group are not.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.group_sizes import make_faces
from benchmarks.machine import describe_machine
from benchmarks.targets import print_targets
from shared.analysis.calibration import SAME_PERSON
from shared.analysis.constraints import Labels, constraints_of
from shared.analysis.copies import find_copies
from shared.analysis.face_neighbors import rows_of_embeddings
from shared.analysis.neighbor_linkage import link_neighbors
from shared.domain.paths import ShownPath
from shared.results.corrections import Correction, FaceReference, Kind
from shared.results.found_faces import FoundCorrection
from shared.results.neighbors_file import read_neighbors

MOST_TIMES = 1.5
_REPEATS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=int, default=100_000)
    parser.add_argument("--corrections", type=int, default=5_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="corrected-") as folder:
        compare(Path(folder), arguments.faces, arguments.corrections)


def compare(folder: Path, faces: int, corrections: int) -> None:
    """Prints the processor seconds of both, the least of three runs each, one after the other. Both take one core."""
    make_faces(folder, faces)
    embeddings = np.load(folder / "embeddings.npy", mmap_mode="r")
    copies = find_copies(embeddings)
    neighbors = rows_of_embeddings(read_neighbors(folder / "neighbors.npz", faces), copies, SAME_PERSON)
    plain, corrected, said = [], [], list[FoundCorrection]()
    for _ in range(_REPEATS):
        started = time.process_time()
        labels = link_neighbors(embeddings, neighbors, copies, SAME_PERSON)
        plain.append(time.process_time() - started)
        said = said or made_up_corrections(labels, corrections)
        started = time.process_time()
        constraints = constraints_of(said, copies)
        constrained = link_neighbors(embeddings, neighbors, copies, SAME_PERSON, constraints)
        corrected.append(time.process_time() - started)
    print(
        f"{describe_machine()}\n\n| faces | corrections | groups, s | with corrections, s | groups | with corrections |"
    )
    print("| --- | --- | ---: | ---: | ---: | ---: |")
    counts = [len(np.unique(found)) for found in (labels, constrained)]
    print(f"| {faces:,} | {len(said):,} | {min(plain):.2f} | {min(corrected):.2f} | {counts[0]:,} | {counts[1]:,} |")
    times = min(corrected) / min(plain)
    print_targets([("time with corrections", f"at most {MOST_TIMES} times", f"{times:.2f} times", times <= MOST_TIMES)])


def made_up_corrections(labels: Labels, count: int) -> list[FoundCorrection]:
    """Corrections that do not exclude each other: each third is about groups of its own."""
    random = np.random.default_rng(1)
    order = np.argsort(labels, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(labels[order])) + 1)
    several = [faces.tolist() for faces in groups if len(faces) >= 4]
    random.shuffle(several)
    named, joined, parted = (several[part::3] for part in range(3))
    third = count // 3
    said = [
        FoundCorrection(Correction(Kind.PERSON, _NO_FACE, f"person {number}"), face)
        for number, faces in enumerate(named[: third // 4])
        for face in faces[:4]
    ]
    pairs = list(zip(joined[::2], joined[1::2], strict=False))
    said += [_pair(Kind.SAME, one[k], other[k]) for k in range(4) for one, other in pairs][:third]
    said += [_pair(Kind.DIFFERENT, faces[k], faces[3]) for k in range(3) for faces in parted][:third]
    return said


def _pair(kind: Kind, face: int, other: int) -> FoundCorrection:
    return FoundCorrection(Correction(kind, _NO_FACE, "", _NO_FACE), face, other)


_NO_FACE = FaceReference(ShownPath("made-up.jpg"))


if __name__ == "__main__":
    main()
