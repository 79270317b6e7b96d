"""Results on a disk that becomes full: a clear error or no matrix, but no crash and no loss of earlier results."""

import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np
import pytest

from shared.domain.errors import ResultsError
from shared.domain.outcomes import Outcome
from shared.results.kept_rows import KeptRow, pack_kept
from tests.support.made_up_blocks import block_of_faces, sealed_job, write_job
from tests.support.small_disk import fill_disk, run_on_small_disk
from worker.aggregation.results_writer import write_results
from worker.batch_result import Block, ImageRecord

MIB = 2**20
FACES = 1500  # a matrix of 8.6 MiB


def _on_small_disk(folder: Path, mib: int, story: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Runs `story` of this module in a process that sees a disk of so many MiB at `folder`."""
    code = f"from {__name__} import *; from pathlib import Path; {story}(Path({str(folder)!r}), *{arguments!r})"
    return run_on_small_disk(folder, mib, code)


def _block_on_a_filling_disk(disk: Path, leave: int) -> Iterator[bytes]:
    fill_disk(disk, leave)
    yield block_of_faces(FACES)


def _files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix in (".npy", ".csv")}


def a_disk_that_fills(disk: Path, leave: int, without_fallocate: bool) -> None:
    """There is enough space at the start, but too little when the arrays are written."""
    if without_fallocate:
        del os.posix_fallocate
    write_job(sealed_job(3), [block_of_faces(3)], disk)
    before = _files(disk / "j")
    with pytest.raises(ResultsError, match=r"No space left on device.*Nothing is lost"):
        write_job(sealed_job(FACES), _block_on_a_filling_disk(disk, leave), disk)
    assert _files(disk / "j") == before
    assert {path.name for path in disk.iterdir()} == {"j", "filler"}
    (disk / "filler").unlink()
    write_job(sealed_job(FACES), [block_of_faces(FACES)], disk)
    assert np.load(disk / "j" / "distances.npy").shape == (FACES, FACES)


def an_update_on_a_disk_that_fills(disk: Path) -> None:
    """The earlier results are read while the new ones are written."""
    write_job(sealed_job(3), [block_of_faces(3)], disk)
    before = _files(disk / "j")
    job, known = sealed_job(3 + FACES), pack_kept([KeptRow(f"k{k}.jpg", k, 9, 9) for k in range(3)])
    job = replace(job, uid="cd" * 16, options=replace(job.options, update=True, replaces=sealed_job(3).uid))
    with pytest.raises(ResultsError, match=r"No space left on device.*Nothing is lost"):
        write_job(job, chain([known], _block_on_a_filling_disk(disk, 0)), disk)
    assert _files(disk / "j") == before
    assert {path.name for path in disk.iterdir()} == {"j", "filler"}
    (disk / "filler").unlink()
    write_job(job, [known, block_of_faces(FACES)], disk)
    written = np.load(disk / "j" / "embeddings.npy")
    assert len(written) == 3 + FACES and np.array_equal(written[:3], np.eye(3, 512))


def a_disk_that_fills_under_auto(disk: Path) -> None:
    """There is no earlier matrix that could be lost."""
    summary = write_job(sealed_job(FACES, "auto"), _block_on_a_filling_disk(disk, 7 * MIB), disk)
    assert "are free in" in summary["distances"]["reason"]
    assert not (disk / "j" / "distances.npy").exists()


def a_retry_beside_a_matrix(disk: Path, mended: bool) -> None:
    """There is space for one matrix, but not for a second one next to it."""
    images = [
        ImageRecord(path=f"{k}.jpg", outcome=Outcome.OK, faces=[[0, 0, 9, 9, 1, *[4] * 15]]) for k in range(FACES)
    ]
    bad = ImageRecord(path="bad.jpg", outcome=Outcome.UNREADABLE, error="damaged")
    whole = Block.unpack(block_of_faces(FACES), 512)
    first = replace(whole, images=[*images, bad])
    job = replace(sealed_job(FACES, "auto"), images=FACES + 1)
    write_job(job, [first.pack()], disk)
    before = _files(disk / "j")
    again = replace(bad, outcome=Outcome.OK, error="", faces=[[0, 0, 9, 9, 1, *[4] * 15]]) if mended else bad
    block = replace(whole, images=[again], embeddings=np.full((int(mended), 512), 0.5, np.float32))

    def retry() -> None:
        write_results(
            replace(job, faces=FACES + int(mended), retries=1),
            [block.pack()],
            {FACES: "bad.jpg"},
            disk,
            resources=dict,
            threads=1,
            distances_max_bytes=2**30,
            may_publish=lambda: True,
        )

    if not mended:
        retry()
        assert _files(disk / "j") == before
        assert (disk / "j" / "distances.npy").stat().st_nlink == 1
        return
    with pytest.raises(ResultsError, match=r"no room for the distances.*left as they are.*remove that distances\.npy"):
        retry()
    assert _files(disk / "j") == before
    assert [path.name for path in disk.iterdir()] == ["j"]
    (disk / "j" / "distances.npy").unlink()
    retry()
    assert len(np.load(disk / "j" / "embeddings.npy")) == FACES + 1


@pytest.mark.parametrize("without_fallocate", [False, True])
@pytest.mark.parametrize("leave", [0, 4 * MIB])
def test_a_disk_that_fills_up_is_an_error_that_says_so(tmp_path: Path, leave: int, without_fallocate: bool) -> None:
    """There is no SIGBUS, earlier results stay, nothing else is left, and the same call works once there is space."""
    done = _on_small_disk(tmp_path, 40, "a_disk_that_fills", leave, without_fallocate)
    assert done.returncode == 0, f"{done.returncode}: {done.stderr[-2000:]}"


def test_an_update_on_a_disk_that_fills_up_leaves_the_old_results(tmp_path: Path) -> None:
    """They stay whole, nothing else is left, and the same blocks give the new results once there is space."""
    done = _on_small_disk(tmp_path, 40, "an_update_on_a_disk_that_fills")
    assert done.returncode == 0, f"{done.returncode}: {done.stderr[-2000:]}"


def test_auto_leaves_the_matrix_out_where_the_disk_fills_up(tmp_path: Path) -> None:
    """This holds even if there was space at the start. The summary says why."""
    done = _on_small_disk(tmp_path, 40, "a_disk_that_fills_under_auto")
    assert done.returncode == 0, f"{done.returncode}: {done.stderr[-2000:]}"


@pytest.mark.parametrize("mended", [False, True])
def test_a_retry_never_costs_the_matrix(tmp_path: Path, mended: bool) -> None:
    """Without space for a second one it is kept if no face changed; else the retry is refused and says what to do."""
    done = _on_small_disk(tmp_path, 40, "a_retry_beside_a_matrix", mended)
    assert done.returncode == 0, f"{done.returncode}: {done.stderr[-2000:]}"
