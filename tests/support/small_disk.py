"""A real disk of some MiB: a tmpfs in a mount namespace of its own."""

import errno
import os
import subprocess
import sys
from pathlib import Path
from shutil import which

import pytest

from tests.support.stage import ROOT


def run_on_small_disk(folder: Path, mib: int, code: str) -> subprocess.CompletedProcess[str]:
    """Runs Python code in a process that sees a disk of so many MiB at `folder`. Skips without namespaces."""
    namespace = ["unshare", "--mount"] + ([] if os.geteuid() == 0 else ["--user", "--map-root-user"])
    mount = f'mount -t tmpfs -o size={mib}m none "{folder}"'
    if which("unshare") is None or subprocess.run([*namespace, "sh", "-c", mount], capture_output=True).returncode:
        pytest.skip("no mount namespace here: root, or unprivileged user namespaces, are needed for a disk of its own")
    return subprocess.run(
        [*namespace, "sh", "-c", f'{mount} && exec "$@"', "sh", sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=150,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )


def fill_disk(disk: Path, leave: int) -> None:
    """Fills the disk with a file `filler`, except for `leave` bytes."""
    with (disk / "filler").open("wb", buffering=0) as file:
        size = 0
        try:
            while True:
                size += file.write(bytes(4096))
        except OSError as error:
            assert error.errno == errno.ENOSPC
        file.truncate(size - leave)
