"""Jobs whose producer died before it had enqueued all their images."""

from shared.domain.errors import NotFinished
from shared.domain.job import Job

_ATTACHES_WITHIN_S = 2.0  # the time between a producer's two steps: it makes the job, then it takes the lease


class ProducerGone(NotFinished):
    """Nobody adds batches to a job that still takes them."""

    def __init__(self, job: Job) -> None:
        super().__init__(f"The producer of job '{job.name}' is gone: nobody enqueues the rest of its images.")
        self.of = job


def is_abandoned(job: Job, now_ms: int) -> bool:
    """Whether a job still takes batches and has no live producer. `now_ms` is the server's time."""
    return job.producer_silent_s(now_ms) > _ATTACHES_WITHIN_S
