"""Places of images that are not a folder: URL prefixes of object storage and of web servers."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import unquote

from shared.domain.paths import printable

OBJECT_STORES = ("s3", "gs")
_SCHEMES = (*OBJECT_STORES, "http", "https")
_ALIASES = {"s3a": "s3", "gcs": "gs"}
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")
_HOST = re.compile(r"([a-z0-9]([a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\])(:[0-9]{1,5})?")


@dataclass(frozen=True)
class Location:
    """A URL prefix. Its text is canonical: two prefixes are the same place only if their texts are equal."""

    scheme: str
    """`s3`, `gs`, `http` or `https`."""
    authority: str
    """The bucket, or the host with its port."""
    folder: str
    """What the names of all images begin with, without a `/` at its ends; empty for the whole bucket or host. As the
    service has it: percent-encoded for a web server, not for object storage.
    """

    def __str__(self) -> str:
        whole = f"{self.scheme}://{self.authority}"
        return f"{whole}/{self.folder}" if self.folder else whole

    @property
    def prefix(self) -> str:
        """What the full names of all images in it begin with: the folder and a `/`, or nothing."""
        return f"{self.folder}/" if self.folder else ""

    @property
    def stem(self) -> str:
        """The last part of its name."""
        return self.folder.rpartition("/")[2] or self.authority

    def contains(self, other: "Location") -> bool:
        """Whether the other prefix is this one or below it. `s3://b/a` contains `s3://b/a/c`, but not `s3://b/ab`."""
        if (self.scheme, self.authority) != (other.scheme, other.authority):
            return False
        return not self.folder or other.folder == self.folder or other.folder.startswith(self.prefix)


def is_url(text: str) -> bool:
    """Whether a text of the command line is meant as a URL, and not as a path."""
    return _URL.fullmatch(text) is not None


def parse_location(text: str) -> Location:
    """The location that a URL names. ValueError says why it names none; it never repeats a part with credentials."""
    found = _URL.fullmatch(text)
    scheme = "" if found is None else found[1].lower()
    scheme = _ALIASES.get(scheme, scheme)
    if found is None or scheme not in _SCHEMES:
        raise ValueError("it has to begin with s3://, gs://, https:// or http://")
    authority, _, folder = found[2].partition("/")
    if "@" in authority or (":" in authority and scheme in OBJECT_STORES):
        raise ValueError("it contains credentials. They belong into the environment of the workers")
    if scheme in OBJECT_STORES:
        if not _BUCKET.fullmatch(authority):
            raise ValueError("its bucket is not a name of letters, digits, '.', '_' and '-'")
    else:
        authority = authority.lower().removesuffix(_DEFAULT_PORTS[scheme])
        if "?" in found[2] or "#" in found[2]:
            raise ValueError("it has a query or a fragment (? or #), which may contain credentials")
        if not _HOST.fullmatch(authority):
            raise ValueError("its host is not a name or an address")
    folder = folder.removesuffix("/")
    check_name(scheme, folder or "-")
    if printable(folder) != folder:
        raise ValueError("it contains control characters")
    return Location(scheme, authority, folder)


def check_canonical(text: str) -> str:
    """Returns the text if it is empty or a location's own text; ValueError otherwise."""
    if text and str(parse_location(text)) != text:
        raise ValueError("not the canonical form of a URL")
    return text


def check_name(scheme: str, name: str) -> None:
    """ValueError if a server or a proxy might take the name for that of something outside its prefix."""
    try:
        name.encode()
    except UnicodeEncodeError:
        raise ValueError("its name is not UTF-8") from None
    parts = name.split("/")
    if scheme not in OBJECT_STORES:
        # Web servers decode a name, some of them twice, and some take a backslash for a slash.
        parts = re.split(r"[/\\]", unquote(unquote(name)))
    if any(part in ("", ".", "..") for part in parts):
        raise ValueError("its name has an empty part, or a part '.' or '..'")


def is_allowed(location: Location, allowed: Iterable[Location]) -> bool:
    """Whether one of the allowed prefixes contains the location."""
    return any(prefix.contains(location) for prefix in allowed)
