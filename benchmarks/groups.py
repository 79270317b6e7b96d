"""Compares methods of grouping on labeled images, and times the one in use on made-up faces.

    python benchmarks/groups.py IMAGES [--model sface] [--faces largest] [--least 1] [--sizes 30000 100000]

An image's person is the name of its folder. Precision, recall and F are pairwise, and BCubed (Bagga, Baldwin 1998).
Each method's threshold is the best on half of the people; the figures are those on the other half, mean of five
splits. The made-up faces are drawn around one center for 20 of them; times are those of `find_groups`, beside the bare
product of half of the pair matrix.
"""

import argparse
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.labeled_faces import embed_faces, find_faces, labeled_images, people_of
from benchmarks.machine import describe_machine
from benchmarks.model_choice import add_models, choose_model
from shared.analysis.calibration import SAME_PERSON
from shared.analysis.clustering import find_groups, neighbors_to_link
from shared.analysis.copies import find_copies
from shared.analysis.near_pairs import near_neighbors
from shared.analysis.neighbor_linkage import link_neighbors
from shared.domain.arrays import Float32
from shared.domain.cpu_limits import usable_cores
from shared.results.distances import Distances, condensed
from shared.results.neighbors_file import Neighbors
from worker.vision.face_selection import SinglePolicy

THRESHOLDS = np.arange(0.70, 1.30, 0.025).tolist()
SPLITS = 5
Labels = NDArray[np.intp]
Method = Callable[[Float32, list[float]], list[Labels]]
"""The labels of faces at each threshold."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path)
    add_models(parser)
    parser.add_argument("--faces", default="largest", choices=["largest", "center"])
    parser.add_argument("--least", type=int, default=1, help="leave out people with fewer images")
    parser.add_argument("--sizes", nargs="*", type=int, default=[30_000, 100_000], help="numbers of made-up faces")
    arguments = parser.parse_args()
    compare_methods(arguments.images, arguments.model, arguments.faces, arguments.least)
    if arguments.sizes:
        time_sizes(arguments.sizes)


def compare_methods(images: Path, model: str, faces: SinglePolicy, least: int) -> None:
    chosen = choose_model(model)
    networks = chosen.load(usable_cores())
    found = find_faces(labeled_images(images, least), [faces], networks)[faces]
    people, embeddings = people_of(found), embed_faces(found, chosen.contract, networks).embeddings
    described = f"{len(people)} faces of {len(set(people.tolist()))} people, {faces}, {chosen.description}"
    print(f"{described}. {describe_machine()}\n")
    print("| method | threshold | BCubed precision | recall | F | pairwise precision | recall | F | seconds |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for name, method in METHODS.items():
        started = time.perf_counter()
        method(embeddings, [SAME_PERSON])
        seconds = time.perf_counter() - started
        thresholds, figures = [], []
        for fitted, measured in _halves(people):
            labels = method(embeddings[fitted], THRESHOLDS)
            scores = [bcubed(found, people[fitted])[2] for found in labels]
            thresholds.append(THRESHOLDS[int(np.argmax(scores))])
            (found,) = method(embeddings[measured], [thresholds[-1]])
            figures.append([*bcubed(found, people[measured]), *pairwise(found, people[measured])])
        cells = " | ".join(f"{value:.3f}" for value in np.mean(figures, axis=0))
        print(f"| {name} | {np.mean(thresholds):.2f} | {cells} | {seconds:.1f} |", flush=True)


def _halves(people: Labels) -> list[tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    """Half of the people and the others, five times."""
    names = np.unique(people)
    halves = []
    for seed in range(SPLITS):
        chosen = np.random.default_rng(seed).permutation(names)[: len(names) // 2]
        fitted = np.isin(people, chosen)
        halves.append((fitted, ~fitted))
    return halves


def average_linkage_of_all(embeddings: Float32, thresholds: list[float]) -> list[Labels]:
    tree = linkage(condensed(Distances(embeddings).among(np.arange(len(embeddings))), np.float64), "average")
    return [fcluster(tree, threshold, criterion="distance") for threshold in thresholds]


def linkage_in_use(embeddings: Float32, thresholds: list[float]) -> list[Labels]:
    copies = find_copies(embeddings)
    found = []
    for threshold in thresholds:
        neighbors = neighbors_to_link(embeddings, copies, threshold)
        found.append(link_neighbors(embeddings, neighbors, copies, threshold)[copies.number])
    return found


def mutual_nearest(embeddings: Float32, thresholds: list[float]) -> list[Labels]:
    """Components of the pairs that are among each other's 20 nearest."""
    return _components(near_neighbors(embeddings, 20), thresholds, mutual=True)


def all_within(embeddings: Float32, thresholds: list[float]) -> list[Labels]:
    """Components of the pairs within the threshold (single linkage)."""
    return _components(near_neighbors(embeddings, 64), thresholds, mutual=False)


