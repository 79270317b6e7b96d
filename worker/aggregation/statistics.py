"""The sums that are computed while a job's results are written."""

from array import array
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from shared.domain.outcomes import FAILED
from shared.domain.paths import RootPath
from shared.domain.stages import STAGES
from worker.aggregation.rows import Origin, Row


def utc(ms: float | None) -> str | None:
    """A time in ms since 1970 as ISO 8601, UTC."""
    return None if ms is None else datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds")


def _no_seconds() -> dict[str, float]:
    return dict.fromkeys(STAGES, 0.0)


@dataclass
class WorkerStatistics:
    """The work of one worker process, and its other time: committing blocks, fetching messages, waiting."""

    first_ms: int
    last_ms: int = 0
    batches: int = 0
    images: int = 0
    busy_ms: int = 0
    commit_ms: float = 0.0
    stage_s: dict[str, float] = field(default_factory=_no_seconds)

    def add_batch(self, batch: Origin) -> None:
        """Counts one batch, except its images."""
        self.first_ms, self.last_ms = min(self.first_ms, batch.started_ms), max(self.last_ms, batch.ended_ms)
        self.batches += 1
        self.busy_ms += batch.ended_ms - batch.started_ms
        # A block records the time of the previous commit. The first one of a process belongs to another job.
        self.commit_ms += batch.commit_ms if self.batches > 1 else 0.0

    def as_dict(self) -> dict[str, Any]:
        """The values for the summary, in seconds. `idle_s` is the time without a batch or a commit."""
        idle_ms = max(0.0, self.last_ms - self.first_ms - self.busy_ms - self.commit_ms)
        stages = {f"{stage}_s": round(spent, 3) for stage, spent in self.stage_s.items()}
        return {
            "batches": self.batches,
            "images": self.images,
            **stages,
            "busy_s": self.busy_ms / 1000,
            "commit_s": round(self.commit_ms / 1000, 3),
            "idle_s": round(idle_ms / 1000, 3),
            "first": utc(self.first_ms),
            "last": utc(self.last_ms),
        }


@dataclass
class JobStatistics:
    """The sums over a whole job."""

    faces: int = 0
    images: int = 0
    recalled: int = 0
    """The number of images whose result was cached."""
    outcomes: dict[str, int] = field(default_factory=dict)
    failed: dict[int, RootPath] = field(default_factory=dict)
    stage_s: dict[str, float] = field(default_factory=_no_seconds)
    workers: dict[str, WorkerStatistics] = field(default_factory=dict)
    known: int = 0
    """The number of images that were taken from earlier results."""
    earlier_faces: "array[int]" = field(default_factory=lambda: array("q"))
    """Of each face: its row in the earlier results, or -1 if it was computed now."""
    _batch: Origin | None = None

    def add(self, row: Row) -> None:
        """Counts one image."""
        self.outcomes[row.outcome] = self.outcomes.get(row.outcome, 0) + 1
        if row.outcome in FAILED:
            self.failed[self.images] = row.path
        self.earlier_faces.extend(row.earlier_faces)
        self.known += row.earlier_face is not None
        self.images += 1
        self.recalled += row.recalled
        if row.origin is None:  # from earlier results, whose summary has the worker's values
            return
        worker = self.workers.setdefault(row.origin.worker, WorkerStatistics(row.origin.started_ms))
        if row.origin is not self._batch:
            self._batch = row.origin
            worker.add_batch(row.origin)
        worker.images += 1
        for stage, spent_ms in row.spent_ms.items():
            self.stage_s[stage] += spent_ms / 1000
            worker.stage_s[stage] += spent_ms / 1000
