"""Measures what limits of quality remove from groups: false joins and true ones. And how many strangers groups have.

    python benchmarks/quality.py IMAGES [--model facenet sface]

An image's person is the name of its folder. Beside the images as they are there is a collection in which half of them,
chosen at random, are replaced by worse copies: shrunk until the face has 16 to 80 pixels, or blurred by 1 to 10 % of
its width. Every tenth image is also darkened, and so on, to see what sharpness takes for blur. Joins are pairs of faces
in one group, at the calibrated threshold. Takes two minutes on an idle core.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.labeled_faces import LIMITS, labeled_images
from benchmarks.machine import describe_machine
from benchmarks.model_choice import add_models, choose_model
from shared.analysis.calibration import Calibration, calibration_of
from shared.analysis.clustering import find_groups
from shared.analysis.strangers import expect_strangers
from shared.domain.arrays import Float32
from shared.domain.contract import Contract
from worker.vision.best_face_search import detect_best
from worker.vision.decode import decode, read_bytes
from worker.vision.face_crops import cut_crop
from worker.vision.face_quality import Quality, measure_quality
from worker.vision.face_selection import choose_faces
from worker.vision.integral_image import IntegralImage
from worker.vision.pipeline import Networks, embed_crops

CUTS = {
    "size, px": (24, 32, 40, 48, 64),
    "probability": (0.9, 0.99, 0.995, 0.999),
    "sharpness": (0.5, 1, 1.5, 2, 3, 5, 8),
}
_CROPS_A_PASS = 32
Change = Callable[[Image.Image, float], Image.Image]
"""What makes an image worse; it is also given the size of the face."""


@dataclass
class Faces:
    """The largest face of each image."""

    people: list[int] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    """What was done to the image; empty for nothing."""
    originals: list[int] = field(default_factory=list)
    """The number of the image."""
    measures: list[tuple[float, float, float]] = field(default_factory=list)
    """Size, probability and sharpness."""
    crops: dict[str, list[Float32]] = field(default_factory=dict)
    """By model, until they are embedded."""
    embeddings: dict[str, list[Float32]] = field(default_factory=dict)
    quality_s: float = 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path)
    add_models(parser, several=True, default=("facenet", "sface"))
    arguments = parser.parse_args()
    labeled = labeled_images(arguments.images)
    chosen = {model: choose_model(model) for model in arguments.model}
    contracts = {model: choice.contract for model, choice in chosen.items()}
    networks = {model: choice.load(1) for model, choice in chosen.items()}
    faces = find_faces(labeled, contracts, networks)
    print(f"{len(labeled)} images, {len(faces.people)} faces with the worse copies. {describe_machine()}")
    print(f"Measuring the quality of a face takes {1000 * faces.quality_s / len(faces.people):.2f} ms.\n")
    embeddings = {model: np.concatenate(parts) for model, parts in faces.embeddings.items()}
    print_harm(faces, embeddings)
    for model, contract in contracts.items():
        calibration = calibration_of(contract.as_dict())
        if calibration is not None:
            print_cuts(model, calibration, faces, embeddings[model])
            print_strangers(model, calibration, faces, embeddings[model])


def find_faces(labeled: dict[Path, str], contracts: dict[str, Contract], networks: dict[str, Networks]) -> Faces:
    """The faces of all images, and of their worse copies."""
    random = np.random.default_rng(0)
    faces = Faces(crops={model: [] for model in contracts}, embeddings={model: [] for model in contracts})
    numbers = {person: number for number, person in enumerate(sorted(set(labeled.values())))}
    for number, (path, person) in enumerate(labeled.items()):
        image = decode(read_bytes(path, LIMITS), LIMITS)
        quality = add_face(faces, image, number, numbers[person], "", contracts, networks)
        if quality is None:
            continue
        for kind, change in _changes(number, random):
            worse = change(image, quality.size_px)
            add_face(faces, worse, number, numbers[person], kind, contracts, networks)
        if len(next(iter(faces.crops.values()))) >= _CROPS_A_PASS:
            embed(faces, networks)
    embed(faces, networks)
    return faces


def add_face(
    faces: Faces,
    image: Image.Image,
    number: int,
    person: int,
    kind: str,
    contracts: dict[str, Contract],
    networks: dict[str, Networks],
) -> Quality | None:
    """Adds the image's largest face, and returns its quality; None if there is none."""
    found = detect_best(IntegralImage(np.asarray(image)), "largest", next(iter(networks.values())))
    for chosen in choose_faces(found, "largest", image.width, image.height):
        box, points = found.boxes[chosen], found.landmarks[chosen]
        started = time.thread_time()
        quality = measure_quality(image, box, points)
        faces.quality_s += time.thread_time() - started
        for model, contract in contracts.items():
            faces.crops[model].append(cut_crop(image, box, points, contract))
        faces.people.append(person)
        faces.kinds.append(kind)
        faces.originals.append(number)
        faces.measures.append((quality.size_px, float(found.probabilities[chosen]), quality.sharpness))
        return quality
    return None


