"""Minutes of random kills on a folder of photographs: seeded, and each only after progress."""

import os
import random
import signal
import time
from pathlib import Path

import psutil
import pytest

from shared.store.jobs import JobRecord
from shared.store.keys import PREFIX
from tests.chaos.conftest import Fault, check_result, tree_hashes
from tests.support.results import result_bytes
from tests.support.stage import Stage, wait_until

_SEED = 20
_MOST_S = 300.0


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_soak(stage: Stage, tmp_path: Path, fault: Fault) -> None:
    """Random kills of children, workers and server on a folder of photographs, with two workers."""
    images = Path(os.environ.get("CHAOS_DATA", ""))
    if not images.is_dir() or not os.environ.get("CHAOS_DATA"):
        pytest.skip("CHAOS_DATA names no folder of photographs")
    images = images.resolve()
    before, root = tree_hashes(images), {"FACEQUEUE_DATA_ROOT": str(images.resolve())}
    calm = stage.producer("run", str(images), "--results", str(tmp_path / "out"), "--job", "calm", "--workers", "2")
    assert calm.returncode in (0, 3), calm.stderr
    workers = [stage.worker("--concurrency", "1", **root) for _ in range(2)]
    assert stage.producer("enqueue", str(images), "--job", "j", "--batch-size", "4", **root).returncode == 0
    record, chance, started = JobRecord(stage.client, "j"), random.Random(_SEED), time.monotonic()
    while (job := record.load()).state != "finished" and time.monotonic() - started < _MOST_S:
        what = chance.choice(["child", "child", "worker", "server"])
        if job.complete:
            break
        if what == "server":
            stage.restart_server()
        elif what == "worker":
            victim = chance.randrange(2)
            os.killpg(workers[victim].pid, signal.SIGKILL)
            workers[victim].wait()
            workers[victim] = stage.worker("--concurrency", "1", **root)
        else:
            children = [c for w in workers for c in psutil.Process(w.pid).children(recursive=True)]
            if children:
                chance.choice(children).kill()
        now = time.monotonic()
        fault.injected += 1
        done = job.images_done
        wait_until(lambda d=done: record.load().images_done > d or record.load().complete, 60, f"progress after {what}")
        fault.went_on(now)
    watched = stage.producer("watch", "j")
    assert watched.returncode == calm.returncode, watched.stderr
    check_result(stage, "j", result_bytes(tmp_path / "out" / "calm"), fault)
    assert fault.injected >= 5
    assert tree_hashes(images) == before
    assert {key.decode() for key in stage.client.scan_iter(f"{PREFIX}job:j:*")} <= {f"{PREFIX}job:j:failed"}
