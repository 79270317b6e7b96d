"""The job of one `run`: opens it, gives it a worker, and follows it to its end."""

import shutil
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from producer.local.run import only_run
from producer.local.shared_server import SharedServer
from producer.local.signals import end_undisturbed
from producer.local.worker_process import WorkerProcess
from producer.monitoring.job_watcher import follow
from producer.submission.background import BackgroundProducer
from producer.submission.finished_jobs import refuse_changes
from producer.submission.jobs import open_job, retry_job
from producer.submission.requests import Request
from producer.submission.sources import Source
from shared.config.settings import Settings
from shared.domain.job import Job
from shared.store.jobs import JobRecord
from shared.store.redis_client import Client, connect, explain_server_errors, wait_for_server


@dataclass
class LocalJob:
    """The processes and objects of a `run` until its job is finished."""

    settings: Settings
    say: Callable[[str], None]
    stack: ExitStack
    """Ends everything that was started."""
    server: SharedServer | None
    worker: WorkerProcess | None
    """A worker that was started before the job was known; None if there may be no work."""
    data_folder: Path
    log: Path
    """The path of the worker's log."""

    def process(
        self,
        request: Request,
        processes: int,
        on_results: Callable[[Path], object],
        *,
        retry: bool,
        profile: bool,
    ) -> Job:
        """Processes the request; returns the finished job."""
        if self.server is not None:
            self.server.wait()
            self.settings = self.settings.model_copy(update={"redis_url": self.server.url})
        client = connect(self.settings)
        wait_for_server(self.settings, client, self.say)
        job = self._open(client, request, retry=retry)
        show = partial(on_results, self.settings.results_dir / job.name)
        if job.state == "finished":
            show()
            return job
        return self._follow(client, job, request.source, self._worker(job, processes, profile=profile), show)

    def _open(self, client: Client, request: Request, *, retry: bool) -> Job:
        """The job to process: new, resumed, reopened by `retry`, or finished with nothing to do."""
        with explain_server_errors(self.settings):
            job, is_new = open_job(client, request, self.settings)
            # Also against a `run` that gave the name that was generated for this one.
            self.stack.enter_context(only_run(self.data_folder, f"job-{job.name}", f"job {job.name}"))
            job = JobRecord(client, job.name).load()
            if job.state == "finished":
                if (self.settings.results_dir / job.name / "summary.json").is_file():
                    return self._finished(client, job, request, retry=retry)
                self.say(f"The results of job {job.name} are gone; it is computed again")
                JobRecord(client, job.name).delete(job)
                job, is_new = open_job(client, request, self.settings)
        self.say(f"{'Job' if is_new else 'Resuming job'} {job.name}: {job.source}")
        return job

    def _finished(self, client: Client, job: Job, request: Request, *, retry: bool) -> Job:
        results = self.settings.results_dir / job.name
        if retry and job.failed:
            return retry_job(client, job.name, self.settings, self.say)
        refuse_changes(job, request.source, results)
        self.say(f"Job {job.name} was finished before")
        return job

    def _worker(self, job: Job, processes: int, *, profile: bool) -> WorkerProcess:
        """Starts a worker that serves this job."""
        settings = self.settings
        if job.queue_prefix != settings.queue_prefix:  # resumed under a name that it had not been given
            whose = f"job {job.name}, or on another one of the same folder"
            self.stack.enter_context(only_run(self.data_folder, job.queue_prefix, whose))
            settings = self.settings = settings.model_copy(update={"queue_prefix": job.queue_prefix})
        if self.worker is not None:
            if self.worker.serves(settings):
                return self.worker
            self.worker.stop()
        if profile:
            profiles = self.data_folder / "profiles" / job.name
            shutil.rmtree(profiles, ignore_errors=True)
            # Without a cache: otherwise the profile would show the lookup of known results.
            settings = settings.model_copy(update={"profile_dir": profiles, "cache_ttl_s": 0})
        worker = WorkerProcess(settings, processes, self.log)
        end_undisturbed(self.stack, worker.stop)
        worker.start()
        return worker

    def _follow(
        self, client: Client, job: Job, source: Source, worker: WorkerProcess, on_results: Callable[[], object]
    ) -> Job:
        """Enqueues the source; returns the job once it is finished."""
        # The lock on the job proves that no other `run` has it, so its producer's lease need not expire first.
        producer = BackgroundProducer(client, job, source, self.settings, self.say, take_over=True)
        end_undisturbed(self.stack, producer.stop)
        producer.start()

        def supervise() -> bool:
            if self.server is not None and self.server.ensure():
                self.say("The server had ended and was restarted")
            producer.check()
            return worker.ensure(self.say, lambda: JobRecord(client, job.name).load().images_done)

        done = follow(client, job.name, self.settings, supervise, on_results)
        worker.end_now(client)
        return done
