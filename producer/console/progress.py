"""The progress of a job, as a bar on a terminal or line by line elsewhere."""

import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from producer.console.terminal import say
from shared.domain.counts import counted
from shared.domain.job import Job, JobState

_LINE_EVERY_S = 5.0


@dataclass(frozen=True)
class Speed:
    """How fast a job progresses."""

    images_per_s: float
    left_s: float | None
    """The estimated time to the last image; None if it is not known."""

    def __str__(self) -> str:
        left = "" if self.left_s is None else f", {_clock(self.left_s)} left"
        return f"{self.images_per_s:.1f} images/s{left}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds + 0.5), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def speed_since(first: Job, job: Job, elapsed_s: float) -> Speed:
    """The speed at which a job has come from one state of its record to a later one. Known images take no time, and
    do not count.
    """
    rate = (_computed(job) - _computed(first)) / elapsed_s if elapsed_s > 0 else 0.0
    known = job.state != JobState.ENQUEUING and rate > 0
    return Speed(rate, (job.images - job.images_done) / rate if known else None)


def _computed(job: Job) -> int:
    return job.images_done - job.images_known


def describe(job: Job) -> str:
    """The progress of a job in one line."""
    total = f"{job.images}" if job.state != JobState.ENQUEUING else f"{job.images}+"
    images = f"{job.images_done}/{total} images, {counted(job.faces, 'face')}, {job.failed} failed"
    return f"{images}, {after_the_images(job)}" if job.comparing else images


def after_the_images(job: Job) -> str:
    """What is done once all images of an unfinished job are."""
    return f"comparing faces, {job.tiles_done}/{job.tiles} tiles" if job.comparing else "writing results"


class ProgressView(Protocol):
    """Shows the progress of one job while it is entered."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...

    def note(self, line: str) -> None:
        """Prints a line, the first time it is given."""

    def show(self, job: Job, speed: Speed) -> None:
        """Updates the progress."""


def progress_view(job: Job) -> ProgressView:
    """The view for this process's standard error."""
    return _TerminalView(job) if sys.stderr.isatty() else _LineView()


class _LineView:
    """For logs and pipes: a line every few seconds, and at the end."""

    def __init__(self) -> None:
        self._next = 0.0
        self._noted: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def note(self, line: str) -> None:
        if line not in self._noted:
            self._noted.add(line)
            say(line)

    def show(self, job: Job, speed: Speed) -> None:
        is_over = job.state == JobState.FINISHED or job.published_ms is not None
        if is_over or time.monotonic() >= self._next:
            self._next = time.monotonic() + _LINE_EVERY_S
            say(f"{job.name}: {describe(job)}" + ("" if job.comparing else f", {speed}"))


class _TerminalView:
    """A progress bar."""

    def __init__(self, job: Job) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[text]}"),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._progress.add_task(job.name, total=None, text="")
        self._noted: set[str] = set()

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):  # the terminal may be closed
            self._progress.stop()

    def note(self, line: str) -> None:
        if line not in self._noted:
            self._noted.add(line)
            self._progress.console.print(line, markup=False, highlight=False)

    def show(self, job: Job, speed: Speed) -> None:
        total = job.images if job.state != JobState.ENQUEUING else None
        activity = after_the_images(job) if job.complete and job.state == JobState.SEALED else str(speed)
        text = f"{counted(job.faces, 'face')}, {job.failed} failed, {activity}"
        self._progress.update(self._task, completed=job.images_done, total=total, text=text)