def embed(faces: Faces, networks: dict[str, Networks]) -> None:
    """Replaces the crops by their embeddings."""
    for model, crops in faces.crops.items():
        for first in range(0, len(crops), _CROPS_A_PASS):
            part = np.stack(crops[first : first + _CROPS_A_PASS])
            faces.embeddings[model].append(embed_crops(part, networks[model], mirror=False).copy())
        crops.clear()


def _changes(number: int, random: np.random.Generator) -> Iterator[tuple[str, Change]]:
    """One of `shrunk` and `blurred`; for every tenth image also the others."""
    amount = random.random()
    if random.random() < 0.5:
        yield "shrunk", lambda image, size: _shrink(image, 16 * 5**amount / size)
    else:
        yield "blurred", lambda image, size: _blur(image, 0.01 * 10**amount * size)
    if number % 10 == 0:
        yield "a quarter as bright", lambda image, size: _mapped(image, lambda pixels: pixels * 0.25)
        yield "an eighth as bright", lambda image, size: _mapped(image, lambda pixels: pixels * 0.125)
        yield "30 % of the contrast", lambda image, size: _mapped(image, lambda pixels: 127 + (pixels - 127) * 0.3)
        yield "noise of 12, JPEG 70", lambda image, size: _noise(image, 12, 70, number)
        yield (
            "blurred by 2 %, noise of 3, JPEG 85",
            lambda image, size: _noise(_blur(image, 0.02 * size), 3, 85, number),
        )
        yield (
            "blurred by 4 %, noise of 3, JPEG 85",
            lambda image, size: _noise(_blur(image, 0.04 * size), 3, 85, number),
        )
        yield (
            "blurred by 6 %, noise of 3, JPEG 85",
            lambda image, size: _noise(_blur(image, 0.06 * size), 3, 85, number),
        )


def _shrink(image: Image.Image, scale: float) -> Image.Image:
    size = (max(20, round(image.width * scale)), max(20, round(image.height * scale)))
    return image.resize(size, Image.Resampling.LANCZOS) if scale < 1 else image


def _blur(image: Image.Image, radius: float) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(radius))


def _mapped(image: Image.Image, change: Callable[[Float32], Float32]) -> Image.Image:
    return Image.fromarray(change(np.asarray(image, np.float32)).clip(0, 255).astype(np.uint8))


def _noise(image: Image.Image, deviation: float, quality: int, seed: int) -> Image.Image:
    noise = np.random.default_rng(seed).normal(0, deviation, (image.height, image.width, 3)).astype(np.float32)
    file = BytesIO()
    _mapped(image, lambda pixels: pixels + noise).save(file, "JPEG", quality=quality)
    return Image.open(file).convert("RGB")


