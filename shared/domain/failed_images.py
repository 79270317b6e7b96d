"""How many failed images a job's record lists. The paths of more are only in the results folder."""

from collections.abc import Mapping

from shared.domain.paths import RootPath

_MOST_IN_RECORD = 10_000
_MOST_BYTES_IN_RECORD = 2**20


def fits_record(failed: Mapping[int, RootPath]) -> bool:
    """Whether the record takes these failed images (path by index): it must take them on a full server too."""
    return len(failed) <= _MOST_IN_RECORD and sum(map(len, failed.values())) <= _MOST_BYTES_IN_RECORD
