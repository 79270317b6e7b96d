"""The name of an installation: never empty, and always the same."""

from pathlib import Path

import pytest

from producer.local.data_folder import installation_name


def test_an_empty_name_is_replaced(tmp_path: Path) -> None:
    """A full disk left an empty file: otherwise every such machine would have the same name."""
    (tmp_path / "installation").touch()
    name = installation_name(tmp_path)
    assert len(name) == 32 and installation_name(tmp_path) == name


def test_a_name_that_cannot_be_written_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The name is written as a whole or not at all."""

    def full(descriptor: int) -> None:
        raise OSError("no room")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="no room"):
        installation_name(tmp_path)
    assert list(tmp_path.iterdir()) == []