def _components(neighbors: Neighbors, thresholds: list[float], *, mutual: bool) -> list[Labels]:
    size = len(neighbors)
    rows = np.repeat(np.arange(size), np.diff(neighbors.starts))
    found = []
    for threshold in thresholds:
        near = neighbors.distances <= threshold
        graph = coo_array((np.ones(near.sum()), (rows[near], neighbors.faces[near])), (size, size)).tocsr()
        if mutual:
            graph = graph.multiply(graph.T).tocsr()
        found.append(connected_components(graph, directed=False)[1].astype(np.intp))
    return found


METHODS: dict[str, Method] = {
    "average linkage, all pairs": average_linkage_of_all,
    "**average linkage of squared distances**": linkage_in_use,
    "mutual among 20 nearest, components": mutual_nearest,
    "within the threshold, components": all_within,
}


def bcubed(labels: Labels, people: Labels) -> tuple[float, float, float]:
    """Precision, recall and F, each face counting once."""
    together = _contingency(labels, people)
    of_cell, of_group, of_person = together.data, together.sum(axis=1), together.sum(axis=0)
    precision = float((of_cell**2 / of_group[together.row]).sum() / len(labels))
    recall = float((of_cell**2 / of_person[together.col]).sum() / len(labels))
    return precision, recall, _f(precision, recall)


def pairwise(labels: Labels, people: Labels) -> tuple[float, float, float]:
    """Precision, recall and F over pairs of faces."""
    together = _contingency(labels, people)
    right, joined, same = (
        float((counts * (counts - 1) / 2).sum())
        for counts in (together.data, together.sum(axis=1), together.sum(axis=0))
    )
    precision, recall = right / joined if joined else 1.0, right / same if same else 1.0
    return precision, recall, _f(precision, recall)


def _contingency(labels: Labels, people: Labels) -> coo_array:
    groups, persons = np.unique(labels, return_inverse=True)[1], np.unique(people, return_inverse=True)[1]
    counts = coo_array((np.ones(len(labels)), (groups, persons)))
    counts.sum_duplicates()
    return counts


def _f(precision: float, recall: float) -> float:
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def time_sizes(sizes: list[int]) -> None:
    print("\n| made-up faces | neighbors, s | bare product, s | ratio | groups after that, s | peak memory, MiB |")
    print("| --- | --- | --- | --- | --- | --- |")
    for size in sizes:
        embeddings = made_up_faces(size)
        bare = bare_product_s(embeddings)
        started = time.perf_counter()
        neighbors = near_neighbors(embeddings, 64)
        neighbors_s = time.perf_counter() - started
        del neighbors
        started = time.perf_counter()
        near_neighbors(embeddings, 20)
        twenty_s = time.perf_counter() - started
        started = time.perf_counter()
        find_groups(embeddings, SAME_PERSON)
        linked_s = time.perf_counter() - started - twenty_s
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(
            f"| {size:,} | {neighbors_s:.1f} | {bare:.1f} | {neighbors_s / bare:.2f} | {linked_s:.1f} | {peak:.0f} |",
            flush=True,
        )


FACENET_SPREAD = np.concatenate(
    [np.linspace(0.19, 0.05, 76), np.linspace(0.05, 0.004, 12), np.full(424, 0.0004)], dtype=np.float32
)


def made_up_faces(count: int, *, like_facenet: bool = False) -> Float32:
    """Embeddings [count, 512] of length 1, about 20 around each center: 0.6 to 0.9 apart there, 1.4 elsewhere. All
    directions are alike, or have the standard deviations of FaceNet's embeddings of LFW's View 1, along the axes.
    """
    random = np.random.default_rng(0)
    spread = FACENET_SPREAD if like_facenet else np.ones(512, np.float32)
    centers = random.standard_normal((max(1, count // 20), 512), np.float32) * spread
    faces = centers[random.integers(0, len(centers), count)]
    for rows in range(0, count, 4096):
        part = faces[rows : rows + 4096]
        part += random.standard_normal(part.shape, np.float32) * (np.float32(0.6) * spread)
        part /= np.linalg.norm(part, axis=1, keepdims=True)
    return faces


def bare_product_s(embeddings: Float32) -> float:
    """Seconds of BLAS for half of the pair matrix in float32, on all cores, from tiles of 4,096."""
    part = embeddings[:4096]
    out = np.empty((len(part), len(part)), np.float32)
    times = []
    for _ in range(5):
        started = time.perf_counter()
        np.matmul(part, part[::-1].T, out=out)
        times.append(time.perf_counter() - started)
    return float(np.median(times)) * (len(embeddings) / len(part)) ** 2 / 2


if __name__ == "__main__":
    main()
