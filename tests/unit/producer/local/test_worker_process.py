"""The worker that `run` starts has the settings of `run`."""

from pathlib import Path

import pytest

from producer.local.worker_process import WorkerProcess
from shared.config.settings import Settings, load_settings


def test_a_worker_reads_the_settings_that_run_and_its_options_have_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are in the environment that it is started with. Everything else is inherited."""
    monkeypatch.chdir(tmp_path)
    for name in ("DEVICE", "WEIGHTS_PATH", "DATA_ROOT"):
        monkeypatch.setenv(f"FACEQUEUE_{name}", "cuda:7")
    monkeypatch.setenv("FACEQUEUE_LEASE_S", "4")
    changed = {
        "redis_url": "redis+socket:///run/own.sock",
        "data_root": tmp_path / "images",
        "results_dir": tmp_path / "results",
        "queue_prefix": "run-0123-",
        "batch_size": 3,
        "device": "cpu",
        "weights_path": tmp_path / "own.pt",
        "profile_dir": tmp_path / "profiles",
        "cache_ttl_s": 0,
    }
    worker = WorkerProcess(Settings(_env_file=None).model_copy(update=changed), 1, tmp_path / "worker.log")
    for name, value in worker.environment.items():
        monkeypatch.setenv(name, value)
    read = load_settings()
    assert {name: getattr(read, name) for name in changed} == changed
    assert read.lease_s == 4
