"""Makes spans with OpenTelemetry and sends them over OTLP/HTTP. Only this module imports it, when tracing is on."""

import logging
import mmap
import multiprocessing
import struct
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any
from urllib.parse import urlsplit

from opentelemetry import trace
from opentelemetry.context import Context, attach, detach
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.celery import CeleryInstrumentor
from opentelemetry.instrumentation.redis import RedisInstrumentor
from opentelemetry.sdk.resources import SERVICE_NAME, OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.trace import NonRecordingSpan, SpanContext, Status, StatusCode, TraceFlags
from opentelemetry.util.types import Attributes

from shared.config.logs import get_logger
from shared.tracing.spans import Span, Value

_log = get_logger("tracing")
_whole: ContextVar[str | None] = ContextVar("whole_job", default=None)
"""The uid of the job whose root span is being made."""
_RARELY_S = 600.0
_CLOCK = struct.Struct("d")
_warned_at = mmap.mmap(-1, _CLOCK.size)
"""When it was last said that spans cannot be sent, for all processes that are forked later; 0: never."""
_warning = multiprocessing.get_context("fork").Lock()


class JobTracer:
    """The tracer of one process. Spans wait in memory, at most some thousands, and are sent by a thread."""

    def __init__(self, endpoint: str, service: str) -> None:
        """`endpoint` is the collector's address without `/v1/traces`. OTEL_SERVICE_NAME replaces `service`."""
        # Their loggers would say every few seconds, with a traceback, that the collector is not reached.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces")
        self._provider = TracerProvider(
            sampler=_JobsOnly(),
            resource=Resource.create({SERVICE_NAME: service}).merge(OTELResourceDetector().detect()),
            id_generator=_JobIds(),
            shutdown_on_exit=False,  # it would wait as long as the collector does not answer
        )
        self._exporter = _Warned(exporter, endpoint)
        self._provider.add_span_processor(BatchSpanProcessor(self._exporter))
        self._tracer = self._provider.get_tracer("facequeue")
        for instrumentor in _instrumentors():
            instrumentor.instrument(tracer_provider=self._provider)

    @contextmanager
    def span(self, name: str, uid: str, values: Mapping[str, Value]) -> Iterator[Span]:
        """See `shared.tracing.spans.job_span`."""
        with self._tracer.start_as_current_span(
            name, _context(uid), attributes=_attributes(values), record_exception=False, set_status_on_exception=False
        ) as span:
            try:
                yield _OpenSpan(span)
            except BaseException as error:
                span.set_status(Status(StatusCode.ERROR, type(error).__name__))  # a message may name files
                raise

    @contextmanager
    def inside(self, uid: str) -> Iterator[None]:
        """See `shared.tracing.spans.in_trace_of`."""
        context = _context(uid)
        token = attach(context) if context is not None else None
        try:
            yield
        finally:
            if token is not None:
                detach(token)

    def note(self, name: str, uid: str, started_ms: int, values: Mapping[str, Value]) -> None:
        """See `shared.tracing.spans.note_span`."""
        started_ns = started_ms * 1_000_000
        self._tracer.start_span(name, _context(uid), attributes=_attributes(values), start_time=started_ns).end()

    def note_whole(self, uid: str, started_ms: int, values: Mapping[str, Value]) -> None:
        """See `shared.tracing.spans.note_whole_job`."""
        token, nothing = _whole.set(uid), trace.set_span_in_context(trace.INVALID_SPAN)
        started_ns = started_ms * 1_000_000
        try:
            self._tracer.start_span("job", nothing, attributes=_attributes(values), start_time=started_ns).end()
        finally:
            _whole.reset(token)

    def end(self, within_s: float) -> None:
        """Sends what has not been sent, for at most this time."""
        for instrumentor in _instrumentors():
            instrumentor.uninstrument()
        ending = threading.Thread(target=self._provider.shutdown, daemon=True)
        ending.start()
        ending.join(within_s)
        if ending.is_alive():  # it tries again, or waits for an answer, for longer than this process does
            self._exporter.warn()


def _instrumentors() -> tuple[Any, ...]:
    return CeleryInstrumentor(), RedisInstrumentor()  # type: ignore[no-untyped-call]


class _OpenSpan:
    def __init__(self, span: trace.Span) -> None:
        self._span = span

    def note(self, **values: Value) -> None:
        self._span.set_attributes(_attributes(values))


def _attributes(values: Mapping[str, Value]) -> dict[str, Value]:
    return {f"facequeue.{name}": value for name, value in values.items()}


def _context(uid: str) -> Context | None:
    """Where a span of a job belongs: in the current span if that is the job's, otherwise in the job's root span."""
    found = trace.get_current_span().get_span_context()
    if found.is_valid and found.trace_id == _trace_id(uid):
        return None
    root = SpanContext(_trace_id(uid), _root_id(uid), is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))
    return trace.set_span_in_context(NonRecordingSpan(root))


def _trace_id(uid: str) -> int:
    return int(uid, 16)


def _root_id(uid: str) -> int:
    """The id of the span that contains all others of a job: any process can name it."""
    return int(uid[-16:], 16)


class _JobIds(RandomIdGenerator):
    """Random ids, but for the root span of a job."""

    def generate_trace_id(self) -> int:
        uid = _whole.get()
        return super().generate_trace_id() if uid is None else _trace_id(uid)

    def generate_span_id(self) -> int:
        uid = _whole.get()
        return super().generate_span_id() if uid is None else _root_id(uid)


class _JobsOnly(Sampler):
    """Keeps what belongs to a job: otherwise every lease and heartbeat would be a trace of its own."""

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: trace.SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[trace.Link] | None = None,
        *_: Any,
        **__: Any,
    ) -> SamplingResult:
        parent = trace.get_current_span(parent_context).get_span_context()
        kept = _whole.get() is not None or (parent.is_valid and parent.trace_flags.sampled)
        return SamplingResult(Decision.RECORD_AND_SAMPLE if kept else Decision.DROP, attributes)

    def get_description(self) -> str:
        return "JobsOnly"


class _Warned(SpanExporter):
    """Sends spans, and says when they cannot be sent: once, until it has reached the collector again."""

    def __init__(self, exporter: SpanExporter, endpoint: str) -> None:
        parts = urlsplit(endpoint)  # it may contain a password
        self._exporter, self._where, self._warned = exporter, f"{parts.hostname}:{parts.port or parts.scheme}", False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Sends spans; those that cannot be sent are lost."""
        try:
            result = self._exporter.export(spans)
        except Exception:  # of an exporter that does not know its own errors
            result = SpanExportResult.FAILURE
        if result is SpanExportResult.SUCCESS:
            self._warned = False
        else:
            self.warn()
        return result

    def warn(self) -> None:
        """Says that spans cannot be sent, unless that was said."""
        if not self._warned and _may_warn():
            _log.warning(
                "spans cannot be sent to %s (OTEL_EXPORTER_OTLP_ENDPOINT); jobs go on without them",
                self._where,
                extra={"action": "spans_unsent"},
            )
        self._warned = True

    def shutdown(self) -> None:
        """Ends the connection."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Nothing waits here."""
        return self._exporter.force_flush(timeout_millis)


def _may_warn() -> bool:
    """Whether none of a worker's processes has said it for a while."""
    if not _warning.acquire(block=False):  # another one says it
        return False
    try:
        now_s = time.monotonic()
        (said_s,) = _CLOCK.unpack(_warned_at[: _CLOCK.size])
        if said_s and now_s - said_s < _RARELY_S:
            return False
        _warned_at[: _CLOCK.size] = _CLOCK.pack(now_s)
        return True
    finally:
        _warning.release()
