"""The embedded server (`producer.local.redis_server`), with real servers, killed processes and hostile temporary
folders.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import redis

from producer.local import redis_server as embedded
from producer.local.redis_server import EmbeddedServer
from shared.domain.errors import ServerError
from tests.support.stage import ROOT, wait_until

_SET = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\nvalue\r\n"


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty TMPDIR with a short path."""
    with tempfile.TemporaryDirectory(prefix="fq") as folder:
        _set_tmpdir(monkeypatch, Path(folder))
        yield Path(folder)


def _set_tmpdir(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)  # it is read once


@pytest.fixture
def data(tmp_path: Path, temporary: Path) -> Iterator[Path]:
    """A data folder. A server that uses it is killed after the test."""
    folder = tmp_path / "state" / "server"
    yield folder
    for process in _servers(folder):
        with suppress(psutil.Error):
            process.kill()
            process.wait(10)


def _servers(data: Path) -> list[psutil.Process]:
    """Every live server with this data folder, whoever started it."""
    found = {}
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.status() != psutil.STATUS_ZOMBIE and "server" in process.name() and Path(process.cwd()) == data:
                found[process.pid] = process.ppid(), process
    return [process for parent, process in found.values() if parent not in found]  # not one that rewrites the log


def _client(server: EmbeddedServer) -> "redis.Redis":
    return redis.Redis.from_url(server.url.replace("redis+socket", "unix"), socket_timeout=10, decode_responses=True)


def _pid(data: Path) -> int:
    return int(json.loads((data / "server.json").read_text())["pid"])


def _leave_orphan(data: Path, *, ready: bool = True) -> psutil.Process:
    """A server whose starter was killed right after the start, or once the server was ready."""
    code = (
        "import sys, pathlib, producer.local.redis_server as e; "
        "e.EmbeddedServer(pathlib.Path(sys.argv[1])).start(); print('ready'); sys.stdout.flush(); "
        "sys.stdin.read()"
    )
    output = data.parent / "starter"
    data.mkdir(parents=True, exist_ok=True)
    with output.open("wb") as file:
        starter = subprocess.Popen(
            [sys.executable, "-c", code, str(data)], stdin=subprocess.PIPE, stdout=file, stderr=file, cwd=ROOT
        )
    try:
        wait_until(lambda: "ready" in output.read_text() if ready else (data / "server.json").exists(), 30, "started")
    finally:
        starter.kill()
        starter.communicate(timeout=10)
    return psutil.Process(_pid(data))


def _later(action: Callable[[], object], delay_s: float) -> threading.Timer:
    timer = threading.Timer(delay_s, action)
    timer.daemon = True
    timer.start()
    return timer


def test_data_survive_a_stop_and_nothing_stays_in_the_temporary_folder(data: Path, temporary: Path) -> None:
    """A stopped server leaves its append-only file and its log, but no process, socket or record."""
    server = EmbeddedServer(data)
    server.start()
    url = server.url
    _client(server).set("k", "v")
    assert [path.stat().st_mode & 0o777 for path in temporary.iterdir()] == [0o700]
    server.stop()
    assert (list(temporary.iterdir()), _servers(data), (data / "server.json").exists()) == ([], [], False)
    server.start()
    assert (_client(server).get("k"), server.url) == ("v", url)
    server.stop()


def test_a_killed_runs_server_is_taken_over_and_stopped(data: Path, temporary: Path) -> None:
    """The orphan's data are kept, no second server starts, and `stop` ends the orphan and removes its files."""
    orphan = _leave_orphan(data)
    server = EmbeddedServer(data)
    server.start()
    _client(server).set("k", "v")
    assert [process.pid for process in _servers(data)] == [orphan.pid]
    assert server.ensure() is False
    server.stop()
    assert (list(temporary.iterdir()), _servers(data), (data / "server.json").exists()) == ([], [], False)
    server.start()
    assert _client(server).get("k") == "v"
    server.stop()


