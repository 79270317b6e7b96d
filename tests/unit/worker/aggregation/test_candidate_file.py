"""The candidates of a tile in a file."""

from pathlib import Path

import numpy as np
import pytest

from shared.analysis.candidates import Candidates
from worker.aggregation.candidate_file import is_whole, map_candidates, read_bounds, write_candidates

_ABOUT = {"tile": 3}
_PARTS = [
    Candidates(
        np.array([0, 2, 2, 5]),
        np.array([4, 5, 3, 4, 5], np.int32),
        -np.arange(5, dtype=np.float32),
        np.array([-1, -np.inf, -3], np.float32),
        0.25,
    ),
    Candidates(np.array([0, 0]), np.empty(0, np.int32), np.empty(0, np.float32), np.array([-7], np.float32), 0.5),
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file of two parts."""
    write_candidates(tmp_path / "f", _ABOUT, _PARTS)
    return tmp_path / "f"


def test_what_is_written_is_read(path: Path) -> None:
    """All of it, and the bounds alone, which are candidates without faces."""
    assert is_whole(path, _ABOUT)
    bounds = read_bounds(path, _ABOUT)
    assert bounds is not None
    for part, found, bound in zip(_PARTS, map_candidates(path), bounds, strict=True):
        for name in ("starts", "faces", "closeness", "bound"):
            np.testing.assert_array_equal(getattr(found, name), getattr(part, name))
            assert getattr(found, name).dtype == getattr(part, name).dtype
        assert found.error == bound.error == part.error
        np.testing.assert_array_equal(bound.bound, part.bound)
        assert len(bound) == len(part) and len(bound.faces) == 0


def test_another_tile_or_none_has_nothing(path: Path) -> None:
    """As if there were no file."""
    assert not is_whole(path, {"tile": 4}) and read_bounds(path, {"tile": 4}) is None
    assert not is_whole(path.with_name("g"), _ABOUT) and read_bounds(path.with_name("g"), _ABOUT) is None


def test_a_change_of_any_byte_is_noticed(path: Path) -> None:
    """And bytes that are missing or too many; in the bounds also by who reads these alone."""
    content = path.read_bytes()
    begin_of_faces = 4096 + 4 * 4 + 32
    for place in range(0, len(content), 7):
        changed = bytearray(content)
        changed[place] ^= 1
        path.write_bytes(changed)
        assert not is_whole(path, _ABOUT)
        assert (read_bounds(path, _ABOUT) is None) == (place < begin_of_faces)
    for length in (0, 100, 4096, 4100, begin_of_faces - 1, len(content) - 1):
        path.write_bytes(content[:length])
        assert not is_whole(path, _ABOUT)
    path.write_bytes(content + b"x")
    assert not is_whole(path, _ABOUT)
