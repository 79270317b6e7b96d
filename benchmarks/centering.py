"""Measures the effect of subtracting a fixed mean embedding from all embeddings and normalizing them again.

    python benchmarks/centering.py IMAGES [--model sface] [--strangers FOLDER] [--mirror]

An image's person is the name of its folder. The mean, and the thresholds of grouping, are those of one half of the
people; the figures are those of the other half: ten halves. A gain is the difference between centered and plain in the
same half. With `--strangers`, a folder of images of different people, the mean of all IMAGES is subtracted there, and
the table has the number of its pairs within the distances that have the given rates among IMAGES.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.groups import THRESHOLDS, bcubed, linkage_in_use
from benchmarks.labeled_faces import People, embed_faces, find_faces, labeled_images, people_of, strangers_among
from benchmarks.machine import describe_machine
from benchmarks.model_choice import add_models, choose_model
from shared.domain.arrays import Float32
from shared.domain.cpu_limits import usable_cores
from shared.results.distances import Distances, condensed

RATES = (1e-2, 1e-3, 1e-4)
SPLITS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path)
    add_models(parser)
    parser.add_argument("--mirror", action="store_true", help="average the mirrored crop's embedding in")
    parser.add_argument("--strangers", type=Path, help="a folder of images of different people")
    arguments = parser.parse_args()
    model = choose_model(arguments.model)
    networks = model.load(usable_cores())

    def embedded(folder: Path) -> tuple[Float32, People]:
        faces = find_faces(labeled_images(folder), ["largest"], networks)["largest"]
        return embed_faces(faces, model.contract, networks, mirror=arguments.mirror).embeddings, people_of(faces)

    embeddings, people = embedded(arguments.images)
    mirror = ", mirror" if arguments.mirror else ""
    print(f"{len(people)} faces, {model.description}{mirror}. {describe_machine()}\n")
    print(f"Length of the mean embedding: {np.linalg.norm(embeddings.mean(axis=0, dtype=np.float64)):.3f}\n")
    compare_halves(embeddings, people)
    if arguments.strangers is not None:
        compare_strangers(embeddings, people, embedded(arguments.strangers)[0])


def center(embeddings: Float32, mean: NDArray[np.float64]) -> Float32:
    """The embeddings less the mean, normalized again."""
    moved = embeddings - mean
    centered: Float32 = (moved / np.linalg.norm(moved, axis=1, keepdims=True)).astype(np.float32)
    return centered


def compare_halves(embeddings: Float32, people: People) -> None:
    """Prints true accepts at false accept rates, and BCubed F, plain and centered, each on people whose faces are not
    in the mean.
    """
    figures = []
    names = np.unique(people)
    for seed in range(SPLITS):
        chosen = np.isin(people, np.random.default_rng(seed).permutation(names)[: len(names) // 2])
        for fitted in (chosen, ~chosen):
            mean = embeddings[fitted].mean(axis=0, dtype=np.float64)
            figures.append([_figures(rows, people, fitted) for rows in (embeddings, center(embeddings, mean))])
    plain, centered = np.array(figures).transpose(1, 0, 2)
    gains = centered - plain
    print("| figure | plain | centered | gain, mean | least | most |\n| --- | --- | --- | --- | --- | --- |")
    for k, name in enumerate([*(f"true accepts at {rate:.0e} false" for rate in RATES), "BCubed F of groups"]):
        cells = [plain[:, k].mean(), centered[:, k].mean()]
        spread = [gains[:, k].mean(), gains[:, k].min(), gains[:, k].max()]
        print(f"| {name} | " + " | ".join([*(f"{x:.4f}" for x in cells), *(f"{x:+.4f}" for x in spread)]) + " |")


def _figures(embeddings: Float32, people: People, fitted: NDArray[np.bool_]) -> list[float]:
    rest = ~fitted
    true, false = _distances(embeddings[rest], people[rest])
    accepted = [float((true <= false[int(rate * len(false))]).mean()) for rate in RATES]
    scores = [bcubed(found, people[fitted])[2] for found in linkage_in_use(embeddings[fitted], THRESHOLDS)]
    (found,) = linkage_in_use(embeddings[rest], [THRESHOLDS[int(np.argmax(scores))]])
    return [*accepted, bcubed(found, people[rest])[2]]


def compare_strangers(embeddings: Float32, people: People, strangers: Float32) -> None:
    """Prints how many of the strangers' pairs are within distances of known rates."""
    mean = embeddings.mean(axis=0, dtype=np.float64)
    strangers = strangers[strangers_among(strangers)]
    pairs = len(strangers) * (len(strangers) - 1) // 2
    print(f"\n| of {pairs:,} pairs of strangers | expected | plain | centered |\n| --- | --- | --- | --- |")
    both = [(embeddings, strangers), (center(embeddings, mean), center(strangers, mean))]
    for rate in RATES:
        cells = []
        for known, others in both:
            _, false = _distances(known, people)
            cells.append(int((_distances(others, np.arange(len(others)))[1] <= false[int(rate * len(false))]).sum()))
        print(f"| within the distance of {rate:.0e} | {rate * pairs:.1f} | {cells[0]} | {cells[1]} |")


def _distances(embeddings: Float32, people: People) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The distances of pairs of one person, and, in order, those of different people."""
    first, second = np.triu_indices(len(people), 1)
    distances = condensed(Distances(embeddings).among(np.arange(len(people))), np.float32)
    same = people[first] == people[second]
    return distances[same], np.sort(distances[~same])


if __name__ == "__main__":
    main()
