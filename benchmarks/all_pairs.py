"""Measures false and true accepts over all pairs of labeled images, and how faces are grouped at each distance.

    python benchmarks/all_pairs.py IMAGES [--faces largest center] [--precision float32 bf16] [--mirror]

An image's person is the name of its folder. Faces are found by the whole cascade (`--exact`). The constants in
`shared/analysis/calibration.py` are `--faces largest` on LFW View 1; `--constants` prints them.
`benchmarks/verification_rates.py` has the statistics.
"""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.machine import describe_machine
from benchmarks.verification_rates import AllPairs, Interval, Share
from shared.analysis.clustering import find_groups
from shared.config.settings import load_settings
from shared.domain.arrays import Float32
from shared.domain.contract import KNOWN_WEIGHTS, FacePolicy, Precision
from shared.domain.cpu_limits import usable_cores
from worker.models.loader import load_networks
from worker.vision.decode import Limits, decode, read_bytes
from worker.vision.face_crops import crop_face
from worker.vision.face_selection import choose_faces
from worker.vision.integral_image import IntegralImage
from worker.vision.mtcnn_cascade import detect_faces
from worker.vision.pipeline import Networks, embed_crops

LIMITS = Limits(100 * 2**20, 100 * 10**6)
WEIGHTS = "casia-webface"
FALSE_RATES = (1e-2, 1e-3, 1e-4, 1e-5)
DISTANCES = (0.80, 0.85, 0.90, 0.95, 1.00, 1.05, 1.10, 1.15, 1.20)
_CROPS_A_PASS = 32
_RATE_HEADING = (
    "| faces | precision | mirror | false accepts | distance | false pairs | 95 % by people | 95 % binomial | "
    "true accepts | 95 % by people | 95 % binomial |"
)
_DISTANCE_HEADING = (
    "| distance | false accepts | 95 % by people | 95 % binomial | true accepts | 95 % by people | 95 % binomial | "
    "groups of 2 and more | of several people | BCubed F |"
)
Crops = NDArray[np.uint8]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path)
    parser.add_argument("--faces", nargs="+", default=["largest"], choices=["largest", "center"])
    parser.add_argument("--margin", type=int, default=32)
    parser.add_argument("--mirror", action="store_true", help="also with each crop's mirror image averaged in")
    parser.add_argument("--precision", nargs="+", default=["float32"], choices=["float32", "bf16"])
    parser.add_argument("--distances", nargs="+", type=float, default=DISTANCES, help="rows of the second table")
    parser.add_argument("--least", type=int, default=1, help="leave out people with fewer images")
    parser.add_argument("--threads", type=int, default=usable_cores())
    parser.add_argument("--constants", action="store_true", help="print the rows of shared/analysis/calibration.py")
    arguments = parser.parse_args()
    everyone = sorted(path for path in arguments.images.glob("*/*") if path.is_file())
    images = Counter(path.parent for path in everyone)
    paths = [path for path in everyone if images[path.parent] >= arguments.least]
    if len({path.parent for path in paths}) < 2:
        sys.exit(
            f"{arguments.images} has no folders of two people with {arguments.least} image(s): expected PERSON/FILE."
        )
    networks = {name: _load(name, arguments.threads) for name in arguments.precision}
    found = find_crops(paths, arguments.faces, arguments.margin, next(iter(networks.values())))
    print(f"{len(paths)} images, weights {WEIGHTS}, margin {arguments.margin} px, exact. {describe_machine()}\n")
    by_distance = []
    print(f"{_RATE_HEADING}\n{_rule(_RATE_HEADING)}")
    for faces, (crops, people) in found.items():
        plain: dict[str, Float32] = {}
        for precision, mirror in ((p, m) for p in networks for m in ((False, True) if arguments.mirror else (False,))):
            started = time.perf_counter()
            embeddings = embed(crops, networks[precision], mirror=mirror)
            face_ms = 1000 * (time.perf_counter() - started) / len(crops)
            pairs = AllPairs(embeddings, people)
            label = f"{faces} | {precision} | {'yes' if mirror else 'no'}"
            for rate in FALSE_RATES:
                print(f"| {label} | {_rate_row(pairs, rate)} |", flush=True)
            title = f"{faces}, {precision}{', mirror' if mirror else ''}: {len(people)} faces, {face_ms:.1f} ms a face"
            if not mirror:
                plain[precision] = embeddings
                title += _compared(plain)
            by_distance.append((title, pairs, embeddings, people))
    for title, pairs, embeddings, people in by_distance:
        print(f"\n{title}, {arguments.threads} thread(s)\n\n{_DISTANCE_HEADING}\n{_rule(_DISTANCE_HEADING)}")
        for distance in arguments.distances:
            print(f"| {_distance_row(pairs, distance)} | {_grouping(embeddings, people, distance)} |", flush=True)
        if arguments.constants:
            print("\n" + "\n".join(constants(pairs)))


