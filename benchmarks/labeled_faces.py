"""Faces of labeled photos: found once, then embedded by any model."""

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from shared.domain.arrays import Float32
from shared.domain.contract import Contract
from shared.results.distances import Distances
from worker.vision.best_face_search import detect_best
from worker.vision.decode import Limits, decode, read_bytes
from worker.vision.face_crops import cut_crop
from worker.vision.face_selection import SinglePolicy, choose_faces
from worker.vision.integral_image import IntegralImage
from worker.vision.mtcnn_cascade import detect_faces
from worker.vision.pipeline import Networks, embed_crops

People = NDArray[np.intp]
LIMITS = Limits(100 * 2**20, 100 * 10**6)
SURELY_SAME = 0.75
"""Below it are copies and photos of one sitting. (Among 97 portraits the next pair was at
0.76 with FaceNet, and at 1.02 with SFace.)"""
_CROPS_A_PASS = 32


@dataclass(frozen=True)
class LabeledFace:
    """A face in an image, and whose it is."""

    path: Path
    person: int
    box: Float32
    landmarks: Float32


@dataclass(frozen=True)
class Embedded:
    """The embeddings of faces."""

    embeddings: Float32
    """[n, dimensions]"""
    face_ms: float
    """The mean time of the network for a face."""


def labeled_images(folder: Path, least: int = 1) -> dict[Path, str]:
    """The person in each image, without people who have fewer images.

    It is the name of the image's folder. If there are no folders, each image shows another person.
    """
    files = sorted(path for path in folder.glob("*/*") if path.is_file())
    people = {path: path.parent.name for path in files} or {path: path.name for path in sorted(folder.glob("*"))}
    images = Counter(people.values())
    return {path: person for path, person in people.items() if images[person] >= least}


def find_faces(
    labeled: dict[Path, str], policies: Iterable[SinglePolicy], networks: Networks
) -> dict[SinglePolicy, list[LabeledFace]]:
    """The faces that each policy chooses, one for each image that has one, found by the whole cascade."""
    numbers = {person: number for number, person in enumerate(sorted(set(labeled.values())))}
    found: dict[SinglePolicy, list[LabeledFace]] = {policy: [] for policy in policies}
    for path, person in labeled.items():
        image = open_image(path)
        faces = detect_faces(IntegralImage(np.asarray(image)), networks)
        for policy, chosen in found.items():
            for face in choose_faces(faces, policy, image.width, image.height)[:1]:
                chosen.append(LabeledFace(path, numbers[person], faces.boxes[face], faces.landmarks[face]))
    return found


def find_best_face(path: Path, policy: SinglePolicy, networks: Networks) -> LabeledFace | None:
    """The face that the default mode chooses; its person is not known."""
    image = open_image(path)
    faces = detect_best(IntegralImage(np.asarray(image)), policy, networks)
    chosen = choose_faces(faces, policy, image.width, image.height)
    return LabeledFace(path, -1, faces.boxes[chosen[0]], faces.landmarks[chosen[0]]) if len(chosen) else None


def open_image(path: Path) -> Image.Image:
    """The image as workers decode it."""
    return decode(read_bytes(path, LIMITS), LIMITS)


def strangers_among(embeddings: Float32) -> NDArray[np.intp]:
    """One face of each person among faces without labels: those that are no nearer than `SURELY_SAME` to an earlier
    one.
    """
    near = Distances(embeddings).among(np.arange(len(embeddings))) < SURELY_SAME
    return np.flatnonzero(~np.tril(near, -1).any(axis=1))


def people_of(faces: list[LabeledFace]) -> People:
    """[n]: whose face each is."""
    return np.array([face.person for face in faces], np.intp)


def embed_faces(faces: list[LabeledFace], contract: Contract, networks: Networks, *, mirror: bool = False) -> Embedded:
    """The embeddings of faces under a contract."""
    parts, seconds = [], 0.0
    for crops in _passes(faces, contract):
        started = time.perf_counter()
        parts.append(embed_crops(crops, networks, mirror=mirror).copy())
        seconds += time.perf_counter() - started
    return Embedded(np.concatenate(parts), 1000 * seconds / len(faces))


def _passes(faces: list[LabeledFace], contract: Contract) -> Iterator[Float32]:
    for first in range(0, len(faces), _CROPS_A_PASS):
        some = faces[first : first + _CROPS_A_PASS]
        yield np.stack([cut_crop(open_image(face.path), face.box, face.landmarks, contract) for face in some])
