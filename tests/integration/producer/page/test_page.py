"""The page of jobs over HTTP: what it shows, whom it answers, and which files it never opens."""

import json
import os
import re
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import requests

from shared.domain.job import Job
from shared.store.dead_letters import park
from shared.store.jobs import JobRecord
from shared.store.keys import PREFIX, REGISTRY, UNFINISHED
from shared.store.worker_registry import Worker, announce
from tests.support.jobs import do_batch, finish_job, make_job
from tests.support.jobs_page import LOG, JobsPageProcess
from tests.support.results_folders import make_results, people
from tests.support.stage import Stage, wait_until

SECRET = "what nobody may read"


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A server for all tests."""
    made = Stage(tmp_path_factory.mktemp("page"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def page(stage: Stage) -> JobsPageProcess:
    """A page of a server with a worker, a running job, and a finished one with results."""
    make_finished(stage, "archive")
    record, job = make_job(stage, "running")
    stage.client.hset(f"{PREFIX}job:running", "source", "/photos/<script>alert(1)</script>")
    do_batch(record, job, 0, record.attach_producer(job.uid))
    park(stage.client, "embed", "not a message", "body")
    announce(stage.client, Worker("worker-7@<b>host", ["embed"], 2, {"images_per_s": 12.34}, host="<b>host"), 600)
    # As in the compose file's container.
    return JobsPageProcess(stage, "--address", "0.0.0.0", FACEQUEUE_PAGE_HOSTS="jobs.example")


def make_finished(stage: Stage, name: str) -> Job:
    """A finished job with one failed image, and results."""
    record, _ = make_job(stage, name)
    job = finish_job(record, {1: "b.jpg"})
    stage.client.persist(f"{PREFIX}job:{name}")
    folder = make_results(stage.results / name, ["a.jpg"], people(1, 1), uid=job.uid)
    (folder / "report.html").write_text("<!doctype html><title>the report</title>")
    return job


def report_of(page: JobsPageProcess, job: str) -> str:
    """The address that the page's link to a job's report leads to."""
    assert f'href="/jobs/{job}/report"' in page.ask("/").text
    answer = page.ask(f"/jobs/{job}/report")
    before, host, path = answer.headers["Location"].partition(page.host)
    assert (answer.status_code, before, host) == (303, "//", page.host), "nothing of a typed password is taken over"
    return path


def test_the_page_shows_jobs_workers_queues_and_failures(page: JobsPageProcess) -> None:
    """Names from outside are text. Without scripts it is the same page, which loads itself again."""
    text = page.ask("/").text
    assert "<script>alert" not in text and "&lt;script&gt;alert" in text
    assert "<b>host" not in text and "&lt;b&gt;host" in text
    assert re.search(r'id="job-running" data-state="enqueuing', text)
    assert "1 of 1+ images" in text and "1 unreadable" in text
    assert "12.3" in text and "Refused messages" in text
    assert '<noscript><meta http-equiv="refresh"' in text
    assert text.index("job-running") < text.index("job-archive"), "unfinished jobs come first"


def test_nothing_is_shown_without_the_password(page: JobsPageProcess) -> None:
    """Not even which addresses there are. The health check tells nothing."""
    for path in ("/", "/events", "/page.css", "/jobs/archive/faces.csv", report_of(page, "archive"), "/nothing"):
        for login in (None, ("facequeue", "wrong"), ("wrong", page.login[1]), ("", "")):
            answer = requests.get(f"http://{page.host}{path}", auth=login, timeout=30)
            assert answer.status_code == 401, path
            assert "archive" not in answer.text
            assert answer.headers["WWW-Authenticate"].startswith("Basic ")
    for broken in ("Basic", "Basic !!!", "Bearer abc", "Basic " + "A" * 5000, "Basic /w=="):
        assert page.ask("/", login=False, Authorization=broken).status_code == 401
    assert page.ask("/healthcheck", login=False).text == "OK\n"


def test_the_page_answers_to_its_own_names_only(page: JobsPageProcess) -> None:
    """For a foreign name (DNS rebinding) the answer says what to set."""
    for path in ("/", "/healthcheck", f"/reports/{'0' * 32}/archive/report/{'0' * 16}/faces-0001.js"):
        for host in ("evil.example", "localhost.evil.example", "10.1.2.3", "a]b"):
            refused = page.ask(path, Host=host)
            assert refused.status_code == 403 and "FACEQUEUE_PAGE_HOSTS" in refused.text
    for host in ("localhost:80", "127.0.0.1", "[::1]:8080", "jobs.example"):
        assert page.ask("/", Host=host).status_code == 200


def test_broken_requests_are_refused_and_leave_no_line_in_the_log(page: JobsPageProcess, stage: Stage) -> None:
    """Two names, a name with a password, no HTTP at all, or headers without end: whoever may connect may send them."""
    before = stage.log(LOG)
    host = f"Host: {page.host}\r\n"
    for request in (
        f"GET / HTTP/1.1\r\n{host}Host: evil.example\r\n\r\n",
        f"GET /jobs/archive/report HTTP/1.1\r\nHost: a:b@{page.host}\r\n\r\n",
        f"GET / HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
        "\x16\x03\x01\r\n\r\n",
        f"GET / HTTP/1.1\r\n{host}X: {'a' * 2**16}\r\n\r\n",
    ):
        with socket.create_connection(("127.0.0.1", page.port), timeout=20) as connection:
            answer = b""
            with suppress(ConnectionError):  # it does not read to the end
                connection.sendall(request.encode("latin-1"))
                answer = connection.recv(64)
        assert not answer or answer.startswith(b"HTTP/1.1 400"), request
    assert page.ask("/healthcheck").status_code == 200 and stage.log(LOG) == before


def test_pages_of_other_sites_may_link_and_nothing_more(page: JobsPageProcess) -> None:
    """They neither read nor frame it with the password that the browser remembers."""
    elsewhere = {"Sec_Fetch_Site": "cross-site", "Referer": "http://evil.example/"}
    link = elsewhere | {"Sec_Fetch_Mode": "navigate"}
    assert page.ask("/", **link, Sec_Fetch_Dest="document").status_code == 200
    assert page.ask("/", **link, Sec_Fetch_Dest="iframe").status_code == 403
    for path in ("/", "/events", "/jobs/archive/faces.csv"):
        assert page.ask(path, **elsewhere, Sec_Fetch_Mode="no-cors", Sec_Fetch_Dest="script").status_code == 403


def test_the_page_only_reads(page: JobsPageProcess, stage: Stage) -> None:
    """No method but GET and HEAD is answered, and no request changes anything on the server."""
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "CONNECT"):
        for path in ("/", "/jobs/archive/faces.csv", "/events"):
            assert page.ask(path, method).status_code == 405
    for path in ("/", "/events", "/jobs/archive/faces.csv", report_of(page, "archive")):
        answer = page.ask(path, "HEAD")
        assert (answer.status_code, answer.content) == (200, b"")
    stage.client.config_resetstat()
    wait_until(lambda: page.ask("/") and "cmdstat_hgetall" in stage.client.info("commandstats"), 20, "a new look")
    writes = {"set", "hset", "del", "unlink", "zadd", "zrem", "sadd", "lpush", "hincrby"}
    assert not writes & {name.removeprefix("cmdstat_") for name in stage.client.info("commandstats")}


def test_nothing_foreign_runs_on_the_page(page: JobsPageProcess) -> None:
    """Only its own script, nothing inline, nothing from elsewhere, in no frame; and no cookies."""
    for path in ("/", "/nothing"):
        headers = page.ask(path).headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff" and headers["Referrer-Policy"] == "no-referrer"
        assert headers["Cache-Control"] == "no-store" and "Set-Cookie" not in headers and "Server" not in headers


def test_the_report_of_a_finished_job_has_an_origin_of_its_own(page: JobsPageProcess, stage: Stage) -> None:
    """Whatever a results folder contains, it can read no other address. Its data need the secret in the address."""
    address = report_of(page, "archive")
    answer = page.ask(address)
    assert answer.status_code == 200 and "the report" in answer.text
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("sandbox allow-scripts") and "allow-same-origin" not in policy
    assert "default-src 'none'" in policy and "connect-src" not in policy
    data = stage.results / "archive" / "report" / ("0" * 16)
    data.mkdir(parents=True)
    (data / "faces-0001.js").write_text("facequeueReport()")
    beside = address.replace("report.html", f"report/{'0' * 16}/faces-0001.js")
    loaded = page.ask(beside, login=False, Sec_Fetch_Site="cross-site", Sec_Fetch_Dest="script")
    assert (loaded.status_code, loaded.text) == (200, "facequeueReport()")
    assert loaded.headers["Content-Type"].startswith("text/javascript")
    for wrong in (re.sub(r"/reports/\w+", f"/reports/{'0' * 32}", beside), beside.replace("archive", "running")):
        assert page.ask(wrong, login=False).status_code == 404
    assert page.ask(re.sub(r"/reports/\w+", f"/reports/{'0' * 32}", address)).status_code == 404


def test_tables_of_a_finished_job_are_downloads(page: JobsPageProcess, stage: Stage) -> None:
    """The same bytes, under the job's name. Embeddings and distances are not served."""
    answer = page.ask("/jobs/archive/faces.csv")
    assert answer.content == (stage.results / "archive" / "faces.csv").read_bytes()
    assert answer.headers["Content-Disposition"] == 'attachment; filename="archive-faces.csv"'
    assert page.ask("/jobs/archive/summary.json").json()["job"] == "archive"
    assert 'href="/jobs/archive/faces.csv"' in page.ask("/").text
    for name in ("embeddings.npy", "distances.npy", "neighbors.npz", "thumbnails.bin", "digests.csv"):
        assert page.ask(f"/jobs/archive/{name}").status_code == 404


