"""The cache of `run`: when there is one, and the command that shows and clears it."""

import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from producer.cli.app import cli
from producer.local.disk_cache import with_disk_cache
from shared.config.settings import Settings
from shared.disk_cache.cache_file import FILE_NAME, open_cache
from worker.execution.disk_cache import DiskCache

LABEL = json.dumps(
    {"weights": "casia-webface", "faces": "largest", "mode": "fast", "margin_px": 32, "mirror": False}
    | {"precision": "float32", "backend": "openvino 2026", "device": "cpu", "instruction_set": "avx2"}
    | {"pipeline_version": 2}
)


def _settings(**given: object) -> Settings:
    return Settings(_env_file=None, **({"disk_cache_max_mib": 10} | given))  # type: ignore[arg-type]


def _command(folder: Path, *options: str) -> tuple[int, str]:
    environment = {"FACEQUEUE_CACHE_DIR": str(folder), "FACEQUEUE_DISK_CACHE_MAX_MIB": "10"}
    done = CliRunner(env=environment).invoke(cli, ["cache", *options])
    return done.exit_code, done.stdout + str(done.exception or "")


def _fill(folder: Path, label: str = LABEL, count: int = 5) -> DiskCache:
    cache = DiskCache(folder, 2**24, least_free_bytes=0)
    cache.put(label, {f"{number:032x}": b"an embedding" for number in range(count)})
    return cache


def test_run_keeps_results_in_the_cache_folder(tmp_path: Path) -> None:
    """Unless the user has turned that off: the cache as a whole, or the one on disk."""
    assert with_disk_cache(_settings(cache_dir=tmp_path), print).disk_cache_dir == tmp_path
    assert (tmp_path / FILE_NAME).exists()
    other = with_disk_cache(_settings(cache_dir=tmp_path, disk_cache_dir=tmp_path / "other"), print)
    assert other.disk_cache_dir == tmp_path / "other"
    for off in ({"cache_ttl_s": 0}, {"disk_cache_max_mib": 0}):
        without = with_disk_cache(_settings(cache_dir=tmp_path / "off", **off), print)
        assert not without.keeps_results_on_disk and not (tmp_path / "off").exists()


def test_a_cache_that_cannot_be_used_is_left_out_with_a_line(tmp_path: Path) -> None:
    """The job itself goes on."""
    (tmp_path / "file").touch()
    said: list[str] = []
    without = with_disk_cache(_settings(cache_dir=tmp_path / "file"), said.append)
    assert not without.keeps_results_on_disk
    assert len(said) == 1 and "not kept on disk" in said[0] and str(tmp_path / "file") in said[0]


def test_the_command_shows_what_is_kept(tmp_path: Path) -> None:
    """The size, the limit, and the number of results by options. Labels may come from anyone."""
    assert _command(tmp_path) == (0, f"{tmp_path / FILE_NAME}: does not exist\n")
    assert _command(tmp_path, "--clear") == (0, "0 results removed\n")
    assert not list(tmp_path.iterdir())
    _fill(tmp_path).close()
    _fill(tmp_path, "\x1b[31m{}", 3).close()
    code, text = _command(tmp_path)
    assert code == 0 and "8 results" in text and "of 10 MiB" in text and "\x1b" not in text
    assert (
        "  5: casia-webface, faces largest, fast, margin 32, float32, openvino 2026 on cpu (avx2), pipeline 2" in text
    )
    assert "  3: results of another version" in text


@pytest.mark.parametrize("in_use", [True, False])
def test_the_command_clears_the_cache(tmp_path: Path, in_use: bool) -> None:
    """Also while a `run` uses it, which goes on. Nothing of a face stays on the disk."""
    user = _fill(tmp_path)
    (tmp_path / f"{FILE_NAME}.damaged").write_bytes(b"face")
    (tmp_path / f".{FILE_NAME}.0123456789abcdef").touch()
    if not in_use:
        user.close()
    assert _command(tmp_path, "--clear") == (0, "5 results removed\n")
    left = b"".join(path.read_bytes() for path in tmp_path.iterdir() if not path.name.endswith("-shm"))
    assert b"face" not in left and b"an embedding" not in left
    assert (tmp_path / FILE_NAME).exists() == in_use
    assert in_use or [path.name for path in tmp_path.iterdir()] == [f".{FILE_NAME}.lock"]
    user.put(LABEL, {f"{9:032x}": b"later"})
    assert user.get(LABEL, f"{9:032x}") == b"later"
    user.close()


def test_another_programs_file_is_an_error_of_one_line(tmp_path: Path) -> None:
    """It is neither shown nor cleared."""
    open_cache(tmp_path, print).close()
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as connection:
        connection.execute("PRAGMA application_id = 7")
    before = (tmp_path / FILE_NAME).read_bytes()
    for options in ([], ["--clear"]):
        code, text = _command(tmp_path, *options)
        assert code != 0 and "another program" in text
    assert (tmp_path / FILE_NAME).read_bytes() == before and os.access(tmp_path / FILE_NAME, os.W_OK)
