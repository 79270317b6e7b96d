"""Very blurred faces are in all results of a job, and in no group."""

import csv
import sys
from pathlib import Path

import numpy as np
import pytest

from producer.cli.app import main
from shared.domain.outcomes import Outcome
from shared.report.build import build_report
from tests.support.made_up_blocks import sealed_job, write_job
from tests.support.results import rows_of
from worker.batch_result import Block, ImageRecord


def _block(sharpness: list[float]) -> bytes:
    """Images of one person, with faces of this sharpness."""
    images = [
        ImageRecord(path=f"{k}.jpg", outcome=Outcome.OK, faces=[[0, 0, 50, 60, 1, *[4] * 10, 50, value, 0, 0, 1]])
        for k, value in enumerate(sharpness)
    ]
    embeddings = np.eye(1, 512, dtype=np.float32) + 0.01 * np.random.default_rng(0).normal(size=(len(images), 512))
    embeddings = (embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)).astype(np.float32)
    return Block(
        batch=0, attempt=1, worker="w", started_ms=0, ended_ms=900, commit_ms=0, images=images, embeddings=embeddings
    ).pack()


def test_groups_leave_out_very_blurred_faces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A job's groups.csv, its report and `groups` have one rule; the limit can be lifted."""
    write_job(sealed_job(5), [_block([30, 0.9994, 1, 0.2, 55])], tmp_path)
    folder = tmp_path / "j"
    rows = rows_of(folder / "groups.csv")
    assert [(row["group"], row["left_out"]) for row in rows] == [
        *(("1", ""), ("2", "sharpness"), ("1", ""), ("3", "sharpness"), ("1", ""))
    ]
    assert [row["sharpness"] for row in rows_of(folder / "faces.csv")] == [
        "30.000",
        "0.999",
        "1.000",
        "0.200",
        "55.000",
    ]
    assert "1 group of two faces and more, 0 faces alone, 2 left out" in build_report(folder, None).read_text()
    for limits, groups in ([], "11123"), (["--min-sharpness", "0"], "11111"):
        monkeypatch.setattr(sys, "argv", ["producer", "groups", "j", "--csv", "--results", str(tmp_path), *limits])
        with pytest.raises(SystemExit):
            main()
        printed = list(csv.DictReader(capsys.readouterr().out.splitlines()))
        assert "".join(row["group"] for row in printed) == groups
