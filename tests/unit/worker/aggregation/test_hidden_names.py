"""Creating and parsing the names of hidden files and folders beside the results."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from worker.aggregation.hidden_names import (
    ScratchOf,
    aside_path,
    new_scratch_name,
    scratch_of,
    spill_path,
    spilled_job,
)


def _job(name: str) -> Any:
    return SimpleNamespace(name=name, uid="0123abcd" * 4)


@pytest.mark.parametrize("name", ["j", "j.2", "a-b_c.0123abcd", "9" * 100])
def test_what_is_made_is_recognized(name: str) -> None:
    """A job's name may contain dots and digits like the rest of the file name."""
    assert scratch_of(new_scratch_name(_job(name))) == ScratchOf(name, "0123abcd")
    assert spilled_job(spill_path(_job(name), Path("results")).name) == name
    assert new_scratch_name(_job(name)) != new_scratch_name(_job(name))


@pytest.mark.parametrize("name", ["j", ".j", ".j.making", ".j.0123abcd-.making", ".j.0123abcd-5.making.jpg"])
def test_other_names_are_left_alone(name: str) -> None:
    """Other names may be the user's own files."""
    assert (scratch_of(name), spilled_job(name)) == (None, None)
    assert spilled_job(".photos.12345678.spool.jpg") is None


def test_earlier_results_are_put_aside_under_a_hidden_name() -> None:
    """They must not look like a job's results."""
    assert aside_path(Path("results", "j")) == Path("results", ".j.replaced")