def test_results_of_another_job_of_the_name_are_not_shown(page: JobsPageProcess, stage: Stage) -> None:
    """A job is known by its uid: a folder of before is not offered as its results."""
    make_finished(stage, "renewed")
    summary = stage.results / "renewed" / "summary.json"
    summary.write_text(json.dumps(json.loads(summary.read_text()) | {"uid": "0" * 32}))
    wait_until(lambda: "job-renewed" in page.ask("/").text, 20, "a new look")
    assert "/renewed/report" not in page.ask("/").text
    JobRecord(stage.client, "renewed").delete()


def test_links_and_other_names_lead_to_no_file(page: JobsPageProcess, stage: Stage) -> None:
    """Names never become paths: no link is followed, no pipe is waited for, no folder is listed."""
    outside = stage.folder / "outside"
    outside.mkdir()
    (outside / "faces.csv").write_text(SECRET)
    (outside / "report.html").write_text(SECRET)
    address, results = report_of(page, "archive"), stage.results / "archive"
    key = address.split("/")[2]
    (stage.results / "linked").symlink_to(outside)
    (results / "groups.csv").symlink_to(outside / "faces.csv")
    os.mkfifo(results / "failed.csv")
    (results / "report").mkdir(exist_ok=True)
    (results / "report" / ("1" * 16)).symlink_to(outside)
    (outside / "faces-0001.js").write_text(SECRET)
    (stage.results / "archive" / "report" / "other.html").write_text(SECRET)
    (stage.results / "faces.csv").write_text(SECRET)
    for path in (
        "/jobs/linked/faces.csv",
        "/jobs/archive/groups.csv",
        "/jobs/archive/failed.csv",
        "/jobs/archive/report.html",
        "/jobs/../outside/faces.csv",
        "/jobs/%2e%2e/faces.csv",
        "/jobs/..%2foutside/faces.csv",
        "/jobs/./faces.csv",
        "/jobs//faces.csv",
        "/jobs/archive%00/faces.csv",
        "/jobs/archive/",
        "/jobs/archive",
        "/jobs/",
        f"/reports/{key}/archive/report/{'1' * 16}/faces-0001.js",
        f"/reports/{key}/archive/report/{'1' * 16}/",
        f"/reports/{key}/archive/report/../faces.csv",
        f"/reports/{key}/archive/report/%2e%2e/faces.csv",
        f"/reports/{key}/archive/report/other.html",
        f"/reports/{key}/archive/report/",
        "//etc/passwd",
        "/../../etc/passwd",
    ):
        answer = page.ask(path)
        assert answer.status_code == 404, path
        assert SECRET not in answer.text and "root:" not in answer.text
    (results / "groups.csv").unlink()
    (results / "failed.csv").unlink()


