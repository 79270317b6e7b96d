"""URLs as sources of a job: everything below a prefix of object storage, or the URLs of a list."""

import asyncio
import hashlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import IO

from producer.submission.path_lists import kept_entries, read_paths
from producer.submission.sources import Found, Listing
from shared.domain.errors import InvalidRequest, LocationUnavailable, NotFinished
from shared.domain.locations import OBJECT_STORES, Location, check_name, is_url, parse_location
from shared.domain.paths import DATA_ROOT, FolderPath, RootPath, check_relative, printable
from shared.objects.store import ObjectStore, ObjectTrouble, open_store, retried

_NO_FOLDER = Path(os.devnull)
"""The folder of a source that has none: nothing can be below it."""
_LIST_PATIENCE_S = 30.0
_MOST_LIST_BYTES = 1 << 30
_ASKED_AT_ONCE = 32


def open_url(url: str, files: str | None) -> "UrlSource":
    """The source that a URL names: all objects below it, or those that a list (`--files`, or the URL itself on a web
    server) names. InvalidRequest if it has none, cannot be read, or is no URL of a kind that is supported.
    """
    try:
        location = parse_location(url)
    except ValueError as error:
        raise InvalidRequest(f"The URL cannot be used: {error}.") from None
    try:
        store = open_store(str(location))
        if files is not None:
            return ListedUrls.of(location, files, read_paths(files))
        if location.scheme in OBJECT_STORES:
            source = UrlSource(location)
            if next(iter(source.find()), None) is None:
                raise InvalidRequest(f"There are no objects below {location} (hidden names do not count).")
            return source
        return _list_on_a_server(store)
    except (LocationUnavailable, ObjectTrouble) as error:
        text = str(error)
        raise InvalidRequest(f"{text}." if str(location) in text else f"{location} cannot be read: {text}.") from None


@dataclass(frozen=True)
class UrlSource:
    """The objects below a prefix, in the order of their names' UTF-8 bytes. Hidden names are left out."""

    place: Location
    listing: Listing | None = None
    folder: Path = _NO_FOLDER
    archives: bool = False

    @property
    def location(self) -> str:
        """The prefix."""
        return str(self.place)

    @property
    def shown(self) -> str:
        """The prefix."""
        return str(self.place)

    @property
    def identity(self) -> str:
        """The prefix."""
        return str(self.place)

    @property
    def stem(self) -> str:
        """The prefix's last part."""
        return self.place.stem

    def folder_below(self, data_root: Path) -> RootPath:
        """No folder: the paths are relative to the prefix."""
        return DATA_ROOT

    @cached_property
    def _store(self) -> ObjectStore:
        return open_store(str(self.place))

    def find(self, after: FolderPath | None = None, *, status: bool = False) -> Iterator[Found]:
        """Every object that is not hidden and no mark of a folder. The service lists them page by page."""
        try:
            for page in self._store.pages(None if after is None else _name(after)):
                for listed in page:
                    path = _path(listed.name, listed.size)
                    if path is not None:
                        yield Found(path, listed.size, listed.mtime_ns) if status else Found(path)
        except ObjectTrouble as error:
            raise NotFinished(f"{self.place} cannot be listed: {error}. Repeat the command to resume.") from None

    def digest(self, path: FolderPath) -> str | None:
        """The digest of an object, which is read for this."""
        try:
            return hashlib.blake2b(_download(self._store, _name(path), _MOST_LIST_BYTES), digest_size=16).hexdigest()
        except (ObjectTrouble, LocationUnavailable):
            return None

    def pack(self, path: FolderPath, max_bytes: int) -> bytes:
        """Not possible: workers read objects themselves."""
        raise InvalidRequest("--inline sends files of this machine. Workers read objects themselves: leave it out.")


