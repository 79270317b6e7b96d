"""Objects of Google Cloud Storage give the results of the same files. The server is `tests.support.gcs_server`."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from producer.monitoring.doctor import check_location
from shared.domain.errors import LocationUnavailable
from shared.domain.locations import parse_location
from shared.objects.store import AccessRefused, ListedObject, open_store
from tests.support.faulty_proxy import FaultyProxy
from tests.support.gcs_server import GcsServer
from tests.support.results import result_bytes
from tests.support.stage import Stage, wait_until

SETTLED_S = 3.0


@pytest.fixture
def server() -> Iterator[GcsServer]:
    server = GcsServer()
    yield server
    server.close()


def test_a_run_and_its_update_equal_those_of_files(
    stage: Stage, server: GcsServer, sample: Path, tmp_path: Path
) -> None:
    """Under faults of the network that pass. Objects that are known are not read again."""
    images = tmp_path / "album"
    images.mkdir()
    (images / "a b+c%20ü.jpg").write_bytes((sample / "hopper" / "as-is.jpg").read_bytes())
    (images / "b.jpg").write_bytes((sample / "collins" / "smaller.jpg").read_bytes())
    (images / "c.txt").write_text("no image")
    (images / "d.jpg").write_bytes(b"")
    for path in images.iterdir():
        server.put(f"album/{path.name}", path.read_bytes())
    server.put("album/", b"")
    server.put("album2/z.jpg", b"x")
    filled = time.time()
    proxy, broken = FaultyProxy(server.port), set()

    def fault(line: bytes) -> str | None:
        if line in broken:
            return None
        broken.add(line)
        return ("reset", "503", "cut")[len(broken) % 3]

    proxy.fault = fault
    environment = {"STORAGE_EMULATOR_HOST": proxy.url, "FACEQUEUE_OBJECT_PATIENCE_S": "20"}
    command = ("run", "gs://photos/album/", "--job", "far", "--results", str(stage.results), "--workers", "1")
    wait_until(lambda: time.time() - filled > SETTLED_S)
    far = stage.producer(*command, **environment)
    assert far.returncode == 3 and len(broken) > 4, far.stderr
    near = stage.producer("run", str(images), "--job", "near", "--results", str(stage.results), "--workers", "1")
    assert near.returncode == 3, near.stderr
    assert result_bytes(stage.results / "far") == result_bytes(stage.results / "near")

    proxy.requests.clear()
    again = stage.producer(*command, **environment)
    assert "nothing has changed: far: 4 images, 4 known" in again.stderr, again.stderr
    assert not any(b"alt=media" in line for line in proxy.requests)
    proxy.close()


def test_a_listing_goes_on_after_a_name(server: GcsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over pages, in the order of the names' UTF-8 bytes."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{server.port}")
    names = sorted(["ü.jpg", "b c.jpg", "a", "a/b.jpg", "a+b.jpg", "𝄞.jpg", "\uff5e.jpg"], key=str.encode)
    for name in names:
        server.put(f"album/{name}", name.encode())
    store = open_store("gs://photos/album")
    status = asyncio.run_coroutine_threadsafe(store.status("ü.jpg"), store.loop).result()
    assert status == ListedObject("ü.jpg", 6, server.objects["album/ü.jpg"][1] * 1000)
    assert [found.name for page in store.pages(None) for found in page] == names
    for count, name in enumerate(names, start=1):
        assert [found.name for page in store.pages(name) for found in page] == names[count:]


def test_what_cannot_be_read_is_said_without_the_services_words(
    server: GcsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No such bucket, no credentials, no right."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{server.port}")
    with pytest.raises(LocationUnavailable, match="no such bucket"):
        list(open_store("gs://others").pages(None))
    for status, error in ((401, LocationUnavailable), (403, AccessRefused)):
        server.status = status
        with pytest.raises(error, match=r"credentials|denied"):
            list(open_store("gs://photos").pages(None))


def test_doctor_says_whether_an_allowed_url_can_be_reached(server: GcsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line each, with the reason."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{server.port}")
    server.put("album/a.jpg", b"x")
    assert str(check_location(parse_location("gs://photos/album"))) == "ok   allowed URL: gs://photos/album"
    for url, reason in (
        ("gs://photos/none", "no objects"),
        ("gs://others", "no such bucket"),
        ("http://127.0.0.1:9", "failed"),
    ):
        finding = check_location(parse_location(url))
        assert not finding.good and reason in finding.what and url in finding.what, finding
    server.status = 403
    assert "access denied" in check_location(parse_location("gs://photos")).what
