"""The page of jobs as a process, and requests to it."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import requests

from tests.support.stage import Stage, wait_until

LOG = "page.log"


class JobsPageProcess:
    """A real `python -m producer page` that ends with the stage."""

    def __init__(self, stage: Stage, *arguments: str, **environment: str) -> None:
        self.port = stage.free_port()
        self.process = stage.spawn("producer", "page", "--port", str(self.port), *arguments, log=LOG, **environment)
        wait_until(lambda: "Page: http" in stage.log(LOG) or self.process.poll() is not None, 60, "the page is served")
        assert self.process.poll() is None, stage.log(LOG)
        self.host = f"127.0.0.1:{self.port}"
        found = re.search(r"user (\S+), password (\S+)", stage.log(LOG))
        assert found is not None
        self.login = (found[1], found[2])

    def ask(self, path: str, method: str = "GET", *, login: bool = True, **headers: str) -> requests.Response:
        """Sends a request with these headers (`_` for `-`) and the password, without following redirects."""
        # Prepared by hand: requests would tidy up the path.
        request = requests.Request(method, f"http://{self.host}/", auth=self.login if login else None).prepare()
        request.url = f"http://{self.host}{path}"
        request.headers.update({name.replace("_", "-"): value for name, value in headers.items()})
        with requests.Session() as session:
            return session.send(request, timeout=30, allow_redirects=False)

    @contextmanager
    def watch(self) -> Iterator[Any]:
        """The lines of the stream of updates."""
        with requests.get(f"http://{self.host}/events", auth=self.login, stream=True, timeout=30) as answer:
            assert answer.status_code == 200
            yield (line for line in answer.iter_lines(decode_unicode=True) if line)
