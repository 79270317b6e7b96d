"""Refuses requests that pages of other sites make a browser send to a web server of ours."""

from collections.abc import Mapping
from urllib.parse import urlsplit

from producer.monitoring.host_names import why_unanswered

_READS = ("GET", "HEAD", "OPTIONS")
_OWN_SITE = (None, "same-origin", "none")
"""Sec-Fetch-Site of an older browser or a program, of the server's own pages, and of a typed address."""


def refusal(
    method: str, headers: Mapping[str, str], host: str, hosts: frozenset[str], *, server: str, setting: str
) -> str | None:
    """Why a request is refused, or None. `host` is its Host header; `hosts` are allowed beside loopback.

    `server` is what messages call it, `setting` the environment variable that adds to `hosts`.
    """
    if (reason := why_unanswered(host, hosts, setting)) is not None:
        return reason
    site = headers.get("Sec-Fetch-Site")
    sources = [headers[header] for header in ("Origin", "Referer") if header in headers]
    if site in _OWN_SITE and all(_netloc(source) == host.lower() for source in sources):
        return None
    if method not in _READS:
        return f"A page of another site may not change anything in {server}."
    # A link from elsewhere may be followed; a frame could make its user click on something hidden.
    if (
        headers.get("Sec-Fetch-Mode", "navigate") != "navigate"
        or headers.get("Sec-Fetch-Dest", "document") != "document"
    ):
        return f"A page of another site may link to {server}, but neither read nor frame it."
    return None


def _netloc(address: str) -> str:
    try:
        return urlsplit(address).netloc.lower()
    except ValueError:
        return ""
