"""The hidden names of files and folders beside the results. Everything visible there is results."""

import re
import uuid
from pathlib import Path
from typing import NamedTuple

from shared.domain.job import Job
from shared.domain.job_names import JOB_NAME

_UID_DIGITS = 8
_SCRATCH = re.compile(rf"\.(?P<job>{JOB_NAME})\.(?P<uid>[0-9a-f]{{{_UID_DIGITS}}})-[0-9a-f]+\.making")
_STAGE = re.compile(rf"\.(?P<job>{JOB_NAME})\.(?P<uid>[0-9a-f]{{{_UID_DIGITS}}})\.pairs")
_SPILL = re.compile(rf"\.(?P<job>{JOB_NAME})\.[0-9a-f]{{{_UID_DIGITS}}}\.spool")


class ScratchOf(NamedTuple):
    """The job that a scratch folder belongs to."""

    job: str
    uid_begins: str


def new_scratch_name(job: Job) -> str:
    """A name for a job's scratch folder. It is random, because process ids repeat from container to container."""
    return f".{job.name}.{job.uid[:_UID_DIGITS]}-{uuid.uuid4().hex[:12]}.making"


def scratch_of(name: str) -> ScratchOf | None:
    """The inverse of `new_scratch_name`; None for any other name."""
    found = _SCRATCH.fullmatch(name)
    return ScratchOf(found["job"], found["uid"]) if found else None


def spill_path(job: Job, results_dir: Path) -> Path:
    """The path of a job's spill file."""
    return results_dir / f".{job.name}.{job.uid[:_UID_DIGITS]}.spool"


def stage_folder(job: Job, results_dir: Path) -> Path:
    """The folder with what the tiles of a job's pair matrix read and write."""
    return results_dir / f".{job.name}.{job.uid[:_UID_DIGITS]}.pairs"


def stage_of(name: str) -> ScratchOf | None:
    """The inverse of `stage_folder`; None for any other name."""
    found = _STAGE.fullmatch(name)
    return ScratchOf(found["job"], found["uid"]) if found else None


def spilled_job(name: str) -> str | None:
    """The name of the job whose spill file has this name; None for any other name."""
    found = _SPILL.fullmatch(name)
    return found["job"] if found else None


def aside_path(target: Path) -> Path:
    """The path of earlier results while new ones take their place."""
    return target.parent / f".{target.name}.replaced"
