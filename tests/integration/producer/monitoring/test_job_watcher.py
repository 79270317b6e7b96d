"""Watching real workers: sample logs, Flower's statistics, metrics over HTTP, and the table of workers."""

import csv
import json
import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import requests
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from shared.domain.outcomes import Outcome
from shared.messaging.celery_app import make_celery
from shared.results.schema import SAMPLE_COLUMNS
from shared.store.jobs import JobRecord
from shared.store.keys import METRICS
from shared.store.worker_registry import Worker, announce
from tests.support.stage import ROOT, Stage, wait_until
from worker.aggregation.sample_reader import samples_between

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]
OFTEN = {"FACEQUEUE_SAMPLE_INTERVAL_S": "0.1"}


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def _log_rows(stage: Stage) -> list[dict[str, str]]:
    (path,) = (stage.folder / "state" / "workers").glob("*.csv")
    return _rows(path)


def _children(rows: list[dict[str, str]]) -> set[str]:
    return {row["pid"] for row in rows if row["role"] == "child"}


def _stats(stage: Stage) -> dict[str, Any]:
    answer = make_celery(stage.settings).control.inspect(timeout=10, limit=1).stats()
    (stats,) = answer.values()
    return dict(stats["psutil"])


@contextmanager
def _exporter(stage: Stage, *arguments: str, **environment: str) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = stage.spawn("producer", "metrics", "--port", str(port), *arguments, log="metrics.log", **environment)
    wait_until(lambda: "Metrics: http" in stage.log("metrics.log"), 20, "the exporter serves")
    yield f"http://127.0.0.1:{port}/metrics"
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 0


def _scrape(url: str) -> Samples:
    answer = requests.get(url, timeout=20)
    assert answer.status_code == 200, answer.text
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def _by_label(samples: Samples, name: str, label: str) -> dict[str, float]:
    return {dict(labels)[label]: value for (found, labels), value in samples.items() if found == name}


def test_every_worker_logs_its_processes(stage: Stage, sample: Path) -> None:
    """Each row names process, job and batch. The children's images add up to the job's and to Flower's value."""
    root = {"FACEQUEUE_DATA_ROOT": str(sample)}
    stage.worker("--concurrency", "2", **root, **OFTEN)
    done = stage.producer("enqueue", str(sample), "--wait", "--job", "seen", "--batch-size", "2", **root)
    assert done.returncode == 3, done.stderr
    wait_until(lambda: _log_rows(stage)[-1]["images_done"] and _stats(stage)["images_done"] == 25, 20, "all is counted")
    figures = _stats(stage)
    wait_until(lambda: _log_rows(stage)[-3]["images_done"] == "25", 20, "the log has it too")
    rows = _log_rows(stage)
    assert tuple(rows[0]) == SAMPLE_COLUMNS
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", rows[0]["time"])
    last = {row["pid"]: row for row in rows}
    assert sorted(row["role"] for row in last.values()) == ["child", "child", "main"]
    assert sum(int(row["images_done"]) for row in last.values() if row["role"] == "child") == 25
    worked = {(row["job"], row["role"]) for row in rows if row["batch"].isdecimal()}
    assert worked == {("seen", "child")}
    assert all(float(row["rss_mib"]) > 20 and int(row["threads"]) > 0 for row in rows)
    own = [row for row in rows if row["uss_mib"]]
    assert 0 < len(own) < len(rows) and all(float(row["uss_mib"]) <= float(row["rss_mib"]) for row in own)
    assert figures["models_loaded"] == 2 and figures["processes"] == 3 and figures["images_per_s"] > 0
    assert figures["weights"] == "casia-webface" and {"backend", "device", "decoder"} <= set(figures)
    assert all(isinstance(value, (str, int, float)) for value in figures.values())
    (written,) = (stage.results / "seen" / "resources").iterdir()
    sent = _rows(written)
    assert tuple(sent[0]) == SAMPLE_COLUMNS
    assert {"seen"} == {row["job"] for row in sent if row["batch"].isdecimal()}