def test_updates_come_without_a_reload(page: JobsPageProcess, stage: Stage) -> None:
    """Every watcher hears of a change; the newest state comes first."""
    with page.watch() as first, page.watch() as second:
        for lines in (first, second):
            assert "job-archive" in json.loads(next(lines).removeprefix("data: "))
        make_job(stage, "later")
        for lines in (first, second):
            while "job-later" not in json.loads(next(lines).removeprefix("data: ")):
                pass
    JobRecord(stage.client, "later").delete()


def test_many_jobs_cost_a_look_little(page: JobsPageProcess, stage: Stage) -> None:
    """One page of records is read, however many jobs there are. The others are on other pages."""
    raw = stage.client.hgetall(f"{PREFIX}job:archive")
    with stage.client.pipeline(transaction=False) as pipe:
        for number in range(450):
            pipe.hset(f"{PREFIX}job:copy-{number:05}", mapping=raw | {b"uid": f"{number:032x}"})
            pipe.zadd(REGISTRY, {f"copy-{number:05}": number})
        pipe.execute()
    wait_until(lambda: "452 jobs, page 1 of 5" in page.ask("/").text, 20, "a new look")
    stage.client.config_resetstat()
    assert page.ask("/?page=2").status_code == 200
    assert stage.client.info("commandstats")["cmdstat_hgetall"]["calls"] == 100
    text = page.ask("/").text
    assert "job-running" in text
    shown = re.findall(r'id="job-(copy-\d+)"', text)
    assert shown == [f"copy-{number:05}" for number in range(449, 449 - 98, -1)]
    last = page.ask("/?page=5").text
    assert re.findall(r'id="job-(copy-\d+)"', last)[-1] == "copy-00000" and "data-edition" not in last
    for wrong in ("0", "-1", "x", "1e3", "٣", "9" * 40):
        assert page.ask(f"/?page={wrong}").status_code == 404
    # An unfinished job is on the first page even if it is an old one.
    stage.client.zadd(REGISTRY, {"running": 0})
    wait_until(lambda: "job-running" in page.ask("/").text and "copy-00351" in page.ask("/").text, 20, "the old one")
    with stage.client.pipeline(transaction=False) as pipe:
        for number in range(450):
            pipe.delete(f"{PREFIX}job:copy-{number:05}")
            pipe.zrem(REGISTRY, f"copy-{number:05}")
        pipe.execute()


