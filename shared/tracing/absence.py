"""Keeps OpenTelemetry out of processes that trace nothing.

redis-py imports its SDK wherever that is installed, for metrics that nobody asks for: 0.1 s of every process.
"""

import sys

_METRICS = ("opentelemetry.metrics", "opentelemetry.sdk.metrics")


def leave_out_metrics() -> None:
    """Makes redis-py believe that there is no SDK. Called by a program before its first import of it."""
    for name in _METRICS:
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]


def allow_metrics() -> None:
    """The inverse: the exporter of spans needs the module."""
    for name in _METRICS:
        if name in sys.modules and sys.modules[name] is None:
            del sys.modules[name]
