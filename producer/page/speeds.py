"""How fast unfinished jobs progress, from the states of their records that were read one after the other."""

from collections import deque
from collections.abc import Iterable

from producer.console.progress import Speed, speed_since
from shared.domain.job import Job

_WINDOW_S = 30.0
_ENOUGH_S = 10.0
"""Over a shorter time, whole batches would make the speed jump."""


class Speeds:
    """The recent states of unfinished jobs, by name."""

    def __init__(self) -> None:
        self._states: dict[str, deque[tuple[float, Job]]] = {}

    def note(self, jobs: Iterable[Job], time_s: float) -> None:
        """Remembers these jobs as they were at a time of a monotonic clock, and forgets all others."""
        before, self._states = self._states, {}
        for job in jobs:
            if not job.unfinished:
                continue
            states = before.get(job.name, deque())
            if states and states[-1][1].uid != job.uid:
                states = deque()
            states.append((time_s, job))
            while len(states) > 2 and time_s - states[1][0] >= _WINDOW_S:
                states.popleft()
            self._states[job.name] = states

    def of(self, job: Job, now_ms: int) -> Speed | None:
        """The speed of an unfinished job of the last half minute, or since it was begun; None before.

        `now_ms` is the server's time.
        """
        states = self._states.get(job.name)
        if states and states[-1][0] - states[0][0] >= _ENOUGH_S:
            return speed_since(states[0][1], job, states[-1][0] - states[0][0])
        if job.started_ms is None or not job.images_done:
            return None
        return average_speed(job, (now_ms - job.started_ms) / 1000)


def average_speed(job: Job, elapsed_s: float) -> Speed | None:
    """The speed over the whole job; None if no time has passed."""
    if elapsed_s <= 0:
        return None
    rate = (job.images_done - job.images_known) / elapsed_s
    return Speed(rate, (job.images - job.images_done) / rate if rate > 0 and job.state != "enqueuing" else None)
