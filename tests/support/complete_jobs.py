"""A job on a server whose images are done, with made-up faces."""

import numpy as np

from shared.domain.arrays import Float32
from shared.domain.options import Options
from shared.domain.outcomes import Outcome
from shared.store.jobs import JobRecord
from shared.store.leases import Lease
from tests.support.jobs import CONTRACT
from tests.support.stage import Stage
from worker.batch_result import Block, ImageRecord


def complete_job(stage: Stage, embeddings: Float32, name: str = "j") -> JobRecord:
    """A sealed job of two batches: the images have one face each, with these embeddings [n, 512]."""
    record = JobRecord(stage.client, name)
    options = Options(folder=".", batch_size=1024, distances="none", report=False)
    job, _ = record.create(origin="o", source="s", contract=CONTRACT, options=options, queue_prefix="")
    producer = record.attach_producer(job.uid)
    half = len(embeddings) // 2
    for batch, faces in enumerate((range(half), range(half, len(embeddings)))):
        paths = [f"{face:05}.jpg" for face in faces]
        send = record.add_batch(job.uid, producer, batch, paths)
        assert isinstance(record.take(job.uid, batch, send, "h", 600), Lease)
        block = Block(
            batch=batch,
            attempt=1,
            worker="w",
            started_ms=1,
            ended_ms=2,
            commit_ms=0,
            images=[ImageRecord(path=path, outcome=Outcome.OK, faces=[[0, 0, 9, 9, 1]]) for path in paths],
            embeddings=np.asarray(embeddings[faces.start : faces.stop]),
        )
        record.commit(job.uid, batch, block.pack(), block.count_outcomes(), len(paths))
    record.seal(job.uid, producer)
    return record
