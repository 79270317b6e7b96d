"""How many cores this process may use: what it is bound to, and what its container is limited to."""

import os
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")


def usable_cores() -> int:
    """Cores, at least 1: the affinity's, or the container's CPU limit (cgroup v2 or v1) where that is less."""
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit = _cpu_limit(_CGROUP)
    return bound if limit is None else max(1, min(bound, int(limit)))


def _cpu_limit(cgroup: Path) -> float | None:
    """CPUs' worth of time that the container gets; None where there is no limit."""
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
