"""A job on a server whose images are done, with made-up faces."""

from pathlib import Path

import numpy as np

from shared.domain.arrays import Float32
from shared.domain.options import Options, WhenDistances
from shared.domain.outcomes import Outcome
from shared.messaging.celery_app import make_celery, send_aggregate
from shared.messaging.messages import Aggregate
from shared.store.jobs import JobRecord
from shared.store.leases import Lease
from tests.support.jobs import CONTRACT, add_batch
from tests.support.made_up_blocks import commit_batch
from tests.support.results import result_bytes
from tests.support.results_folders import people
from tests.support.stage import Stage
from worker.aggregation.results_writer import write_results
from worker.aggregation.spilling import read_blocks
from worker.batch_result import ImageRecord

TILES = {"FACEQUEUE_PAIR_TILES_FROM": "50", "FACEQUEUE_PAIR_BLOCK_ROWS": "16"}
"""A second stage for few faces, with many tiles."""


def made_up_faces() -> Float32:
    """300 faces of 60 people, float32 [340, 512], and 40 copies. They are near a subspace, as those of a network."""
    once = np.concatenate([people(60, 5, seed, spread=0.5) for seed in range(4)], axis=1)  # 512 values each
    once[:, 128:] *= np.float32(1e-3)
    once /= np.linalg.norm(once, axis=1, keepdims=True)
    return np.concatenate([once, once[:40]])


def expected_results(server: Stage, record: JobRecord, folder: Path) -> dict[str, bytes]:
    """What one process writes."""
    job = record.load()
    write_results(
        job,
        read_blocks(server.client, job, server.results),
        {},
        folder,
        resources=dict,
        threads=2,
        distances_max_bytes=2**30,
        may_publish=lambda: True,
    )
    return result_bytes(folder / job.name)


def aggregate(server: Stage, record: JobRecord) -> None:
    """Sends the aggregation."""
    job = record.load()
    send_aggregate(make_celery(server.settings), "aggregate", Aggregate(version=1, job=job.name, uid=job.uid))


def is_finished(record: JobRecord) -> bool:
    """Whether the job is finished; fails if it has a problem."""
    job = record.load()
    assert job.problem is None, job.problem
    return job.state == "finished"


def complete_job(
    stage: Stage, embeddings: Float32, name: str = "j", distances: WhenDistances = "none", neighbors: int = 64
) -> JobRecord:
    """A sealed job of two batches: the images have one face each, with these embeddings [n, 512]."""
    record = JobRecord(stage.client, name)
    options = Options(folder=".", batch_size=1024, distances=distances, neighbors=neighbors, report=False)
    job, _ = record.create(origin="o", source="s", contract=CONTRACT, options=options, queue_prefix="")
    producer = record.attach_producer(job.uid)
    half = len(embeddings) // 2
    for batch, faces in enumerate((range(half), range(half, len(embeddings)))):
        paths = [f"{face:05}.jpg" for face in faces]
        send = add_batch(record, job.uid, producer, batch, paths)
        assert isinstance(record.take(job.uid, batch, send, "h", 600), Lease)
        images = [ImageRecord(path=path, outcome=Outcome.OK, faces=[[0, 0, 9, 9, 1, *[4] * 15]]) for path in paths]
        commit_batch(record, job.uid, batch, images, np.asarray(embeddings[faces.start : faces.stop]))
    record.seal(job.uid, producer)
    return record