def test_the_log_goes_on_when_a_child_is_replaced_and_when_the_server_is_away(stage: Stage, sample: Path) -> None:
    """Counters of the new process start at 0. Samples taken meanwhile reach the server later."""
    stage.worker("--concurrency", "1", "--queues", "embed", FACEQUEUE_DATA_ROOT=str(sample), **OFTEN)
    wait_until(lambda: _children(_log_rows(stage)), 10, "a child is logged")
    (first,) = _children(_log_rows(stage))
    os.kill(int(first), signal.SIGKILL)
    wait_until(lambda: _children(_log_rows(stage)[-2:]) - {first}, 30, "its successor is logged")
    wait_until(lambda: _stats(stage)["models_loaded"] == 1, 30, "which has loaded its networks")
    stage.server.kill()
    lines = len(_log_rows(stage))
    wait_until(lambda: len(_log_rows(stage)) > lines + 20, 20, "the log goes on")
    away = _log_rows(stage)[-10]["time"]
    stage.server.start()

    def sent() -> set[str]:
        (rows,) = samples_between(stage.client, 0).values()
        return {row["time"] for row in rows}

    wait_until(lambda: away in sent(), 30, "it reaches the server")


def test_the_log_is_of_bounded_size(stage: Stage, sample: Path) -> None:
    """There are never more than two files."""
    stage.worker(
        "--concurrency",
        "1",
        FACEQUEUE_DATA_ROOT=str(sample),
        FACEQUEUE_LOG_MAX_MIB="0.002",
        FACEQUEUE_LOG_DIR="logs",
        FACEQUEUE_SAMPLE_INTERVAL_S="0.02",
    )
    logs = stage.folder / "logs"
    wait_until(lambda: len(list(logs.iterdir())) == 2, 20, "the first file is full")
    (older,) = logs.glob("*.csv.1")
    begun = _rows(older)[0]["time"]
    wait_until(lambda: _rows(older)[0]["time"] > begun, 20, "the second is full too")
    assert all(path.stat().st_size < 2 * 2048 for path in logs.iterdir())
    assert len(list(logs.iterdir())) <= 2
    assert not (stage.folder / "state" / "workers").exists()


def test_no_folder_for_logs_costs_a_line_and_nothing_else(stage: Stage, sample: Path) -> None:
    """Without a log folder there is no log; the job and its resource samples are the same."""
    (stage.folder / "file").write_text("in the way")
    root = {"FACEQUEUE_DATA_ROOT": str(sample)}
    stage.worker("--concurrency", "1", "--queues", "embed", FACEQUEUE_LOG_DIR="file", **root, **OFTEN)
    stage.worker("--concurrency", "1", "--queues", "aggregate", FACEQUEUE_LOG_DIR="none", **root, **OFTEN)
    done = stage.producer("enqueue", str(sample / "hopper"), "--wait", "--job", "bare", **root)
    assert done.returncode == 0, done.stderr
    assert stage.log("worker.log").count("no log of samples") == 1
    assert len(list((stage.results / "bare" / "resources").iterdir())) == 2
    assert not (stage.folder / "state" / "workers").exists() and not (stage.folder / "none").exists()


