"""`run --model`: SFace and models of the user's own, with real workers."""

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shared.analysis.calibration import calibration_of
from shared.domain.weights_files import sface_file
from tests.support.commands import run_in
from tests.support.results import result_bytes, rows_of
from tests.support.stage import Stage
from worker.models import onnx_file

DESCRIPTION = """
alignment = "five-points"
crop_px = 112
channels = "rgb"
pixel_mean = 0
pixel_scale = 1
dimensions = 128
license = "Apache-2.0"
origin = "a copy of SFace"
"""


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SFace's file under another name, as a model of the user's own."""
    path, source = tmp_path_factory.mktemp("model") / "mine.onnx", sface_file()
    assert source is not None
    shutil.copyfile(source, path)
    path.with_suffix(".toml").write_text(DESCRIPTION)
    return path


@pytest.fixture(scope="module")
def results(sample: Path, own: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of three jobs: SFace twice, with other workers and batches, and the user's copy of it."""
    folder = tmp_path_factory.mktemp("models")
    for job, *options in (
        ("one", "--model", "sface", "--workers", 1),
        ("two", "--model", "sface", "--workers", 2, "--batch-size", 3),
        ("mine", "--model", own, "--workers", 1, "--batch-size", 5),
    ):
        done = run_in(folder, sample, "--results", "out", "--job", job, *options, FACEQUEUE_CACHE_TTL_S="0")
        assert done.returncode == 3, done.stderr
    return folder / "out"


def _summary(folder: Path) -> dict[str, Any]:
    summary: dict[str, Any] = json.loads((folder / "summary.json").read_text())
    return summary


def test_sface_gives_the_same_bytes_with_any_workers_and_batches(results: Path) -> None:
    """128 values of length 1 a face."""
    assert result_bytes(results / "one") == result_bytes(results / "two")
    embeddings = np.load(results / "one" / "embeddings.npy")
    assert embeddings.shape == (len(rows_of(results / "one" / "faces.csv")), 128) and embeddings.dtype == np.float32
    assert np.allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-5)


def test_sface_groups_each_person_by_default(results: Path) -> None:
    """At its own threshold: pictures of one person are together, and no others."""
    faces, groups = rows_of(results / "one" / "faces.csv"), rows_of(results / "one" / "groups.csv")
    of_person: dict[str, set[str]] = {}
    for face, group in zip(faces, groups, strict=True):
        of_person.setdefault(face["path"].split("/")[0], set()).add(group["group"])
    assert {len(of_person[person]) for person in ("collins", "hopper")} == {1}
    assert not of_person["collins"] & of_person["hopper"]
    summary = _summary(results / "one")
    known = calibration_of(summary["contract"])
    assert known is not None and summary["neighbors"]["within"] == known.same_person
    assert summary["model"]["license"] == "Apache-2.0" and "not documented" in summary["model"]["origin"]
    report = (results / "one" / "report.html").read_text()
    assert "Its threshold 1.05 was calibrated on LFW View 1 for these options: 0.0045 % of 1.2 million pairs" in report


def test_a_model_of_ones_own_is_computed_like_a_known_one(results: Path) -> None:
    """Its description makes the same crops, so a copy of SFace has SFace's embeddings. The results name its origin."""
    one, mine = (results / job / "embeddings.npy" for job in ("one", "mine"))
    assert one.read_bytes() == mine.read_bytes()
    summary = _summary(results / "mine")
    assert summary["model"] == {
        "name": "own-mine",
        "weights": "own-mine",
        "license": "Apache-2.0",
        "origin": "a copy of SFace",
    }


def test_a_model_of_ones_own_has_no_threshold(stage: Stage, results: Path) -> None:
    """One sentence says why; a given threshold is used."""
    assert not (results / "mine" / "groups.csv").exists()
    refused = stage.producer("groups", "mine", "--results", str(results))
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert "what a distance means differs from model to model. Give one with --threshold D" in refused.stderr
    done = stage.producer("groups", "mine", "--threshold", "1", "--results", str(results))
    assert done.returncode == 0 and "No threshold is calibrated for the model own-mine" in done.stderr


def _external(model: Any) -> None:
    model.graph.initializer[0].data_location = 1


def _dynamic(model: Any) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[2].Clear()


class _Attack:
    """Creates a file if it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.file,)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_external, "external data"),
        (_dynamic, "give it a fixed size"),
        ("dimensions = 512", "return 128 values, and own-mine has 512"),
        (None, "is damaged, or is no ONNX file"),
    ],
)
def test_a_bad_model_is_refused_before_anything_is_started(
    change: Callable[[Any], None] | str | None, reason: str, own: Path, sample: Path, tmp_path: Path
) -> None:
    """One line, exit code 2, and nothing in the file is executed: not even if it is a pickle."""
    bad, executed = tmp_path / own.name, tmp_path / "executed"  # the name by which the good file is converted
    description = DESCRIPTION
    if isinstance(change, str):
        description = description.replace("dimensions = 128", change)
    if callable(change):
        model = onnx_file._message("ModelProto").FromString(own.read_bytes())
        change(model)
        bad.write_bytes(model.SerializeToString())
    else:
        bad.write_bytes(own.read_bytes() if change else pickle.dumps(_Attack(executed)))
    bad.with_suffix(".toml").write_text(description)
    done = run_in(tmp_path, sample, "--results", "out", "--job", "bad", "--model", bad)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
    assert reason in done.stderr and str(bad) in done.stderr
    assert not executed.exists() and not (tmp_path / "state").exists()


def test_enqueue_refuses_a_bad_model_and_a_worker_takes_a_good_one(
    stage: Stage, own: Path, sample: Path, tmp_path: Path
) -> None:
    """Before a job is made. Workers get the file by a setting, and the description with the job."""
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(b"no graph")
    bad.with_suffix(".toml").write_text(DESCRIPTION)
    root = {"FACEQUEUE_DATA_ROOT": str(sample)}
    done = stage.producer("enqueue", str(sample), "--job", "bad", "--model", str(bad), **root)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "is damaged, or is no ONNX file" in done.stderr
    assert stage.producer("status", "bad").returncode == 2
    alone = tmp_path / "elsewhere.onnx"  # without its description, and under another name
    shutil.copyfile(own, alone)
    stage.worker("--concurrency", "1", FACEQUEUE_WEIGHTS_PATH=str(alone), **root)
    done = stage.producer("enqueue", str(sample / "hopper"), "--job", "good", "--model", str(own), "--wait", **root)
    assert done.returncode == 0, done.stderr + stage.log("worker.log")
    summary = _summary(stage.results / "good")
    assert (summary["contract"]["weights"], summary["model"]["origin"]) == ("own-mine", "a copy of SFace")
