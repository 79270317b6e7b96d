"""With FACEQUEUE_LOG_FORMAT=json, every line of a worker's output is a JSON object."""

import json
import signal
import sys
from pathlib import Path

from PIL import Image

from tests.support.stage import WORKER_LOG, Stage


def test_every_line_of_a_worker_is_an_object(server: Stage, tmp_path: Path) -> None:
    """From its start to its end: its own lines and Celery's; those on a job name job, batch, attempt and worker."""
    server.client.flushall()
    stage = Stage(tmp_path, server.server)
    (tmp_path / "data").mkdir()
    for number in range(3):
        Image.new("RGB", (64, 64), (number, 0, 0)).save(tmp_path / "data" / f"{number}.png")
    worker = stage.worker("--concurrency", "1", FACEQUEUE_LOG_FORMAT="json", FACEQUEUE_DATA_ROOT=str(tmp_path / "data"))
    done = stage.producer("enqueue", str(tmp_path / "data"), "--job", "j", "--wait", "--batch-size", "2")
    assert done.returncode in (0, 3), done.stderr
    worker.send_signal(signal.SIGTERM)
    worker.wait(60)
    lines = [json.loads(line) for line in stage.log(WORKER_LOG).splitlines()]
    assert all({"time", "level", "logger", "message"} <= line.keys() for line in lines)
    committed = [line for line in lines if line.get("action") == "batch_committed"]
    assert sorted((line["job"], line["batch"], line["attempt"], line["images"]) for line in committed) == [
        ("j", 0, 1, 2),
        ("j", 1, 1, 1),
    ]
    name = committed[0]["worker"]
    assert name.startswith(f"worker-{worker.pid}@") and all(line["duration_s"] >= 0 for line in committed)
    assert all(line["worker"] == name for line in lines if line["logger"] != "py.warnings")
    tasks = [line for line in lines if line["logger"] == "celery.app.trace" and "batch" in line]
    assert [(line["job"], line["batch"]) for line in tasks] == [("j", line["batch"]) for line in committed]
    (aggregated,) = (line for line in lines if line.get("action") == "job_aggregated")
    assert (aggregated["job"], aggregated["images"]) == ("j", 3)
    assert any(line.get("action") == "worker_signal" for line in lines)
    assert sys.executable not in json.dumps([line for line in lines if "error" in line])
