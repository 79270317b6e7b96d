"""Copies the profiles of worker processes into a results folder."""

from pathlib import Path

from shared.results.files import copy_regular
from shared.results.schema import PROFILES

_KINDS = ("worker-*.prof", "worker-*.json")


def copy_profiles(profiles: Path | None, folder: Path, earlier: Path | None) -> None:
    """Copies the profiles of all processes, and those of the earlier results, into the results folder.

    If a process has both, the new one is kept.
    """
    sources = [profiles, None if earlier is None else earlier / PROFILES]
    for source in (source for source in sources if source is not None):
        for path in sorted(path for kind in _KINDS for path in source.glob(kind)):
            target = folder / PROFILES / path.name
            if not target.exists():
                target.parent.mkdir(exist_ok=True)
                copy_regular(path, target)
