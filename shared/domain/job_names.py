"""Valid names of jobs: the name is part of keys on the server, of messages and of the results folder."""

import re

from shared.domain.errors import InvalidJobName
from shared.domain.paths import printable

JOB_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}"
"""A job's name, as a part of a regular expression."""
JOB_NAME_PATTERN = f"^{JOB_NAME}$"
UID_PATTERN = r"^[0-9a-f]{32}$"
"""A job's uid: part of the names of files and queues."""


def is_job_name(name: str) -> bool:
    """Whether this is a valid job name."""
    return re.fullmatch(JOB_NAME_PATTERN, name) is not None


def check_job_name(name: str) -> str:
    """The name itself; InvalidJobName if it is not a valid job name."""
    if not is_job_name(name):
        raise InvalidJobName(
            f"'{printable(name)}' cannot name a job: use up to 100 letters, digits, '.', '_' and '-', "
            "with a letter or digit first."
        )
    return name
