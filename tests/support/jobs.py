"""A job's record to begin with."""

from shared.domain.contract import KNOWN_WEIGHTS, Contract, Runtime
from shared.domain.job import Job
from shared.domain.options import Options
from shared.store.jobs import JobRecord
from tests.support.stage import Stage

CONTRACT = Contract(
    faces="largest", mode="fast", margin_px=32, weights="casia-webface", weights_sha256=KNOWN_WEIGHTS["casia-webface"]
)


RUNTIME = Runtime(backend="b 1", device="cpu", instruction_set="i", decoder="d 1")


def make_job(stage: Stage, name: str = "j") -> tuple[JobRecord, Job]:
    """A new job without batches."""
    record = JobRecord(stage.client, name)
    options = Options(folder=".", batch_size=2, distances="auto")
    job, _ = record.create(origin="o", source="s", contract=CONTRACT, options=options, queue_prefix="")
    return record, job
