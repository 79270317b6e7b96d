"""Objects of a real S3 server give the results of the same files, whatever the network does."""

import json
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import boto3
import pytest
from moto.server import ThreadedMotoServer

from shared.store.jobs import JobRecord
from tests.support.faulty_proxy import FaultyProxy
from tests.support.results import result_bytes
from tests.support.stage import Stage, wait_until

KEYS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "secret-of-the-test",
    "AWS_DEFAULT_REGION": "us-east-1",
}


SETTLED_S = 3.0
"""An object that has just changed may change again within the resolution of the service's clock."""


class Bucket:
    """A bucket of a moto server behind a proxy."""

    def __init__(self, client: object, proxy: FaultyProxy) -> None:
        self.client, self.proxy = client, proxy
        self.environment = KEYS | {"AWS_ENDPOINT_URL": proxy.url, "FACEQUEUE_OBJECT_PATIENCE_S": "3"}

    def put(self, key: str, data: bytes) -> None:
        """Stores an object."""
        self.client.put_object(Bucket="photos", Key=key, Body=data)  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def server() -> Iterator[int]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    yield moto.get_host_and_port()[1]
    moto.stop()


@pytest.fixture
def bucket(server: int) -> Iterator[Bucket]:
    client = boto3.client(
        "s3",
        endpoint_url=f"http://127.0.0.1:{server}",
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
        region_name="us-east-1",
    )
    client.create_bucket(Bucket="photos")
    proxy = FaultyProxy(server)
    yield Bucket(client, proxy)
    proxy.close()
    for page in client.get_paginator("list_objects_v2").paginate(Bucket="photos"):
        for entry in page.get("Contents", []):
            client.delete_object(Bucket="photos", Key=entry["Key"])
    client.delete_bucket(Bucket="photos")


def fill(bucket: Bucket, images: Path, sample: Path) -> None:
    """Puts a few photographs and odd files into a folder and below `album/` of the bucket."""
    images.mkdir()
    (images / "a b+c%20ü.jpg").write_bytes((sample / "hopper" / "as-is.jpg").read_bytes())
    (images / "b.jpg").write_bytes((sample / "hopper" / "smaller.jpg").read_bytes())
    (images / "c.jpg").write_bytes((sample / "collins" / "as-is.jpg").read_bytes())
    (images / "d.txt").write_text("no image")
    (images / "e.jpg").write_bytes(b"")
    (images / "large.jpg").write_bytes(b"\xff\xd8\xff" + bytes(3 * 2**20))
    for path in images.iterdir():
        bucket.put(f"album/{path.name}", path.read_bytes())
    bucket.put("album/", b"")
    bucket.put("album/.hidden.jpg", b"x")
    bucket.put("album2/z.jpg", (images / "b.jpg").read_bytes())


def test_a_run_of_objects_equals_a_run_of_files(stage: Stage, bucket: Bucket, sample: Path, tmp_path: Path) -> None:
    """Under every fault of the network that passes, and without a trace of the credentials."""
    fill(bucket, tmp_path / "album", sample)
    broken: set[bytes] = set()

    def fault(line: bytes) -> str | None:
        if line in broken or not line.startswith(b"GET"):
            return None
        broken.add(line)
        return ("reset", "503", "cut")[len(broken) % 3]

    bucket.proxy.fault = fault
    limits = {"FACEQUEUE_MAX_IMAGE_MIB": "2"}
    common = ["--results", str(stage.results), "--workers", "1", "--batch-size", "4"]
    far = stage.producer(
        "run",
        "s3://photos/album/",
        "--job",
        "far",
        *common,
        **(bucket.environment | limits | {"FACEQUEUE_OBJECT_PATIENCE_S": "20"}),
    )
    assert far.returncode == 3, far.stderr
    assert len(broken) > 4
    near = stage.producer("run", str(tmp_path / "album"), "--job", "near", *common, **limits)
    assert near.returncode == 3, near.stderr
    assert _rows(stage, "far") == _rows(stage, "near")
    for path in stage.folder.rglob("*"):
        if path.is_file():
            assert b"secret-of-the-test" not in path.read_bytes(), path
    page = (stage.results / "far" / "report.html").read_text()
    assert "data:image/jpeg" in page


def _rows(stage: Stage, job: str) -> object:
    return {name: data for name, data in result_bytes(stage.results / job).items() if "status" not in str(name)}


