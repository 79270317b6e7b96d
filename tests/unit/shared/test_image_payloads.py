"""What travels of a file: never more than the limit, however it changes while it is read."""

import os
from pathlib import Path

import pytest

from shared.domain.image_formats import HEAD_BYTES
from shared.store.image_payloads import TooLarge, pack_image, unpack_image


def test_a_file_that_grows_while_it_is_read_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its size was within the limit when it was looked at."""
    (tmp_path / "a.jpg").write_bytes(b"x" * 10_000)
    real, looks = os.fstat, []

    def fstat(descriptor: int) -> os.stat_result:
        status = real(descriptor)
        if looks or status.st_size != 10_000:
            return status
        looks.append(descriptor)
        return os.stat_result((*status[:6], 5000, *status[7:]))

    monkeypatch.setattr(os, "fstat", fstat)
    packed = pack_image(tmp_path, "a.jpg", 6000)
    assert looks
    with pytest.raises(TooLarge) as error:
        unpack_image(packed)
    assert (error.value.size, error.value.head) == (10_000, b"x" * min(HEAD_BYTES, 6001))


def test_a_file_of_the_limit_travels(tmp_path: Path) -> None:
    """To the byte."""
    (tmp_path / "a.jpg").write_bytes(b"x" * 6000)
    assert unpack_image(pack_image(tmp_path, "a.jpg", 6000)) == b"x" * 6000
