"""`run`: server, workers, enqueuing, following and results in one command."""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import redis

from producer.local.redis_server import EmbeddedServer
from producer.monitoring.job_watcher import follow
from producer.submission.folder_changes import refuse_changes
from producer.submission.jobs import BackgroundProducer, Request, check_folder, open_job, origin_of, retry_job
from shared.config.settings import Settings
from shared.domain.errors import FaceQueueError, NotFinished, WrongUsage
from shared.domain.job_names import check_job_name
from shared.store.jobs import Job, JobRecord
from shared.store.redis_client import connect, explain_server_errors, wait_for_server

_WORKER_START_S = 600.0  # the first on a machine converts the networks and may fetch weights
_WORKER_STOP_S = 45.0
_MOST_RESTARTS = 5
_ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run(
    request: Request,
    settings: Settings,
    workers: int,
    say: Callable[[str], None],
    *,
    retry: bool = False,
    profile: bool = False,
) -> Job:
    """Does the whole job and returns it with its exit code; what was started is ended, however it goes."""
    folder = check_folder(request.folder)
    assert request.results_dir is not None
    if request.job:
        check_job_name(request.job)
    elif retry:
        raise WrongUsage("--retry needs the --job whose failed images are to be tried again.")
    results_dir = request.results_dir.resolve()
    if folder == results_dir or folder in results_dir.parents:
        raise WrongUsage(
            f"The results folder {results_dir} lies in the folder with the images, and would be read as such the next "
            "time. Give another --results."
        )
    state = settings.state_dir.resolve()
    if results_dir == state or results_dir in state.parents:
        raise WrongUsage(f"The data folder {state} lies in the results folder {results_dir}. Set FACEQUEUE_STATE_DIR.")
    _probe(results_dir)
    with ExitStack() as stack:
        stack.enter_context(_locked(state))
        stack.enter_context(_signals_interrupt())
        server = None
        if settings.redis_url is None:
            server = EmbeddedServer(state / "server")
            server.start()
            _end_undisturbed(stack, server.stop)
        url = server.url if server else settings.redis_url
        request = replace(request, installation=_installation(state))
        prefix = f"run-{origin_of(request, folder)[:12]}-"  # of this folder on this machine: never another's batches
        changes: dict[str, Any] = {
            "redis_url": url, "data_root": folder, "results_dir": results_dir, "queue_prefix": prefix,
            "batch_size": request.batch_size,
        }  # fmt: skip
        settings = settings.model_copy(update=changes)
        client = connect(settings)
        wait_for_server(settings, client, say)
        with explain_server_errors(settings):
            job = _find_job(client, request, results_dir, settings, say, retry)
        if job.state == "finished":
            return job
        profiles = state / "profiles" / job.name if profile else None
        if profiles is not None:
            shutil.rmtree(profiles, ignore_errors=True)
        crew = _Crew(settings, workers, state / "worker.log", profiles)
        _end_undisturbed(stack, crew.stop)
        crew.start()
        # The lock says that no other `run` of this machine is alive, so nobody's last lease is waited for.
        producer = BackgroundProducer(client, job, folder, settings, say, take_over=True)
        _end_undisturbed(stack, producer.stop)
        producer.start()

        def look_after() -> bool:
            if server is not None and server.ensure():
                say("The server had ended and was started again")
            producer.check()
            return crew.ensure(say, lambda: JobRecord(client, job.name).load().images_done)

        job = follow(client, job.name, settings, look_after)
        return job


def _find_job(
    client: Any, request: Request, results_dir: Path, settings: Settings, say: Callable[[str], None], retry: bool
) -> Job:
    job, new = open_job(client, request, settings)
    if job.state == "finished":
        if (results_dir / job.name / "summary.json").is_file():
            if retry and job.failed:
                return retry_job(client, job.name, settings, say)
            refuse_changes(job, check_folder(request.folder), results_dir / job.name)
            say(f"Job {job.name} was finished before")
            return job
        say(f"The results of job {job.name} are gone; it is computed again")
        JobRecord(client, job.name).delete(job)
        job, new = open_job(client, request, settings)
    say(f"{'Job' if new else 'Going on with job'} {job.name}: {job.source}")
    return job


def _installation(state: Path) -> str:
    """A random name of this data folder, kept in it."""
    path = state / "installation"
    if not path.is_file():
        path.write_text(uuid.uuid4().hex)
    return path.read_text()