def test_a_server_that_disappears_leaves_a_job_that_resumes(
    stage: Stage, bucket: Bucket, sample: Path, tmp_path: Path
) -> None:
    """No image is recorded as unreadable, and the same command goes on: the result is that of files."""
    fill(bucket, tmp_path / "album", sample)
    gone = False

    def fault(line: bytes) -> str | None:
        nonlocal gone
        gone = gone or b"/c.jpg" in line
        return "reset" if gone else None

    bucket.proxy.fault = fault
    command = ("run", "s3://photos/album", "--job", "far", "--results", str(stage.results), "--workers", "1")
    batches = ("--batch-size", "1")
    stopped = stage.producer(*command, *batches, **bucket.environment)
    assert gone and stopped.returncode not in (0, 3), stopped.stderr
    assert "s3://photos/album" in stopped.stderr and "Traceback" not in stopped.stderr
    assert not (stage.results / "far").exists()
    bucket.proxy.fault = lambda line: None
    resumed = stage.producer(*command, *batches, **bucket.environment)
    assert resumed.returncode == 3, resumed.stderr
    near = stage.producer(
        "run", str(tmp_path / "album"), "--job", "near", "--results", str(stage.results), "--workers", "1", *batches
    )
    assert near.returncode == 3, near.stderr
    assert _rows(stage, "far") == _rows(stage, "near")


def test_a_killed_producer_goes_on_with_the_listing(stage: Stage, bucket: Bucket, sample: Path, tmp_path: Path) -> None:
    """SIGKILL in the middle changes no result. The listing goes on after the last recorded object."""
    fill(bucket, tmp_path / "album", sample)
    command = ("enqueue", "s3://photos/album", "--batch-size", "1", "--job", "cut")
    producer = stage.spawn("producer", *command, log="p.log", FACEQUEUE_WINDOW_BATCHES="2", **bucket.environment)
    wait_until(lambda: "batches are waiting" in stage.log("p.log"), 30, "the window is full")
    producer.kill()
    producer.wait()
    before = JobRecord(stage.client, "cut").load()
    assert 0 < before.batches < 6
    bucket.proxy.requests.clear()
    own = {"FACEQUEUE_ALLOWED_URLS": "s3://photos", "FACEQUEUE_DATA_ROOT": str(tmp_path)}
    stage.worker("--concurrency", "1", **(bucket.environment | own))
    again = stage.producer(*command, "--wait", **bucket.environment)
    assert (again.returncode, "Resuming job cut" in again.stderr) == (3, True), again.stderr
    last = quote(f"album/{before.cursor}", safe="")
    assert any(f"start-after={last}".encode() in line for line in bucket.proxy.requests), bucket.proxy.requests
    near = stage.producer("enqueue", str(tmp_path / "album"), "--job", "near", "--wait", **own)
    assert near.returncode == 3, near.stderr
    assert _rows(stage, "cut") == _rows(stage, "near")


def test_the_same_job_again_is_an_update_of_objects(stage: Stage, bucket: Bucket, sample: Path, tmp_path: Path) -> None:
    """Objects that are known are not read again, whatever their outcome."""
    fill(bucket, tmp_path / "album", sample)
    filled = time.time()
    wait_until(lambda: time.time() - filled > SETTLED_S)
    command = ("run", "s3://photos/album", "--job", "far", "--results", str(stage.results), "--workers", "1")
    first = stage.producer(*command, **bucket.environment)
    assert first.returncode == 3, first.stderr
    options = json.loads((stage.results / "far" / "summary.json").read_text())["options"]
    assert options["batch_size"] == 32  # of files, 16
    bucket.put("album/new.jpg", (sample / "both.jpg").read_bytes())
    bucket.proxy.requests.clear()
    again = stage.producer(*command, **bucket.environment)
    assert "7 images" in again.stderr and "1 new" in again.stderr, again.stderr
    read = {line.split()[1].rpartition(b"/")[2] for line in bucket.proxy.requests if b"list-type" not in line}
    assert read == {b"new.jpg"}, read
    bucket.put("album/new.jpg", b"")
    changed = time.time()
    wait_until(lambda: time.time() - changed > SETTLED_S)
    third = stage.producer(*command, **bucket.environment)
    assert "1 changed" in third.stderr, third.stderr
    bucket.proxy.requests.clear()
    unchanged = stage.producer(*command, **bucket.environment)
    assert "nothing has changed: far: 7 images, 7 known" in unchanged.stderr, unchanged.stderr
    assert all(b"list-type" in line for line in bucket.proxy.requests)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("s3://photos/nothing", "no objects"),
        ("s3://no-such-bucket/a", "no such bucket"),
        ("ftp://photos/a", "s3://"),
        ("s3://key:secret@photos/a", "credentials"),
    ],
)
def test_urls_without_images_are_one_line(stage: Stage, bucket: Bucket, url: str, says: str) -> None:
    """Exit code 2, and never the credentials."""
    done = stage.producer("run", url, "--results", str(stage.results), **bucket.environment)
    assert done.returncode == 2 and says in done.stderr, done.stderr
    assert len(done.stderr.strip().splitlines()) == 1 and "secret" not in done.stderr