@dataclass(frozen=True, kw_only=True)
class ListedUrls(UrlSource):
    """The objects that a list names, in its order."""

    listing: Listing
    paths: IO[bytes]
    """A temporary file with their names below the prefix, with NUL after each."""

    @classmethod
    def of(cls, location: Location, name: str, entries: Iterator[tuple[int, bytes]]) -> "ListedUrls":
        """Reads a list of URLs below the location, or of names relative to it. A name that occurs again is left out."""
        paths, digest, seen = tempfile.TemporaryFile(), hashlib.blake2b(digest_size=16), set()  # noqa: SIM115
        for line, raw in entries:
            entry = os.fsencode(_below(location, os.fsdecode(raw), name, line))
            key = hashlib.blake2b(entry, digest_size=16).digest()
            if key in seen:
                continue
            seen.add(key)
            paths.write(entry + b"\0")
            digest.update(entry + b"\0")
        if not seen:
            raise InvalidRequest(f"The list {name} names no image.")
        paths.flush()
        return cls(location, listing=Listing(name, digest.hexdigest()), paths=paths)

    @property
    def identity(self) -> str:
        """The prefix and the list's place."""
        name = self.listing.name
        return f"{self.place}\0{name if name == '-' or is_url(name) else Path(name).resolve()}"

    def find(self, after: FolderPath | None = None, *, status: bool = False) -> Iterator[Found]:
        """The names of the list, whether or not there is such an object; for `status`, the service is asked."""
        paths = (FolderPath(os.fsdecode(entry)) for entry in kept_entries(self.paths))
        if after is not None and after not in paths:
            raise InvalidRequest(f"The list {self.listing.name} does not contain {printable(str(after))}.")
        while some := list(islice(paths, _ASKED_AT_ONCE)):
            yield from self._with_status(some) if status else map(Found, some)

    def _with_status(self, paths: list[FolderPath]) -> list[Found]:
        """The objects with their sizes and times; without them where there is no such object, or it is not said."""

        async def ask(path: FolderPath) -> Found:
            try:
                check_name(self.place.scheme, path)
                listed = await retried(_LIST_PATIENCE_S, lambda: self._store.status(path))
            except (ObjectTrouble, ValueError):
                return Found(path)
            return Found(path, listed.size, listed.mtime_ns)

        async def ask_all() -> list[Found]:
            return await asyncio.gather(*map(ask, paths))

        return asyncio.run_coroutine_threadsafe(ask_all(), self._store.loop).result()


def _list_on_a_server(store: ObjectStore) -> ListedUrls:
    url = store.location
    folder, _, name = url.folder.rpartition("/")
    if not name:
        raise InvalidRequest(f"{url} is on a web server, which cannot be listed: give the URL of a list, or --files.")
    here = Location(url.scheme, url.authority, folder)
    text = _download(open_store(str(here)), name, _MOST_LIST_BYTES)
    lines = text.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    entries = ((k, line.removesuffix(b"\r")) for k, line in enumerate(lines, start=1) if line.strip())
    return ListedUrls.of(here, str(url), entries)


def _download(store: ObjectStore, name: str, most: int) -> bytes:
    read = retried(_LIST_PATIENCE_S, lambda: store.read(name, lambda head, size, mtime_ns: None, most))
    found = asyncio.run_coroutine_threadsafe(read, store.loop).result()
    return found.data


def _below(location: Location, entry: str, listing: str, line: int) -> FolderPath:
    """The name of a list's entry below the location; InvalidRequest if it is outside."""
    try:
        if is_url(entry):
            named = parse_location(entry)
            if named == location or not location.contains(named):
                raise ValueError(f"it is not below {location}")
            entry = named.folder.removeprefix(location.prefix)
        return FolderPath(check_relative(entry))
    except ValueError as error:
        raise InvalidRequest(f"{listing}, line {line}, cannot be used: {error}.") from None


def _path(name: str, size: int) -> FolderPath | None:
    """The path that stands for an object; None for hidden names and the marks that stand for folders."""
    if not name or (name.endswith("/") and size == 0) or "\0" in name:
        return None
    if any(part.startswith(".") for part in name.split("/")):
        return None
    # A path cannot begin with a slash. No other name begins with `./`, since that would be hidden.
    return FolderPath(f"./{name}" if name.startswith("/") else name)


def _name(path: FolderPath) -> str:
    return path[2:] if path.startswith(".//") else path
