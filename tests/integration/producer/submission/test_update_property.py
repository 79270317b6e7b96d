"""An update has the bytes of a job from nothing, whatever happened to the folder and to the processes."""

import hashlib
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from producer.submission.batches import enqueue_images
from producer.submission.folder_source import FolderSource
from producer.submission.jobs import open_job
from producer.submission.requests import Request
from shared.analysis import neighbor_update
from shared.config.settings import Settings
from shared.domain.errors import ResultsError
from shared.domain.job import Job
from shared.domain.outcomes import Outcome
from shared.domain.paths import RootPath
from shared.messaging.celery_app import make_celery
from shared.store.jobs import JobRecord
from tests.support.jobs import CONTRACT, RUNTIME
from tests.support.made_up_blocks import commit_batch
from tests.support.results import result_bytes
from tests.support.stage import Stage
from worker.aggregation.pair_stage import PairStage
from worker.aggregation.results_writer import job_rows, write_results
from worker.aggregation.spilling import read_blocks
from worker.batch_result import ImageRecord
from worker.execution.image_source import read_status

_OUTCOMES = (Outcome.OK, Outcome.OK, Outcome.NO_FACE, Outcome.UNREADABLE)
_NAMES = st.sampled_from(["a.jpg", "b.jpg", "c/a.jpg", "c/d.jpg", "z.jpg", "c\n.jpg", "c\\n.jpg", "\udcff.jpg"])
_CONTENTS = st.integers(0, 9)
_CHANGES = st.one_of(
    st.tuples(st.just("write"), _NAMES, _CONTENTS),
    st.tuples(st.just("rename"), _NAMES, _NAMES),
    st.tuples(st.just("remove"), _NAMES, st.none()),
    st.tuples(st.just("touch"), _NAMES, st.none()),
)
_CRASHES = st.sampled_from(["none", "producer", "aggregator before", "aggregator after", "record gone"])


class _Crash(Exception):
    pass


def _result(root: Path, path: RootPath) -> tuple[ImageRecord, np.ndarray]:
    """What a made-up pipeline says about a file: a function of its bytes."""
    status, data = read_status(root, path), (root / path).read_bytes()
    digest = hashlib.blake2b(data, digest_size=16).hexdigest()
    outcome = _OUTCOMES[data[0] % len(_OUTCOMES)]
    faces = 1 + data[0] % 2 if outcome is Outcome.OK else 0
    embeddings = np.random.default_rng(data[0]).normal(size=(faces, CONTRACT.dimensions)).astype(np.float32)
    record = ImageRecord(
        path=path,
        outcome=outcome,
        error="" if outcome is not Outcome.UNREADABLE else "damaged",
        faces=[[1.0, 2.0, 3.0, 4.0 + data[0], 0.5, *range(10), 2.0, data[0] % 3, 0.0, 0.0, 1.0]] * faces,
        digest=digest,
        size=status.size,
        mtime_ns=status.mtime_ns,
        width=10 + data[0],
        height=10,
        thumbnails=[b"\xff\xd8\xff" + data[:1]] * faces,
    )
    return record, embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)


