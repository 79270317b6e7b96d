"""Which requests Flower answers. A browser sends it requests of every page that its user has open."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from flower.app import Flower
from tornado.web import RequestHandler

from producer.monitoring.host_names import why_unanswered

_READS = ("GET", "HEAD", "OPTIONS")
_OWN_SITE = (None, "same-origin", "none")
"""Sec-Fetch-Site of an older browser or a program, of Flower's own pages, and of a typed address."""


class GuardedFlower(Flower):
    """Flower that refuses requests under foreign names (DNS rebinding) and from pages of other sites."""

    def __init__(self, hosts: frozenset[str], **kwargs: Any) -> None:
        self._hosts = hosts
        super().__init__(**kwargs)

    def find_handler(self, request: Any, **kwargs: Any) -> Any:
        """The handler that answers a request."""
        reason = refusal(request.method, request.headers, request.host, self._hosts)
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


def refusal(method: str, headers: Mapping[str, str], host: str, hosts: frozenset[str]) -> str | None:
    """Why a request is refused, or None. `host` is its Host header; `hosts` are allowed beside loopback."""
    if (reason := why_unanswered(host, hosts, "FACEQUEUE_FLOWER_HOSTS")) is not None:
        return reason
    site = headers.get("Sec-Fetch-Site")
    sources = [headers[header] for header in ("Origin", "Referer") if header in headers]
    if site in _OWN_SITE and all(_netloc(source) == host.lower() for source in sources):
        return None
    if method not in _READS:
        return "A page of another site may not change anything in Flower."
    # A link from elsewhere may be followed; a frame could make its user click on something hidden.
    if (
        headers.get("Sec-Fetch-Mode", "navigate") != "navigate"
        or headers.get("Sec-Fetch-Dest", "document") != "document"
    ):
        return "A page of another site may link to Flower, but neither read nor frame it."
    return None


def _netloc(address: str) -> str:
    try:
        return urlsplit(address).netloc.lower()
    except ValueError:
        return ""
