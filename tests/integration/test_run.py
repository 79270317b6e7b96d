"""`python -m producer run`: the main job, end to end, with its own server and workers."""

import base64
import io
import json
import os
import pstats
import pty
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from tests.support.commands import environment_of, run_in
from tests.support.deep_folders import nest
from tests.support.results import result_bytes, rows_of
from tests.support.stage import ROOT, wait_until


@pytest.fixture(scope="module")
def finished(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of the sample folder, run once for this module."""
    folder = tmp_path_factory.mktemp("run")
    done = run_in(folder, sample, "--results", folder / "out", "--job", "sample", "--workers", 2, "--batch-size", 4)
    assert done.returncode == 3, done.stderr
    assert "Results:" in done.stdout
    assert "damaged/truncated.jpg" in done.stdout
    return folder / "out" / "sample"


def test_every_file_is_accounted_for(sample: Path, finished: Path) -> None:
    """There is one row for each file, in a stable order, with an outcome."""
    rows = rows_of(finished / "images.csv")
    assert {row["path"] for row in rows} == {str(p.relative_to(sample)) for p in sample.rglob("*") if p.is_file()}
    outcomes = {row["path"]: row["outcome"] for row in rows}
    assert outcomes["damaged/truncated.jpg"] == "unreadable"
    assert outcomes["damaged/not-an-image.txt"] == "skipped"
    assert outcomes["nobody/coffee.png"] == "no_face"
    assert [int(row["image"]) for row in rows] == list(range(len(rows)))
    summary = json.loads((finished / "summary.json").read_text())
    assert sum(summary["outcomes"].values()) == len(rows)
    assert summary["contract"]["margin_px"] == 32
    assert summary["contract"]["backend"].startswith("openvino")


def test_every_picture_of_a_person_is_nearest_to_that_person(finished: Path) -> None:
    """Mirrored, darker, brighter, smaller, gray or turned pictures are nearer to that person than to anyone else."""
    faces = rows_of(finished / "faces.csv")
    distances = np.load(finished / "distances.npy")
    person = np.array([face["path"].split("/")[0] for face in faces])
    for k in range(len(faces)):
        if person[k] in ("collins", "hopper"):
            others = np.arange(len(faces)) != k
            same = distances[k, (person == person[k]) & others]
            other = distances[k, (person != person[k]) & np.isin(person, ["collins", "hopper"])]
            assert same.max() < other.min(), faces[k]["path"]
    assert {"collins", "hopper", "both.jpg"} == set(person)


def test_arrays_agree_with_each_other(finished: Path) -> None:
    """Shapes and dtypes fit, rows are normalized, and both process roles have samples."""
    embeddings = np.load(finished / "embeddings.npy")
    distances = np.load(finished / "distances.npy")
    faces = rows_of(finished / "faces.csv")
    assert embeddings.shape == (len(faces), 512)
    assert embeddings.dtype == distances.dtype == np.float32
    assert np.allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-5)
    assert abs(distances[0, 1] - np.linalg.norm(embeddings[0] - embeddings[1])) < 1e-6
    (log,) = (finished / "resources").glob("*.csv")
    samples = rows_of(log)
    assert {row["role"] for row in samples} == {"main", "child"}
    assert max(float(row["cpu_percent"]) for row in samples) > 5


def test_one_worker_and_other_batches_give_the_same_bytes(sample: Path, finished: Path, tmp_path: Path) -> None:
    """The result does not depend on the number of workers or the batch size."""
    done = run_in(tmp_path, sample, "--results", tmp_path / "out", "--job", "again", "--workers", 1, "--batch-size", 7)
    assert done.returncode == 3, done.stderr
    assert result_bytes(tmp_path / "out" / "again") == result_bytes(finished)


def test_a_finished_job_is_not_run_twice_unless_its_results_are_gone(sample: Path, tmp_path: Path) -> None:
    """Other options under its name are refused."""
    small = sample / "hopper"
    first = run_in(tmp_path, small, "--results", "out", "--job", "mine")
    assert first.returncode == 0, first.stderr
    second = run_in(tmp_path, small, "--results", "out", "--job", "mine")
    assert (second.returncode, "was finished before" in second.stderr) == (0, True)
    other = run_in(tmp_path, small, "--results", "out", "--job", "mine", "--margin", 0)
    assert (other.returncode, "other settings" in other.stderr) == (2, True)
    (tmp_path / "out" / "mine" / "summary.json").unlink()
    third = run_in(tmp_path, small, "--results", "out", "--job", "mine")
    assert (third.returncode, "computed again" in third.stderr) == (0, True)
    assert (tmp_path / "out" / "mine" / "summary.json").is_file()


def test_a_run_does_not_replace_another_folders_results(sample: Path, tmp_path: Path) -> None:
    """If the job is gone or belongs to another installation, it is refused at once with both folders named."""
    first = run_in(tmp_path, sample / "hopper", "--results", "out", "--job", "mine", "--workers", 1)
    assert first.returncode == 0, first.stderr
    before = result_bytes(tmp_path / "out" / "mine")
    shutil.rmtree(tmp_path / "state")
    other = run_in(tmp_path, sample / "collins", "--results", "out", "--job", "mine")
    assert other.returncode == 2, other.stderr
    assert str(sample / "hopper") in other.stderr and str(sample / "collins") in other.stderr
    assert "another --job" in other.stderr and _text(tmp_path / "state" / "worker.log") == ""
    assert result_bytes(tmp_path / "out" / "mine") == before


def test_a_run_that_is_refused_leaves_no_process(tmp_path: Path) -> None:
    """The worker that started to import its code has nothing to do, and ends."""
    done = run_in(tmp_path, tmp_path / "nowhere")
    assert done.returncode == 2 and "There is no folder" in done.stderr
    assert not [process for process in psutil.process_iter() if _works_in(process, tmp_path)]


def _works_in(process: psutil.Process, folder: Path) -> bool:
    try:
        return process.cwd() == str(folder)
    except psutil.Error:
        return False


def test_a_worker_that_takes_long_to_get_ready_is_waited_for(sample: Path, tmp_path: Path) -> None:
    """`run` knows that its own worker is alive. The time limit applies to workers started by others."""
    done = run_in(tmp_path, sample / "hopper", "--results", "out", "--job", "slow", FACEQUEUE_WORKER_TIMEOUT_S="0.5")
    assert done.returncode == 0, done.stderr


def test_an_interrupted_run_ends_what_it_started_and_goes_on_the_next_time(
    sample: Path, finished: Path, tmp_path: Path
) -> None:
    """After Ctrl-C, the same command finishes the same job with the same bytes."""
    arguments = [
        sys.executable,
        "-m",
        "producer",
        "run",
        str(sample),
        "--results",
        "out",
        "--batch-size",
        "2",
        "--workers",
        "1",
    ]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(arguments, env=environment_of(tmp_path), cwd=tmp_path, stdout=log, stderr=log)
    wait_until(lambda: "stored" in _text(tmp_path / "state" / "worker.log"), 60, "a batch is done")
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 4
    assert "repeat the command" in _text(tmp_path / "log")
    wait_until(lambda: not any(child.is_running() for child in children), 10, "everything started has ended")
    again = run_in(tmp_path, sample, "--results", "out", "--batch-size", 2, "--workers", 1)
    assert (again.returncode, "Resuming job" in again.stderr) == (3, True)
    (folder,) = (tmp_path / "out").iterdir()
    assert result_bytes(folder) == result_bytes(finished)


def _text(path: Path) -> str:
    return path.read_text(errors="replace") if path.exists() else ""


def test_a_killed_run_is_taken_over_by_the_next(sample: Path, finished: Path, tmp_path: Path) -> None:
    """After SIGKILL there is no clean-up. The worker ends by itself, and the next run finishes the job."""
    arguments = [
        sys.executable,
        "-m",
        "producer",
        "run",
        str(sample),
        "--results",
        "out",
        "--batch-size",
        "2",
        "--workers",
        "1",
    ]
    process = subprocess.Popen(arguments, env=environment_of(tmp_path), cwd=tmp_path, stderr=subprocess.DEVNULL)
    wait_until(lambda: "stored" in _text(tmp_path / "state" / "worker.log"), 60, "a batch is done")
    workers = [c for c in psutil.Process(process.pid).children(recursive=True) if "worker" in c.cmdline()]
    assert workers
    process.kill()
    process.wait()
    wait_until(lambda: not any(worker.is_running() for worker in workers), 15, "the worker has ended by itself")
    again = run_in(tmp_path, sample, "--results", "out", "--batch-size", 2, "--workers", 1)
    assert again.returncode == 3, again.stderr
    assert "Resuming job" in again.stderr or "finished before" in again.stderr
    (folder,) = (tmp_path / "out").iterdir()
    assert result_bytes(folder) == result_bytes(finished)


def test_a_run_leaves_another_folders_unfinished_job_alone(sample: Path, finished: Path, tmp_path: Path) -> None:
    """Its batches wait for their own folder, and are then computed from its files."""
    arguments = [sys.executable, "-m", "producer", "run", str(sample), "--results", "out", "--batch-size", "2"]
    process = subprocess.Popen(
        [*arguments, "--workers", "1"], env=environment_of(tmp_path), cwd=tmp_path, stderr=subprocess.DEVNULL
    )
    wait_until(lambda: "stored" in _text(tmp_path / "state" / "worker.log"), 60, "a batch is done")
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 4
    other = run_in(tmp_path, sample / "nobody", "--results", "other", "--job", "other", "--workers", 1)
    assert other.returncode == 0, other.stderr
    assert [path.name for path in (tmp_path / "other").iterdir()] == ["other"]
    again = run_in(tmp_path, sample, "--results", "out", "--batch-size", 2, "--workers", 1)
    assert (again.returncode, "Resuming job" in again.stderr) == (3, True)
    (folder,) = (tmp_path / "out").iterdir()
    assert result_bytes(folder) == result_bytes(finished)


def test_pictures_and_results_do_not_depend_on_who_cuts_the_pictures(sample: Path, tmp_path: Path) -> None:
    """A worker makes them, or the report if the result was cached. Without a report nobody does."""
    folder = sample / "hopper"
    for job, options in (("cut", []), ("recalled", []), ("none", ["--no-report"])):
        done = run_in(tmp_path, folder, "--results", "out", "--job", job, "--workers", 1, *options)
        assert done.returncode == 0, done.stderr
    cut, recalled, none = (tmp_path / "out" / job for job in ("cut", "recalled", "none"))
    assert result_bytes(cut) == result_bytes(recalled) == result_bytes(none)
    assert json.loads((recalled / "summary.json").read_text())["recalled"] > 0
    assert not (none / "report.html").exists()
    pictures = [_pictures(results / "report.html") for results in (cut, recalled)]
    assert len(pictures[0]) == len(pictures[1]) == len(rows_of(cut / "faces.csv")) > 0
    for ours, theirs in zip(*pictures, strict=True):
        assert ours.size == theirs.size == (96, 96)
        assert np.abs(np.asarray(ours, float) - np.asarray(theirs, float)).mean() < 16


def _pictures(report: Path) -> list[Image.Image]:
    found = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', report.read_text())
    return [Image.open(io.BytesIO(base64.b64decode(jpeg))) for jpeg in dict.fromkeys(found)]


def test_no_faces_at_all(sample: Path, tmp_path: Path) -> None:
    """With no faces the arrays are empty and the exit code is 0."""
    done = run_in(tmp_path, sample / "nobody", "--results", "out", "--job", "none", "--workers", 1)
    assert done.returncode == 0, done.stderr
    assert np.load(tmp_path / "out" / "none" / "embeddings.npy").shape == (0, 512)
    assert np.load(tmp_path / "out" / "none" / "distances.npy").shape == (0, 0)


def test_a_profile_of_every_worker_process(sample: Path, tmp_path: Path) -> None:
    """`--profile` writes files that pstats opens, and the report shows the most expensive functions."""
    done = run_in(tmp_path, sample / "hopper", "--results", "out", "--job", "p", "--workers", 1, "--profile")
    assert done.returncode == 0, done.stderr
    (path,) = (tmp_path / "out" / "p" / "profile").glob("*.prof")
    functions = {function for _, _, function in pstats.Stats(str(path)).stats}  # type: ignore[attr-defined]
    assert {"detect_best", "crop_face"} <= functions
    assert path.with_suffix(".json").is_file()
    report = (tmp_path / "out" / "p" / "report.html").read_text()
    assert "integral_image" in report  # in own time, the first Python function by far
    assert "Where the code spends its time" in report
    assert str(ROOT) not in report


def test_copies_are_named(sample: Path, tmp_path: Path) -> None:
    """`same_as` names the first file with the same bytes. The summary mentions `--distances none`."""
    images = tmp_path / "images"
    images.mkdir()
    data = (sample / "hopper" / "smaller.jpg").read_bytes()
    for name in ("a.jpg", "b.jpg", "c.JPEG"):
        (images / name).write_bytes(data)
    done = run_in(tmp_path, images, "--results", "out", "--job", "copies", "--distances", "none", "--workers", 1)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "out" / "copies"
    assert [row["same_as"] for row in rows_of(folder / "images.csv")] == ["", "a.jpg", "a.jpg"]
    assert not (folder / "distances.npy").exists()
    distances = json.loads((folder / "summary.json").read_text())["distances"]
    assert (distances["written"], distances["reason"]) == (False, "not asked for (--distances none)")


def test_weights_that_no_worker_can_load_end_the_run(sample: Path, tmp_path: Path) -> None:
    """An invalid weights file is reported in one line, after the time limit for workers."""
    (tmp_path / "mine.pt").write_text("not weights")
    done = run_in(
        tmp_path,
        sample / "hopper",
        "--results",
        "out",
        "--weights",
        tmp_path / "mine.pt",
        FACEQUEUE_WORKER_TIMEOUT_S="4",
    )
    assert done.returncode == 4
    assert "is not a file of weights" in done.stderr
    assert "Traceback" not in done.stderr


def test_odd_names_are_kept_and_foreign_links_are_not_followed(sample: Path, tmp_path: Path) -> None:
    """Names with newlines, quotes, tags or bytes that are not UTF-8 are kept. A link out of the folder is listed, not
    opened.
    """
    images = tmp_path / "images"
    images.mkdir()
    data = (sample / "hopper" / "smaller.jpg").read_bytes()
    names = [b"a\nb.jpg", b"c\rd.jpg", b'x,"y.jpg', b"<b>.jpg", b"\xff\xfe.jpg", b"-rf.jpg", b"sp ace.jpg"]
    for name in names:
        Path(os.fsdecode(os.fsencode(images) + b"/" + name)).write_bytes(data)
    (images / "zlink.jpg").symlink_to(sample / "hopper" / "as-is.jpg")
    (images / "circle.jpg").symlink_to("circle.jpg")
    done = run_in(tmp_path, images, "--results", "out", "--job", "odd", "--workers", 1)
    assert done.returncode == 3, done.stderr
    rows = {row["path"]: row for row in rows_of(tmp_path / "out" / "odd" / "images.csv")}
    assert set(rows) == {
        "a\\nb.jpg",
        "c\\rd.jpg",
        "circle.jpg",
        'x,"y.jpg',
        "<b>.jpg",
        "\\xff\\xfe.jpg",
        "-rf.jpg",
        "sp ace.jpg",
        "zlink.jpg",
    }
    assert rows["zlink.jpg"]["error"] == "leads out of the data root"
    assert "symbolic links" in rows["circle.jpg"]["error"]
    assert {row["outcome"] for path, row in rows.items() if path not in ("zlink.jpg", "circle.jpg")} == {"ok"}


def test_trees_that_cannot_be_walked_to_the_end_are_accounted_for(sample: Path, deep: Path, tmp_path: Path) -> None:
    """A linked folder and a folder with a too long path have rows with a reason. 1,200 levels are fine."""
    nest(deep, "d", 1200)
    data = (sample / "hopper" / "smaller.jpg").read_bytes()
    innermost = deep / ("d/" * 1200) / "in.jpg"
    innermost.write_bytes(data)
    (deep / "a.jpg").write_bytes(data)
    nest(deep, "n" * 200, 30)
    (deep / "out").symlink_to(sample)
    (deep / "round").symlink_to(deep)
    done = run_in(tmp_path, deep, "--results", "out", "--job", "trees", "--workers", 1)
    assert done.returncode == 3, done.stderr
    rows = rows_of(tmp_path / "out" / "trees" / "images.csv")
    assert [row["path"][:6] for row in rows] == ["a.jpg", "d/d/d/", "nnnnnn", "out/", "round/"]
    assert [row["outcome"] for row in rows] == ["ok", "ok", "unreadable", "unreadable", "unreadable"]
    assert rows[2]["error"] == "cannot be read: File name too long"
    assert rows[3]["error"] == rows[4]["error"] == "a link to a folder, and these are not followed"


def test_results_among_the_images_are_refused(sample: Path, tmp_path: Path) -> None:
    """They would be images in the next run."""
    done = run_in(tmp_path, sample, "--results", sample / "results")
    assert (done.returncode, "lies in the folder with the images" in done.stderr) == (2, True)


def test_a_results_folder_that_cannot_be_written_is_noticed_before(sample: Path, tmp_path: Path) -> None:
    """If a file is in its place, that is reported at once, not after the work."""
    (tmp_path / "out").write_text("in the way")
    done = run_in(tmp_path, sample / "hopper", "--results", "out")
    assert (done.returncode, "cannot be written" in done.stderr) == (2, True)
    assert not (tmp_path / "state").exists()


def test_impatient_interrupts_leave_nothing_running(sample: Path, tmp_path: Path) -> None:
    """After repeated Ctrl-C the exit code is 4, all processes have ended, and the temporary folder is empty."""
    temporary = tmp_path / "t"
    temporary.mkdir()
    environment = environment_of(tmp_path) | {"TMPDIR": str(temporary)}
    command = [sys.executable, "-m", "producer", "run", str(sample), "--results", "out", "--batch-size", "2"]
    process = subprocess.Popen(command, env=environment, cwd=tmp_path, stderr=subprocess.DEVNULL)
    wait_until(lambda: "stored" in _text(tmp_path / "state" / "worker.log"), 60, "a batch is done")
    children = psutil.Process(process.pid).children(recursive=True)
    for _ in range(20):
        process.send_signal(signal.SIGINT)
        time.sleep(0.1)
        if process.poll() is not None:
            break
    assert process.wait(60) == 4
    wait_until(lambda: not any(child.is_running() for child in children), 10, "everything started has ended")
    assert not list(temporary.iterdir())


def test_an_interrupt_while_it_starts_is_no_traceback(sample: Path, tmp_path: Path) -> None:
    """Also before the command line has been imported. The worker that imports its code ends too."""
    command = [sys.executable, "-m", "producer", "run", str(sample), "--results", "out"]
    process = psutil.Popen(command, env=environment_of(tmp_path), cwd=tmp_path, stderr=subprocess.PIPE)
    wait_until(lambda: bool(process.children()), 60, "the worker is started")
    children = process.children()
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 4, said
    assert b"interrupted" in said and b"Traceback" not in said
    wait_until(lambda: not any(child.is_running() for child in children), 10, "everything started has ended")


@pytest.mark.parametrize("streams", ["<&- >&- 2>&-", "2>&1 | true", ">/dev/full"])
def test_a_run_ends_well_though_nobody_reads_what_it_prints(sample: Path, tmp_path: Path, streams: str) -> None:
    """Closed streams, a reader that is gone and a full disk change neither the results nor the exit code. No
    folder of ours is left in the temporary folder.
    """
    temporary = tmp_path / "t"
    temporary.mkdir()
    words = [sys.executable, "-m", "producer", "run", str(sample / "hopper"), "--results", "out", "--job", "j"]
    shell = ["bash", "-o", "pipefail", "-c", f"{shlex.join([*words, '--workers', '1'])} {streams}"]
    environment = environment_of(tmp_path) | {"TMPDIR": str(temporary)}
    done = subprocess.run(shell, env=environment, cwd=tmp_path, stderr=subprocess.PIPE, text=True, timeout=150)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert json.loads((tmp_path / "out" / "j" / "summary.json").read_text())["images"] == 9
    left = [path.name for path in temporary.iterdir()]
    assert not [name for name in left if not name.startswith("torchinductor")]  # torch's, one for each user


def _run_in_a_session(folder: Path, arguments: list[str], *, terminal: bool) -> tuple[psutil.Process, int]:
    """Starts `run` as the leader of a session; with `terminal`, in a pseudo-terminal whose descriptor is returned."""
    command = [sys.executable, "-m", "producer", "run", *arguments]
    if terminal:
        # A session whose controlling terminal this is, as in a terminal emulator.
        pid, closing = pty.fork()
        if pid == 0:
            signal.signal(signal.SIGHUP, signal.SIG_DFL)
            os.chdir(folder)
            os.execve(sys.executable, command, environment_of(folder))
        return psutil.Process(pid), closing
    with (folder / "log").open("w") as log:
        process = psutil.Popen(
            command,
            env=environment_of(folder),
            cwd=folder,
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
        )
    return process, -1


@pytest.mark.parametrize("terminal", [False, True])
def test_a_closed_terminal_ends_all_that_was_started(
    sample: Path, finished: Path, tmp_path: Path, terminal: bool
) -> None:
    """With SIGHUP alone and with a closed terminal, server and worker end, and the same command resumes."""
    arguments = [str(sample), "--results", "out", "--batch-size", "2", "--workers", "1"]
    process, closing = _run_in_a_session(tmp_path, arguments, terminal=terminal)
    wait_until(lambda: "stored" in _text(tmp_path / "state" / "worker.log"), 60, "a batch is done")
    started = [*process.children(recursive=True)]
    assert len(started) >= 3  # the server, the worker and its process
    if terminal:
        os.close(closing)
    else:
        process.send_signal(signal.SIGHUP)
    try:
        assert process.wait(60) == 4
        wait_until(lambda: not any(child.is_running() for child in started), 10, "everything started has ended")
    finally:
        for child in started:
            with suppress(psutil.NoSuchProcess):
                child.kill()
    assert not (tmp_path / "state" / "server" / "server.json").exists()
    again = run_in(tmp_path, sample, "--results", "out", "--batch-size", 2, "--workers", 1)
    assert (again.returncode, "Resuming job" in again.stderr) == (3, True)
    (folder,) = (tmp_path / "out").iterdir()
    assert result_bytes(folder) == result_bytes(finished)


def test_nohup_keeps_a_run_alive(sample: Path, tmp_path: Path) -> None:
    """If SIGHUP is ignored, the run must outlive the terminal."""
    command = ["nohup", sys.executable, "-m", "producer", "run", str(sample), "--results", "out", "--batch-size", "2"]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(command, env=environment_of(tmp_path), cwd=tmp_path, stdout=log, stderr=log)
    wait_until(lambda: "stored" in _text(tmp_path / "state" / "worker.log"), 60, "a batch is done")
    process.send_signal(signal.SIGHUP)
    assert process.wait(60) == 3, _text(tmp_path / "log")


@pytest.mark.parametrize("bad", ["missing", "empty", "file", pytest.param("long" * 2000, id="long")])
def test_wrong_folders_are_wrong_usage(tmp_path: Path, bad: str) -> None:
    """One line says what is wrong, without a traceback, and no server is started."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("x")
    done = run_in(tmp_path, tmp_path / bad)
    assert done.returncode == 2
    assert done.stderr.startswith("producer: ")
    assert "Traceback" not in done.stderr
