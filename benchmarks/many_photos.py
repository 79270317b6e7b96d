"""Groups of made-up people of whom there are few or very many photos: `python benchmarks/many_photos.py [--people 64]`.

Each person has 20 to 1,000 faces, spread as FaceNet's embeddings are; `--above` of the pairs of a person are farther
apart than the threshold of the groups, as photos of many years are. Precision, recall and F as in `groups.py`.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.groups import FACENET_SPREAD, Labels, all_within, bcubed, linkage_in_use, pairwise
from benchmarks.machine import describe_machine
from shared.analysis.calibration import SAME_PERSON
from shared.domain.arrays import Float32
from shared.results.distances import Distances, condensed

FEWEST, MOST = 20, 1000
_SEARCH_STEPS = 12


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=64)
    parser.add_argument("--above", type=float, nargs="+", default=[0.05, 0.1, 0.22], help="of the pairs of a person")
    arguments = parser.parse_args()
    print(describe_machine())
    print("\n| pairs above | faces | method | groups | BCubed precision | recall | F | pairwise F |")
    print("| ---: | ---: | --- | ---: | ---: | ---: | ---: | ---: |")
    for above in arguments.above:
        people, embeddings = made_up_photos(arguments.people, above)
        for name, method in {"in use": linkage_in_use, "within the threshold, components": all_within}.items():
            (labels,) = method(embeddings, [SAME_PERSON])
            figures = [*bcubed(labels, people), pairwise(labels, people)[2]]
            cells = " | ".join(f"{value:.3f}" for value in figures)
            groups = len(np.unique(labels))
            print(f"| {above:.0%} | {len(people):,} | {name} | {groups} of {arguments.people} | {cells} |", flush=True)


def made_up_photos(people: int, above: float) -> tuple[Labels, Float32]:
    """The person of each face [n], and the embeddings [n, 512], with this share of a person's pairs above the
    threshold.
    """
    sizes = np.geomspace(FEWEST, MOST, people).astype(int)
    number = np.repeat(np.arange(people), sizes)
    low, high = 0.1, 3.0
    for _ in range(_SEARCH_STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if _above(number, _around(number, middle)) > above else (middle, high)
    return number, _around(number, low)


def _around(number: Labels, noise: float) -> Float32:
    random = np.random.default_rng(0)
    centers = random.standard_normal((int(number.max()) + 1, len(FACENET_SPREAD)), np.float32)
    faces = np.float32(noise) * random.standard_normal((len(number), centers.shape[1]), np.float32)
    faces = (faces + centers[number]) * FACENET_SPREAD
    return faces / np.linalg.norm(faces, axis=1, keepdims=True)


def _above(number: Labels, embeddings: Float32) -> float:
    """The mean, over people, of the share of pairs above the threshold, from the first faces of each."""
    shares = []
    for person in range(int(number.max()) + 1):
        some = embeddings[number == person][:FEWEST]
        shares.append(float((condensed(Distances(some).among(np.arange(len(some))), np.float64) > SAME_PERSON).mean()))
    return float(np.mean(shares))


if __name__ == "__main__":
    main()