def test_queues_of_other_installations_are_listed_up_to_a_limit(page: JobsPageProcess, stage: Stage) -> None:
    """Each `run` has its own."""
    entries = {f"run-{number:02}-:job{k}": 0 for number in range(30) for k in range(3)}
    stage.client.zadd(UNFINISHED, entries)
    wait_until(lambda: "run-05-embed" in page.ask("/").text, 20, "a new look")
    text = page.ask("/").text
    assert text.count("-aggregate</th>") == 19 and "There are others" in text  # and those of this installation
    stage.client.zrem(UNFINISHED, *entries)


def test_damaged_records_cost_no_other_job(page: JobsPageProcess, stage: Stage) -> None:
    """They are named, and the rest is shown."""
    stage.client.hset(f"{PREFIX}job:odd", "version", "<i>0")
    stage.client.set(f"{PREFIX}job:text", "text")
    make_job(stage, "far")
    stage.client.hset(f"{PREFIX}job:far", mapping={"created_ms": "9" * 400, "images": "9" * 400})
    stage.client.zadd(REGISTRY, {"odd": 1, "text": 2, "../up": 3})
    stage.client.zadd(UNFINISHED, {"::": 0, "x:\n": 0})
    announce(stage.client, Worker("worker-8@host", ["embed"], 2, {}, started_ms=10**300), 600)
    wait_until(lambda: "job-far" not in page.ask("/").text and "far" in page.ask("/").text, 20, "a new look")
    text = page.ask("/").text
    assert "job-archive" in text and "worker-7" in text
    for name in ("odd", "text"):
        assert name in text and f"job-{name}" not in text
    assert "../up" not in text
    for name in ("odd", "text", "far"):
        stage.client.delete(f"{PREFIX}job:{name}")
        stage.client.zrem(REGISTRY, name)


