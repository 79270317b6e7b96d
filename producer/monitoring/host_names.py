"""The names under which the web servers answer. A page can make a browser send requests under any name."""

from collections.abc import Collection, Iterable
from ipaddress import ip_address
from urllib.parse import urlsplit

ANY_ADDRESS = ("", "0.0.0.0", "::")  # noqa: S104 - compared with, not bound


def answered_names(names: Iterable[str], address: str) -> frozenset[str]:
    """The names beside loopback's: those that are set, and the address that the server listens on."""
    return frozenset({*names, *({address} - {*ANY_ADDRESS})})


def why_unanswered(host: str, names: Collection[str], setting: str) -> str | None:
    """Why a request with this Host header is refused (DNS rebinding); None if it is answered.

    `names` are answered beside loopback's; `setting` is the environment variable that adds to them.
    """
    name = _host_name(host)
    if name in names or _is_loopback(name):
        return None
    return f"This server does not answer to the name {name!r}. {setting} allows names beside this machine's own."


def _host_name(host: str) -> str:
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return ""


def _is_loopback(name: str) -> bool:
    try:
        return name == "localhost" or ip_address(name).is_loopback
    except ValueError:
        return False
