"""The search for one face finds exactly the box that the whole pyramid gives."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from shared.domain.arrays import Float32
from shared.domain.contract import KNOWN_WEIGHTS, Contract
from worker.vision import integral_image, pipeline
from worker.vision.best_face_search import detect_best
from worker.vision.decode import Limits, decode
from worker.vision.face_selection import SinglePolicy, choose_faces
from worker.vision.integral_image import IntegralImage
from worker.vision.mtcnn_cascade import detect_faces
from worker.vision.pipeline import Networks, process_images

LIMITS = Limits(10**8, 10**8)
POLICIES: tuple[SinglePolicy, ...] = ("largest", "center")


def _check(image: Image.Image, networks: Networks) -> int:
    """Checks that the chosen box is the same to 0.01 px, or missing in both; returns the number of faces of the whole
    pyramid.
    """
    pixels = IntegralImage(np.asarray(image))
    exact = detect_faces(pixels, networks)
    for policy in POLICIES:
        fast = detect_best(pixels, policy, networks)
        wanted = choose_faces(exact, policy, *image.size)
        found = choose_faces(fast, policy, *image.size)
        assert len(wanted) == len(found), policy
        np.testing.assert_allclose(fast.boxes[found], exact.boxes[wanted], atol=0.01)
        np.testing.assert_allclose(fast.probabilities[found], exact.probabilities[wanted], atol=1e-4)
        np.testing.assert_allclose(fast.landmarks[found], exact.landmarks[wanted], atol=0.01)
    return len(exact)


def _person(sample: Path, width: int, height: int) -> Image.Image:
    return Image.open(sample / "hopper" / "as-is.jpg").convert("RGB").resize((width, height))


def test_the_face_is_that_of_the_whole_pyramid(sample: Path, networks: Networks) -> None:
    """On every picture of the sample, including those without a face."""
    counts = [
        _check(decode(path.read_bytes(), LIMITS), networks)
        for path in [*sorted(sample.rglob("*.jpg")), *sorted(sample.rglob("*.png"))]
        if "truncated" not in path.name
    ]
    assert min(counts) == 0 and max(counts) >= 2


def test_a_small_face_beside_nothing_larger_is_found(sample: Path, networks: Networks) -> None:
    """The search continues to the finest level if necessary."""
    face = Image.open(sample / "collins" / "as-is.jpg").convert("RGB").resize((110, 110))
    canvas = Image.new("RGB", (900, 700), (90, 120, 90))
    canvas.paste(face, (600, 400))
    assert _check(canvas, networks) == 1


def test_a_small_face_in_the_middle_wins_over_a_large_one_at_the_side(sample: Path, networks: Networks) -> None:
    """`center` continues to search where `largest` stops."""
    canvas = Image.new("RGB", (1600, 600), (128, 128, 128))
    canvas.paste(_person(sample, 480, 560), (0, 20))
    canvas.paste(_person(sample, 180, 210), (710, 200))
    assert _check(canvas, networks) == 2
    pixels = IntegralImage(np.asarray(canvas))
    chosen = {}
    for policy in POLICIES:
        faces = detect_best(pixels, policy, networks)
        chosen[policy] = faces.boxes[choose_faces(faces, policy, *canvas.size)[0]]
    assert chosen["largest"][2] < 480 and 700 < chosen["center"][0] < 900


def test_a_small_face_inside_the_box_does_not_hide_the_large_one(sample: Path, networks: Networks) -> None:
    """The one known difference: the whole pyramid drops a face for a smaller, more probable one inside its box."""
    canvas = _person(sample, 1695, 1987)
    face = Image.open(sample / "collins" / "as-is.jpg").convert("RGB").crop((154, 34, 294, 198))
    canvas.paste(face.resize((44, 52)), (1125, 406))
    pixels = IntegralImage(np.asarray(canvas))
    chosen = {}
    for mode, faces in (("exact", detect_faces(pixels, networks)), ("fast", detect_best(pixels, "largest", networks))):
        chosen[mode] = faces.boxes[choose_faces(faces, "largest", *canvas.size)[0]]
        inside = faces.boxes[:, 0] > 1100
        assert inside.any() == (mode == "exact")
    x1, _, x2, y2 = chosen["fast"]
    assert x1 < 610 and x2 > 1160 and y2 > 1100
    assert np.abs(chosen["fast"] - chosen["exact"]).max() > 5


class _EquallySure:
    """Networks that give every face the same probability."""

    def __init__(self, networks: Networks) -> None:
        self.pnet, self.rnet, self._onet = networks.pnet, networks.rnet, networks.onet

    def onet(self, crops: Float32) -> Float32:
        output = self._onet(crops)
        output[:, 0] = np.minimum(output[:, 0], 2)
        return output


def test_equal_probabilities_are_decided_among_all_candidates(sample: Path, networks: Networks) -> None:
    """Which of two equal candidates is kept depends on all others, so the search goes on to the last level."""
    equally_sure = _EquallySure(networks)
    for size in ((300, 350), (640, 750), (900, 1050), (1300, 1500)):
        pixels = IntegralImage(np.asarray(_person(sample, *size)))
        exact = detect_faces(pixels, equally_sure)
        assert exact.tied.any()
        for policy in POLICIES:
            fast = detect_best(pixels, policy, equally_sure)
            np.testing.assert_array_equal(
                fast.boxes[choose_faces(fast, policy, pixels.width, pixels.height)],
                exact.boxes[choose_faces(exact, policy, pixels.width, pixels.height)],
            )


@pytest.mark.parametrize("corner", [(-420, 100), (700, 100), (200, -160), (200, 330)])
def test_a_face_that_a_border_cuts(sample: Path, networks: Networks, corner: tuple[int, int]) -> None:
    """At the left, right, top and bottom, alone and together with a smaller complete face."""
    canvas = Image.new("RGB", (1100, 600), (128, 128, 128))
    canvas.paste(_person(sample, 640, 750), corner)
    _check(canvas, networks)
    canvas.paste(_person(sample, 192, 225), (30, 360))
    assert _check(canvas, networks) >= 1


@pytest.mark.parametrize("size", [(5000, 1), (1, 5000), (20, 20), (21, 4000), (4000, 21), (35, 34)])
def test_awkward_sizes(sample: Path, networks: Networks, size: tuple[int, int]) -> None:
    """Too narrow for any level, one level, and very long images give what the whole pyramid gives."""
    _check(_person(sample, *size), networks)


@pytest.fixture
def small_bands(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Makes the tests' images be processed in bands, like images above four megapixels."""
    monkeypatch.setattr(integral_image, "BAND_PIXELS", 100_000)
    yield


