"""The same faces as facenet-pytorch on real photographs (too slow for `make test`; CI runs it)."""

from pathlib import Path

import numpy as np
import pytest

from tests.support.baseline import compare, overlap
from worker.vision.decode import ImageTrouble, Limits, decode, read_bytes
from worker.vision.face_selection import choose_faces
from worker.vision.largest_face_search import detect_largest
from worker.vision.mtcnn_cascade import detect_faces
from worker.vision.pipeline import DRAFT_SHORTEST_PX, Networks

LIMITS = Limits(100 * 2**20, 100 * 10**6)
_EVERY = {"lfw-view1/images": 8}  # all 1,549 take ten minutes
_EVERY_FAST = {"lfw-view1/images": 3}


@pytest.mark.data
@pytest.mark.timeout(900)
@pytest.mark.parametrize("folder", ["humans", "scenes", "lfw-view1/images"])
def test_every_face_is_facenet_pytorchs(photographs: Path, networks: Networks, folder: str) -> None:
    """Same count, boxes within 0.01 px, probabilities within 1e-4, cosine of embeddings at least 0.9999."""
    wrong: list[str] = []
    compared = knife_edges = 0
    files = sorted(path for path in (photographs / folder).rglob("*") if path.is_file())
    for path in files[:: _EVERY.get(folder, 1)]:
        try:
            image = decode(read_bytes(path, LIMITS), LIMITS).image
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
def test_the_fast_mode_finds_the_same_face(photographs: Path, networks: Networks) -> None:
    """The same largest face (overlap 0.9) on 99.5 % of the photographs, and never none where there is one."""
    different: list[str] = []
    missed: list[str] = []
    compared = 0
    files = [
        path
        for folder in ("humans", "scenes", "lfw-view1/images")
        for path in sorted(p for p in (photographs / folder).rglob("*") if p.is_file())[:: _EVERY_FAST.get(folder, 1)]
    ]
    for path in files:
        try:
            data = read_bytes(path, LIMITS)
            image, reduced = decode(data, LIMITS).image, decode(data, LIMITS, DRAFT_SHORTEST_PX)
        except ImageTrouble:
            continue
        exact, fast = detect_faces(np.asarray(image), networks), detect_largest(reduced.image, networks)
        wanted = choose_faces(exact, "largest", *image.size)
        found = choose_faces(fast, "largest", *reduced.image.size)
        compared += 1
        if len(wanted) and not len(found):
            missed.append(path.name)
        elif len(wanted) and overlap(exact.boxes[wanted[0]], fast.boxes[found[0]] * reduced.reduction) < 0.9:
            different.append(path.name)
    print(f"{compared} images compared, another face or box on {len(different)}: {different}")
    assert compared > 600
    assert not missed
    assert len(different) <= 0.005 * compared
