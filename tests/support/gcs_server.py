"""The requests of Google Cloud Storage's JSON API that are used: listing objects, and reading one or its metadata.

As the documentation of `objects.list` and `objects.get` describes them: names are sorted by their UTF-8 bytes, pages go
on with a token, `startOffset` is part of the listing, and a media answer has the object's generation in a header.
PyPI's `gcp-storage-emulator` has neither pages nor `startOffset` nor that header.
"""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

_PAGE = 3


class GcsServer:
    """A server with one bucket, `photos`."""

    def __init__(self) -> None:
        self.objects: dict[str, tuple[bytes, int]] = {}
        """The bytes and the generation of each object."""
        self.status = 200
        """Another value is the answer to every request."""
        server = self

        class Handler(_Handler):
            owner = server

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._http.server_port
        threading.Thread(target=self._http.serve_forever, daemon=True).start()

    def put(self, name: str, data: bytes) -> None:
        """Stores an object."""
        self.objects[name] = (data, time.time_ns() // 1000)

    def close(self) -> None:
        """Ends the server."""
        self._http.shutdown()
        self._http.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    owner: GcsServer

    def log_message(self, *_: object) -> None:
        """Says nothing."""

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        parts = url.path.split("/")  # '', storage, v1, b, BUCKET, o, OBJECT
        bucket = unquote(parts[4])
        if self.owner.status != 200 or bucket != "photos":
            self._answer(self.owner.status if self.owner.status != 200 else 404, b"{}")
        elif len(parts) == 6:
            self._answer(200, json.dumps(self._page(query)).encode())
        elif (found := self.owner.objects.get(unquote(parts[6]))) is None:
            self._answer(404, b"No such object")
        elif "alt" not in query:
            values = {"name": unquote(parts[6]), "size": str(len(found[0])), "generation": str(found[1])}
            self._answer(200, json.dumps(values).encode())
        else:
            self._answer(200, found[0], {"X-Goog-Generation": str(found[1])})

    def _page(self, query: dict[str, str]) -> dict[str, Any]:
        names = sorted((name for name in self.owner.objects if name.startswith(query["prefix"])), key=str.encode)
        first = query.get("pageToken", query.get("startOffset", "")).encode()
        left = [name for name in names if name.encode() >= first]
        size = int(query.get("maxResults", _PAGE))
        items = [
            {"name": name, "size": str(len(data)), "generation": str(generation)}
            for name in left[:size]
            for data, generation in [self.owner.objects[name]]
        ]
        page: dict[str, Any] = {"items": items} if items else {}
        return page | ({"nextPageToken": left[size]} if len(left) > size else {})

    def _answer(self, status: int, data: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
