"""Selecting a face, and cropping it."""

import numpy as np
import torch
from facenet_pytorch.models.utils.detect_face import extract_face
from PIL import Image

from worker.vision.face_crops import crop_face
from worker.vision.face_selection import choose_faces
from worker.vision.mtcnn_cascade import Faces

WIDTH, HEIGHT = 200, 100


def _faces(*boxes: tuple[float, float, float, float]) -> Faces:
    count = len(boxes)
    landmarks = np.zeros((count, 5, 2), np.float32)
    return Faces(
        np.array(boxes, np.float32).reshape(-1, 4), np.ones(count, np.float32), np.zeros(count, bool), landmarks
    )


def test_largest_counts_only_what_is_visible() -> None:
    """A box of 100 x 100 of which 20 x 100 are visible loses to one of 60 x 60."""
    faces = _faces((-80, 0, 20, 100), (100, 20, 160, 80))
    assert list(choose_faces(faces, "largest", WIDTH, HEIGHT)) == [1]


def test_center_prefers_the_middle() -> None:
    """This is facenet-pytorch's center_weighted_size: area minus twice the squared distance."""
    faces = _faces((0, 0, 50, 50), (80, 30, 120, 70))
    assert list(choose_faces(faces, "center", WIDTH, HEIGHT)) == [1]


def test_all_and_none() -> None:
    """`all` keeps the order of detection, and no face gives nothing."""
    assert list(choose_faces(_faces((0, 0, 9, 9), (5, 5, 60, 60)), "all", WIDTH, HEIGHT)) == [0, 1]
    assert len(choose_faces(_faces(), "largest", WIDTH, HEIGHT)) == 0


def test_crops_are_facenet_pytorchs() -> None:
    """With and without a margin, inside the image and over its edge."""
    pixels = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    image = Image.fromarray(pixels)
    for margin in (0, 14, 32):
        for box in ((20.3, 10.7, 80.2, 90.9), (-15.0, 40.0, 60.0, 130.0)):
            theirs: torch.Tensor = extract_face(image, np.array(box), image_size=160, margin=margin)
            assert np.array_equal(crop_face(image, np.array(box, np.float64), margin), theirs.numpy())


def test_a_sliver_at_the_border_has_a_crop() -> None:
    """It is thinner than a pixel, and still has a crop."""
    image = Image.new("RGB", (50, 50))
    assert crop_face(image, np.array([49.5, 10, 49.9, 30], np.float32), 0).shape == (3, 160, 160)
