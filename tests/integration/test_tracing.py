"""Traces of jobs: one for each, whole in spite of lost messages; and a collector that is away costs no job."""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from shared.store.jobs import JobRecord
from shared.tracing.spans import begin_tracing, end_tracing, job_span, load_tracer, note_span, note_whole_job
from tests.support.otlp_receiver import Collector, ReceivedSpan, collector
from tests.support.stage import ROOT, Stage, wait_until

VARIABLE = "OTEL_EXPORTER_OTLP_ENDPOINT"
UNSENT = "spans cannot be sent to "


@pytest.fixture(scope="module")
def spans() -> Iterator[Collector]:
    """A collector."""
    with collector() as found:
        yield found


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory, sample: Path) -> Iterator[Stage]:
    """A server, the sample folder as data root."""
    made = Stage(tmp_path_factory.mktemp("tracing"))
    made.environment["FACEQUEUE_DATA_ROOT"] = str(sample)
    made.environment["FACEQUEUE_PAIR_TILES_FROM"] = "5"  # tiles for a few faces
    yield made
    made.close()


def test_a_job_is_one_trace_also_after_lost_messages(stage: Stage, spans: Collector, sample: Path) -> None:
    """Producer and workers add to the trace whose id is the job's uid. Each span's parent is in it, and no path is.

    What belongs to no job, as a worker's leases and heartbeats, is not sent.
    """
    traced = {VARIABLE: spans.url, "OTEL_BSP_SCHEDULE_DELAY": "200"}
    done = stage.producer("enqueue", str(sample), "--job", "traced", "--batch-size", "5", **traced)
    assert done.returncode == 0, done.stderr
    assert stage.client.rpop("embed") is not None, "a message is lost"
    assert stage.producer("enqueue", str(sample / "nobody"), "--job", "other", "--batch-size", "2").returncode == 0
    stage.worker("--concurrency", "1", **traced)
    assert stage.producer("watch", "traced").returncode == 3
    assert stage.producer("watch", "other").returncode == 0
    wait_until(lambda: len(spans.named("job")) == 2, 20, "both jobs are received")
    uid, other = (JobRecord(stage.client, name).load().uid for name in ("traced", "other"))
    wait_until(lambda: not _orphans(spans.spans), 20, "every parent is received")
    assert {span.trace_id for span in spans.spans} == {uid, other}
    found = [span for span in spans.spans if span.trace_id == uid]
    others = [span for span in spans.spans if span.trace_id == other]
    ids = {span.attributes["messaging.message.id"].partition(":")[0] for span in others if "run/" in span.name}
    assert ids == {"other"}, "messages that one job's worker sends for another belong to that one"
    names = [span.name for span in found]
    assert set(names) >= {
        *("job", "enqueue", "discover", "batch", "networks", "compute", "commit", "tile", "aggregate", "prepare"),
        *("write", "report", "run/facequeue.embed_batch", "apply_async/facequeue.embed_batch"),
    }
    assert names.count("job") == names.count("enqueue") == names.count("report") == 1
    assert sorted(span.attributes["facequeue.batch"] for span in found if span.name == "batch") == [0, 1, 2, 3, 4]
    computed = [span for span in found if span.name == "compute"]
    assert sum(span.attributes["facequeue.images"] for span in computed) == 25
    assert sum(span.attributes["facequeue.detect_ms"] for span in computed) > 0
    assert {span.service for span in found} == {"facequeue-producer", "facequeue-worker"}
    (whole,) = (span for span in found if span.name == "job")
    assert (whole.parent, whole.attributes["facequeue.job"], whole.attributes["facequeue.images"]) == ("", "traced", 25)
    slack_ns = 2_000_000_000  # the job begins by the server's clock
    assert all(whole.started_ns - slack_ns <= span.started_ns for span in found)
    assert any(span.attributes.get("db.system") == "redis" for span in found)
    everything = json.dumps([span.attributes for span in found], default=str)
    for path in sample.rglob("*.jpg"):
        assert path.name not in everything
    assert not [span for span in found if span.failed and not span.attributes.get("db.system")]  # scripts to be loaded


def _orphans(spans: list[ReceivedSpan]) -> list[ReceivedSpan]:
    ids = {span.id for span in spans}
    return [span for span in spans if span.parent and span.parent not in ids]


def test_a_collector_that_hangs_costs_no_job(stage: Stage, sample: Path, tmp_path: Path) -> None:
    """The results are there, one line on the terminal says what is lost, and the end waits a few seconds at most."""
    with socket.socket() as hanging:
        hanging.bind(("127.0.0.1", 0))
        hanging.listen()
        done = stage.producer(
            *("run", str(sample / "nobody"), "--job", "untold", "--workers", "2", "--no-report"),
            **{
                VARIABLE: f"http://user:secret@127.0.0.1:{hanging.getsockname()[1]}",
                "FACEQUEUE_STATE_DIR": str(tmp_path),
            },
        )
    assert done.returncode == 0, done.stderr
    assert (stage.results / "untold" / "summary.json").is_file()
    log = "".join(path.read_text() for path in tmp_path.glob("*.log"))
    assert "Traceback" not in done.stderr + log and "secret" not in done.stderr + log
    assert done.stderr.count(UNSENT) == 1 and log.count(UNSENT) <= 1