def test_an_orphan_is_found_under_another_tmpdir(data: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own socket is used, and both temporary folders are empty at the end."""
    orphan = _leave_orphan(data)
    (socket,) = temporary.glob("*/redis.sock")
    with tempfile.TemporaryDirectory(prefix="fq", dir="/tmp") as other:
        _set_tmpdir(monkeypatch, Path(other))
        server = EmbeddedServer(data)
        assert str(socket) not in server.url
        server.start()
        assert server.url.endswith(str(socket))
        assert [process.pid for process in _servers(data)] == [orphan.pid]
        orphan.kill()
        wait_until(lambda: _servers(data) == [], 10, "the server is dead")
        assert server.ensure() is True
        assert server.url.endswith(str(socket))
        server.stop()
        assert (list(temporary.iterdir()), list(Path(other).iterdir())) == ([], [])


@pytest.mark.parametrize("orphaned", [False, True])
def test_ensure_starts_a_dead_server_again_at_the_same_address(data: Path, orphaned: bool) -> None:
    """For an own server and one taken over: its death is noticed, and data and address are kept."""
    if orphaned:
        _leave_orphan(data)
    server = EmbeddedServer(data)
    server.start()
    url = server.url
    client = _client(server)
    client.config_set("appendfsync", "always")
    client.set("k", "v")
    dead = psutil.Process(_pid(data))
    dead.kill()
    wait_until(lambda: _servers(data) == [], 10, "the server is dead")
    assert server.ensure() is True
    assert (server.url, client.get("k")) == (url, "v")
    assert [process.pid for process in _servers(data)] == [_pid(data)] != [dead.pid]
    assert server.ensure() is False
    server.stop()


def test_an_orphan_that_answers_late_is_waited_for(data: Path) -> None:
    """A slow server is not dead: no second one starts."""
    orphan = _leave_orphan(data)
    orphan.suspend()
    _later(orphan.resume, 1)
    server = EmbeddedServer(data)
    server.start()
    assert [process.pid for process in _servers(data)] == [orphan.pid]
    server.stop()


def test_an_orphan_that_is_loading_is_waited_for(data: Path) -> None:
    """Its append-only file is long, and it refuses every command until it has read it."""
    first = EmbeddedServer(data)
    first.start()
    _client(first).set("k", "v")
    first.stop()
    (log,) = (data / "appendonlydir").glob("*.incr.aof")
    with log.open("ab") as file:
        for _ in range(100):
            file.write(_SET * 50_000)
    orphan = _leave_orphan(data, ready=False)
    server = EmbeddedServer(data)

    def loading() -> bool:
        try:
            _client(server).ping()
        except redis.BusyLoadingError:
            return True
        except redis.ConnectionError:
            return False
        pytest.fail("loaded too fast for this test")

    wait_until(loading, 30, "the orphan is loading")
    server.start()
    assert _client(server).get("k") == "value"
    assert [process.pid for process in _servers(data)] == [orphan.pid]
    server.stop()


def test_an_orphan_that_never_answers_is_named(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is neither killed nor duplicated. The error names the process and its log."""
    orphan = _leave_orphan(data)
    monkeypatch.setattr(embedded, "_START_TIMEOUT_S", 0.5)
    orphan.suspend()
    try:
        with pytest.raises(ServerError, match=rf"pid {orphan.pid}\b.*server\.log.*`kill {orphan.pid}`"):
            EmbeddedServer(data).start()
        assert [process.pid for process in _servers(data)] == [orphan.pid]
    finally:
        orphan.resume()


@pytest.mark.parametrize("record", [None, "{", '{"pid": 1, "created_s": 0, "socket": "/x"}', "other"])
def test_an_orphan_without_a_true_record_is_never_doubled(
    data: Path, record: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server holds the lock itself. A reused pid is not mistaken for it."""
    _leave_orphan(data)
    if record == "other":
        record = json.dumps({"pid": os.getpid(), "created_s": 1.0, "socket": "/x"})
    if record is None:
        (data / "server.json").unlink()
    else:
        (data / "server.json").write_text(record)
    monkeypatch.setattr(embedded, "_START_TIMEOUT_S", 0.5)
    with pytest.raises(ServerError, match=r"server\.lock.*repeat"):
        EmbeddedServer(data).start()
    assert len(_servers(data)) == 1


def test_a_dead_servers_record_with_a_recycled_pid_starts_a_new_one(data: Path) -> None:
    """The pid exists but was created at another time: that process is left alone, and a new server starts."""
    data.mkdir(parents=True)
    record = {"pid": os.getpid(), "created_s": psutil.Process().create_time() - 1000, "socket": "/x"}
    (data / "server.json").write_text(json.dumps(record))
    server = EmbeddedServer(data)
    server.start()
    assert _client(server).ping()
    server.stop()


def test_two_that_start_at_once_share_one_server(data: Path) -> None:
    """The later one takes over the server."""
    servers = [EmbeddedServer(data) for _ in range(4)]
    threads = [threading.Thread(target=server.start, daemon=True) for server in servers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(40)
    assert all(_client(server).ping() for server in servers)
    assert len(_servers(data)) == 1
    servers[-1].stop()
    assert _servers(data) == []


@pytest.mark.parametrize("kind", ["open", "link", "file", "foreign"])
def test_a_socket_folder_that_others_may_have_made_is_refused(
    data: Path, temporary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Nothing is sent to a socket in it, and the error says what to do."""
    folder = Path(EmbeddedServer(data).url.removeprefix("redis+socket://")).parent
    what = {"open": "open to other", "link": "symbolic link", "file": "a file", "foreign": "another user"}[kind]
    if kind == "link":
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        folder.symlink_to(tmp_path / "elsewhere")
    elif kind == "file":
        folder.touch()
    else:
        folder.mkdir(mode=0o700)
    if kind == "open":
        folder.chmod(0o711)
    if kind == "foreign":
        if os.getuid() != 0:
            pytest.skip("only root can give a folder away")
        os.chown(folder, 12345, 12345)
    with pytest.raises(ServerError, match=rf"{folder}.*{what}.*set TMPDIR"):
        EmbeddedServer(data).start()
    assert _servers(data) == []


def test_a_socket_folder_opened_later_is_not_used_to_take_over(data: Path, temporary: Path) -> None:
    """The folder is checked before the first byte is sent, also for a server of an earlier run."""
    _leave_orphan(data)
    (folder,) = temporary.iterdir()
    folder.chmod(0o777)
    with pytest.raises(ServerError, match="open to other users"):
        EmbeddedServer(data).start()


def test_a_long_tmpdir_is_not_used(data: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Socket paths are limited to 103 bytes; /tmp is short enough."""
    _set_tmpdir(monkeypatch, temporary / ("long" * 20) / "é")
    server = EmbeddedServer(data)
    server.start()
    assert server.url.startswith("redis+socket:///tmp/facequeue-")
    assert _client(server).ping()
    server.stop()
    assert not Path(server.url.removeprefix("redis+socket://")).parent.exists()


def test_an_unwritable_tmpdir_says_so(data: Path, temporary: Path) -> None:
    """The folder disappeared after Python had checked it."""
    server = EmbeddedServer(data)
    temporary.rmdir()
    with pytest.raises(ServerError, match=r"No such file.*TMPDIR"):
        server.start()
    temporary.mkdir()


def test_a_server_that_cannot_start_is_quoted(data: Path, temporary: Path) -> None:
    """The error has the last line of its log and the log's path. The temporary folder is empty."""
    server = EmbeddedServer(data)
    server.start()
    _client(server).set("k", "v")
    server.stop()
    (log,) = (data / "appendonlydir").glob("*.incr.aof")
    log.write_bytes(b"rubbish\n" + log.read_bytes())
    with pytest.raises(ServerError, match=r"Bad file format.*server\.log"):
        server.start()
    assert (list(temporary.iterdir()), _servers(data)) == ([], [])


def test_ctrl_c_while_starting_leaves_no_server(data: Path, temporary: Path) -> None:
    """If `run` is interrupted before the server is ready, the server ends too."""
    orphan = _leave_orphan(data)
    orphan.suspend()
    _later(lambda: os.kill(os.getpid(), signal.SIGINT), 0.5)
    _later(orphan.resume, 1)
    with pytest.raises(KeyboardInterrupt):
        EmbeddedServer(data).start()
    assert (list(temporary.iterdir()), _servers(data)) == ([], [])


def test_an_interrupt_during_the_launch_leaves_no_server(
    data: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server has been recorded before Ctrl-C takes effect, so `stop` ends it."""
    launched: list[psutil.Popen] = []

    def interrupted(*arguments: object, **options: object) -> psutil.Popen:
        launched.append(start(*arguments, **options))
        signal.raise_signal(signal.SIGINT)
        return launched[0]

    start = psutil.Popen
    monkeypatch.setattr(embedded.psutil, "Popen", interrupted)
    server = EmbeddedServer(data)
    with pytest.raises(KeyboardInterrupt):
        server.begin()
    assert (data / "server.json").exists()
    server.stop()
    assert not launched[0].is_running()
    assert not list(temporary.iterdir())