def test_metrics_agree_with_the_jobs_and_outlive_them(stage: Stage, sample: Path) -> None:
    """Over HTTP they equal the job's counts, even after its removal, and are 0 without a server."""
    root = {"FACEQUEUE_DATA_ROOT": str(sample)}
    with _exporter(stage) as url:
        fresh = _scrape(url)
        assert fresh["facequeue_up", ()] == 1
        assert set(_by_label(fresh, "facequeue_images_total", "outcome")) == set(Outcome)
        assert stage.producer("enqueue", str(sample), "--job", "counted", "--batch-size", "4", **root).returncode == 0
        waiting = _scrape(url)
        assert _by_label(waiting, "facequeue_queue_length", "queue") == {"embed": 7, "aggregate": 0}
        assert _by_label(waiting, "facequeue_jobs", "state") == {"enqueuing": 0, "sealed": 1, "finished": 0}
        worker = stage.worker("--concurrency", "1", **root, **OFTEN)
        wait_until(lambda: _scrape(url)["facequeue_batches_in_flight", ()] == 1, 30, "a batch is in flight")
        assert stage.producer("watch", "counted").returncode == 3
        job = JobRecord(stage.client, "counted").load()
        wait_until(
            lambda: list(_by_label(_scrape(url), "facequeue_worker_images_total", "worker").values()) == [25], 20
        )
        done = _scrape(url)
        outcomes = _by_label(done, "facequeue_images_total", "outcome")
        assert {outcome: count for outcome, count in outcomes.items() if count} == job.outcomes
        assert done["facequeue_faces_total", ()] == job.faces
        assert done["facequeue_batches_in_flight", ()] == 0
        assert _by_label(done, "facequeue_jobs", "state")["finished"] == 1
        _check_stages(done, stage.results / "counted")
        (rss,) = _by_label(done, "facequeue_worker_rss_bytes", "worker").values()
        assert rss > 50 * 2**20 and len(_by_label(done, "facequeue_worker_cpu_percent", "worker")) == 1
        _check_dashboard(done)
        _check_openmetrics(url)
        worker.terminate()
        worker.wait(30)
        assert stage.producer("jobs", "--prune").returncode == 0
        pruned = _scrape(url)
        assert _by_label(pruned, "facequeue_jobs", "state")["finished"] == 0
        assert _by_label(pruned, "facequeue_images_total", "outcome") == outcomes
        stage.server.stop()
        assert _scrape(url) == {("facequeue_up", ()): 0}
        stage.server.start()
        assert _by_label(_scrape(url), "facequeue_images_total", "outcome") == outcomes


def _check_stages(samples: Samples, results: Path) -> None:
    images = _rows(results / "images.csv")
    for stage in ("decode", "detect", "embed"):
        spent_ms = [float(row[f"{stage}_ms"]) for row in images if float(row[f"{stage}_ms"]) > 0]
        label = ("stage", stage)
        assert samples["facequeue_stage_seconds_count", (label,)] == len(spent_ms)
        assert abs(samples["facequeue_stage_seconds_sum", (label,)] - sum(spent_ms) / 1000) < 0.01
        middle = samples["facequeue_stage_seconds_bucket", (("le", "0.05"), label)]
        # The table is rounded to a tenth of a millisecond.
        assert sum(ms < 49.9 for ms in spent_ms) <= middle <= sum(ms <= 50.1 for ms in spent_ms)


