"""Messages are validated field by field."""

import json

import pytest

from shared.domain.errors import BadMessage, InvalidRequest
from shared.domain.job_names import check_job_name
from shared.domain.paths import pack_paths, unpack_paths
from shared.domain.stretch import Images, Stretch, pack_images, unpack_images
from shared.messaging.messages import EmbedBatch, parse_message

GOOD = {"version": 1, "job": "photos-1", "uid": "0" * 32, "batch": 0, "send": 1, "images": ["a/b.jpg"]}


def test_a_good_message_passes() -> None:
    """It describes itself in one line."""
    message = parse_message(EmbedBatch, GOOD)
    assert message.describe() == "job=photos-1 batch=0 images=1"
    assert message.task_id == "photos-1:0:1"


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"version": "1"},
        {"job": "../x"},
        {"job": "a/b"},
        {"batch": -1},
        {"batch": "0"},
        {"images": []},
        {"images": ["/etc/passwd"]},
        {"images": ["a/../../b"]},
        {"images": [7]},
        {"images": ["a\0b"]},
        {"extra": 1},
        {"images": ["a\ud800.jpg"]},
        {"images": ["\udc7f"]},
        {"uid": "../../x"},
        {"uid": "A" * 32},
        {"uid": "0" * 32 + "\n"},
    ],
)
def test_a_bad_message_is_refused_in_words(change: dict[str, object]) -> None:
    """A wrong version, wrong types, unknown fields, invalid paths and an invalid uid are refused."""
    with pytest.raises(BadMessage):
        parse_message(EmbedBatch, GOOD | change)


@pytest.mark.parametrize("body", [None, [], "x", {}, {k: v for k, v in GOOD.items() if k != "uid"}])
def test_anything_else_is_refused(body: object) -> None:
    """Missing fields and bodies of other kinds are refused."""
    with pytest.raises(BadMessage):
        parse_message(EmbedBatch, body)


def test_paths_that_are_not_utf8_survive() -> None:
    """Surrogates stand for their bytes in messages and in the record."""
    paths = ["ordinary.jpg", "b\udcff.jpg"]
    assert unpack_paths(pack_paths(paths)) == paths
    assert parse_message(EmbedBatch, GOOD | {"images": paths}).images == paths


STRETCH = {"archive": "a", "size": 10, "mtime_ns": -1, "places": [512]}


def test_a_stretch_of_an_archive_survives() -> None:
    """In messages and in the record, where plain files stay a list of paths."""
    message = parse_message(EmbedBatch, GOOD | {"stretch": STRETCH})
    assert message.model_dump() == GOOD | {"stretch": STRETCH}
    images = Images(["b\udcff.tar/x.jpg"], Stretch(**STRETCH | {"archive": "b\udcff.tar"}))
    assert unpack_images(pack_images(images)) == images
    assert pack_images(Images(["a.jpg"])) == '["a.jpg"]' and unpack_images('["a.jpg"]') == Images(["a.jpg"])


@pytest.mark.parametrize(
    "change",
    [
        {"archive": "/etc"},
        {"archive": "../a"},
        {"archive": "other"},
        {"archive": "a/b"},
        {"archive": 7},
        {"size": -1},
        {"size": "10"},
        {"mtime_ns": 0.5},
        {"places": []},
        {"places": [1, 2]},
        {"places": [-1]},
        {"places": [1 << 63]},
        {"places": ["1"]},
        {"places": None},
        {"more": 1},
    ],
)
def test_a_stretch_that_does_not_fit_its_images_is_refused(change: dict[str, object]) -> None:
    """In messages as in the record: every image is in the archive, and has one place."""
    with pytest.raises(BadMessage):
        parse_message(EmbedBatch, GOOD | {"stretch": STRETCH | change})
    with pytest.raises(ValueError):
        unpack_images(json.dumps({"paths": GOOD["images"], "stretch": STRETCH | change}))


@pytest.mark.parametrize("packed", [None, "", "7", "{}", '{"paths": ["a"]}', '{"paths": "a", "stretch": null}', "[7]"])
def test_other_records_of_a_batch_are_refused(packed: str | None) -> None:
    """Whoever writes to the server."""
    with pytest.raises(ValueError):
        unpack_images(packed)


@pytest.mark.parametrize("name", ["", ".hidden", "a b", "x" * 101, "a/b"])
def test_names_that_cannot_name_a_folder(name: str) -> None:
    """They are reported as wrong usage."""
    with pytest.raises(InvalidRequest):
        check_job_name(name)