def test_without_the_server_the_page_says_so_and_recovers(page: JobsPageProcess, stage: Stage) -> None:
    """What it knew last stays on it. Watchers hear both."""
    with page.watch() as lines:
        next(lines)
        stage.server.kill()
        while "No server answers" not in (html := json.loads(next(lines).removeprefix("data: "))):
            pass
        assert "job-archive" in html and "what it said last" in html
        stage.server.start()
        while "No server answers" in (html := json.loads(next(lines).removeprefix("data: "))):
            pass
        assert "job-archive" in html
    assert stage.log(LOG).count("No server answers") == 1, "one line in the log, not one a second"


def test_a_taken_port_is_said_and_an_end_is_clean(page: JobsPageProcess, stage: Stage, sample: Path) -> None:
    """The exit code is 2, with one line, also for `run --page`, before anything is begun. SIGTERM ends the page."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = stage.producer("page", "--port", port)
        assert done.returncode == 2 and "Give another --port" in done.stderr and "Traceback" not in done.stderr
        done = stage.producer("run", str(sample), "--page", FACEQUEUE_PAGE_PORT=port)
        assert done.returncode == 2 and "FACEQUEUE_PAGE_PORT" in done.stderr and "Traceback" not in done.stderr
    page.process.terminate()
    assert page.process.wait(20) == 0
    assert "Traceback" not in stage.log(LOG)


def test_run_serves_the_page_until_it_ends(stage: Stage, sample: Path) -> None:
    """The password is printed, the running job is on the page, and nothing is served afterward."""
    port = stage.free_port()
    run = stage.spawn(
        *("producer", "run", str(sample / "nobody"), "--page", "--job", "shown", "--workers", "1", "--no-report"),
        log="run.log",
        FACEQUEUE_PAGE_PORT=str(port),
    )
    wait_until(lambda: "Page: http" in stage.log("run.log"), 60, "the page is named")
    found = re.search(r"Page: (\S+), user (\S+), password (\S+)", stage.log("run.log"))
    assert found is not None
    url, login = found[1], (found[2], found[3])
    assert url == f"http://127.0.0.1:{port}"
    wait_until(lambda: "job-shown" in requests.get(url, auth=login, timeout=30).text, 60, "the page shows the job")
    assert run.poll() is None
    assert requests.get(url, timeout=30).status_code == 401
    assert run.wait(120) == 0, stage.log("run.log")
    with pytest.raises(requests.ConnectionError):
        requests.get(url, auth=login, timeout=30)
