"""Accuracy on labelled pairs of faces, LFW's protocols.

    python benchmarks/pairs.py IMAGES PAIRS [--faces largest] [--margin 14]

PAIRS is LFW's pairs.txt (10 sets) or pairsDevTest.txt (View 1: one set). With several sets the threshold is fitted on
all others and tested on one (mean over the sets); with one set it is fitted on the even pairs and tested on the odd
ones, and the other way round.
"""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.machine import describe_machine
from shared.contract import KNOWN_WEIGHTS, FacePolicy
from shared.settings import get_settings
from worker import models
from worker.area import Float32
from worker.cascade import detect_faces
from worker.coarse_to_fine import detect_largest
from worker.cores import usable_cores
from worker.crop import choose_faces, crop_face
from worker.decode import Limits, decode, read_bytes
from worker.pipeline import Networks, embed_crops

LIMITS = Limits(100 * 2**20, 100 * 10**6)
WEIGHTS = "casia-webface"


@dataclass(frozen=True)
class Pair:
    first: Path
    second: Path
    same: bool


@dataclass(frozen=True)
class Accuracy:
    accuracy: float
    threshold: float
    # Share of true pairs below a distance that fewer than one false pair in a thousand is below: none of View 1's 500.
    true_accepts: float
    false_accept_threshold: float
    pairs: int
    missing: int  # images without a face: their pairs count as different


def read_pairs(images: Path, pairs_file: Path) -> list[list[Pair]]:
    """The pairs, set by set."""
    lines = [line.split("\t") for line in pairs_file.read_text().splitlines() if line.strip()]
    header = [int(value) for value in lines[0]]
    sets, size = (header[0], header[1]) if len(header) == 2 else (1, header[0])
    rows = iter(lines[1:])
    return [[_pair(images, next(rows)) for _ in range(2 * size)] for _ in range(sets)]


def _pair(images: Path, row: list[str]) -> Pair:
    def path(name: str, number: str) -> Path:
        return images / name / f"{name}_{int(number):04}.jpg"

    if len(row) == 3:
        return Pair(path(row[0], row[1]), path(row[0], row[2]), True)
    return Pair(path(row[0], row[1]), path(row[2], row[3]), False)


def evaluate(sets: list[list[Pair]], embeddings: dict[Path, Float32 | None]) -> Accuracy:
    """Accuracy over all sets."""
    folds = [_distances(pairs, embeddings) for pairs in sets]
    if len(folds) == 1:
        distances, same = folds[0]
        folds = [(distances[k::2], same[k::2]) for k in range(2)]
    accuracies, thresholds = [], []
    for k, (distances, same) in enumerate(folds):
        others = [fold for j, fold in enumerate(folds) if j != k]
        threshold = _best_threshold(np.concatenate([d for d, _ in others]), np.concatenate([s for _, s in others]))
        accuracies.append(((distances < threshold) == same).mean())
        thresholds.append(threshold)
    distances = np.concatenate([d for d, _ in folds])
    same = np.concatenate([s for _, s in folds])
    strict = np.sort(distances[~same])[max(0, int((~same).sum() * 1e-3) - 1)]
    missing = sum(value is None for value in embeddings.values())
    return Accuracy(
        float(np.mean(accuracies)), float(np.mean(thresholds)), float((distances[same] < strict).mean()), float(strict),
        len(distances), missing,
    )  # fmt: skip


def _distances(pairs: list[Pair], embeddings: dict[Path, Float32 | None]) -> tuple[np.ndarray, np.ndarray]:
    distances = []
    for pair in pairs:
        a, b = embeddings[pair.first], embeddings[pair.second]
        distances.append(np.inf if a is None or b is None else float(np.linalg.norm(a - b)))
    return np.array(distances), np.array([pair.same for pair in pairs])


def _best_threshold(distances: np.ndarray, same: np.ndarray) -> float:
    candidates = np.arange(0, 2, 0.005)
    correct = [((distances < threshold) == same).sum() for threshold in candidates]
    best = np.flatnonzero(np.array(correct) == max(correct))
    return float(candidates[best].mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path)
    parser.add_argument("pairs", type=Path)
    parser.add_argument("--faces", nargs="+", default=["largest", "center"], choices=["largest", "center"])
    parser.add_argument("--margin", nargs="+", type=int, default=[0, 14, 22, 32, 44])
    parser.add_argument("--mirror", action="store_true", help="also with each crop's mirror image averaged in")
    parser.add_argument("--exact", action="store_true", help="the whole cascade for `largest` too")
    arguments = parser.parse_args()
    sets = read_pairs(arguments.images, arguments.pairs)
    paths = sorted({path for pairs in sets for pair in pairs for path in (pair.first, pair.second)})
    settings = get_settings()
    networks = models.load_networks(WEIGHTS, KNOWN_WEIGHTS[WEIGHTS], settings, usable_cores())
    images = {path: decode(read_bytes(path, LIMITS), LIMITS).image for path in paths}
    print(f"{len(paths)} images, {sum(map(len, sets))} pairs, weights {WEIGHTS}. {describe_machine()}\n")
    print(
        "| faces | mode | margin, px | mirror | accuracy | threshold | true accepts at 1e-3 false | its threshold | no face |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for faces in arguments.faces:
        fast = faces == "largest" and not arguments.exact
        boxes = {path: _find(image, faces, fast, networks) for path, image in images.items()}
        for margin in arguments.margin:
            for mirror in (False, True) if arguments.mirror else (False,):
                embeddings = {
                    path: None
                    if boxes[path] is None
                    else embed_crops(crop_face(image, boxes[path], margin)[None], networks, mirror=mirror)[0]
                    for path, image in images.items()
                }
                a = evaluate(sets, embeddings)
                print(
                    f"| {faces} | {'fast' if fast else 'exact'} | {margin} | {'yes' if mirror else 'no'} | {a.accuracy:.4f} | "
                    f"{a.threshold:.3f} | {a.true_accepts:.3f} | {a.false_accept_threshold:.3f} | {a.missing} |",
                    flush=True,
                )


def _find(image: Image.Image, faces: FacePolicy, fast: bool, networks: Networks) -> Float32 | None:
    found = detect_largest(image, networks) if fast else detect_faces(np.asarray(image), networks)
    chosen = choose_faces(found, faces, image.width, image.height)
    return found.boxes[chosen[0]] if len(chosen) else None


if __name__ == "__main__":
    main()
