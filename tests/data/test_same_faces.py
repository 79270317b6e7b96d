"""The same faces as facenet-pytorch on real photographs (too slow for `make test`; CI runs it)."""

from pathlib import Path

import pytest

from tests.stock import compare
from worker.decode import ImageTrouble, Limits, decode, read_bytes
from worker.pipeline import Networks

LIMITS = Limits(100 * 2**20, 100 * 10**6)


@pytest.mark.data
@pytest.mark.timeout(900)
@pytest.mark.parametrize("folder", ["humans", "scenes"])
def test_every_face_is_facenet_pytorchs(photographs: Path, networks: Networks, folder: str) -> None:
    """Same count, boxes within 0.01 px, probabilities within 1e-4, cosine of embeddings at least 0.9999."""
    wrong: list[str] = []
    compared = knife_edges = 0
    for path in sorted((photographs / folder).rglob("*")):
        if path.is_dir():
            continue
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
