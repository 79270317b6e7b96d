"""The cascade compared with facenet-pytorch, and the stability of every bit."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from shared.domain.contract import KNOWN_WEIGHTS, Contract
from tests.support.baseline import compare
from worker.models.openvino_backend import OpenVinoNetworks
from worker.vision import canvas
from worker.vision import mtcnn_cascade as cascade
from worker.vision.decode import Limits
from worker.vision.integral_image import IntegralImage
from worker.vision.pipeline import Networks, process_images

CONTRACT = Contract(
    faces="all", mode="exact", margin_px=14, weights="casia-webface", weights_sha256=KNOWN_WEIGHTS["casia-webface"]
)
LARGEST, CENTER = (replace(CONTRACT, faces=faces, mode="fast") for faces in ("largest", "center"))
LIMITS = Limits(10**8, 10**8)
PATHS = [
    "both.jpg",
    "collins/as-is.jpg",
    "nobody/coffee.png",
    "hopper/gray.jpg",
    "damaged/truncated.jpg",
    "collins/smaller.jpg",
]


def test_sample_faces_are_facenet_pytorchs(sample: Path, networks: Networks) -> None:
    """This covers every readable picture of the sample."""
    wrong = []
    for path in [*sorted(sample.rglob("*.jpg")), *sorted(sample.rglob("*.png"))]:
        if "truncated" not in path.name:
            wrong += compare(path, ImageOps.exif_transpose(Image.open(path)).convert("RGB"), networks)[0]
    assert not wrong


def test_canvases_change_nothing(sample: Path, networks: Networks, monkeypatch: pytest.MonkeyPatch) -> None:
    """With large or small canvases, P-net finds the same faces to the last digits of a float."""
    image = IntegralImage(np.asarray(Image.open(sample / "both.jpg").convert("RGB")))
    whole = cascade.detect_faces(image, networks)
    monkeypatch.setattr(canvas, "CANVAS_PIXELS", 20_000)
    small = cascade.detect_faces(image, networks)
    np.testing.assert_allclose(small.boxes, whole.boxes, atol=1e-3)


@pytest.mark.parametrize("size", [(19, 300), (1, 1), (20, 20), (21, 4000)])
def test_odd_sizes_have_no_face_and_no_error(size: tuple[int, int], networks: Networks) -> None:
    """Images smaller than the smallest face, of exactly that size, and very long ones."""
    assert len(cascade.detect_faces(IntegralImage(np.zeros((*size, 3), np.uint8)), networks)) == 0


def _by_path(
    root: Path, paths: list[str], networks: Networks, contract: Contract = CONTRACT
) -> dict[str, tuple[object, bytes]]:
    return {
        result.record.path: (
            (result.record.outcome, result.record.faces, result.record.digest),
            result.embeddings.tobytes(),
        )
        for result in process_images(root, paths, networks, contract, LIMITS)
    }


@pytest.mark.parametrize("contract", [CONTRACT, LARGEST, CENTER], ids=["all", "largest", "center"])
def test_an_images_bits_depend_on_nothing_but_the_image(sample: Path, networks: Networks, contract: Contract) -> None:
    """Alone, shuffled, or with a neighbor removed: boxes, probabilities and embeddings have the same bits."""
    together = _by_path(sample, PATHS, networks, contract)
    assert {str(outcome[0]) for outcome, _ in together.values()} == {"ok", "no_face", "unreadable"}
    assert _by_path(sample, PATHS[::-1], networks, contract) == together
    fewer = _by_path(sample, PATHS[:1] + PATHS[2:], networks, contract)
    assert fewer == {path: together[path] for path in fewer}
    for path in PATHS:
        assert _by_path(sample, [path], networks, contract)[path] == together[path]


@pytest.mark.parametrize("contract", [CONTRACT, LARGEST, CENTER], ids=["all", "largest", "center"])
def test_threads_do_not_move_a_bit(sample: Path, networks: Networks, contract: Contract) -> None:
    """One or two threads per process give the same bits."""
    from shared.config.settings import Settings
    from shared.domain.weights_files import prepared_folder
    from worker.models.backend import choose_backend

    settings = Settings(_env_file=None)
    folder = prepared_folder(
        settings.cache_dir, "casia-webface", KNOWN_WEIGHTS["casia-webface"], choose_backend(settings)
    )
    others = OpenVinoNetworks(folder, 2)
    assert _by_path(sample, PATHS, others, contract) == _by_path(sample, PATHS, networks, contract)