def print_harm(faces: Faces, embeddings: dict[str, Float32]) -> None:
    """How far embeddings move from those of the image as it is, and how sharp the faces are then."""
    first = {
        number: row for row, (number, kind) in enumerate(zip(faces.originals, faces.kinds, strict=True)) if not kind
    }
    sharpness = np.array(faces.measures)[:, 2]
    heads = " | ".join(f"{model}: distance moved" for model in embeddings)
    print(f"| images | faces | {heads} | sharpness, 1 % | 50 % | 99 % |")
    print(f"| {' | '.join(['---'] * (5 + len(embeddings)))} |")
    for kind in dict.fromkeys(faces.kinds):
        rows = [row for row, of in enumerate(faces.kinds) if of == kind]
        there = [first[faces.originals[row]] for row in rows]
        moved = " | ".join(
            f"{np.median(np.linalg.norm(found[rows] - found[there], axis=1)):.2f}" for found in embeddings.values()
        )
        spread = " | ".join(f"{value:.1f}" for value in np.percentile(sharpness[rows], [1, 50, 99]))
        print(f"| {kind or 'as they are'} | {len(rows)} | {moved} | {spread} |")


def print_cuts(model: str, calibration: Calibration, faces: Faces, embeddings: Float32) -> None:
    """What each limit removes of the joins."""
    people, measures = np.array(faces.people), np.array(faces.measures)
    for name, rows in collections(faces).items():
        joined = joins(embeddings[rows], people[rows], calibration.same_person, np.zeros(len(rows), bool))
        print(f"\n{model}, {name}: {len(rows)} faces, {joined[0]} false joins and {joined[1]} true ones\n")
        print("| limit | faces left out | false joins removed | true joins removed |\n| --- | --- | --- | --- |")
        for column, (measure, cuts) in enumerate(CUTS.items()):
            for cut in cuts:
                out = measures[rows, column] < cut
                false, true = joins(embeddings[rows], people[rows], calibration.same_person, out)
                shares = (out.mean(), 1 - false / max(1, joined[0]), 1 - true / max(1, joined[1]))
                print(f"| {measure} {cut:g} | {' | '.join(f'{100 * share:.1f} %' for share in shares)} |", flush=True)


def collections(faces: Faces) -> dict[str, NDArray[np.intp]]:
    """The faces of the images as they are, and of the collection with worse copies."""
    plain = [row for row, kind in enumerate(faces.kinds) if not kind]
    worse = {faces.originals[row]: row for row, kind in enumerate(faces.kinds) if kind in ("shrunk", "blurred")}
    chosen = np.random.default_rng(1).random(max(faces.originals) + 1) < 0.5
    mixed = [worse.get(faces.originals[row], row) if chosen[faces.originals[row]] else row for row in plain]
    return {"as they are": np.array(plain), "half of them worse": np.array(mixed)}


def joins(
    embeddings: Float32, people: NDArray[np.intp], threshold: float, left_out: NDArray[np.bool_]
) -> tuple[int, int]:
    """The pairs of faces in one group: of different people, and of one person."""
    false = true = 0
    for group in find_groups(embeddings, threshold, left_out).people:
        counts = np.bincount(people[group])
        same = int((counts * (counts - 1) // 2).sum())
        true += same
        false += len(group) * (len(group) - 1) // 2 - same
    return false, true


def print_strangers(model: str, calibration: Calibration, faces: Faces, embeddings: Float32) -> None:
    """The faces of a group that are not of its most frequent person, beside the number that the report expects."""
    rows = collections(faces)["as they are"]
    people = np.array(faces.people)[rows]
    print(
        f"\n| {model}, threshold | groups | strangers expected in a group | found | in groups of 2 | of 3 | of more |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- |")
    known = calibration.same_person
    for threshold in (round(known - 0.05, 2), known, round(known + 0.05, 2)):
        groups = find_groups(embeddings[rows], threshold).people
        strangers = np.array([len(group) - np.bincount(people[group]).max() for group in groups])
        sizes = np.array([len(group) for group in groups])
        rate = expect_strangers(len(rows), threshold, calibration)
        expected = np.mean([rate.expected(size) for size in sizes.tolist()])
        found = " | ".join(
            f"{strangers[some].mean():.3f}" for some in (sizes > 1, sizes == 2, sizes == 3, sizes > 3) if some.any()
        )
        print(f"| {threshold:g} | {len(groups)} | {expected:.3f} | {found} |")


if __name__ == "__main__":
    main()
