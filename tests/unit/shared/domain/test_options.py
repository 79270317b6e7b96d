"""A job's options come from a server that others can write to, so every field is validated."""

import json
from typing import Any

import pytest

from shared.domain.errors import InvalidRequest
from shared.domain.job import RECORD_VERSION, Job, parse_job
from shared.domain.options import Options
from tests.support.jobs import CONTRACT

GOOD = Options(folder="a/b\udcff", batch_size=16, distances="auto", inline=True)
RECORD = {
    "version": RECORD_VERSION,
    "uid": "0" * 32,
    "state": "sealed",
    "origin": "o",
    "source": "s",
    "queue_prefix": "",
    "batches": "1",
    "images": "1",
    "cursor": "null",
    "created_ms": "1",
    "updated_ms": "1",
    "contract": json.dumps(CONTRACT.as_dict()),
    "options": json.dumps(GOOD.as_dict()),
}


def _parse(name: str = "j", **change: str) -> Job:
    return parse_job(name, {key.encode(): value.encode() for key, value in (RECORD | change).items()})


def test_options_come_back_from_the_record_as_they_were() -> None:
    """This includes a folder whose name is not UTF-8."""
    assert _parse().options == GOOD


def test_options_that_are_not_used_are_not_in_the_record() -> None:
    """A worker of before they were added reads the record, and can say in what else the job differs. Others are in it,
    because their defaults may change.
    """
    plain = Options(folder="a", batch_size=16, distances="auto", neighbors=0, report=False)
    assert set(plain.as_dict()) == {"folder", "batch_size", "distances", "neighbors", "report", "report_faces"}
    assert Options.from_dict(plain.as_dict()) == plain
    used = Options(folder="a", batch_size=16, distances="auto", archives=True, location="s3://bucket/a")
    assert used.as_dict().items() >= {"archives": True, "location": "s3://bucket/a"}.items()
    assert Options.from_dict(used.as_dict()) == used


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("folder", "/home/somebody"),
        ("folder", "a/../../b"),
        ("folder", ".."),
        ("folder", "a\0"),
        ("folder", 7),
        ("folder", None),
        ("folder", "a\ud800"),
        ("batch_size", 0),
        ("batch_size", 1025),
        ("batch_size", "16"),
        ("batch_size", 16.0),
        ("batch_size", True),
        ("distances", "some"),
        ("distances", "full\n"),
        ("inline", 1),
        ("inline", "yes"),
        ("color", "red"),
    ],
)
def test_a_wrong_value_is_refused_in_a_line(field: str, value: Any) -> None:
    """This happens before a folder is opened or a table is written."""
    with pytest.raises(InvalidRequest) as refused:
        _parse(options=json.dumps(vars(GOOD) | {field: value}))
    assert field in str(refused.value)
    assert str(refused.value).isprintable()


@pytest.mark.parametrize("options", ["[]", "null", "7", "{}", '{"folder": ""}'])
def test_what_is_no_options_is_refused(options: str) -> None:
    """A value that is not an object, or lacks a field, is refused."""
    with pytest.raises(InvalidRequest, match="cannot be read"):
        _parse(options=options)


@pytest.mark.parametrize("uid", ["", "u", "../../../etc/passwd", "A" * 32, "0" * 31, "0" * 32 + "\n"])
def test_a_uid_that_is_none_is_refused(uid: str) -> None:
    """The uid becomes part of the spill file's name."""
    with pytest.raises(InvalidRequest, match="uid"):
        _parse(uid=uid)


@pytest.mark.parametrize("name", ["../j", "a/b", ".hidden", ""])
def test_a_name_that_cannot_name_a_job_is_refused(name: str) -> None:
    """Anyone who can write to the registry chooses the name, and it becomes the results folder's name."""
    with pytest.raises(InvalidRequest, match="cannot name a job"):
        _parse(name)