def test_what_waits_at_the_end_is_said_to_be_lost(stage: Stage, sample: Path) -> None:
    """Also by a command that is over before the collector can be known to be away, which waits two seconds at most."""
    done = stage.producer(
        *("enqueue", str(sample / "nobody"), "--job", "short"), **{VARIABLE: f"http://127.0.0.1:{stage.free_port()}"}
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count(UNSENT) == 1 and "Traceback" not in done.stderr


@pytest.mark.parametrize("variable", ["OTEL_BSP_SCHEDULE_DELAY", "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT"])
def test_a_variable_that_opentelemetry_refuses_is_said(stage: Stage, sample: Path, variable: str) -> None:
    """When it is imported, or when the tracer is made. In one line, and the job goes on."""
    done = stage.producer(
        *("enqueue", str(sample / "nobody"), "--job", variable),
        **{VARIABLE: "http://127.0.0.1:4318", variable: "-1"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("nothing is traced: ") == 1 and "Traceback" not in done.stderr


@pytest.fixture
def tracer_module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module of the tracer, in a process that has not said anything."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.2")
    load_tracer()
    from shared.tracing import job_tracer

    job_tracer._warned_at[:] = bytes(len(job_tracer._warned_at))
    return job_tracer


def test_a_collector_that_refuses_is_said_once(caplog: pytest.LogCaptureFixture, tracer_module: ModuleType) -> None:
    """However many spans cannot be sent, by all processes of a worker, and without its password. The end is bounded."""
    tracers = [tracer_module.JobTracer(f"http://user:secret@127.0.0.1:{Stage.free_port()}", "test") for _ in range(2)]
    for tracer in 2 * tracers:
        with tracer.span("batch", "1" * 32, {}):
            pass
        tracer._provider.force_flush(5000)
    started = time.monotonic()
    for tracer in tracers:
        tracer.end(1.0)
    assert time.monotonic() - started < 5
    assert caplog.text.count(f"{UNSENT}127.0.0.1:") == 1 and "secret" not in caplog.text


def test_a_collector_that_comes_and_goes_is_said_now_and_then(
    caplog: pytest.LogCaptureFixture, tracer_module: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not each time it goes, whatever its exporter does then."""
    answers: list[Any] = []

    class Flapping:
        def export(self, spans: object) -> Any:
            answer = answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer

    good, bad = tracer_module.SpanExportResult.SUCCESS, tracer_module.SpanExportResult.FAILURE
    exporter = tracer_module._Warned(Flapping(), "http://collector:4318")
    answers += [good, bad, good, RuntimeError("no URL"), good, bad]
    assert [exporter.export([]) for _ in range(6)] == [good, bad] * 3
    assert caplog.text.count(UNSENT) == 1
    monkeypatch.setattr(tracer_module, "_RARELY_S", 0.0)
    answers += [bad, good, bad]
    assert [exporter.export([]) for _ in range(3)] == [bad, good, bad]
    assert caplog.text.count(UNSENT) == 2


def test_an_address_that_is_none_is_said(stage: Stage) -> None:
    """In one line."""
    done = stage.producer("jobs", **{VARIABLE: "localhost:4318"})
    assert done.returncode == 2
    assert VARIABLE in done.stderr and "http://" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("program", [("producer", "jobs"), ("worker", "ready")], ids=" ".join)
def test_while_tracing_is_off_nothing_of_it_is_imported(stage: Stage, program: tuple[str, str]) -> None:
    """Not even by redis-py, which would: what it looks for is not there."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", *program],
        env=stage.environment,
        capture_output=True,
        text=True,
        timeout=60,
        cwd=stage.folder,
    )
    assert "redis.observability" in done.stderr
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    looked_for = {"opentelemetry.metrics", "opentelemetry.sdk.metrics"}
    assert not {name for name in imported if name.startswith("opentelemetry")} - looked_for


def test_spans_do_nothing_while_tracing_is_off() -> None:
    """They cost a call each."""
    begin_tracing(None, "nothing")
    uid = "0" * 32
    with job_span("batch", uid, batch=1) as span:
        span.note(images=1)
    note_span("discover", uid, 0)
    note_whole_job(uid, 0)
    end_tracing()
    assert job_span("batch", uid) is job_span("other", uid)


def test_missing_packages_are_said_once(stage: Stage, tmp_path: Path) -> None:
    """With what to install. The job goes on."""
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.modules['opentelemetry.exporter'] = None\n")
    (tmp_path / "nobody").mkdir()
    (tmp_path / "nobody" / "notes.txt").write_text("no image")
    done = stage.producer(
        *("enqueue", str(tmp_path / "nobody"), "--job", "untraced"),
        **{
            VARIABLE: "http://127.0.0.1:4318",
            "PYTHONPATH": f"{tmp_path}:{ROOT}",
            "FACEQUEUE_DATA_ROOT": str(tmp_path),
        },
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("pip install 'facequeue[otel]'") == 1
