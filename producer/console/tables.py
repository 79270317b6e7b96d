"""Tables of jobs, workers and dead letters."""

import csv
import sys
import time
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from itertools import chain, repeat
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from producer.console.progress import describe
from producer.submission.abandoned_jobs import is_abandoned
from shared.config.standard_streams import data_to_standard_output
from shared.domain.job import Job
from shared.domain.task_ids import parse_task_id
from shared.domain.text import visible
from shared.store.dead_letters import DeadLetter
from shared.store.worker_registry import Worker

_PIPE_WIDTH = 10_000
_BODY_BEGINNING = 120
_NARROW = 110  # columns of a terminal that are too few for a complete row of a worker
_UNITS = ((86400, "d"), (3600, "h"), (60, "m"))
NO_WORKERS = "No workers. `python -m worker` starts one."


def _time(ms: int) -> str:
    return f"{datetime.fromtimestamp(ms / 1000):%Y-%m-%d %H:%M:%S}"


def new_table(*columns: str) -> Table:
    """An empty table with these columns. Cells are markup, so names go through `cell`."""
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, no_wrap=column == "job", overflow="fold")
    return table


def cell(text: str) -> str:
    """A text as a cell of a table: as wide as it is shown, and no markup."""
    return escape(visible(text))


def print_table(table: Table) -> None:
    """Prints a table in the width of the terminal, or with one line per row if there is none."""
    _console().print(table)


def write_csv(columns: tuple[str, ...], lines: Iterable[tuple[Any, ...]]) -> None:
    """Prints CSV with a line of column names."""
    with data_to_standard_output():
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(lines)


def _console() -> Console:
    console = Console()
    return console if console.is_terminal else Console(width=_PIPE_WIDTH)  # one line per row, for `grep` and `cut`


def print_jobs(jobs: list[Job], now_ms: int, stalled: Collection[str] = ()) -> None:
    """Prints one line per job, oldest first. `now_ms` is the server's time; `stalled` has the names of stalled jobs."""
    if not jobs:
        print("No jobs. `python -m producer enqueue DIR` makes one.")
        return
    table = new_table("job", "state", "priority", "created", "progress", "folder")
    for job in jobs:
        progress = describe(job)
        if job.unfinished and job.refusal:
            progress += f"; refused by a worker: {job.refusal}"
        state = state_of(job, now_ms, stalled=job.name in stalled)
        table.add_row(*map(cell, (job.name, state, job.priority, _time(job.created_ms), progress, job.source)))
    print_table(table)


def state_of(job: Job, now_ms: int, *, stalled: bool) -> str:
    """The state of a job in words. `now_ms` is the server's time."""
    gone = ", producer gone" if is_abandoned(job, now_ms) else ""
    return f"{job.state}{', stalled' if stalled else ''}{gone}"


def print_job(job: Job, now_ms: int, refusals: Mapping[str, str] = {}, *, stalled: bool = False) -> None:
    """Prints one job. `now_ms` is the server's time; `refusals` has the reasons of the workers that cannot serve it."""
    table = new_table("", "")
    table.show_header = False
    outcomes = ", ".join(f"{count} {outcome}" for outcome, count in job.outcomes.items()) or "none yet"
    rows = {
        "job": job.name,
        "state": state_of(job, now_ms, stalled=stalled),
        "priority": job.priority,
        "folder": job.source,
        "progress": describe(job),
        "outcomes": outcomes,
        "batches": str(job.batches),
        "created": _time(job.created_ms),
        "last news": _time(job.updated_ms),
        "faces": job.contract.faces,
        "model": job.contract.model,
        "weights": job.contract.weights,
        "margin": f"{job.contract.margin_px} px" if job.contract.alignment == "box" else "none: aligned by landmarks",
        "precision": job.contract.precision,
        "problem": job.problem or ("stalled: it resumes when a worker serves it" if stalled else "none"),
    }
    if job.complete and job.unfinished and job.refusal and job.refusal not in refusals.values():  # the worker is gone
        rows["refusal"] = job.refusal
    for name, value in rows.items():
        table.add_row(name, cell(value))
    for name, (worker, reason) in zip(chain(["refused by"], repeat("")), refusals.items(), strict=False):
        table.add_row(name, cell(f"{worker}: {reason}"))
    print_table(table)


def print_workers(workers: list[Worker]) -> None:
    """Prints one line per worker."""
    if workers:
        print_table(workers_table(workers))
    else:
        print(NO_WORKERS)


def workers_table(workers: list[Worker]) -> Table:
    """One row per worker: where it is, its resources, its work. A narrow terminal leaves out the queues."""
    narrow = _console().width < _NARROW
    heads = ("host", "queues", "processes", "CPU %", "RSS MiB", "images/s", "images done", "since", "batches")
    short = ("host", "proc", "CPU %", "RSS MiB", "img/s", "images", "since", "batches")
    refuse = ("refuses",) if any(worker.refuses for worker in workers) else ()
    table = new_table("worker", *(short if narrow else heads), *refuse)
    for worker in workers:
        cells = [
            worker.name.partition("@")[0],
            worker.host,
            *(() if narrow else (", ".join(worker.queues),)),
            str(worker.processes),
            figure_of(worker, "cpu_percent", 0),
            figure_of(worker, "rss_mib", 0),
            figure_of(worker, "images_per_s", 1),
            figure_of(worker, "images_done", 0),
            time_since(worker.started_ms),
            batches_by_job(worker.current),
            *((refusals_of(worker),) if refuse else ()),
        ]
        table.add_row(*map(cell, cells))
    if narrow:
        # Numbers must not be broken over two lines; names and batches may be.
        for column in table.columns[2 : len(short)]:
            column.no_wrap = True
    return table


def refusals_of(worker: Worker) -> str:
    """The jobs that a worker refuses, and why."""
    return "; ".join(f"{job}: {reason}" for job, reason in sorted(worker.refuses.items())) or "-"


def time_since(ms: int | None) -> str:
    """How long ago, in one unit, since a date would take a quarter of a terminal's line."""
    if not ms:
        return "-"
    seconds = max(0.0, time.time() - ms / 1000)
    return next((f"{seconds / size:.0f}{unit}" for size, unit in _UNITS if seconds >= size), f"{seconds:.0f}s")


def batches_by_job(current: list[str]) -> str:
    """`<job>:<batch>,<batch>` for each job."""
    of_job: dict[str, list[str]] = {}
    for item in current:
        if (task := parse_task_id(item)) is not None:
            of_job.setdefault(task.job, []).append(task.part)
    return " ".join(f"{job}:{','.join(batches)}" for job, batches in of_job.items()) or "-"


def figure_of(worker: Worker, name: str, digits: int) -> str:
    """A number of a worker's resources; `-` if there is none yet."""
    figure = worker.figure(name)
    return "-" if figure is None else f"{figure:.{digits}f}"


def print_dead_letters(letters: list[DeadLetter]) -> None:
    """Prints one line per refused message, newest first."""
    if not letters:
        print("No dead letters: no message was refused.")
        return
    table = new_table("time (UTC)", "where", "reason", "body")
    for letter in letters:
        moment = letter.time.removesuffix("+00:00").replace("T", " ")
        table.add_row(*map(cell, (moment, letter.where, letter.reason, letter.body[:_BODY_BEGINNING])))
    print_table(table)
