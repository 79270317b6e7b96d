"""A list on a web server gives the results of the same files."""

import os
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.support.results import result_bytes
from tests.support.stage import Stage


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture
def served(tmp_path: Path, sample: Path) -> Iterator[tuple[Path, str]]:
    """A folder of photographs with a list, and its address."""
    folder = tmp_path / "album"
    folder.mkdir()
    for name in ("hopper/as-is.jpg", "collins/smaller.jpg"):
        (folder / name.replace("/", " ")).write_bytes((sample / name).read_bytes())
    for path in folder.iterdir():
        os.utime(path, (1_600_000_000, 1_600_000_000))
    (folder / "list.txt").write_text("hopper as-is.jpg\ncollins smaller.jpg\nmissing.jpg\n")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield folder, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_list_on_a_web_server(stage: Stage, served: tuple[Path, str]) -> None:
    """A missing image is a row. The same job again asks about each image, and reads none."""
    folder, address = served
    common = ("--results", str(stage.results), "--workers", "1")
    far = stage.producer("run", f"{address}/list.txt", "--job", "far", *common)
    assert far.returncode == 3 and "there is no such object" in far.stdout, far.stderr
    near = stage.producer("run", str(folder), "--files", str(folder / "list.txt"), "--job", "near", *common)
    assert near.returncode == 3, near.stderr
    for name in ("embeddings.npy", "faces.csv"):
        assert result_bytes(stage.results / "far")[name] == result_bytes(stage.results / "near")[name]
    again = stage.producer("run", f"{address}/list.txt", "--job", "far", *common)
    assert (again.returncode, "nothing has changed: far: 3 images, 3 known" in again.stderr) == (3, True), again.stderr


def test_a_web_server_has_no_listing(stage: Stage, served: tuple[Path, str]) -> None:
    """One line says what to give instead."""
    done = stage.producer("run", served[1], "--results", str(stage.results))
    assert done.returncode == 2 and "--files" in done.stderr and len(done.stderr.strip().splitlines()) == 1