class _World:
    """A folder and the jobs of it, whose workers are this process."""

    def __init__(self, server: Stage, folder: Path) -> None:
        self.client, self.images, self.results = server.client, folder / "images", folder / "results"
        self.client.config_set("appendfsync", "always")  # a job waits for the disk; `everysec` makes that a second
        self.images.mkdir()
        self.settings = Settings(
            _env_file=None, redis_url=server.server.url, data_root=self.images, results_dir=self.results, lease_s=0.2
        )
        self.app = make_celery(self.settings)
        self.computed: list[str] = []
        self.touched = 1_500_000_000

    def run(self, name: str, crash: str = "none", *, tiles: bool = False) -> bool:
        """Runs the job, through a crash if one is asked for; whether there was anything to do. With `tiles`, it has a
        second stage, if there is anything to compare in one.
        """
        if crash == "record gone":
            JobRecord(self.client, name).delete()
        request = Request(
            source=FolderSource.open(self.images),
            contract=CONTRACT,
            batch_size=2,
            distances="full",
            neighbors=2,
            job=name,
            results_dir=None,
        )
        opened = open_job(self.client, request, self.settings, lambda line: None)
        if opened.job is None:
            return False
        left = iter([False, False, False])
        stop: Callable[[], bool] = (lambda: next(left, True)) if crash == "producer" else lambda: False
        plan = opened.plan
        enqueue_images(self.client, self.app, opened.job, request.source, self.settings, print, stop, plan=plan)
        record = JobRecord(self.client, name)
        # The next producer knows only the record.
        enqueue_images(
            self.client, self.app, record.load(), FolderSource.open(self.images), self.settings, print, take_over=True
        )
        self._work(record)
        self._aggregate(record, crash, tiles)
        return True

    def _work(self, record: JobRecord) -> None:
        job = record.load()
        record.agree_on_runtime(job.uid, RUNTIME)
        while record.dispatch(job.turns_queue, job.priority) is not None:
            pass
        for batch, send in record.find_unleased().items():
            found = record.resend(job.uid, batch, send)
            assert found is not None
            record.take(job.uid, batch, found.send, "h", 600)
            rows = [_result(self.images, path) for path in found.images]
            self.computed += found.images
            embeddings = np.concatenate([embeddings for _, embeddings in rows])
            images = [image for image, _ in rows]
            commit_batch(record, job.uid, batch, images, embeddings)

    def _aggregate(self, record: JobRecord, crash: str, tiles: bool) -> None:
        job = record.load()
        assert job.complete
        before = _contents(self.results / job.name)

        def die() -> bool:
            raise _Crash

        if crash == "aggregator before":
            with suppress(_Crash):
                self._write(job, die, tiles)
            assert _contents(self.results / job.name) == before
        if crash == "aggregator after":
            self._write(job, lambda: True, tiles)
        failed = self._write(job, lambda: True, tiles)
        assert record.claim_aggregation("a", 600)
        record.finish(job, "a", 600, failed)

    def _write(self, job: Job, may_publish: Callable[[], bool], tiles: bool = False) -> dict[int, RootPath]:
        stage = self._second_stage(job) if tiles else None
        return write_results(
            job,
            read_blocks(self.client, job, self.results),
            {},
            self.results,
            resources=dict,
            threads=1,
            distances_max_bytes=2**30,
            may_publish=may_publish,
            stage=stage,
        ).failed

    def _second_stage(self, job: Job) -> PairStage | None:
        """With all its tiles done."""
        target = self.results / job.name
        blocks = read_blocks(self.client, job, self.results)
        portions = (row.embeddings for row in job_rows(job, blocks, {}, target))
        earlier = target if job.options.update else None
        stage = PairStage.begin(job, portions, self.results, 1, 2, matrix=job.faces > 0, earlier=earlier)
        for tile in range(0 if stage is None else stage.plan.tiles):
            assert stage is not None
            stage.compute(tile, 1)
        return stage

    def change(self, kind: str, name: str, other: str | int | None) -> None:
        """Applies a change to the folder, if it is possible."""
        path = self.images / name
        path.parent.mkdir(exist_ok=True)
        if kind == "write":
            path.write_bytes(bytes([int(str(other))]) * (3 + int(str(other)) % 2))
        elif kind == "rename" and path.exists():
            (self.images / str(other)).parent.mkdir(exist_ok=True)
            path.replace(self.images / str(other))
        elif kind == "remove":
            path.unlink(missing_ok=True)
        elif kind == "touch" and path.exists():
            # Another time each time: files of the same size and time are the same without --checksum.
            self.touched += 1
            os.utime(path, (self.touched, self.touched))


def _contents(folder: Path) -> dict[str, bytes]:
    names = ("summary.json", "embeddings.npy", "distances.npy", "faces.csv", "images.csv", "digests.csv")
    return {name: (folder / name).read_bytes() for name in names if (folder / name).exists()}


def _compared(folder: Path) -> dict[str, bytes]:
    digests = [line.split(",") for line in (folder / "digests.csv").read_text().splitlines()]
    thumbnails = folder / "thumbnails.bin"
    return result_bytes(folder) | {
        "digests": repr([(row[:3], row[4:]) for row in digests]).encode(),  # without the time, which may be too recent
        "thumbnails": thumbnails.read_bytes() if thumbnails.exists() else b"",
    }


