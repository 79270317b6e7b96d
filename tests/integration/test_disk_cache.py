"""`run` keeps results of images on disk: other jobs, with servers of their own, use them."""

import json
import re
from pathlib import Path

from shared.disk_cache.cache_file import FILE_NAME
from tests.support.commands import run_in
from tests.support.results import result_bytes, rows_of


def _run(tmp_path: Path, images: Path, job: str, *options: object, **environment: str) -> Path:
    """Runs a job with a server that knows nothing; the cache on disk is in `tmp_path / "cache"`."""
    (tmp_path / job).mkdir()
    on = {"FACEQUEUE_DISK_CACHE_MAX_MIB": "100", "FACEQUEUE_DISK_CACHE_DIR": str(tmp_path / "cache")}
    arguments = (images, "--results", tmp_path / "out", "--job", job, *options)
    done = run_in(tmp_path / job, *arguments, **(on | environment))
    assert done.returncode in (0, 3), done.stderr
    (tmp_path / job / "stderr").write_text(done.stderr)
    return tmp_path / "out" / job


def _recalled(results: Path) -> int:
    return int(json.loads((results / "summary.json").read_text())["recalled"])


def _pictures(results: Path) -> list[str]:
    return re.findall(r'src="data:image/jpeg;base64,([^"]+)"', (results / "report.html").read_text())


def test_later_jobs_know_the_images(sample: Path, tmp_path: Path) -> None:
    """With another number of workers, and the same bytes; the report has the same pictures, without decoding again.

    Damaged files are looked at again. `--profile` computes everything.
    """
    first = _run(tmp_path, sample, "first", "--workers", 2, "--batch-size", 4)
    second = _run(tmp_path, sample, "second", "--workers", 1)
    assert result_bytes(first) == result_bytes(second)
    outcomes = [row["outcome"] for row in rows_of(first / "images.csv")]
    assert _recalled(second) == outcomes.count("ok") + outcomes.count("no_face") > _recalled(first)
    assert _pictures(first) == _pictures(second) != []
    profiled = _run(tmp_path, sample / "hopper", "profiled", "--workers", 1, "--profile")
    assert _recalled(profiled) == 0 and len(rows_of(profiled / "faces.csv")) > 0


def test_a_cache_that_cannot_be_used_costs_one_line(sample: Path, tmp_path: Path) -> None:
    """A damaged one is set aside, another program's is left alone."""
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / FILE_NAME).write_bytes(b"damaged" * 1000)
    first = _run(tmp_path, sample / "hopper", "first", "--workers", 1)
    assert f"renamed to {FILE_NAME}.damaged" in (tmp_path / "first" / "stderr").read_text()
    (tmp_path / "file").touch()
    folder = {"FACEQUEUE_DISK_CACHE_DIR": str(tmp_path / "file")}
    second = _run(tmp_path, sample / "hopper", "second", "--workers", 1, **folder)
    assert (tmp_path / "second" / "stderr").read_text().count("not kept on disk") == 1
    assert result_bytes(first) == result_bytes(second)
    third = _run(tmp_path, sample / "hopper", "third", "--workers", 1, "--no-report")
    assert _recalled(third) > 0
