"""The files of finished jobs that the page serves: some names, below the results folder, never through a link."""

import hashlib
import hmac
import io
import json
import re
import secrets
import time
from dataclasses import dataclass
from pathlib import Path

from shared.domain.job import Job
from shared.domain.job_names import is_job_name
from shared.results.files import open_below
from shared.results.schema import FACES, FAILED_LIST, GROUPS, IMAGES, REPORT, REPORT_FILES, SUMMARY

TABLES = {
    FACES: "text/csv; charset=utf-8",
    IMAGES: "text/csv; charset=utf-8",
    GROUPS: "text/csv; charset=utf-8",
    FAILED_LIST: "text/csv; charset=utf-8",
    SUMMARY: "application/json",
}
"""Files to download, with their media types. Embeddings and distances are not served: who needs them has the folder."""
_DATA_FOLDER = re.compile(r"[0-9a-f]{16}")
_DATA_FILE = re.compile(r"[a-z]+(-[0-9]{4,8})?\.(js|jpg)")
_DATA_TYPES = {"js": "text/javascript; charset=utf-8", "jpg": "image/jpeg"}
_LOOKED_EVERY_S = 20.0
_MOST_SUMMARY_BYTES = 2**24


@dataclass(frozen=True)
class OpenFile:
    """A file to serve."""

    content: io.BufferedReader
    media_type: str


class ResultFiles:
    """The results folder. Nothing of it is found but what is named here; OSError means that there is no such file."""

    def __init__(self, results_dir: Path) -> None:
        self._folder = results_dir
        self._secret = secrets.token_bytes(32)
        self._found: dict[str, tuple[float, str, tuple[str, ...]]] = {}

    def key_of(self, job: str) -> str:
        """A secret part of the address of a job's report: who knows it may read the report's data, and nothing else."""
        return hmac.new(self._secret, job.encode(), hashlib.sha256).hexdigest()[:32]

    def is_key_of(self, job: str, key: str) -> bool:
        """Whether this is the job's key."""
        return hmac.compare_digest(self.key_of(job).encode(), key.encode(errors="replace"))

    def open_table(self, job: str, name: str) -> OpenFile:
        """One of `TABLES`."""
        if name not in TABLES:
            raise FileNotFoundError(name)
        return OpenFile(self._open(job, name), TABLES[name])

    def open_report(self, job: str) -> OpenFile:
        """The report."""
        return OpenFile(self._open(job, REPORT), "text/html; charset=utf-8")

    def open_report_data(self, job: str, folder: str, name: str) -> OpenFile:
        """One of the files beside a large report."""
        if not _DATA_FOLDER.fullmatch(folder) or not _DATA_FILE.fullmatch(name):
            raise FileNotFoundError(name)
        return OpenFile(self._open(job, REPORT_FILES, folder, name), _DATA_TYPES[name.rpartition(".")[2]])

    def names_of(self, job: Job) -> tuple[str, ...]:
        """The names of the files of a finished job that are there, the report first. Looks again after some seconds.

        A folder of that name with the results of another job does not count.
        """
        now = time.monotonic()
        looked_at, uid, names = self._found.get(job.name, (0.0, "", ()))
        if uid != job.uid or now - looked_at > _LOOKED_EVERY_S:
            names = self._look(job)
            self._found[job.name] = now, job.uid, names
        return names

    def forget_all_but(self, jobs: list[Job]) -> None:
        """Forgets what was found of other jobs."""
        names = {job.name for job in jobs}
        self._found = {name: found for name, found in self._found.items() if name in names}

    def _look(self, job: Job) -> tuple[str, ...]:
        try:
            with self._open(job.name, SUMMARY) as file:
                if json.loads(file.read(_MOST_SUMMARY_BYTES)).get("uid") != job.uid:
                    return ()
        except (OSError, ValueError, AttributeError, RecursionError):
            return ()
        return tuple(name for name in (REPORT, *TABLES) if self._is_there(job.name, name))

    def _is_there(self, job: str, name: str) -> bool:
        try:
            self._open(job, name).close()
        except OSError:
            return False
        return True

    def _open(self, job: str, *names: str) -> io.BufferedReader:
        if not is_job_name(job):  # anything else could lead out of the results folder
            raise FileNotFoundError(job)
        return open_below(self._folder, job, *names)
