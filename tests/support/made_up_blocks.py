"""A job whose blocks are made up, and its results."""

from pathlib import Path
from typing import Any

import numpy as np

from shared.domain.arrays import Float32
from shared.domain.contract import KNOWN_WEIGHTS, Contract
from shared.domain.job import Job
from shared.domain.options import Options
from shared.domain.outcomes import Outcome
from shared.store.jobs import JobRecord
from worker.aggregation import results_writer as results
from worker.batch_result import Block, ImageRecord

CONTRACT = Contract(
    faces="largest", mode="fast", margin_px=32, weights="casia-webface", weights_sha256=KNOWN_WEIGHTS["casia-webface"]
)


def sealed_job(faces: int, distances: str = "full") -> Job:
    """A complete job whose images have one face each."""
    return Job(
        name="j",
        uid="ab" * 16,
        state="sealed",
        origin="o",
        source="images",
        contract=CONTRACT,
        runtime={},
        retries=0,
        queue_prefix="",
        options=Options(folder=".", batch_size=16, distances=distances),
        batches=1,
        images=faces,
        cursor=None,
        images_done=faces,
        faces=faces,
        outcomes={"ok": faces},
        created_ms=0,
        started_ms=0,
        updated_ms=1000,
        committed_ms=1000,
        ended_ms=None,
        refusal=None,
        problem=None,
    )


def commit_batch(record: JobRecord, uid: str, batch: int, images: list[ImageRecord], embeddings: Float32) -> str:
    """Commits the block of a leased batch; returns what became of it."""
    block = Block(
        batch=batch,
        attempt=1,
        worker="w",
        started_ms=1,
        ended_ms=2,
        commit_ms=0,
        images=images,
        embeddings=embeddings,
    )
    return record.commit(uid, batch, block.pack(), block.count_outcomes(), len(embeddings))


def block_of_faces(faces: int) -> bytes:
    """The only block of that job."""
    images = [
        ImageRecord(path=f"{k}.jpg", outcome=Outcome.OK, faces=[[0, 0, 9, 9, 1, *[4] * 15]]) for k in range(faces)
    ]
    embeddings = np.eye(faces, 512, dtype=np.float32)
    return Block(
        batch=0, attempt=1, worker="w", started_ms=0, ended_ms=900, commit_ms=0, images=images, embeddings=embeddings
    ).pack()


def write_job(job: Job, blocks: list[bytes], folder: Path, **changes: Any) -> dict[str, Any]:
    """Writes the job's results below `folder`; returns their summary."""
    arguments: dict[str, Any] = {"threads": 1, "distances_max_bytes": 2**30, "may_publish": lambda: True}
    return results.write_results(job, blocks, {}, folder, resources=dict, **(arguments | changes)).summary
