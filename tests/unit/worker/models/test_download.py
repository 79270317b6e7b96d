"""Downloads are resumed, checked, and limited whatever the server sends."""

import hashlib
import http.server
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from shared.domain.errors import WeightsError
from worker.models.download import DownloadLimits, download


@contextmanager
def _web_server(body: bytes, cut_after: int | None = None) -> Iterator[tuple[str, list[str | None]]]:
    """Serves `body`, with ranges, at most `cut_after` bytes at a time; records the Range headers."""
    ranges: list[str | None] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            ranges.append(wanted)
            start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
            if start >= len(body):
                self.send_error(416)
                return
            self.send_response(206 if wanted else 200)
            if wanted:
                self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
            self.send_header("Content-Length", str(len(body) - start))
            self.end_headers()
            self.wfile.write(body[start:][:cut_after])

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/w.pt", ranges
    server.shutdown()


def test_a_download_goes_on_where_it_stopped(tmp_path: Path) -> None:
    """Half of the file exists: only the rest is requested, and the whole is checked."""
    body = bytes(range(256)) * 1000
    target = tmp_path / "vggface2.pt"
    target.with_suffix(".part").write_bytes(body[:1000])
    with _web_server(body) as (url, ranges):
        download(url, target, hashlib.sha256(body).hexdigest())
    assert target.read_bytes() == body
    assert ranges == ["bytes=1000-"]


@pytest.mark.parametrize("url", ["example.org/w.pt", "", "http://[::1/w.pt"])
def test_what_is_no_url_is_an_error_that_says_so(tmp_path: Path, url: str) -> None:
    """It comes from a setting."""
    with pytest.raises(WeightsError, match="failed"):
        download(url, tmp_path / "w.pt", "0" * 64)


def test_a_download_that_is_cut_is_kept_and_gone_on_with(tmp_path: Path) -> None:
    """Each attempt reports its progress; the third one completes the file."""
    body = bytes(range(256)) * 1000
    target = tmp_path / "vggface2.pt"
    sha256 = hashlib.sha256(body).hexdigest()
    with _web_server(body, cut_after=100_000) as (url, ranges):
        for came in (100_000, 200_000):
            with pytest.raises(WeightsError, match=f"cut after {came:,} of 256,000 bytes. Try again"):
                download(url, target, sha256)
            assert target.with_suffix(".part").read_bytes() == body[:came]
        download(url, target, sha256)
    assert target.read_bytes() == body
    assert ranges == [None, "bytes=100000-", "bytes=200000-"]


def test_a_download_that_is_whole_already_is_not_asked_for(tmp_path: Path) -> None:
    """The process was killed between the last byte and the rename."""
    body = b"weights" * 1000
    target = tmp_path / "vggface2.pt"
    target.with_suffix(".part").write_bytes(body)
    with _web_server(body) as (url, ranges):
        download(url, target, hashlib.sha256(body).hexdigest())
    assert (target.read_bytes(), ranges) == (body, [])
    assert not target.with_suffix(".part").exists()


@pytest.mark.parametrize("length", [7000, 9000])
def test_a_part_of_something_else_is_fetched_anew(length: int, tmp_path: Path) -> None:
    """The part is as long as the file or longer, so the server answers 416."""
    body = b"weights" * 1000
    target = tmp_path / "vggface2.pt"
    target.with_suffix(".part").write_bytes(b"x" * length)
    with _web_server(body) as (url, ranges):
        download(url, target, hashlib.sha256(body).hexdigest())
    assert (target.read_bytes(), ranges) == (body, [f"bytes={length}-", None])


def test_a_download_of_something_else_is_thrown_away(tmp_path: Path) -> None:
    """Nothing is kept, not even the part."""
    with _web_server(b"<html>not found</html>") as (url, _), pytest.raises(WeightsError, match="thrown away"):
        download(url, tmp_path / "w.pt", "0" * 64)
    assert not list(tmp_path.glob("*.pt*"))
    assert not list(tmp_path.glob("*.part"))


def test_a_failed_download_says_what_to_do(tmp_path: Path) -> None:
    """There is no traceback; the message names the setting for a local file."""
    with pytest.raises(WeightsError, match="FACEQUEUE_WEIGHTS_PATH"):
        download("http://127.0.0.1:9/w.pt", tmp_path / "w.pt", "0" * 64)


def test_a_damaged_download_is_fetched_again(tmp_path: Path) -> None:
    """After a power failure a file may have the right name but not its bytes."""
    body = b"weights" * 1000
    (tmp_path / "w.pt").write_bytes(bytes(len(body)))
    with _web_server(body) as (url, _):
        assert download(url, tmp_path / "w.pt", hashlib.sha256(body).hexdigest()).read_bytes() == body


@contextmanager
def _endless_server(
    send: Callable[[http.server.BaseHTTPRequestHandler], None], length: int | None = None
) -> Iterator[str]:
    """Answers with `length` announced bytes or none, then sends with `send` until the client has disconnected."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            if length is not None:
                self.send_header("Content-Length", str(length))
            self.end_headers()
            try:
                send(self)
            except OSError:  # the client has hung up
                hung_up.set()

        def log_message(self, *_: object) -> None:
            pass

    hung_up = threading.Event()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/w.pt"
    assert hung_up.wait(30), "the download goes on"
    server.shutdown()


def _send_for_ever(
    handler: http.server.BaseHTTPRequestHandler, *, pause_s: float = 0.0, portion: bytes = bytes(4096)
) -> None:
    while True:
        handler.wfile.write(portion)
        time.sleep(pause_s)


def test_a_server_that_sends_without_end_is_left(tmp_path: Path) -> None:
    """The client stops at the size limit, and nothing stays on disk."""
    limits = DownloadLimits(max_bytes=100_000)
    with (
        _endless_server(_send_for_ever) as url,
        pytest.raises(WeightsError, match="more than the 100,000 bytes") as failed,
    ):
        download(url, tmp_path / "w.pt", "0" * 64, limits)
    assert "FACEQUEUE_WEIGHTS_URL" in str(failed.value)
    assert [path.name for path in tmp_path.iterdir()] == ["w.lock"]


def test_a_file_announced_as_too_large_is_not_downloaded(tmp_path: Path) -> None:
    """Not even its first byte is downloaded."""
    with _endless_server(_send_for_ever, length=2**40) as url, pytest.raises(WeightsError, match="more than"):
        download(url, tmp_path / "w.pt", "0" * 64)
    assert [path.name for path in tmp_path.iterdir()] == ["w.lock"]


def test_a_server_that_trickles_is_left(tmp_path: Path) -> None:
    """No pause is long enough, but the whole takes too long. The received part is kept."""
    limits = DownloadLimits(total_s=0.5)
    with _endless_server(lambda to: _send_for_ever(to, pause_s=0.02, portion=b"x")) as url:
        with pytest.raises(WeightsError, match=r"took longer than 0\.5 s\. Try again"):
            download(url, tmp_path / "w.pt", "0" * 64, limits)
        assert set((tmp_path / "w.part").read_bytes()) == {ord("x")}


def test_a_server_that_falls_silent_is_left(tmp_path: Path) -> None:
    """It stops in the middle of the file with the connection open."""

    def send(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"x")
        handler.wfile.flush()
        if not handler.rfile.read(1):
            raise ConnectionError

    limits = DownloadLimits(silence_s=0.5)
    with _endless_server(send, length=1000) as url, pytest.raises(WeightsError, match="timed out"):
        download(url, tmp_path / "w.pt", "0" * 64, limits)
