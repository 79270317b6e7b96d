"""Guards Flower: requests that pages of other sites make a browser send are refused, and so are foreign host names."""

from typing import Any

from flower.app import Flower
from tornado.web import RequestHandler

from producer.monitoring.foreign_requests import refusal


class GuardedFlower(Flower):
    """Flower that refuses requests under foreign names (DNS rebinding) and from pages of other sites."""

    def __init__(self, hosts: frozenset[str], **kwargs: Any) -> None:
        self._hosts = hosts
        super().__init__(**kwargs)

    def find_handler(self, request: Any, **kwargs: Any) -> Any:
        """The handler that answers a request."""
        reason = refusal(
            request.method,
            request.headers,
            request.host,
            self._hosts,
            server="Flower",
            setting="FACEQUEUE_FLOWER_HOSTS",
        )
        if reason is not None:
            return self.get_handler_delegate(request, _Refused, {"reason": reason})
        return super().find_handler(request, **kwargs)


class _Refused(RequestHandler):
    def initialize(self, reason: str) -> None:
        self._why = reason

    def check_xsrf_cookie(self) -> None:
        """Does nothing, since the request is refused anyway."""

    def prepare(self) -> None:
        self.set_status(403)
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.finish(f"{self._why}\n")