@pytest.mark.usefixtures("small_bands")
def test_a_large_image_in_bands(sample: Path, networks: Networks) -> None:
    """A face that fills the image, and a small one in a corner."""
    canvas = Image.new("RGB", (2048, 2400), (128, 128, 128))
    canvas.paste(_person(sample, 192, 225), (1800, 2100))
    assert _check(canvas, networks) == 1
    assert _check(_person(sample, 2048, 2400), networks) >= 1


@pytest.mark.parametrize("orientation", [1, 6, 8])
def test_box_and_embedding_are_those_of_the_exact_mode(
    sample: Path, networks: Networks, tmp_path: Path, orientation: int
) -> None:
    """A photograph of 2,048 pixels, with and without rotation by EXIF."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    large = _person(sample, 2048, 2400).rotate({1: 0, 6: 90, 8: 270}[orientation], expand=True)
    large.save(tmp_path / "large.jpg", quality=92, exif=exif)
    found = {}
    for mode in ("exact", "fast"):
        contract = Contract(
            faces="largest",
            mode=mode,
            margin_px=32,
            weights="casia-webface",  # type: ignore[arg-type]
            weights_sha256=KNOWN_WEIGHTS["casia-webface"],
        )
        (result,) = process_images(tmp_path, ["large.jpg"], networks, contract, LIMITS)
        assert (result.record.width, result.record.height) == (2048, 2400)
        found[mode] = np.array(result.record.faces[0]), result.embeddings[0]
    np.testing.assert_allclose(found["fast"][0], found["exact"][0], atol=0.01)
    assert float(found["exact"][1] @ found["fast"][1]) >= 0.9999


def test_mirror_averages_the_crop_and_its_mirror_image(sample: Path, networks: Networks) -> None:
    """A face and its mirror image get the same embedding, of length 1."""
    crops = np.asarray(
        Image.open(sample / "collins" / "as-is.jpg").convert("RGB").crop((150, 20, 310, 180)), np.float32
    )
    crops = crops.transpose(2, 0, 1)[None]
    embedding = pipeline.embed_crops(crops, networks, mirror=True)
    mirrored = pipeline.embed_crops(crops[..., ::-1].copy(), networks, mirror=True)
    np.testing.assert_allclose(embedding, mirrored, atol=1e-6)
    assert abs(float(np.linalg.norm(embedding)) - 1) < 1e-5
    assert np.abs(embedding - pipeline.embed_crops(crops, networks, mirror=False)).max() > 1e-3
