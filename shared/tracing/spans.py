"""Spans of the traces of jobs. While tracing is off, they do nothing, and OpenTelemetry is not imported.

The id of a job's trace is the job's uid. Every process that has a message or the record of a job therefore adds to the
same trace, also after a crash, and nothing is stored or sent for it.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib.util import find_spec
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

from shared.config.logs import get_logger

if TYPE_CHECKING:
    from shared.tracing.job_tracer import JobTracer

_NEEDED = (
    "opentelemetry.sdk",
    "opentelemetry.exporter.otlp.proto.http",
    "opentelemetry.instrumentation.celery",
    "opentelemetry.instrumentation.redis",
)
_INSTALL = (
    "OTEL_EXPORTER_OTLP_ENDPOINT is set, and nothing is traced, because OpenTelemetry is not installed: "
    "pip install 'facequeue[otel]'"
)
_END_WITHIN_S = 2.0
Value = str | int | float
_log = get_logger("tracing")


class Span(Protocol):
    """A part of a job that is timed."""

    def note(self, **values: Value) -> None:
        """Adds what is known of it, as attributes `facequeue.<name>`."""


class _NoSpan:
    def __enter__(self) -> Span:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        pass

    def note(self, **values: Value) -> None:
        pass


_NO_SPAN = _NoSpan()


class _Tracing:
    """The tracer of this process; None while tracing is off."""

    tracer: "JobTracer | None" = None


def why_not_traced(endpoint: str | None) -> str | None:
    """Why nothing is traced although an endpoint is set; None if all packages are there, or tracing is off."""
    if endpoint is None or all(map(_is_installed, _NEEDED)):
        return None
    return _INSTALL


def begin_tracing(endpoint: str | None, service: str) -> None:
    """Sends the spans of this process to this OTLP endpoint (HTTP); does nothing for None, or without the packages.

    A process calls this after it was forked: no thread and no connection survives a fork. It is logged if OpenTelemetry
    refuses one of its variables.
    """
    if endpoint is None or _Tracing.tracer is not None or why_not_traced(endpoint) is not None:
        return
    with _reported():
        load_tracer()
        from shared.tracing.job_tracer import JobTracer

        _Tracing.tracer = JobTracer(endpoint, service)


def load_tracer() -> None:
    """Imports OpenTelemetry. ValueError if it refuses one of its variables."""
    from shared.tracing.absence import allow_metrics

    allow_metrics()
    import shared.tracing.job_tracer  # noqa: F401


def can_trace() -> bool:
    """Imports OpenTelemetry, or logs why it cannot be used. A worker does this once, before it forks."""
    with _reported():
        load_tracer()
        return True
    return False


@contextmanager
def _reported() -> Iterator[None]:
    """Ends the block quietly if OpenTelemetry refuses one of its variables, and logs that."""
    try:
        yield
    except (ValueError, OSError) as error:
        _log.warning(
            "nothing is traced: OpenTelemetry refuses a value (%s). Correct the variables OTEL_...",
            error,
            extra={"action": "not_traced"},
        )


def end_tracing(within_s: float = _END_WITHIN_S) -> None:
    """Sends what has not been sent, for at most this time, and ends tracing."""
    tracer, _Tracing.tracer = _Tracing.tracer, None
    if tracer is not None:
        tracer.end(within_s)


@contextmanager
def traced(endpoint: str | None, service: str) -> Iterator[None]:
    """Traces what this process does in the block."""
    begin_tracing(endpoint, service)
    try:
        yield
    finally:
        end_tracing()


def job_span(name: str, uid: str, **values: Value) -> AbstractContextManager[Span]:
    """A span of the trace of the job with this uid, until the end of the block. An exception marks it as failed."""
    if _Tracing.tracer is None:
        return _NO_SPAN
    return _Tracing.tracer.span(name, uid, values)


def in_trace_of(uid: str) -> AbstractContextManager[object]:
    """What is done in the block belongs to the trace of this job, also within a span of another job."""
    if _Tracing.tracer is None:
        return _NO_SPAN
    return _Tracing.tracer.inside(uid)


def note_span(name: str, uid: str, started_ms: int, **values: Value) -> None:
    """Adds a span of a job's trace, from `started_ms` (since 1970) until now, for what was not done in one go."""
    if _Tracing.tracer is not None:
        _Tracing.tracer.note(name, uid, started_ms, values)


def note_whole_job(uid: str, started_ms: int, **values: Value) -> None:
    """Adds the span that contains all others of a job, from `started_ms` (since 1970) until now."""
    if _Tracing.tracer is not None:
        _Tracing.tracer.note_whole(uid, started_ms, values)


def _is_installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except (ModuleNotFoundError, ValueError):  # its parent is missing
        return False
