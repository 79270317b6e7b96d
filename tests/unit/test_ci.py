"""The decisions of `.ci/run`: which checks it may skip, and the meaning of an audit's result."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT

UNKNOWN = {"name": "a", "skip_reason": "Dependency not found on PyPI and could not be audited: a (1)"}
SOUND = {"name": "b", "version": "1", "vulns": []}
BAD = {"name": "c", "version": "1", "vulns": [{"id": "PYSEC-1", "fix_versions": [], "description": "Could not find"}]}
UNREACHED = "pip_audit._service.interface.ConnectionError: Could not connect to PyPI's vulnerability feed"


def _run(script: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    variables = {key: value for key, value in os.environ.items() if key not in ("CI", "CI_WITHOUT")}
    variables |= {"PATH": f"{folder}:{os.environ['PATH']}", "CI_EXCEPTIONS": str(folder / "exceptions")} | environment
    return subprocess.run(
        ["bash", "-c", f"set -euo pipefail; . .ci/checks.sh; {script}; tell_left_out"],
        cwd=ROOT,
        env=variables,
        capture_output=True,
        text=True,
        timeout=60,
    )


def _audit(
    folder: Path, exit_code: int, report: str, errors: str = "", **environment: str
) -> subprocess.CompletedProcess[str]:
    (folder / "report").write_text(report)
    (folder / "errors").write_text(errors)
    make = folder / "make"
    make.write_text(f"#!/bin/sh\ncat '{folder}/report'\ncat '{folder}/errors' >&2\nexit {exit_code}\n")
    make.chmod(0o755)
    return _run("check_advisories", folder, **environment)


def _report(*packages: dict[str, object]) -> str:
    return json.dumps({"dependencies": packages, "fixes": []})


@pytest.mark.parametrize("noise", ["", "Could not find it", UNREACHED])
def test_findings_fail_whatever_else_is_printed(tmp_path: Path, noise: str) -> None:
    """This holds even if the audit may be skipped."""
    done = _audit(tmp_path, 1, _report(UNKNOWN, SOUND, BAD), noise, CI_WITHOUT="advisories")
    assert done.returncode != 0
    assert "c 1 (PYSEC-1)" in done.stderr


def test_a_clean_audit_leaves_nothing_out(tmp_path: Path) -> None:
    """Packages that are in no index are only counted."""
    done = _audit(tmp_path, 0, _report(UNKNOWN, SOUND), CI="true")
    assert done.returncode == 0, done.stderr
    assert "1 packages without findings, 1 unknown" in done.stdout
    assert "nothing was left out" in done.stdout


@pytest.mark.parametrize(
    ("exit_code", "report", "errors"), [(1, "", UNREACHED), (0, _report(UNKNOWN), "")], ids=["no answer", "knows none"]
)
def test_no_advisory_source_is_an_exception_to_be_named(
    tmp_path: Path, exit_code: int, report: str, errors: str
) -> None:
    """It is an error in CI unless it is listed as an exception; it is reported at the end."""
    assert _audit(tmp_path, exit_code, report, errors, CI="true").returncode != 0
    allowed = _audit(tmp_path, exit_code, report, errors, CI="true", CI_WITHOUT="docker advisories")
    assert allowed.returncode == 0, allowed.stderr
    assert "left out:\n  advisories: " in allowed.stdout


@pytest.mark.parametrize(
    ("exit_code", "report", "errors"),
    [(1, "", "Could not find a version"), (0, "", ""), (1, _report(SOUND), ""), (0, _report(), "")],
    ids=["unforeseen", "silent", "no reason", "nothing audited"],
)
def test_a_broken_audit_fails(tmp_path: Path, exit_code: int, report: str, errors: str) -> None:
    """An unknown result is not a success."""
    assert _audit(tmp_path, exit_code, report, errors, CI_WITHOUT="advisories").returncode != 0


def test_what_is_left_out_is_named(tmp_path: Path) -> None:
    """An exception has the check's full name, in the environment or with a reason in the file. Outside CI anything may
    be missing.
    """
    leave = "leave_out docker 'no engine'"
    refused = _run(leave, tmp_path, CI="true", CI_WITHOUT="dock docker-compose")
    assert refused.returncode != 0
    assert "'docker' (no engine)" in refused.stderr
    assert _run(leave, tmp_path, CI="true", CI_WITHOUT="browser docker").returncode == 0
    assert "docker: no engine" in _run(leave, tmp_path).stdout
    (tmp_path / "exceptions").write_text("browser none\ndocker it cannot nest\n")
    listed = _run(leave, tmp_path, CI="true")
    assert listed.returncode == 0, listed.stderr
    assert "docker: no engine (it cannot nest)" in listed.stdout
