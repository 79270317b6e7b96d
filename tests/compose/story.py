"""The Docker Compose end-to-end test, on the local Docker engine: `make compose-test`.

It works on a copy of the checkout, under a project name and ports of its own, and removes everything that it created.
Every wait is bounded; the first failed check ends it with exit code 1.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

import requests
from selenium.webdriver.common.by import By

from shared.domain.job import JobState
from tests.compose import cluster
from tests.support import browser as chromium
from tests.support.results import result_bytes

ROOT = Path(__file__).parent.parent.parent
PROJECT = "facequeue-test"
OWNER = 4321  # of the images and the results folder: a user that is not root, as on most hosts
PASSWORD = 'compose-t@st/;%41"#'  # with all that an address or a shell could trip over
_times: list[tuple[str, float]] = []


@contextmanager
def step(what: str) -> Iterator[None]:
    """Measures and prints one step."""
    print(f"-- {what}", flush=True)
    started = time.monotonic()
    yield
    _times.append((what, time.monotonic() - started))
    print(f"   {_times[-1][1]:.1f} s", flush=True)


def free_port() -> int:
    """A free port on loopback."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Story:
    """A copy of the checkout, and the commands that run in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        tracked = subprocess.run(
            ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, timeout=60
        ).stdout
        for name in filter(None, tracked.decode().split("\0")):
            if (ROOT / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, folder / name)
        self.flower_port, self.page_port = free_port(), free_port()
        ports = {
            "FACEQUEUE_REDIS_PORT": free_port(),
            "FACEQUEUE_FLOWER_PORT": self.flower_port,
            "FACEQUEUE_METRICS_PORT": free_port(),
            "FACEQUEUE_PAGE_PORT": self.page_port,
        }
        # What a user would write into .env: the producer on the host reads it too.
        lines = [f"{name}={value}" for name, value in ports.items()]
        lines += [
            f"FACEQUEUE_REDIS_PASSWORD='{PASSWORD}'",
            f"FACEQUEUE_UID={OWNER if os.getuid() == 0 else os.getuid()}",
            "FACEQUEUE_QUEUE_PREFIX=story-",  # a setting that host and containers must agree on
            "FACEQUEUE_LOG_FORMAT=json",
            # Not every registry has Valkey's image, the default.
            f"FACEQUEUE_SERVER_IMAGE={os.environ.get('FACEQUEUE_SERVER_IMAGE', 'redis:7-alpine')}",
        ]
        (folder / ".env").write_text("\n".join(lines) + "\n")
        if os.getuid() == 0:
            os.chown(folder / "results", OWNER, OWNER)

    def inspect(self, service: str) -> dict[str, Any]:
        """What the engine reports of a service's first container."""
        name = self.containers(service)[0]["Name"]
        told = subprocess.run(["docker", "inspect", name], capture_output=True, check=True, timeout=60).stdout
        found: dict[str, Any] = json.loads(told)[0]
        return found

    def unfinished(self, job: str) -> bool:
        """Whether a job is still unfinished."""
        return "finished" not in self.producer("status", job, expect=0)

    def compose(self, *arguments: str, timeout_s: float = 120, expect: int = 0) -> str:
        """Runs `docker compose ...`; ends the test if it fails."""
        command = ["docker", "compose", "-p", PROJECT, *arguments]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, timeout=timeout_s)
        if done.returncode != expect:
            sys.exit(f"{' '.join(command)}: {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
        return done.stdout

    def producer(self, *arguments: str, expect: int, **environment: str) -> str:
        """Runs `python -m producer ...` on the host."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("FACEQUEUE_", "REDIS_URL"))}
        done = subprocess.run(
            [sys.executable, "-m", "producer", *arguments],
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=300,
            env=clean | {"PYTHONPATH": str(self.folder)} | environment,
        )
        if done.returncode != expect:
            sys.exit(
                f"producer {arguments}: exit code {done.returncode} instead of {expect}\n{done.stdout}\n{done.stderr}"
            )
        return done.stdout

    def same_as_run(self, images: str, results: Path) -> bool:
        """Whether `run` on the host gives the bytes of a job's results folder, for the same images."""
        out = self.folder / "ran"
        self.producer(
            "run",
            images,
            "--results",
            str(out),
            "--job",
            results.name,
            expect=3,
            FACEQUEUE_STATE_DIR=str(self.folder / "st"),
        )
        on_host = result_bytes(out / results.name)
        on_host.pop("faces.parquet", None)  # the images have no pyarrow
        return on_host == result_bytes(results)

    def containers(self, service: str) -> list[dict[str, Any]]:
        """The running containers of one service."""
        lines = self.compose("ps", "--format", "json", service).splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def flower(self, path: str) -> Any:
        """An answer of Flower's API, with the default user."""
        url = f"http://127.0.0.1:{self.flower_port}{path}"
        return requests.get(url, auth=("facequeue", "facequeue"), timeout=20)

    def page(self, path: str) -> requests.Response:
        """An answer of the page of jobs, with the default user."""
        url = f"http://127.0.0.1:{self.page_port}{path}"
        return requests.get(url, auth=("facequeue", "facequeue"), timeout=20)

    def owners(self, job: str) -> set[int]:
        """The owners of the result files."""
        return {path.stat().st_uid for path in (self.folder / "results" / job).rglob("*")}


def wait_for(condition: Callable[[], object], timeout_s: float, what: str) -> None:
    """Waits for a condition; ends the test if it does not hold in time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            sys.exit(f"not within {timeout_s:.0f} s: {what}")
        time.sleep(0.5)


def check(holds: object, what: str) -> None:
    """Ends the test if a check fails."""
    if not holds:
        sys.exit(f"not as promised: {what}")


def image_mb(name: str) -> float:
    """The size of an image in MB."""
    told = subprocess.run(
        ["docker", "image", "inspect", "--format", "{{.Size}}", name], capture_output=True, check=True, timeout=60
    ).stdout
    return int(told) / 1e6


def _start(story: Story) -> None:
    """Builds the images and starts every service; after a change of the code, builds them again in seconds."""
    with step("build"):
        story.compose("build", timeout_s=1200)
    with step("up, every service healthy"):
        story.compose("up", "--detach", "--wait", "--wait-timeout", "180", timeout_s=240)
    check(sum(spent for _, spent in _times) < 180, "from nothing to healthy services in three minutes")
    # Beyond Python's image, which differs between registries; the official one has 130 MB.
    for image, most in (("facequeue", 220), ("facequeue-worker", 850)):
        own = image_mb(image) - image_mb("python:3.11-slim")
        print(f"   {image}: {own:.0f} MB beyond python:3.11-slim")
        check(own <= most, f"the image {image} adds at most {most} MB")
    with step("build again after a change of the code"):
        with (story.folder / "shared" / "domain" / "job.py").open("a") as code:
            code.write("# changed\n")
        story.compose("build", timeout_s=120)
    check(_times[-1][1] < 30, "a change of the code is built in seconds")
    without = story.compose("exec", "-T", "worker", "sh", "-c", "python -c 'import torch' 2>&1 || true")
    check("No module named 'torch'" in without, "the workers' image has no torch")


def _finish_a_job(story: Story) -> None:
    """A job that is enqueued from the host gives the bytes of `run`."""
    data = story.folder / "data"
    with step("enqueue the sample folder from the host, follow it to the end"):
        story.producer("sample", str(data), expect=0)
        if os.getuid() == 0:
            for path in [data, *data.rglob("*")]:  # photographs that only their owner may see
                os.chown(path, OWNER, OWNER)
                path.chmod(0o700 if path.is_dir() else 0o600)
        story.producer("enqueue", "data/", "--wait", "--job", "first", "--batch-size", "4", expect=3)
    with step("the same folder with `run`, the bytes compared"):
        check(story.same_as_run("data/", story.folder / "results" / "first"), "the bytes are those of `run`")
        if os.getuid() == 0:
            check(
                story.owners("first") == {OWNER},
                f"results belong to the owner of ./results, not to {story.owners('first')}",
            )


def _read_logs(story: Story) -> None:
    """Every line of the log of workers and aggregator is a JSON object, and one names each batch of the job."""
    with step("logs for machines: every line is parsed"):
        found = [line for service in ("worker", "aggregator") for line in _log_of(story, service)]
        check(all({"time", "level", "logger", "message"} <= line.keys() for line in found), "each has its fields")
        committed = [line for line in found if line.get("action") == "batch_committed" and line["job"] == "first"]
        images = sum(line["images"] for line in committed)
        check(images == 25 and len({line["batch"] for line in committed}) == 7, f"{images} images in the log")
        written = [line for line in found if line.get("action") == "job_aggregated"]
        check([line["job"] for line in written] == ["first"], "the aggregator's log names the job")


def _log_of(story: Story, service: str) -> Iterator[dict[str, Any]]:
    for line in story.compose("logs", "--no-color", service).splitlines():
        text = line if line.startswith("{") else line.partition("| ")[2]  # without the container's name
        try:
            yield json.loads(text)
        except ValueError:
            sys.exit(f"not as promised: the log of {service} has a line that is no JSON: {line}")


def _look_at_flower(story: Story) -> None:
    """Flower asks for a password, and its API shows the tasks. The producer also runs in a container."""
    with step("Flower's API shows the tasks"):
        check(
            requests.get(f"http://127.0.0.1:{story.flower_port}/api/tasks", timeout=20).status_code == 401,
            "Flower asks for a password",
        )
        foreign = {"Host": f"evil.example:{story.flower_port}"}
        check(
            requests.get(f"http://127.0.0.1:{story.flower_port}/", headers=foreign, timeout=20).status_code == 403,
            "Flower does not answer to a foreign name",
        )
        wait_for(
            lambda: "job=first batch=0 images=4" in story.flower("/api/tasks").text,
            60,
            "the task list names job and batch",
        )
    with step("`docker compose run producer` for those without Python"):
        jobs = story.compose("run", "--rm", "producer", "jobs")
        check("first" in jobs and "finished" in jobs, "the producer's container sees the job")


def _look_at_the_page(story: Story) -> None:
    """The page of jobs asks for Flower's password, shows the job, and opens its report."""
    with step("the page of jobs shows the job and its report"):
        check(
            requests.get(f"http://127.0.0.1:{story.page_port}/", timeout=20).status_code == 401,
            "the page asks for a password",
        )
        shown = story.page("/")
        check(shown.status_code == 200 and 'id="job-first"' in shown.text, "the page shows the job")
        check('href="/jobs/first/report"' in shown.text, "the page links to the report")
        report = story.page("/jobs/first/report")
        check(report.content == (story.folder / "results" / "first" / "report.html").read_bytes(), "it is the report")
        check("sandbox" in report.headers["Content-Security-Policy"], "the report has an origin of its own")
    if not chromium.is_there():
        print("no chromium and chromedriver: the page is not opened in a browser", flush=True)
        return
    with step("the page of jobs in a browser: a new job appears without a reload"), chromium.browser() as window:
        window.get(f"http://facequeue:facequeue@127.0.0.1:{story.page_port}/")
        check(window.find_elements(By.ID, "job-first"), "the page shows the job in a browser")
        story.producer("enqueue", "data/", "--job", "seen", expect=0)
        wait_for(lambda: window.find_elements(By.ID, "job-seen"), 30, "the new job appears")
        finished = f"#job-seen[data-state={JobState.FINISHED}]"
        wait_for(lambda: window.find_elements(By.CSS_SELECTOR, finished), 120, "it is seen to finish")


def _lose_a_worker_and_restart(story: Story) -> None:
    """A job survives the loss of a worker and restarts of the server and of a worker."""
    data = story.folder / "data"
    with step("scale to 2, an urgent job beside another, kill -9 a worker in the middle"):
        story.compose("up", "--detach", "--wait", "--scale", "worker=2", timeout_s=240)
        for number in range(30):  # a job long enough to be several times in the middle of
            for path in [p for p in data.rglob("*.jpg") if not p.name.startswith("copy")]:
                copy = path.parent / f"copy{number}-{path.name}"
                copy.write_bytes(path.read_bytes() + b"%d" % number)
                os.chown(copy, path.stat().st_uid, path.stat().st_gid)
        story.producer("enqueue", "data/", "--job", "second", "--batch-size", "2", expect=0)
        wait_for(lambda: " 0/" not in story.producer("status", "second", expect=0), 60, "the job has begun")
        # Two jobs at once: the urgent one is done in the middle of the other.
        urgent = shutil.copytree(data / "hopper", data / "urgent", ignore=shutil.ignore_patterns("copy*"))
        for path in (urgent, *urgent.iterdir()):
            os.chown(path, OWNER, OWNER)
        story.producer("enqueue", "data/urgent", "--job", "urgent", "--priority", "high", "--wait", expect=0)
        shutil.rmtree(urgent)
        check(story.unfinished("second"), "an urgent job ends before one that began earlier")
        victim = story.containers("worker")[0]["Name"]
        subprocess.run(["docker", "kill", "--signal", "KILL", victim], check=True, capture_output=True, timeout=60)
    with step("restart redis in the middle, restart a worker, follow to the end"):
        check(story.unfinished("second"), "redis is restarted in the middle of the job")
        story.compose("restart", "redis")
        story.compose("restart", "worker", timeout_s=180)
        story.producer("watch", "second", expect=3)
        check(story.same_as_run("data/", story.folder / "results" / "second"), "nothing lost, nothing double")


def _stop_the_server(story: Story) -> None:
    """Without the server, workers stay up and healthy, and go on when it is back."""
    with step("the server stopped: workers are alive and not ready, and go on by themselves"):
        probed = ("worker", "aggregator")
        before = {service: story.inspect(service)["State"]["StartedAt"] for service in probed}
        story.compose("stop", "redis")
        for service in probed:
            story.compose("exec", "-T", service, "python", "-m", "worker", "ready", expect=1)
            # Older than the stop would be too old.
            story.compose("exec", "-T", service, "python", "-m", "worker", "alive", "--max-age", "5")
        wait_for(
            lambda: all(_checked_since(story, service) for service in probed), 90, "health checks without a server"
        )
        for service in probed:
            told = story.inspect(service)["State"]
            check(told["Health"]["Status"] == "healthy", f"{service} is healthy without the server")
            check(told["StartedAt"] == before[service], f"{service} was not restarted")
        story.compose("start", "redis")
        for service in probed:
            wait_for(lambda service=service: _is_ready(story, service), 60, f"{service} is ready again")
        story.producer("enqueue", "data/nobody", "--wait", "--job", "after", expect=0)


def _is_ready(story: Story, service: str) -> bool:
    command = ["docker", "compose", "-p", PROJECT, "exec", "-T", service, "python", "-m", "worker", "ready"]
    return subprocess.run(command, cwd=story.folder, capture_output=True, timeout=60).returncode == 0


def _checked_since(story: Story, service: str) -> bool:
    """Whether a health check of a service has begun after the server was stopped."""
    stopped = json.loads(
        subprocess.run(["docker", "inspect", f"{PROJECT}-redis-1"], capture_output=True, check=True, timeout=60).stdout
    )[0]["State"]["FinishedAt"]
    checks = story.inspect(service)["State"]["Health"]["Log"]
    return bool(checks) and checks[-1]["Start"] > stopped


def _come_back(story: Story) -> None:
    """Jobs and results survive `down` and `up`."""
    with step("down, up: jobs and results are still there"):
        before = result_bytes(story.folder / "results" / "second")
        story.compose("down", timeout_s=180)
        story.compose("up", "--detach", "--wait", "--wait-timeout", "180", timeout_s=240)
        check("second" in story.producer("jobs", expect=0), "the record outlives the containers")
        check(result_bytes(story.folder / "results" / "second") == before, "results are as they were")
        check("job=first batch=0" in story.flower("/api/tasks").text, "Flower remembers the tasks of before")
        story.producer("enqueue", "data/nobody", "--wait", "--job", "third", expect=0)


def _check_container(story: Story, service: str) -> None:
    """One service has a read-only root file system, no extra capabilities, and no secret in its image."""
    told = story.inspect(service)
    check(told["HostConfig"]["ReadonlyRootfs"], f"the root file system of {service} is read-only")
    check(told["HostConfig"]["CapDrop"] == ["ALL"], f"{service} has no capabilities but those that are named")
    check(told["HostConfig"]["PidsLimit"] > 0, f"the number of threads in {service} is limited")
    told["Config"]["Env"] = []
    check(
        json.dumps(PASSWORD)[1:-1] not in json.dumps(told),
        f"only the environment of {service} has the password",
    )
    history = subprocess.run(
        ["docker", "history", "--no-trunc", told["Image"]],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout
    check("compose-t" not in history, f"the image of {service} holds no password")


def _check_security(story: Story) -> None:
    """Nothing listens beyond loopback, and no secret is in images or logs."""
    with step("nothing listens beyond loopback, no secret in the images, root file systems read-only"):
        for service in ("redis", "flower", "metrics", "page"):
            for port in story.containers(service)[0].get("Publishers") or []:
                check(port["URL"] in ("127.0.0.1", ""), f"{service} listens on {port}")
        for service in ("redis", "worker", "aggregator", "flower", "metrics", "page"):
            _check_container(story, service)
        logs = story.compose("logs", "--no-color")
        check("compose-t" not in logs, "no log holds the password")
        who = story.compose("exec", "-T", "worker", "id", "-u").strip()
        check(who != "0", "the worker is not root")
        flush = 'VALKEYCLI_AUTH="$REDISCLI_AUTH" $(command -v valkey-cli || command -v redis-cli) flushall'
        flushed = subprocess.run(
            ["docker", "compose", "-p", PROJECT, "exec", "-T", "redis", "sh", "-c", flush],
            cwd=story.folder,
            capture_output=True,
            timeout=60,
        )
        check(b"NOPERM" in flushed.stdout + flushed.stderr, "nobody can empty the server")


def tell(story: Story) -> None:
    """Runs all steps on one machine."""
    _start(story)
    _finish_a_job(story)
    _read_logs(story)
    _look_at_flower(story)
    _look_at_the_page(story)
    _lose_a_worker_and_restart(story)
    _stop_the_server(story)
    _come_back(story)
    _check_security(story)


def tell_of_a_cluster(story: Story) -> None:
    """Producer and workers in different networks, without a shared disk, over TLS."""
    with step("two networks, TLS, images through the server: the same bytes"):
        images = story.folder / "pictures"
        story.producer("sample", str(images), expect=0)
        try:
            cluster.play(story.compose, story.folder, images, quote(PASSWORD, safe=""))
        finally:
            cluster.clear_up(story.folder)
        check(story.same_as_run(str(images), story.folder / "results" / "far"), "a cluster gives the same bytes")


def main() -> None:
    """Runs the test if a Docker engine is available."""
    if subprocess.run(["docker", "version"], capture_output=True, timeout=60).returncode:
        sys.exit("No Docker engine answers (`docker version`). Start one, then repeat.")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended from outside"))  # and so clears up
    with tempfile.TemporaryDirectory(prefix="facequeue-compose-") as temporary:
        Path(temporary).chmod(0o755)
        story = Story(Path(temporary))
        try:
            tell(story)
            tell_of_a_cluster(story)
        finally:
            own = [f"{PROJECT}-{service}" for service in ("flower", "metrics", "page", "producer")]
            for command in (
                ["docker", "compose", "-p", PROJECT, "--profile", "*", "down", "--volumes", "--timeout", "10"],
                ["docker", "rmi", *own],  # other names of the image `facequeue`
            ):
                subprocess.run(command, cwd=story.folder, capture_output=True, timeout=180)
    print("\n| step | s |\n| --- | --- |")
    for what, spent in _times:
        print(f"| {what} | {spent:.1f} |")
    images = subprocess.run(
        ["docker", "images", "--format", "{{.Repository}} {{.Size}}"], capture_output=True, text=True, timeout=60
    ).stdout
    for line in images.splitlines():
        if line.startswith("facequeue"):
            print(line)


if __name__ == "__main__":
    main()
