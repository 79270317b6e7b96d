"""`--precision bf16`: part of the contract, served where the processor has it, refused elsewhere."""

import json
from pathlib import Path

import numpy as np
import pytest

from shared.store.jobs import JobRecord
from tests.support.processor import needs_bf16
from tests.support.results import result_bytes
from tests.support.stage import Stage, wait_until


@needs_bf16
def test_bf16_gives_the_same_bytes_with_any_workers_and_batches(stage: Stage, sample: Path) -> None:
    """Its embeddings are near those of float32, and its boxes are the same. A job of that name is not mixed with it."""
    out = ("--results", str(stage.results))
    for job, *options in (
        ("plain", "--workers", "1"),
        ("half", "--workers", "1", "--precision", "bf16"),
        ("again", "--workers", "2", "--batch-size", "3", "--precision", "bf16"),
    ):
        done = stage.producer("run", str(sample), *out, "--job", job, *options, FACEQUEUE_CACHE_TTL_S="0")
        assert done.returncode == 3, done.stderr
    plain, half, again = (stage.results / job for job in ("plain", "half", "again"))
    assert result_bytes(half) == result_bytes(again)
    assert (plain / "faces.csv").read_bytes() == (half / "faces.csv").read_bytes()
    contracts = [json.loads((folder / "summary.json").read_text())["contract"] for folder in (plain, half)]
    assert [contract["precision"] for contract in contracts] == ["float32", "bf16"]
    a, b = (np.load(folder / "embeddings.npy") for folder in (plain, half))
    assert 0.999 < float((a * b).sum(axis=1).min()) < 1 and (a != b).any()
    mixed = stage.producer("run", str(sample), *out, "--job", "half", "--workers", "1")
    assert (mixed.returncode, "with other settings" in mixed.stderr) == (2, True), mixed.stderr


@needs_bf16
def test_the_cache_keeps_the_precisions_apart(stage: Stage, sample: Path) -> None:
    """A job in bf16 recalls nothing of one in float32."""
    for job, precision in (("one", "float32"), ("two", "bf16"), ("three", "bf16")):
        arguments = ("--job", job, "--precision", precision, "--workers", "1", "--results", str(stage.results))
        done = stage.producer("run", str(sample / "hopper"), *arguments, FACEQUEUE_CACHE_TTL_S="3600")
        assert done.returncode == 0, done.stderr
    recalled = [json.loads((stage.results / job / "summary.json").read_text())["recalled"] for job in ("two", "three")]
    assert recalled[0] == 0 < recalled[1]


@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        ({"FACEQUEUE_CPU_ISA": "avx2"}, "needs the instruction set avx512_core_bf16, and this worker has avx2"),
        ({"FACEQUEUE_BACKEND": "torch"}, "needs the OpenVINO backend, on a CPU, and this worker has torch"),
    ],
)
def test_run_says_in_a_line_that_this_machine_cannot(
    stage: Stage, sample: Path, environment: dict[str, str], reason: str
) -> None:
    """Exit code 2, before a worker is started."""
    done = stage.producer("run", str(sample), "--precision", "bf16", "--results", str(stage.results), **environment)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("producer: ") and reason in done.stderr
    assert done.stderr.rstrip().endswith("Use --precision float32.")


def test_an_unknown_precision_is_wrong_usage(stage: Stage, sample: Path) -> None:
    """Of `run` and of `enqueue`."""
    for command in ("run", "enqueue"):
        done = stage.producer(command, str(sample), "--precision", "fp16")
        assert done.returncode == 2
        assert "fp16" in done.stderr


def test_a_worker_without_bf16_leaves_the_job_to_the_others(stage: Stage, sample: Path) -> None:
    """It says why, decides nothing, and serves other jobs."""
    root = {"FACEQUEUE_DATA_ROOT": str(sample)}
    options = ("--job", "half", "--precision", "bf16", "--batch-size", "2")
    assert stage.producer("enqueue", str(sample / "hopper"), *options, **root).returncode == 0
    stage.worker("--concurrency", "1", FACEQUEUE_CPU_ISA="avx2", **root)
    record = JobRecord(stage.client, "half")
    wait_until(record.refusals, 60, "the worker refuses")
    assert "needs the instruction set avx512_core_bf16, and this worker has avx2" in str(record.refusals())
    assert (record.load().runtime, record.load().images_done) == (None, 0)
    followed = stage.producer("watch", "half", FACEQUEUE_WORKER_TIMEOUT_S="2")
    assert (followed.returncode, "Use --precision float32" in followed.stderr) == (4, True), followed.stderr
    done = stage.producer("enqueue", str(sample / "hopper"), "--wait", "--job", "plain", **root)
    assert done.returncode == 0, done.stderr
    assert "bf16" in stage.producer("status", "half").stdout


@needs_bf16
def test_a_worker_with_bf16_serves_what_another_refused(stage: Stage, sample: Path) -> None:
    """The first is still there."""
    root = {"FACEQUEUE_DATA_ROOT": str(sample)}
    options = ("--job", "half", "--precision", "bf16", "--batch-size", "2")
    assert stage.producer("enqueue", str(sample / "hopper"), *options, **root).returncode == 0
    stage.worker("--concurrency", "1", FACEQUEUE_CPU_ISA="avx2", **root)
    wait_until(JobRecord(stage.client, "half").refusals, 60, "the first worker refuses")
    stage.worker("--concurrency", "1", FACEQUEUE_CPU_ISA="auto", **root)
    done = stage.producer("watch", "half")
    assert done.returncode == 0, done.stderr + stage.log("worker.log")
    summary = json.loads((stage.results / "half" / "summary.json").read_text())
    assert (summary["contract"]["precision"], summary["contract"]["instruction_set"]) == ("bf16", "avx512_core_bf16")
