"""The number of cores that this process may use, from its CPU affinity and its container's limit."""

import os
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")


def usable_cores() -> int:
    """The usable cores, at least 1: those of the CPU affinity, or the container's limit (cgroup v2 or v1) if that is
    lower.
    """
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit = _cpu_limit(_CGROUP)
    return bound if limit is None else max(1, min(bound, int(limit)))


def _cpu_limit(cgroup: Path) -> float | None:
    """The container's CPU limit; None if there is none."""
    try:
        quota, period = (cgroup / "cpu.max").read_text().split()  # v2
    except (OSError, ValueError):
        try:
            quota = (cgroup / "cpu" / "cpu.cfs_quota_us").read_text()  # v1
            period = (cgroup / "cpu" / "cpu.cfs_period_us").read_text()
        except OSError:
            return None
    try:
        return int(quota) / int(period) if int(quota) > 0 else None
    except (ValueError, ZeroDivisionError):  # "max": no limit
        return None
