"""The tests do not use the user's home."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from shared.config.settings import Settings
from tests.support.home import HOME_GUARD, ROOT, HomeGuard


def test_a_write_below_the_real_home_fails_the_test(tmp_path: Path) -> None:
    """The write is refused at once, and recorded in case the code under test hides the error."""
    (tmp_path / "moved").touch()
    for write in (
        lambda path: path.write_text("x"),
        lambda path: path.mkdir(),
        lambda path: path.touch(),
        lambda path: (tmp_path / "moved").rename(path),
        lambda path: path.symlink_to("x"),
    ):
        path = HOME_GUARD.folder / ".written-by-a-test-of-facequeue"
        with pytest.raises(AssertionError, match="the user's own home"):
            write(path)
        assert not path.exists()
        assert str(path) in HOME_GUARD.writes.pop()
    assert not HOME_GUARD.writes


def test_reading_there_and_writing_elsewhere_are_no_matter(tmp_path: Path) -> None:
    """The checkout, the virtual environment and the temporary folder may be in a home."""
    guard = HomeGuard(Path("/"))
    for path, mode, flags in (("/etc/hosts", "r", os.O_RDONLY), (str(tmp_path / "a"), "w", os.O_WRONLY | os.O_CREAT)):
        guard.hook("open", (path, mode, flags))
    guard.hook("os.mkdir", (str(ROOT / "build"), 0o777, -1))
    assert not guard.writes
    with pytest.raises(AssertionError, match="wrote below"):
        guard.hook("open", (f"{os.path.dirname(tempfile.gettempdir())}/elsewhere", None, os.O_RDWR))  # noqa: PTH120


def test_no_process_is_started_with_the_real_home() -> None:
    """Child processes get the temporary home."""
    with pytest.raises(AssertionError, match="the user's own home"):
        subprocess.run([sys.executable, "-c", ""], env={"HOME": str(HOME_GUARD.folder)})
    HOME_GUARD.writes.clear()
    code = (
        "from shared.config.settings import Settings as S; s = S(_env_file=None); print(s.state_dir); "
        "print(s.cache_dir)"
    )
    environment = {name: value for name, value in os.environ.items() if name != "FACEQUEUE_CACHE_DIR"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, env=environment)
    folders = [*map(Path, done.stdout.split()), Settings(_env_file=None).state_dir]
    assert len(folders) == 3, done.stderr
    for folder in folders:
        assert folder.is_relative_to(os.environ["HOME"])
        assert not folder.is_relative_to(HOME_GUARD.folder)
