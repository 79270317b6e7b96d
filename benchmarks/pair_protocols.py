"""Pairs of faces in LFW's format, and the accuracy of embeddings on them under a protocol.

Two protocols, both with the threshold fitted on all folds but one and tested on that one:

- `euclidean`: the distance of two embeddings as facequeue writes it into `distances.npy`.
- `facenet`: the mean of the training folds' embeddings is subtracted first, then the angle between two embeddings
counts
  (`lfw.evaluate` of davidsandberg/facenet with `subtract_mean` and `distance_metric=1`). LFW figures of
  facenet-pytorch's weights are published under this protocol.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Protocol = Literal["euclidean", "facenet"]
Embeddings = dict[Path, NDArray[np.float32] | None]
"""The embedding [d] of each image, None for an image without a face."""

_ALMOST_NONE = 1e-3
"""The share of false pairs that `Accuracy.true_accepts` allows below its threshold."""


@dataclass(frozen=True)
class Pair:
    """Two images, and whether they show the same person."""

    first: Path
    second: Path
    same: bool


@dataclass(frozen=True)
class Accuracy:
    """What one protocol gives; thresholds are in the protocol's unit."""

    accuracy: float
    """Mean over the folds."""
    deviation: float
    """Standard deviation over the folds."""
    threshold: float
    """Mean over the folds."""
    true_accepts: float
    """Share of true pairs below a distance that fewer than one false pair in a thousand is below."""
    false_accept_threshold: float
    pairs: int
    missing: int
    """Images without a face: their pairs count as different."""


def read_pairs(images: Path, pairs_file: Path) -> list[list[Pair]]:
    """The pairs, fold by fold, of LFW's pairs.txt or pairsDevTest.txt.

    The first line is `folds pairs`, or only `pairs` for a single fold. Each fold has that many lines `name i j` (the
    same person), then as many `name1 i name2 j` (two people). `Name 7` is `images/Name/Name_0007.jpg`. ValueError names
    the line that does not fit.
    """
    lines = [line.split() for line in pairs_file.read_text(encoding="utf-8").splitlines() if line.strip()]
    try:
        folds, size = [int(value) for value in ["1", *lines[0]][-2:]]
    except (IndexError, ValueError):
        raise ValueError(
            f"{pairs_file}, line 1: expected `folds pairs` or `pairs`, two whole numbers or one."
        ) from None
    if folds < 1 or size < 1 or len(lines) - 1 != folds * 2 * size:
        raise ValueError(
            f"{pairs_file}: line 1 announces {folds} x 2 x {size} pairs, and {len(lines) - 1} lines follow."
        )
    pairs = [_pair(images, pairs_file, number, row) for number, row in enumerate(lines[1:], start=2)]
    for number, pair in enumerate(pairs):
        if pair.same != (number % (2 * size) < size):
            raise ValueError(
                f"{pairs_file}, line {number + 2}: each fold has {size} pairs of one person, then {size} of two."
            )
    return [pairs[first : first + 2 * size] for first in range(0, len(pairs), 2 * size)]


def _pair(images: Path, pairs_file: Path, number: int, row: list[str]) -> Pair:
    def path(name: str, index: str) -> Path:
        return images / name / f"{name}_{int(index):04}.jpg"

    try:
        if len(row) == 3:
            return Pair(path(row[0], row[1]), path(row[0], row[2]), same=True)
        if len(row) == 4:
            return Pair(path(row[0], row[1]), path(row[2], row[3]), same=False)
    except ValueError:
        pass
    raise ValueError(f"{pairs_file}, line {number}: expected `name i j` or `name1 i name2 j`.")


def evaluate(folds: list[list[Pair]], embeddings: Embeddings, protocol: Protocol = "euclidean") -> Accuracy:
    """The accuracy over all folds. A single fold is split into its even and its odd pairs, which take turns."""
    if len(folds) == 1:
        folds = [folds[0][0::2], folds[0][1::2]]
    accuracies, thresholds, tested = [], [], []
    for k, fold in enumerate(folds):
        training = [pair for j, other in enumerate(folds) if j != k for pair in other]
        mean = _mean_embedding(training, embeddings) if protocol == "facenet" else None
        threshold = _best_threshold(_distances(training, embeddings, mean), _labels(training), protocol)
        distances = _distances(fold, embeddings, mean)
        accuracies.append(((distances < threshold) == _labels(fold)).mean())
        thresholds.append(threshold)
        tested.append(distances)
    distances = np.concatenate(tested)
    same = np.concatenate([_labels(fold) for fold in folds])
    strict = np.sort(distances[~same])[max(0, int((~same).sum() * _ALMOST_NONE) - 1)]
    return Accuracy(
        accuracy=float(np.mean(accuracies)),
        deviation=float(np.std(accuracies)),
        threshold=float(np.mean(thresholds)),
        true_accepts=float((distances[same] < strict).mean()),
        false_accept_threshold=float(strict),
        pairs=len(distances),
        missing=sum(value is None for value in embeddings.values()),
    )


def _labels(pairs: list[Pair]) -> NDArray[np.bool_]:
    return np.array([pair.same for pair in pairs])


def _mean_embedding(pairs: list[Pair], embeddings: Embeddings) -> NDArray[np.float64]:
    """An image that is in several pairs counts once for each of them, as in facenet."""
    found = [embeddings[path] for pair in pairs for path in (pair.first, pair.second)]
    mean: NDArray[np.float64] = np.mean([value for value in found if value is not None], axis=0, dtype=np.float64)
    return mean


def _distances(pairs: list[Pair], embeddings: Embeddings, mean: NDArray[np.float64] | None) -> NDArray[np.float64]:
    """Euclidean distances; with a mean to subtract, angles in units of pi. Infinite if an image has no face."""
    distances = np.full(len(pairs), np.inf)
    for k, pair in enumerate(pairs):
        a, b = embeddings[pair.first], embeddings[pair.second]
        if a is None or b is None:
            continue
        distances[k] = np.linalg.norm(a - b) if mean is None else _angle(a - mean, b - mean)
    return distances


def _angle(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    cosine = (a @ b) / (np.linalg.norm(a) * np.linalg.norm(b))
    return float(np.arccos(np.clip(cosine, -1, 1)) / np.pi)


def _best_threshold(distances: NDArray[np.float64], same: NDArray[np.bool_], protocol: Protocol) -> float:
    candidates = np.arange(0, 2, 0.005) if protocol == "euclidean" else np.arange(0, 4, 0.01)
    correct = np.array([((distances < threshold) == same).sum() for threshold in candidates])
    best = np.flatnonzero(correct == correct.max())
    # facenet takes the first of several best thresholds.
    return float(candidates[best].mean() if protocol == "euclidean" else candidates[best[0]])
