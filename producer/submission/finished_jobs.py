"""A finished job whose results are not on this machine: whether its source has as many images as the job."""

from pathlib import Path

from producer.submission.sources import Source
from shared.domain.counts import counted
from shared.domain.errors import InvalidRequest
from shared.domain.job import Job
from shared.domain.paths import printable


class UnseenResults(InvalidRequest):
    """A finished job is to be updated, and its results are elsewhere."""

    def __init__(self, job: Job, images: int, results_dir: Path) -> None:
        super().__init__(
            f"Job {job.name} is finished with {counted(job.images, 'image')}, {job.source} has {images:,} now, and the "
            f"results are not in {printable(str(results_dir))}: they cannot be updated from here. Repeat the command "
            "where FACEQUEUE_RESULTS_DIR is the aggregator's results folder, or with --fresh to compute everything."
        )


def compare_unseen(job: Job, source: Source, results_dir: Path) -> str:
    """What was compared, if the number of images is the job's; UnseenResults if it is not."""
    images = sum(1 for _ in source.find())
    if images != job.images:
        raise UnseenResults(job, images, results_dir)
    return f"its results are not in {printable(str(results_dir))}, so only the number of files ({images}) was compared"