def _check_openmetrics(url: str) -> None:
    """The OpenMetrics format, which Prometheus requests first."""
    answer = requests.get(url, timeout=20, headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
    families = {family.name for family in openmetrics(answer.text)}
    assert {"facequeue_images", "facequeue_stage_seconds", "facequeue_jobs"} <= families


def _check_dashboard(samples: Samples) -> None:
    """Every metric in docs/grafana.json exists."""
    dashboard = json.loads((ROOT / "docs" / "grafana.json").read_text())
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    asked = {name for query in queries for name in re.findall(r"facequeue_\w+", query)}
    assert len(asked) == 10
    assert asked <= {name for name, _ in samples}


def test_trouble_with_the_totals_stops_no_batch(stage: Stage, sample: Path) -> None:
    """Their key holds something else, and the job still finishes."""
    stage.client.set(METRICS, "in the way")
    root = {"FACEQUEUE_DATA_ROOT": str(sample)}
    stage.worker("--concurrency", "1", **root)
    assert stage.producer("enqueue", str(sample / "hopper"), "--wait", "--job", "free", **root).returncode == 0


def test_metrics_are_served_under_their_own_names_only(stage: Stage) -> None:
    """Loopback names and configured ones. For a foreign name (DNS rebinding) the answer says what to set."""
    names = {"FACEQUEUE_METRICS_HOSTS": "metrics, photos.lan"}
    with _exporter(stage, "--address", "0.0.0.0", **names) as url:
        for host in ("evil.example", "evil.example:9808", "localhost.evil.example", "10.1.2.3", "0.0.0.0", "a]b", ""):
            refused = requests.get(url, timeout=20, headers={"Host": host})
            assert refused.status_code == 403, host
            assert "FACEQUEUE_METRICS_HOSTS" in refused.text and "facequeue_" not in refused.text
        for host in ("localhost:9808", "LOCALHOST", "127.0.0.1", "[::1]:9808", "Metrics:9808", "photos.lan"):
            answer = requests.get(url, timeout=20, headers={"Host": host})
            assert answer.status_code == 200 and "facequeue_" in answer.text, host


def test_a_port_that_is_taken_is_said(stage: Stage) -> None:
    """The exit code is 2, with one line."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = stage.producer("metrics", "--port", str(taken.getsockname()[1]))
    assert done.returncode == 2
    assert "Give another --port" in done.stderr and "Traceback" not in done.stderr


def test_workers_are_a_table_once_where_nobody_looks(stage: Stage, sample: Path) -> None:
    """There is one line for each worker, for `grep`: host, processes, speed and memory."""
    assert "`python -m worker` starts one" in stage.producer("workers").stdout
    root = {"FACEQUEUE_DATA_ROOT": str(sample)}
    stage.worker("--concurrency", "1", **root, **OFTEN)
    assert stage.producer("enqueue", str(sample), "--job", "shown", **root).returncode == 0
    wait_until(lambda: "shown:" in stage.producer("workers").stdout, 30, "its batch is shown")
    assert stage.producer("watch", "shown").returncode == 3
    wait_until(lambda: re.search(r" 25 ", stage.producer("workers").stdout), 20, "its images are shown")
    heads, line = stage.producer("workers").stdout.splitlines()
    assert "images/s" in heads and "since" in heads
    assert line.startswith("worker-") and socket.gethostname() in line and "embed, aggregate" in line


def test_workers_are_live_on_a_terminal(stage: Stage, sample: Path) -> None:
    """The table is updated every second, even without the server, until Ctrl-C; then the exit code is 0."""
    stage.worker("--concurrency", "1", FACEQUEUE_DATA_ROOT=str(sample))
    terminal, its_end = pty.openpty()
    environment = stage.environment | {"COLUMNS": "200", "TERM": "xterm"}
    process = subprocess.Popen(
        [sys.executable, "-m", "producer", "workers"],
        env=environment,
        cwd=stage.folder,
        stdin=its_end,
        stdout=its_end,
        stderr=its_end,
        start_new_session=True,
    )
    stage.processes.append(process)
    os.close(its_end)
    _read_until(terminal, b"worker-", times=3)
    stage.server.kill()
    _read_until(terminal, b"No server answers")
    stage.server.start()
    _read_until(terminal, b"worker-")
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 0
    os.close(terminal)


def _read_until(terminal: int, text: bytes, *, times: int = 1) -> None:
    seen, deadline = b"", time.monotonic() + 30
    while seen.count(text) < times:
        assert time.monotonic() < deadline, seen
        if select.select([terminal], [], [], 1)[0]:
            seen += os.read(terminal, 65536)


def test_a_workers_own_figures_are_those_of_the_system(stage: Stage, sample: Path) -> None:
    """Memory equals what psutil reports from outside."""
    process = stage.worker("--concurrency", "1", FACEQUEUE_DATA_ROOT=str(sample), **OFTEN)
    main = psutil.Process(process.pid)

    def agree() -> bool:
        outside = sum(p.memory_info().rss for p in (main, *main.children(recursive=True))) / 2**20
        return bool(abs(_stats(stage)["rss_mib"] / outside - 1) < 0.05)

    wait_until(agree, 20, "the figures agree")


def test_a_worker_is_ready_when_its_networks_are_loaded(stage: Stage) -> None:
    """Readiness: a worker on this host announces itself to the server, with its networks."""

    def ready() -> int:
        return stage.spawn("worker", "ready").wait(60)

    assert ready() == 1
    queues = [stage.settings.embed_queue]
    announce(stage.client, Worker(f"w@{socket.gethostname()}", queues, 1, {"models_loaded": 0}), 60)
    assert ready() == 1  # it announces itself before, and whether or not its children can load them
    process = stage.worker("--concurrency", "1")
    wait_until(lambda: ready() == 0, 30, "the worker is ready")
    process.terminate()
    process.wait(30)
    assert ready() == 1
    stage.worker("--queues", "aggregate", "--concurrency", "1")
    wait_until(lambda: ready() == 0, 30, "one that only aggregates needs no networks")
