"""The fast mode finds the face that the whole pyramid would."""

from pathlib import Path

import numpy as np
from PIL import Image

from shared.domain.contract import KNOWN_WEIGHTS, Contract
from tests.support.baseline import overlap
from worker.vision import pipeline
from worker.vision.decode import Limits, decode
from worker.vision.face_selection import choose_faces
from worker.vision.largest_face_search import detect_largest
from worker.vision.mtcnn_cascade import detect_faces
from worker.vision.pipeline import Networks, process_images

LIMITS = Limits(10**8, 10**8)


def test_the_largest_face_is_that_of_the_whole_pyramid(sample: Path, networks: Networks) -> None:
    """On every picture of the sample, also where there is none."""
    for path in [*sorted(sample.rglob("*.jpg")), *sorted(sample.rglob("*.png"))]:
        if "truncated" in path.name:
            continue
        image = decode(path.read_bytes(), LIMITS).image
        exact, fast = detect_faces(np.asarray(image), networks), detect_largest(image, networks)
        wanted = choose_faces(exact, "largest", *image.size)
        found = choose_faces(fast, "largest", *image.size)
        assert len(wanted) == len(found), path
        if len(wanted):
            assert overlap(exact.boxes[wanted[0]], fast.boxes[found[0]]) > 0.9, path


def test_a_small_face_beside_nothing_larger_is_found(sample: Path, networks: Networks) -> None:
    """The search goes on to the finest level where it has to."""
    face = Image.open(sample / "collins" / "as-is.jpg").convert("RGB").resize((110, 110))
    canvas = Image.new("RGB", (900, 700), (90, 120, 90))
    canvas.paste(face, (600, 400))
    exact, fast = detect_faces(np.asarray(canvas), networks), detect_largest(canvas, networks)
    assert len(exact) == len(fast) == 1
    assert overlap(exact.boxes[0], fast.boxes[0]) > 0.9


def test_half_a_face_at_the_border_does_not_win(sample: Path, networks: Networks) -> None:
    """Only what is visible counts, in both modes."""
    person = Image.open(sample / "hopper" / "as-is.jpg").convert("RGB")
    canvas = Image.new("RGB", (1100, 600), (128, 128, 128))
    canvas.paste(person.resize((1024, 1200)), (-420, -250))
    canvas.paste(person.resize((384, 450)), (690, 100))
    wanted, found = detect_faces(np.asarray(canvas), networks), detect_largest(canvas, networks)
    a = wanted.boxes[choose_faces(wanted, "largest", *canvas.size)[0]]
    b = found.boxes[choose_faces(found, "largest", *canvas.size)[0]]
    assert overlap(a, b) > 0.9


def test_a_reduced_decoding_gives_the_same_face_in_pixels_of_the_whole(
    sample: Path, networks: Networks, tmp_path: Path
) -> None:
    """A photograph of 2,048 pixels: decoded at a third of it, its box and embedding are those of the exact mode."""
    large = Image.open(sample / "hopper" / "as-is.jpg").convert("RGB").resize((2048, 2400))
    large.save(tmp_path / "large.jpg", quality=92)
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
        found[mode] = np.array(result.record.faces[0][:4]), result.embeddings[0]
    assert decode((tmp_path / "large.jpg").read_bytes(), LIMITS, pipeline.DRAFT_SHORTEST_PX).reduction == 2
    assert overlap(found["exact"][0], found["fast"][0]) > 0.9
    assert float(found["exact"][1] @ found["fast"][1]) > 0.95


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
