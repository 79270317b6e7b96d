"""Measures false and true accepts over all pairs of labeled images, and how faces are grouped at each distance.

    python benchmarks/all_pairs.py IMAGES [--model facenet sface] [--faces largest center] [--mirror]

An image's person is the name of its folder. In a folder without folders each image shows another person, but for those
that are nearer than 0.75 to an earlier one (copies), which are left out: there are pairs of different people only.
Faces are found by the whole cascade (`--exact`). The constants in `shared/analysis/calibration.py` are those of
`--faces largest` on LFW View 1; `--constants` prints them.
`benchmarks/verification_rates.py` has the statistics.
"""

import argparse
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.labeled_faces import People, embed_faces, find_faces, labeled_images, people_of, strangers_among
from benchmarks.machine import describe_machine
from benchmarks.model_choice import add_models, choose_model
from benchmarks.verification_rates import AllPairs, Interval, Share
from shared.analysis.clustering import find_groups
from shared.domain.arrays import Float32
from shared.domain.cpu_limits import usable_cores

FALSE_RATES = (1e-2, 1e-3, 1e-4, 1e-5)
DISTANCES = (0.80, 0.85, 0.90, 0.95, 1.00, 1.05, 1.10, 1.15, 1.20)
_DISTANCES_OF = {"sface": (0.90, 0.95, 1.00, 1.05, 1.10, 1.15, 1.20, 1.25)}
_RATE_HEADING = (
    "| model | faces | precision | mirror | false accepts | distance | false pairs | 95 % by people | 95 % binomial | "
    "true accepts | 95 % by people | 95 % binomial |"
)
_DISTANCE_HEADING = (
    "| distance | false accepts | 95 % by people | 95 % binomial | true accepts | 95 % by people | 95 % binomial | "
    "groups of 2 and more | of several people | BCubed F |"
)


@dataclass(frozen=True)
class _Measured:
    title: str
    distances: Iterable[float]
    pairs: AllPairs
    embeddings: Float32
    people: People


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path)
    add_models(parser, several=True)
    parser.add_argument("--faces", nargs="+", default=["largest"], choices=["largest", "center"])
    parser.add_argument("--margin", type=int, default=32)
    parser.add_argument("--mirror", action="store_true", help="also with each crop's mirror image averaged in")
    parser.add_argument("--precision", nargs="+", default=["float32"], choices=["float32", "bf16"])
    parser.add_argument("--distances", nargs="+", type=float, help="rows of the second table")
    parser.add_argument("--least", type=int, default=1, help="leave out people with fewer images")
    parser.add_argument("--threads", type=int, default=usable_cores())
    parser.add_argument("--constants", action="store_true", help="print the rows of shared/analysis/calibration.py")
    arguments = parser.parse_args()
    labeled = labeled_images(arguments.images, arguments.least)
    if len(set(labeled.values())) < 2:
        sys.exit(
            f"{arguments.images} has no images of two people with {arguments.least} image(s): expected PERSON/FILE."
        )
    models = [choose_model(name, arguments.margin, how) for name in arguments.model for how in arguments.precision]
    found = find_faces(labeled, arguments.faces, models[0].load(arguments.threads))
    described = ", ".join(sorted({model.description for model in models}))
    print(f"{len(labeled)} images, {described}, exact. {describe_machine()}\n")
    print(f"{_RATE_HEADING}\n{_rule(_RATE_HEADING)}")
    strangers = len(set(labeled.values())) == len(labeled)
    measured = []
    plain: dict[tuple[str, str], Float32] = {}  # in the first precision, by model and policy
    for model in models:
        networks, contract = model.load(arguments.threads), model.contract
        for policy, mirror in ((p, m) for p in found for m in ((False, True) if arguments.mirror else (False,))):
            embedded = embed_faces(found[policy], contract, networks, mirror=mirror)
            people, embeddings = people_of(found[policy]), embedded.embeddings
            if strangers:
                kept = strangers_among(embeddings)
                people, embeddings = np.arange(len(kept)), embeddings[kept]
            pairs = AllPairs(embeddings, people)
            label = f"{contract.model} | {policy} | {contract.precision} | {'yes' if mirror else 'no'}"
            for rate in FALSE_RATES:
                print(f"| {label} | {_rate_row(pairs, rate)} |", flush=True)
            title = f"{contract.model}, {policy}, {contract.precision}{', mirror' if mirror else ''}"
            title += f": {len(people)} faces, {embedded.face_ms:.1f} ms a face"
            if not mirror:
                first = plain.setdefault((contract.model, policy), embeddings)
                title += "" if first is embeddings else _compared(first, embeddings)
            distances = arguments.distances or _DISTANCES_OF.get(contract.model, DISTANCES)
            measured.append(_Measured(title, distances, pairs, embeddings, people))
    for one in measured:
        print(f"\n{one.title}, {arguments.threads} thread(s)\n\n{_DISTANCE_HEADING}\n{_rule(_DISTANCE_HEADING)}")
        for distance in one.distances:
            grouping = _grouping(one.embeddings, one.people, distance)
            print(f"| {_distance_row(one.pairs, distance)} | {grouping} |", flush=True)
        if arguments.constants:
            print("\n" + "\n".join(constants(one.pairs, one.distances)))


def constants(pairs: AllPairs, distances: Iterable[float]) -> list[str]:
    """The rows of a `shared.analysis.calibration.Calibration`."""
    rows = [(distance, pairs.false_accepts(distance)) for distance in distances]
    return [
        f"    FalseAccepts({distance:.2f}, {share.rate:.3g}, {share.by_people.low:.3g}, {share.by_people.high:.3g}),"
        for distance, share in rows
    ]


def _rule(heading: str) -> str:
    return "| " + " | ".join(["---"] * (heading.count("|") - 1)) + " |"


def _compared(first: Float32, other: Float32) -> str:
    """The cosines between an image's embeddings in two precisions."""
    cosines = np.einsum("nd,nd->n", first, other, dtype=np.float64)
    return f", cosine to the first precision: least {cosines.min():.6f}, median {np.median(cosines):.6f}"


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
    if not share.pairs:  # of one person
        return "- | - | -"

    def shown(interval: Interval) -> str:
        return f"{interval.low:.3f} to {interval.high:.3f}"

    return f"{share.rate:.3f} | {shown(share.by_people)} | {shown(share.binomial)}"


def _grouping(embeddings: Float32, people: People, distance: float) -> str:
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