def _probe(results_dir: Path) -> None:
    """WrongUsage where nothing can be written into the results folder: better now than after the work."""
    try:
        results_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".probe-", dir=results_dir):
            pass
    except OSError as error:
        raise WrongUsage(
            f"The results folder {results_dir} cannot be written: {error.strerror}. Mend that, or give another --results."
        ) from None


@contextmanager
def _locked(state: Path) -> Iterator[None]:
    """Holds the data folder against a second `run`; the lock ends with this process, however it ends."""
    try:
        state.mkdir(parents=True, exist_ok=True)
        file = (state / "lock").open("a")
    except OSError as error:
        raise WrongUsage(
            f"The data folder {state} cannot be used: {error.strerror}. Set FACEQUEUE_STATE_DIR."
        ) from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise NotFinished(
                f"Another `run` uses the data folder {state}. Wait for it, or set FACEQUEUE_STATE_DIR to another folder."
            ) from None
        yield


@contextmanager
def _signals_interrupt() -> Iterator[None]:
    """SIGTERM, and SIGHUP from a terminal that is closed, end `run` as Ctrl-C does: in good order."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = {number: signal.getsignal(number) for number in _ENDINGS}
    signal.signal(signal.SIGTERM, interrupt)
    if before[signal.SIGHUP] is not signal.SIG_IGN:  # as `nohup` has it
        signal.signal(signal.SIGHUP, interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end_undisturbed(stack: ExitStack, stop: Callable[[], None]) -> None:
    """Has the stack call `stop`; another Ctrl-C, or the shell's SIGHUP after the terminal's, does not cut it short."""
    stack.callback(stop)
    stack.callback(_ignore_endings)  # last in, first out


def _ignore_endings() -> None:
    for number in _ENDINGS:
        signal.signal(number, signal.SIG_IGN)


class _Crew:
    """The worker that `run` starts, and starts again when it dies."""

    def __init__(self, settings: Settings, processes: int, log: Path, profiles: Path | None) -> None:
        self._log, self._processes, self._starts = log, processes, 0
        self._environment = os.environ | {
            "REDIS_URL": str(settings.redis_url),
            "FACEQUEUE_DATA_ROOT": str(settings.data_root),
            "FACEQUEUE_RESULTS_DIR": str(settings.results_dir),
            "FACEQUEUE_QUEUE_PREFIX": settings.queue_prefix,
            "FACEQUEUE_BATCH_SIZE": str(settings.batch_size),
            "FACEQUEUE_PROFILE_DIR": str(profiles or ""),
        }
        if profiles is not None:
            self._environment["FACEQUEUE_CACHE_TTL_S"] = "0"  # else it is a profile of looking up what is known
        self._process: subprocess.Popen[bytes] | None = None
        self._started = 0.0
        self._done, self._vain_starts = 0, 0

    def start(self) -> None:
        self._starts += 1
        self._started = time.monotonic()
        command = [
            sys.executable, "-m", "worker", "--concurrency", str(self._processes), "--parent-pid", str(os.getpid()),
        ]  # fmt: skip
        with self._log.open("ab" if self._starts > 1 else "wb") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, env=self._environment
            )

    def ensure(self, say: Callable[[str], None], images_done: Callable[[], int]) -> bool:
        """Starts the worker again where it has ended; gives up after some times without an image done in between.

        True while it may still get ready.
        """
        if self._process is None or self._process.poll() is None:
            return time.monotonic() - self._started < _WORKER_START_S
        with suppress(redis.RedisError):  # whoever follows the job says so
            done = images_done()
            if done > self._done:
                self._done, self._vain_starts = done, 0
        self._vain_starts += 1
        if self._vain_starts > _MOST_RESTARTS:
            raise FaceQueueError(
                f"The worker ended {self._vain_starts} times. Its log is {self._log}:\n{self._last_lines()}"
            )
        say(f"The worker ended (code {self._process.returncode}) and is started again; its log is {self._log}")
        time.sleep(min(5.0, 0.5 * 2**self._vain_starts))
        self.start()
        return True

    def _last_lines(self) -> str:
        return "\n".join(self._log.read_text(errors="replace").strip().splitlines()[-3:])

    def stop(self) -> None:
        if self._process is None or self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(_WORKER_STOP_S)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