# Without shrinking, which takes minutes: a job is run several times in each step of it.
@settings(
    deadline=None,
    max_examples=20,
    phases=set(Phase) - {Phase.shrink, Phase.explain},
    suppress_health_check=list(HealthCheck),
)
@given(
    first=st.dictionaries(_NAMES, _CONTENTS, min_size=1),
    rounds=st.lists(st.tuples(st.lists(_CHANGES, max_size=5), _CRASHES, st.booleans()), min_size=1, max_size=3),
    most_anew=st.sampled_from([0.25, 1.0]),
)
def test_an_update_has_the_bytes_of_a_job_from_nothing(
    server: Stage, tmp_path_factory, monkeypatch, first: dict[str, int], rounds: list, most_anew: float
) -> None:
    """Files come, go, change, are renamed and touched; producer and aggregator die, and the record may be gone. The
    neighbors are updated, or searched anew in one process or in tiles.
    """
    monkeypatch.setattr(neighbor_update, "_MOST_ANEW", most_anew)
    server.client.flushall()
    world = _World(server, tmp_path_factory.mktemp("world"))
    (world.images / "kept.jpg").write_bytes(b"\0\0")
    for name, content in first.items():
        world.change("write", name, content)
    assert world.run("j")
    for number, (changes, crash, tiles) in enumerate(rounds):
        for change in changes:
            world.change(*change)
        world.run("j", crash, tiles=tiles)
        world.run(f"nothing-{number}")
        assert _compared(world.results / "j") == _compared(world.results / f"nothing-{number}")
    shutil.rmtree(world.images.parent)


def test_only_what_is_new_or_changed_is_computed(server: Stage, tmp_path: Path) -> None:
    """A renamed, touched or unchanged file is not; without any change nothing is written."""
    server.client.flushall()
    world = _World(server, tmp_path)
    for number in range(6):
        world.change("write", f"{number}.jpg", number)
    world.run("j")
    world.computed.clear()
    world.change("rename", "1.jpg", "moved/1.jpg")
    world.change("touch", "2.jpg", None)
    world.change("write", "3.jpg", 9)
    world.change("write", "new.jpg", 8)
    world.change("remove", "4.jpg", None)
    assert world.run("j")
    assert world.computed == ["3.jpg", "new.jpg"]
    before = (tmp_path / "results" / "j").stat().st_ino
    assert not world.run("j") and not world.run("j", "record gone")
    assert (tmp_path / "results" / "j").stat().st_ino == before


def test_a_file_that_is_renamed_in_its_place_is_named_anew(server: Stage, tmp_path: Path) -> None:
    """Although the rows keep their places and nothing is computed."""
    server.client.flushall()
    world = _World(server, tmp_path)
    world.change("write", "a.jpg", 0)
    world.change("write", "c/d.jpg", 4)
    assert world.run("j")
    world.change("rename", "c/d.jpg", "c/a.jpg")
    assert world.run("j") and world.run("nothing")
    assert _compared(world.results / "j") == _compared(world.results / "nothing")


def test_results_that_were_replaced_meanwhile_are_not_mixed(server: Stage, tmp_path: Path) -> None:
    """The aggregator names the folder and what to do, and leaves the results as they are."""
    server.client.flushall()
    world = _World(server, tmp_path)
    world.change("write", "a.jpg", 0)
    world.run("j")
    world.change("write", "b.jpg", 1)
    summary = tmp_path / "results" / "j" / "summary.json"
    record, before = JobRecord(server.client, "j"), summary.read_text()
    uid = record.load().uid

    def replace(line: str) -> None:
        summary.write_text(before.replace(uid, "0" * 32))

    request = Request(
        source=FolderSource.open(world.images),
        contract=CONTRACT,
        batch_size=2,
        distances="full",
        neighbors=2,
        job="j",
        results_dir=None,
    )
    opened = open_job(server.client, request, world.settings, replace)
    assert opened.job is not None
    enqueue_images(
        server.client, world.app, opened.job, request.source, world.settings, print, take_over=True, plan=opened.plan
    )
    world._work(record)
    left = _contents(tmp_path / "results" / "j")
    try:
        world._write(record.load(), lambda: True)
        raise AssertionError("it was published")
    except ResultsError as error:
        assert "does not have the results" in str(error) and "Cancel the job" in str(error)
    assert _contents(tmp_path / "results" / "j") == left
