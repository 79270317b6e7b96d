"""Settings: what is not right is named in a line."""

from pathlib import Path

import pytest

from shared.errors import WrongUsage
from shared.settings import Settings, get_settings


@pytest.fixture(autouse=True)
def _fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    get_settings.cache_clear()


@pytest.mark.parametrize("url", ["http://x", "redis://h:port/0", "localhost:6379", "redis://h:99999"])
def test_an_address_that_is_none_is_named(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """Without a traceback, and without the password that may be in it."""
    monkeypatch.setenv("REDIS_URL", url)
    with pytest.raises(WrongUsage, match="REDIS_URL is not right"):
        get_settings()


def test_empty_settings_count_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a line `REDIS_URL=` in .env means it."""
    monkeypatch.setenv("REDIS_URL", "")
    monkeypatch.setenv("FACEQUEUE_BATCH_SIZE", "")
    assert Settings().redis_url is None
    assert Settings().batch_size == Settings.model_fields["batch_size"].default


def test_both_spellings_of_a_unix_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    """redis-py's and kombu's."""
    monkeypatch.setenv("REDIS_URL", "unix:///run/redis.sock")
    assert Settings().server_url == "redis+socket:///run/redis.sock"


def test_a_settings_file_in_another_encoding(tmp_path: Path) -> None:
    """Is named."""
    (tmp_path / ".env").write_bytes(b"FACEQUEUE_FLOWER_USER=J\xfcrgen\n")
    with pytest.raises(WrongUsage, match=r"\.env is not UTF-8"):
        get_settings()


@pytest.mark.parametrize("line", ["FACEQUEUE_BATCH_SIZE=many", "FACEQUEUE_REDIS_PORT=0", "FACEQUEUE_BACKEND=magic"])
def test_a_value_that_cannot_be_is_named(tmp_path: Path, line: str) -> None:
    """With the setting's own name."""
    (tmp_path / ".env").write_text(line)
    with pytest.raises(WrongUsage, match=line.partition("=")[0]):
        get_settings()
