"""The same faces as facenet-pytorch on real photographs (too slow for `make test`; CI runs it)."""

from pathlib import Path

import numpy as np
import pytest

from tests.support.baseline import compare
from worker.vision.best_face_search import detect_best
from worker.vision.decode import ImageTrouble, Limits, decode, read_bytes
from worker.vision.face_selection import SinglePolicy, choose_faces
from worker.vision.integral_image import IntegralImage
from worker.vision.mtcnn_cascade import detect_faces
from worker.vision.pipeline import Networks

LIMITS = Limits(100 * 2**20, 100 * 10**6)
_EVERY = {"lfw-view1/images": 8}  # all 1,549 take ten minutes
_EVERY_FAST = {"lfw-view1/images": 3}


@pytest.mark.data
@pytest.mark.timeout(900)
@pytest.mark.parametrize("folder", ["humans", "scenes", "lfw-view1/images"])
def test_every_face_is_facenet_pytorchs(photographs: Path, networks: Networks, folder: str) -> None:
    """Same count, boxes and landmarks within 0.01 px, probabilities within 1e-4, cosine at least 0.9999."""
    wrong: list[str] = []
    compared = knife_edges = 0
    files = sorted(path for path in (photographs / folder).rglob("*") if path.is_file())
    for path in files[:: _EVERY.get(folder, 1)]:
        try:
            image = decode(read_bytes(path, LIMITS), LIMITS)
        except ImageTrouble:
            continue
        differences, edges = compare(path, image, networks)
        wrong += differences
        knife_edges += edges
        compared += 1
    print(f"{folder}: {compared} images compared, {knife_edges} faces on a knife edge")
    assert compared > 10
    assert not wrong


@pytest.mark.data
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("policy", ["largest", "center"])
def test_the_fast_mode_finds_the_same_box(photographs: Path, networks: Networks, policy: SinglePolicy) -> None:
    """Within 0.01 px on 99.5 % of the photographs, and a face on the same ones."""
    different: list[str] = []
    compared = 0
    files = [
        path
        for folder in ("humans", "scenes", "lfw-view1/images")
        for path in sorted(p for p in (photographs / folder).rglob("*") if p.is_file())[:: _EVERY_FAST.get(folder, 1)]
    ]
    for path in files:
        try:
            image = decode(read_bytes(path, LIMITS), LIMITS)
        except ImageTrouble:
            continue
        pixels = IntegralImage(np.asarray(image))
        exact, fast = detect_faces(pixels, networks), detect_best(pixels, policy, networks)
        wanted = exact.boxes[choose_faces(exact, policy, *image.size)]
        found = fast.boxes[choose_faces(fast, policy, *image.size)]
        compared += 1
        assert len(wanted) == len(found), path
        if np.abs(wanted - found).max(initial=0) > 0.01:
            different.append(path.name)
    print(f"{compared} images compared, another box on {len(different)}: {different}")
    assert compared > 600
    assert len(different) <= 0.005 * compared


@pytest.mark.data
@pytest.mark.timeout(600)
def test_a_photograph_of_90_megapixels(photographs: Path, networks: Networks) -> None:
    """Gone through in bands; the same box as with every level."""
    portrait = decode(read_bytes(sorted((photographs / "humans").iterdir())[0], LIMITS), LIMITS)
    pixels = IntegralImage(np.asarray(portrait.resize((9000, 10000))))
    exact = detect_faces(pixels, networks)
    for policy in ("largest", "center"):
        fast = detect_best(pixels, policy, networks)
        wanted, found = (faces.boxes[choose_faces(faces, policy, 9000, 10000)] for faces in (exact, fast))
        assert len(wanted) == 1
        np.testing.assert_allclose(found, wanted, atol=0.01)
