"""`run` on real portraits and on difficult files (too slow for `make test`; CI runs it)."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.stage import ROOT


def _run(folder: Path, images: Path, *arguments: str) -> tuple[int, list[dict[str, str]], dict[str, object]]:
    environment = os.environ | {"FACEQUEUE_STATE_DIR": str(folder / "state"), "PYTHONPATH": str(ROOT)}
    environment.pop("REDIS_URL", None)
    command = [sys.executable, "-m", "producer", "run", str(images), "--results", "out", "--job", "j", *arguments]
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, timeout=600)
    with (folder / "out" / "j" / "images.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return done.returncode, rows, json.loads((folder / "out" / "j" / "summary.json").read_text())


@pytest.mark.data
@pytest.mark.timeout(600)
def test_every_awkward_file_has_an_outcome(photographs: Path, tmp_path: Path) -> None:
    """Odd formats, broken files and bombs are all listed, failures with a reason, none lost, none slow."""
    code, rows, _ = _run(tmp_path, photographs / "awkward")
    assert code == 3
    assert len(rows) == 126
    outcomes = {row["outcome"] for row in rows}
    assert outcomes == {"ok", "no_face", "unreadable", "too_large"}
    for row in rows:
        assert (row["outcome"] in ("ok", "no_face")) or row["error"], row
        assert "0x" not in row["error"], row
        assert "/" not in row["error"].replace("tile cannot", ""), row
    assert sum(row["outcome"] == "too_large" for row in rows) == 6
    assert max(float(row["decode_ms"]) for row in rows) < 10_000


@pytest.mark.data
@pytest.mark.timeout(600)
def test_portraits_end_well(photographs: Path, tmp_path: Path) -> None:
    """All 97 are listed, nearly all with a face."""
    code, rows, summary = _run(tmp_path, photographs / "humans")
    assert code in (0, 3)
    assert len(rows) == 97
    assert sum(row["outcome"] == "ok" for row in rows) >= 95
    assert summary["images"] == 97
