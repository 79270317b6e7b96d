"""`run`: server, worker, enqueuing, following and results in one command."""

import shutil
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from producer.local.data_folder import check_results_folder, installation_name, locked
from producer.local.redis_server import EmbeddedServer
from producer.local.signals import end_undisturbed, signals_interrupt
from producer.local.worker_process import WorkerProcess
from producer.monitoring.job_watcher import follow
from producer.submission.background import BackgroundProducer
from producer.submission.finished_jobs import refuse_changes
from producer.submission.folders import check_folder
from producer.submission.jobs import RUN_PREFIX, Request, open_job, origin_of, retry_job
from shared.config.settings import Settings
from shared.domain.errors import InvalidRequest
from shared.domain.job import Job
from shared.domain.job_names import check_job_name
from shared.store.jobs import JobRecord
from shared.store.redis_client import Client, connect, explain_server_errors, wait_for_server


def run(
    request: Request,
    results_dir: Path,
    settings: Settings,
    workers: int,
    say: Callable[[str], None],
    *,
    on_results: Callable[[Path], object] = lambda folder: None,
    retry: bool = False,
    profile: bool = False,
) -> Job:
    """Processes a folder on this machine and returns the finished job. However it ends, it ends what it has started.

    `on_results` is called with the results folder as soon as it is in its place.
    """
    if request.job:
        check_job_name(request.job)
    elif retry:
        raise InvalidRequest("--retry needs --job, the name of the job whose failed images are to be retried.")
    folder, data_folder = check_folder(request.folder), settings.state_dir.resolve()
    check_results_folder(results_dir, folder, data_folder)
    with ExitStack() as stack:
        stack.enter_context(locked(data_folder))
        stack.enter_context(signals_interrupt())
        server = _start_server(stack, settings, data_folder)
        request = replace(request, results_dir=results_dir, installation=installation_name(data_folder))
        settings = _settings_of_run(request, folder, results_dir, settings, server)
        client = connect(settings)
        wait_for_server(settings, client, say)
        local = _LocalJob(client, settings, say, stack, server)
        job = local.open(request, results_dir, retry=retry)
        show = partial(on_results, results_dir / job.name)
        if job.state == "finished":
            show()
            return job
        return local.process(job, folder, data_folder, workers, show, profile=profile)


def _start_server(stack: ExitStack, settings: Settings, data_folder: Path) -> EmbeddedServer | None:
    """A server of its own, unless the settings name one."""
    if settings.redis_url is not None:
        return None
    server = EmbeddedServer(data_folder / "server")
    server.start()
    end_undisturbed(stack, server.stop)
    return server


def _settings_of_run(
    request: Request, folder: Path, results_dir: Path, settings: Settings, server: EmbeddedServer | None
) -> Settings:
    """The settings, for one job of this folder on this machine."""
    changes: dict[str, Any] = {
        "redis_url": server.url if server else settings.redis_url,
        "data_root": folder,
        "results_dir": results_dir,
        # Of this folder on this machine: its workers never take the batches of another job.
        "queue_prefix": f"{RUN_PREFIX}{origin_of(request, folder)[:12]}-",
        "batch_size": request.batch_size,
    }
    return settings.model_copy(update=changes)


@dataclass(frozen=True)
class _LocalJob:
    """The job of one `run`, with what it needs while it is processed."""

    client: Client
    settings: Settings
    say: Callable[[str], None]
    stack: ExitStack
    """Ends what is started."""
    server: EmbeddedServer | None

    def open(self, request: Request, results_dir: Path, *, retry: bool) -> Job:
        """The job to process: new, resumed, reopened by `retry`, or finished with nothing to do."""
        with explain_server_errors(self.settings):
            job, is_new = open_job(self.client, request, self.settings)
            if job.state == "finished":
                if (results_dir / job.name / "summary.json").is_file():
                    return self._finished(job, request, results_dir, retry=retry)
                self.say(f"The results of job {job.name} are gone; it is computed again")
                JobRecord(self.client, job.name).delete(job)
                job, is_new = open_job(self.client, request, self.settings)
        self.say(f"{'Job' if is_new else 'Resuming job'} {job.name}: {job.source}")
        return job

    def _finished(self, job: Job, request: Request, results_dir: Path, *, retry: bool) -> Job:
        if retry and job.failed:
            return retry_job(self.client, job.name, self.settings, self.say)
        refuse_changes(job, check_folder(request.folder), results_dir / job.name)
        self.say(f"Job {job.name} was finished before")
        return job

    def process(
        self,
        job: Job,
        folder: Path,
        data_folder: Path,
        processes: int,
        on_results: Callable[[], object],
        *,
        profile: bool,
    ) -> Job:
        """Starts the worker and the enqueuing, and returns the job once it is finished."""
        worker = self._start_worker(job, data_folder, processes, profile=profile)
        # The lock on the data folder proves that no other `run` is alive, so its lease need not expire first.
        producer = BackgroundProducer(self.client, job, folder, self.settings, self.say, take_over=True)
        end_undisturbed(self.stack, producer.stop)
        producer.start()

        def supervise() -> bool:
            if self.server is not None and self.server.ensure():
                self.say("The server had ended and was restarted")
            producer.check()
            return worker.ensure(self.say, lambda: JobRecord(self.client, job.name).load().images_done)

        done = follow(self.client, job.name, self.settings, supervise, on_results)
        worker.end_now(self.client)
        return done

    def _start_worker(self, job: Job, data_folder: Path, processes: int, *, profile: bool) -> WorkerProcess:
        settings = self.settings
        if profile:
            profiles = data_folder / "profiles" / job.name
            shutil.rmtree(profiles, ignore_errors=True)
            # Without the cache: otherwise the profile would show the lookup of known results.
            settings = settings.model_copy(update={"profile_dir": profiles, "cache_ttl_s": 0})
        worker = WorkerProcess(settings, processes, data_folder / "worker.log")
        end_undisturbed(self.stack, worker.stop)
        worker.start()
        return worker
