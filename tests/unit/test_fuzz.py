"""For any input, messages and image files give one of the promised results."""

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from shared.domain.errors import BadMessage
from shared.messaging.messages import Aggregate, EmbedBatch, parse_message
from worker.vision.decode import ImageTrouble, Limits, decode

LIMITS = Limits(2**20, 100_000)
FUZZ = settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
GOOD = {"version": 1, "job": "j", "uid": "0" * 32, "batch": 0, "send": 1, "images": ["a/b.jpg", "c.png"]}

_texts = st.text(max_size=20) | st.sampled_from(
    ["..", "/", "a/../b", "../", "/etc/passwd", "a\0b", "a//..", "\udcff", "."]
)
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_texts, inner, max_size=4),
    max_leaves=12,
)
_changes = st.dictionaries(st.sampled_from([*GOOD, "extra"]), _json, max_size=3)
_paths = st.lists(st.lists(_texts, min_size=1, max_size=4).map("/".join), min_size=1, max_size=4)


def _parse_or_refuse(body: Any) -> None:
    for kind in (EmbedBatch, Aggregate):
        try:
            message = parse_message(kind, body)
        except BadMessage as error:
            assert len(str(error)) < 500
            continue
        for path in message.images if isinstance(message, EmbedBatch) else ():
            assert path and not path.startswith("/") and ".." not in path.split("/") and "\0" not in path


@FUZZ
@given(_json)
def test_anything_is_a_message_or_is_refused(body: Any) -> None:
    """The only exception is BadMessage."""
    _parse_or_refuse(body)


@FUZZ
@given(_changes, st.sets(st.sampled_from(sorted(GOOD)), max_size=2))
def test_good_messages_gone_bad(changes: dict[str, Any], missing: set[str]) -> None:
    """Fields are changed, added and removed."""
    _parse_or_refuse({name: value for name, value in (GOOD | changes).items() if name not in missing})


@FUZZ
@given(_paths)
def test_no_path_leads_out(paths: list[str]) -> None:
    """This holds for any combination of parts."""
    _parse_or_refuse(GOOD | {"images": paths})


def _decode_or_refuse(data: bytes) -> None:
    try:
        image = decode(data, LIMITS)
    except ImageTrouble as trouble:
        assert 0 < len(str(trouble)) <= 300 and "\n" not in str(trouble)
        return
    assert 0 < image.width * image.height <= LIMITS.max_pixels
    assert image.mode == "RGB"
    assert np.asarray(image).shape == (image.height, image.width, 3)


_SIGNATURES = [
    b"\xff\xd8\xff",
    b"\x89PNG\r\n\x1a\n",
    b"GIF89a",
    b"RIFF\0\0\0\0WEBPVP8 ",
    b"II*\0",
    b"MM\0*",
    b"BM",
    b"\0\0\0\x18ftypheic",
    b"\0\0\0\x18ftypavif",
    b"P6 9 9 255 ",
    b"8BPS\0\x01",
    b"icns",
    b"\0\0\x01\0\x01\0",
    b"qoif",
    b"DDS ",
    b"\x01\xda",
    b"\n\x05\x01\x08",
]


@FUZZ
@given(st.sampled_from([b"", *_SIGNATURES]), st.binary(max_size=300))
def test_arbitrary_bytes_are_an_image_or_a_reason(signature: bytes, rest: bytes) -> None:
    """With and without the first bytes of a supported format."""
    _decode_or_refuse(signature + rest)


@pytest.fixture(scope="module")
def files(sample: Path) -> list[bytes]:
    """Files of the sample, and one of them in other formats."""
    small = Image.open(sample / "hopper" / "smaller.jpg").resize((48, 56))
    found = [
        (sample / path).read_bytes() for path in ("hopper/smaller.jpg", "hopper/turned-6.jpg", "damaged/truncated.jpg")
    ]
    for kind in (
        "PNG",
        "GIF",
        "WEBP",
        "TIFF",
        "BMP",
        "PPM",
        "HEIF",
        "AVIF",
        "JPEG2000",
        "ICO",
        "TGA",
        "PCX",
        "SGI",
        "QOI",
    ):
        target = BytesIO()
        small.save(target, kind)
        found.append(target.getvalue())
    return found


@FUZZ
@given(st.data())
def test_damaged_files_are_an_image_or_a_reason(files: list[bytes], data: st.DataObject) -> None:
    """Bytes are flipped, parts swapped, and files truncated, mostly at the start, where the sizes are."""
    image = bytearray(data.draw(st.sampled_from(files)))
    place = st.integers(0, 200) | st.integers(0, len(image) - 1)
    for at, value in data.draw(st.lists(st.tuples(place, st.integers(0, 255)), max_size=8)):
        image[min(at, len(image) - 1)] = value
    for left, right in data.draw(st.lists(st.tuples(place, place), max_size=2)):
        part = 16
        image[left : left + part], image[right : right + part] = image[right : right + part], image[left : left + part]
    if data.draw(st.booleans()):
        del image[data.draw(place) :]
    _decode_or_refuse(bytes(image))
