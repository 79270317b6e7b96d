"""What the parts of a job's record have in common: a connection, a name, and scripts on keys of this job."""

from collections.abc import Sequence
from typing import Any

from shared.domain.job_names import check_job_name
from shared.store.keys import job_key
from shared.store.redis_client import Client
from shared.store.scripts import run_script


class RecordPart:
    """A part of one job's record. InvalidJobName for a name that none can have: its keys could be those of another
    job.
    """

    def __init__(self, client: Client, name: str) -> None:
        self.name = check_job_name(name)
        self._client = client
        self._key = job_key(name)

    def _run(self, script: str, parts: Sequence[str], *args: Any) -> Any:
        """Runs a script on parts of the record; `=` stands before keys that are no part of it."""
        keys = [part[1:] if part.startswith("=") else self._part(part) for part in parts]
        answer = run_script(self._client, script, keys, args)
        return answer.decode() if isinstance(answer, bytes) else answer

    def _part(self, part: str) -> str:
        return job_key(self.name, part)
