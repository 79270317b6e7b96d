"""The number of cores respects a container's limit."""

from pathlib import Path

import pytest

from shared.domain import cpu_limits as cores


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"cpu.max": "150000 100000\n"}, 1.5),
        ({"cpu.max": "max 100000\n"}, None),
        ({}, None),
        ({"cpu/cpu.cfs_quota_us": "400000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 4.0),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ({"cpu.max": "nonsense"}, None),
    ],
)
def test_the_limit_of_both_kinds_of_cgroups(tmp_path: Path, files: dict[str, str], expected: float | None) -> None:
    """Versions 2 and 1, with and without a limit."""
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert cores._cpu_limit(tmp_path) == expected


def test_half_a_cpu_is_still_one_core(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is at least one core."""
    (tmp_path / "cpu.max").write_text("50000 100000")
    monkeypatch.setattr(cores, "_CGROUP", tmp_path)
    assert cores.usable_cores() == 1
