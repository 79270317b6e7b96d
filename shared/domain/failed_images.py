"""The number of failed images that a job record lists. The paths of more are only in the results folder."""

from collections.abc import Mapping

from shared.domain.paths import RootPath

_MOST_IN_RECORD = 10_000
_MOST_BYTES_IN_RECORD = 2**20


def fits_record(failed: Mapping[int, RootPath]) -> bool:
    """Whether the record lists these failed images (path by index). It must accept them even if the server is out of
    memory.
    """
    return len(failed) <= _MOST_IN_RECORD and sum(map(len, failed.values())) <= _MOST_BYTES_IN_RECORD
