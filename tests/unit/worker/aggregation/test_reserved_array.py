"""Arrays on disk have their space before anything is written."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from worker.aggregation.reserved_array import new_array


@pytest.mark.parametrize("system", ["as it is", "macOS", "a file system that cannot"])
def test_an_array_has_its_room_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, system: str
) -> None:
    """All disk blocks are allocated on every system, and the bytes are those of `np.save`."""
    if system == "macOS":
        monkeypatch.delattr(os, "posix_fallocate")
    elif system != "as it is":

        def refuse(*_: object) -> None:
            raise OSError(errno.EOPNOTSUPP, "not supported")

        monkeypatch.setattr(os, "posix_fallocate", refuse)
    shape = (1000, 700)
    array = new_array(tmp_path / "a.npy", shape)
    status = (tmp_path / "a.npy").stat()
    assert status.st_blocks * 512 >= status.st_size >= array.nbytes
    values = np.arange(array.size, dtype=np.float32).reshape(shape)
    array[:] = values
    array.flush()  # type: ignore[attr-defined]
    np.save(tmp_path / "b.npy", values)
    assert (tmp_path / "a.npy").read_bytes() == (tmp_path / "b.npy").read_bytes()