def _load(precision: Precision, threads: int) -> Networks:
    return load_networks(WEIGHTS, KNOWN_WEIGHTS[WEIGHTS], load_settings(), threads, precision)


def find_crops(
    paths: list[Path], policies: list[FacePolicy], margin_px: int, networks: Networks
) -> dict[FacePolicy, tuple[Crops, NDArray[np.intp]]]:
    """For each policy the crops [n, 3, 160, 160] of the images with a face, and their people, numbered, [n]."""
    names = sorted({path.parent.name for path in paths})
    crops: dict[FacePolicy, list[Crops]] = {policy: [] for policy in policies}
    people: dict[FacePolicy, list[int]] = {policy: [] for policy in policies}
    for path in paths:
        image = decode(read_bytes(path, LIMITS), LIMITS)
        faces = detect_faces(IntegralImage(np.asarray(image)), networks)
        for policy in policies:
            for chosen in choose_faces(faces, policy, image.width, image.height)[:1]:
                crops[policy].append(crop_face(image, faces.boxes[chosen], margin_px).astype(np.uint8))
                people[policy].append(names.index(path.parent.name))
    return {policy: (np.stack(crops[policy]), np.array(people[policy], np.intp)) for policy in policies}


def embed(crops: Crops, networks: Networks, *, mirror: bool = False) -> Float32:
    """The embeddings [n, 512] of crops [n, 3, 160, 160]."""
    return np.concatenate([embed_crops(part, networks, mirror=mirror).copy() for part in _passes(crops)])


def _passes(crops: Crops) -> Iterator[Float32]:
    for first in range(0, len(crops), _CROPS_A_PASS):
        yield crops[first : first + _CROPS_A_PASS].astype(np.float32)


def constants(pairs: AllPairs) -> list[str]:
    """The rows of `shared.analysis.calibration.FALSE_ACCEPTS`."""
    rows = [(distance, pairs.false_accepts(distance)) for distance in DISTANCES]
    return [
        f"    FalseAccepts({distance:.2f}, {share.rate:.3g}, {share.by_people.low:.3g}, {share.by_people.high:.3g}),"
        for distance, share in rows
    ]


def _rule(heading: str) -> str:
    return "| " + " | ".join(["---"] * (heading.count("|") - 1)) + " |"


def _compared(plain: dict[str, Float32]) -> str:
    """The cosines between an image's embeddings in the first precision and in the last one."""
    if len(plain) == 1:
        return ""
    first, *_, last = plain
    cosines = np.einsum("nd,nd->n", plain[first], plain[last], dtype=np.float64)
    return f", cosine to {first}: least {cosines.min():.6f}, median {np.median(cosines):.6f}"


def _rate_row(pairs: AllPairs, rate: float) -> str:
    distance = pairs.distance_at(rate)
    false = pairs.false_accepts(distance)
    return f"{rate:.0e} | {distance:.4f} | {false.within} | {_small(false)} | {_percent(pairs.true_accepts(distance))}"


def _distance_row(pairs: AllPairs, distance: float) -> str:
    false = pairs.false_accepts(distance)
    return f"{distance:.2f} | {false.rate:.2e} | {_small(false)} | {_percent(pairs.true_accepts(distance))}"


def _small(share: Share) -> str:
    def shown(interval: Interval) -> str:
        return f"{interval.low:.1e} to {interval.high:.1e}"

    return f"{shown(share.by_people)} | {shown(share.binomial)}"


def _percent(share: Share) -> str:
    def shown(interval: Interval) -> str:
        return f"{interval.low:.3f} to {interval.high:.3f}"

    return f"{share.rate:.3f} | {shown(share.by_people)} | {shown(share.binomial)}"


def _grouping(embeddings: Float32, people: NDArray[np.intp], distance: float) -> str:
    """Groups of two faces and more, how many of them hold several people, and BCubed F (Bagga, Baldwin 1998)."""
    members = find_groups(embeddings, distance).members
    images = np.bincount(people)
    precision = recall = 0.0
    several = [len(set(people[group].tolist())) > 1 for group in members]
    for group in members:
        of_person = np.bincount(people[group])
        together = of_person[people[group]]  # for each face of the group, how many faces of its person are in it
        precision += float((together / len(group)).sum())
        recall += float((together / images[people[group]]).sum())
    f = 2 * precision * recall / (precision + recall) / len(people)
    return f"{sum(len(group) > 1 for group in members)} | {sum(several)} | {f:.3f}"


if __name__ == "__main__":
    main()
