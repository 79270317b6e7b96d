"""Serves the metrics over HTTP, for Prometheus."""

import threading

from prometheus_client import CollectorRegistry, start_http_server

from producer.monitoring.prometheus import QueueCollector
from shared.config.logs import log_to_stderr
from shared.config.settings import Settings
from shared.domain.errors import WrongUsage
from shared.store.redis_client import connect

_SERVER_PATIENCE_S = 2.0
"""Less than Prometheus waits for an answer: it is to hear that the server is away."""


def serve_metrics(settings: Settings, address: str, port: int) -> None:
    """Serves until interrupted, whether or not there is a server yet."""
    log_to_stderr()
    registry = CollectorRegistry()
    client = connect(settings, read_timeout_s=_SERVER_PATIENCE_S, connect_timeout_s=_SERVER_PATIENCE_S, retries=1)
    registry.register(QueueCollector(client, settings))
    try:
        server, _ = start_http_server(port, address, registry)
    except OSError as error:
        raise WrongUsage(
            f"Metrics cannot be served at {address}:{port}: {error.strerror or error}. Give another --port or --address."
        ) from None
    print(f"Metrics: http://{address}:{port}/metrics", flush=True)
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        server.shutdown()
