"""The base class of the parts of a job record: a connection, a job name, and scripts on this job's keys."""

from collections.abc import Sequence
from typing import Any

from shared.domain.job_names import check_job_name
from shared.store.keys import job_key
from shared.store.redis_client import Client
from shared.store.scripts import run_script


class RecordPart:
    """One part of a job record. Raises InvalidJobName for an invalid name, whose keys could be those of another job."""

    def __init__(self, client: Client, name: str) -> None:
        self.name = check_job_name(name)
        self._client = client
        self._key = job_key(name)

    def _run(self, script: str, parts: Sequence[str], *args: Any) -> Any:
        """Runs a script on parts of the record. `=` marks a key that is not a part of it."""
        keys = [part[1:] if part.startswith("=") else self._part(part) for part in parts]
        answer = run_script(self._client, script, keys, args)
        return answer.decode() if isinstance(answer, bytes) else answer

    def _part(self, part: str) -> str:
        return job_key(self.name, part)
