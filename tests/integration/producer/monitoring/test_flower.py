"""Flower over HTTP as browsers use it: with a password, under its own names, and protected from other sites."""

import re
import socket
from collections.abc import Iterator

import psutil
import pytest
import requests

from tests.support.stage import Stage, wait_until

SEND = "/api/task/send-task/facequeue.aggregate"


class Flower:
    """A real Flower, without a password in its settings."""

    def __init__(self, stage: Stage, *arguments: str, **environment: str) -> None:
        port, self._stage = stage.free_port(), stage
        self.process = psutil.Process(
            stage.spawn("producer", "flower", "--port", str(port), *arguments, log="flower.log", **environment).pid
        )
        self.host = f"127.0.0.1:{port}"
        wait_until(lambda: "Flower: http" in stage.log("flower.log"), 60, "Flower serves")
        found = re.search(r"user (\S+), password (\S+)", stage.log("flower.log"))
        self.login = (found[1], found[2]) if found else None

    def ask(self, method: str, path: str, *, login: bool = True, **headers: str) -> requests.Response:
        """Sends a request with these headers (`_` for `-`) and the password, as a browser does."""
        return requests.request(
            method,
            f"http://{self.host}{path}",
            auth=self.login if login else None,
            timeout=30,
            headers={name.replace("_", "-"): value for name, value in headers.items()},
            json={} if method == "POST" else None,
        )

    def sent(self) -> int:
        """The number of tasks in the queues."""
        settings = self._stage.settings
        return sum(int(self._stage.client.llen(queue)) for queue in (settings.embed_queue, settings.aggregate_queue))


@pytest.fixture
def flower(stage: Stage) -> Flower:
    """A Flower that ends with the stage."""
    return Flower(stage)


def test_without_a_password_in_the_settings_a_random_one_is_asked_for(flower: Flower) -> None:
    """Without it nothing is read or sent. It is printed on the terminal only, and no other site can read an answer."""
    assert flower.login is not None and len(flower.login[1]) >= 16
    for method, path in (("GET", "/api/tasks"), ("GET", "/tasks"), ("POST", SEND)):
        assert flower.ask(method, path, login=False).status_code == 401, path
    assert flower.sent() == 0
    read = flower.ask("GET", "/api/tasks")
    assert (read.status_code, "Access-Control-Allow-Origin" in read.headers) == (200, False)
    assert flower.ask("POST", SEND).status_code == 200
    assert flower.sent() == 1
    password = flower.login[1]
    assert password not in " ".join(flower.process.cmdline()) + str(flower.process.environ())


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:3000"},
        {"Referer": "http://evil.example/page"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
    ],
    ids=str,
)
def test_a_page_of_another_site_sends_no_task(shared_flower: Flower, headers: dict[str, str]) -> None:
    """Not even with the remembered password. Flower's own pages can."""
    flower = shared_flower
    before = flower.sent()
    refused = flower.ask("POST", SEND, **headers)
    assert refused.status_code == 403
    assert flower.sent() == before
    own = {"Origin": f"http://{flower.host}", "Referer": f"http://{flower.host}/tasks", "Sec_Fetch_Site": "same-origin"}
    assert flower.ask("POST", SEND, **own).status_code == 200
    assert flower.sent() == before + 1


def test_a_page_of_another_site_may_link_to_flower_and_nothing_more(shared_flower: Flower) -> None:
    """A link works, but a script cannot read the page, and a frame cannot show it."""
    elsewhere = {"Sec_Fetch_Site": "cross-site", "Referer": "http://evil.example/"}
    visit = elsewhere | {"Sec_Fetch_Mode": "navigate"}
    assert shared_flower.ask("GET", "/tasks", **visit, Sec_Fetch_Dest="document").status_code == 200
    assert shared_flower.ask("GET", "/tasks", **visit, Sec_Fetch_Dest="iframe").status_code == 403
    script = elsewhere | {"Sec_Fetch_Mode": "no-cors", "Sec_Fetch_Dest": "image"}
    assert shared_flower.ask("GET", "/api/workers?refresh=1", **script).status_code == 403


@pytest.mark.parametrize("path", ["/", "/api/tasks", "/metrics", "/static/css/flower.css", "/nothing"])
def test_flower_answers_to_its_own_names_only(shared_flower: Flower, path: str) -> None:
    """Loopback names and configured ones. For a foreign name (DNS rebinding) the answer says what to set."""
    for host in (
        "evil.example",
        "evil.example:5555",
        "localhost.evil.example",
        "10.1.2.3",
        "0.0.0.0:5555",
        "[::2]:5555",
        "a]b",
    ):
        refused = shared_flower.ask("GET", path, Host=host)
        assert refused.status_code == 403, host
        assert "FACEQUEUE_FLOWER_HOSTS" in refused.text
    wanted = 404 if path == "/nothing" else 200
    for host in (
        "localhost:5555",
        "LOCALHOST",
        "127.0.0.1",
        "127.0.0.2:80",
        "[::1]:5555",
        "Flower.example:443",
        "photos.lan",
    ):
        assert shared_flower.ask("GET", path, Host=host).status_code == wanted, host


@pytest.fixture(scope="module")
def shared_flower(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flower]:
    """A Flower for the tests that only send requests. It listens as in the compose file's container."""
    stage = Stage(tmp_path_factory.mktemp("flower"))
    yield Flower(stage, "--address", "0.0.0.0", FACEQUEUE_FLOWER_HOSTS="flower.example, photos.lan")
    stage.close()


def test_a_password_of_ones_own_is_asked_for_and_not_printed(stage: Stage) -> None:
    """SIGTERM ends Flower cleanly."""
    flower = Flower(stage, FACEQUEUE_FLOWER_PASSWORD="of my own", FACEQUEUE_FLOWER_USER="me")
    assert flower.ask("GET", "/api/tasks").status_code == 401
    flower.login = ("me", "of my own")
    assert flower.ask("GET", "/api/tasks").status_code == 200
    assert "of my own" not in stage.log("flower.log")
    flower.process.terminate()
    assert stage.processes[-1].wait(20) == 0
    assert "Traceback" not in stage.log("flower.log")


def test_a_port_of_flower_that_is_taken_is_said(stage: Stage) -> None:
    """The exit code is 2, with one line."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = stage.producer("flower", "--port", str(taken.getsockname()[1]))
    assert done.returncode == 2
    assert "Give another --port" in done.stderr and "Traceback" not in done.stderr
