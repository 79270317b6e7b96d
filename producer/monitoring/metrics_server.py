"""Serves the metrics over HTTP, for Prometheus."""

import socket
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.exposition import ThreadingWSGIServer

from producer.monitoring.host_names import ANY_ADDRESS, answered_names, why_unanswered
from producer.monitoring.prometheus import QueueCollector
from shared.config.logs import log_to_stderr
from shared.config.settings import Settings
from shared.domain.errors import InvalidRequest
from shared.store.redis_client import connect

_SERVER_PATIENCE_S = 2.0
"""Less than Prometheus waits for an answer: it should hear that the server is unreachable."""
WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def serve_metrics(settings: Settings, address: str, port: int) -> None:
    """Serves until interrupted, whether or not the queue's server can be reached yet."""
    log_to_stderr(settings.log_format)
    registry = CollectorRegistry()
    client = connect(settings, read_timeout_s=_SERVER_PATIENCE_S, connect_timeout_s=_SERVER_PATIENCE_S, retries=1)
    registry.register(QueueCollector(client, settings))
    app = _guarded(make_wsgi_app(registry), answered_names(settings.metrics_host_names, address))
    try:
        server = make_server(address, port, app, _server_class(address, port), _SilentHandler)
    except OSError as error:
        raise InvalidRequest(
            f"Metrics cannot be served at {address}:{port}: {error.strerror or error}. Give another --port or "
            "--address."
        ) from None
    print(f"Metrics: http://{'127.0.0.1' if address in ANY_ADDRESS else address}:{port}/metrics", flush=True)
    with server, suppress(KeyboardInterrupt):
        server.serve_forever()


class _SilentHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """A line for each scrape would fill the log."""


def _server_class(address: str, port: int) -> type[ThreadingWSGIServer]:
    family = socket.getaddrinfo(address or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
    return type("MetricsServer", (ThreadingWSGIServer,), {"address_family": family})


def _guarded(app: WsgiApp, names: frozenset[str]) -> WsgiApp:
    """The same application, which refuses requests under foreign names."""

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        reason = why_unanswered(environ.get("HTTP_HOST", ""), names, "FACEQUEUE_METRICS_HOSTS")
        if reason is None:
            return app(environ, start_response)
        start_response(
            "403 Forbidden", [("Content-Type", "text/plain; charset=utf-8"), ("X-Content-Type-Options", "nosniff")]
        )
        return [f"{reason}\n".encode()]

    return answer
