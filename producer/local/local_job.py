"""The job of one `run`: opens it, gives it a worker, and follows it to its end."""

import shutil
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from producer.local.run import only_run
from producer.local.shared_server import SharedServer
from producer.local.signals import end_undisturbed
from producer.local.worker_process import WorkerProcess
from producer.monitoring.job_watcher import follow
from producer.submission.background import BackgroundProducer
from producer.submission.jobs import open_job, retry_job
from producer.submission.requests import Request, origin_of
from producer.submission.sources import Source
from producer.submission.update_plan import UpdatePlan
from producer.submission.updates import Opened, present_job
from shared.config.settings import Settings
from shared.domain.job import Job
from shared.results.outcome_counts import count_failed
from shared.results.schema import SUMMARY
from shared.store.jobs import JobRecord
from shared.store.redis_client import Client, connect, explain_server_errors, wait_for_server

if TYPE_CHECKING:
    from producer.local.page_process import PageProcess


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
    page: "PageProcess | None" = None
    """A page of jobs to serve meanwhile."""

    def process(
        self,
        request: Request,
        processes: int,
        on_results: Callable[[Path], object],
        *,
        retry: bool,
        profile: bool,
    ) -> int:
        """Processes the request; returns the number of failed images of the finished job."""
        if self.server is not None:
            self.server.wait()
            self.settings = self.settings.model_copy(update={"redis_url": self.server.url})
        client = connect(self.settings)
        wait_for_server(self.settings, self.say)
        if self.page is not None:
            self.page.start(self.settings, self.say)
        opened = self._open(client, request, retry=retry)
        job = opened.job
        if job is None:
            results = self.settings.results_dir / str(request.job)
            on_results(results)
            return count_failed(results)
        show = partial(on_results, self.settings.results_dir / job.name)
        worker = self._worker(job, processes, profile=profile)
        return self._follow(client, job, request.source, worker, show, opened.plan).failed

    def _open(self, client: Client, request: Request, *, retry: bool) -> Opened:
        """The job to process: new, resumed, updated, or reopened by `retry`. None if there is nothing to do."""
        with explain_server_errors(self.settings):
            if retry and (reopened := self._reopened(client, request)):
                return Opened(reopened, is_new=False)
            opened = open_job(client, request, self.settings, self.say, retry_failed=retry)
            if opened.job is None:
                return opened
            # Also against a `run` that gave the name that was generated for this one.
            name = opened.job.name
            self.stack.enter_context(only_run(self.data_folder, f"job-{name}", f"job {name}"))
            job = JobRecord(client, name).load()
            if job.state == "finished":  # it would be updated if it had results
                self.say(f"The results of job {job.name} are gone; it is computed again")
                JobRecord(client, job.name).delete(job)
                opened = open_job(client, request, self.settings, self.say)
        self.say(f"{'Job' if opened.is_new else 'Resuming job'} {job.name}: {job.source}")
        return opened

    def _reopened(self, client: Client, request: Request) -> Job | None:
        """The finished job of this name, reopened for its failed images; None if the server has none."""
        name = str(request.job)
        job = present_job(JobRecord(client, name))
        if job is None or job.unfinished or not job.failed or job.origin != origin_of(request):
            return None
        if not (self.settings.results_dir / name / SUMMARY).is_file():
            return None
        self.stack.enter_context(only_run(self.data_folder, f"job-{name}", f"job {name}"))
        return retry_job(client, name, self.settings, self.say)

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
        self,
        client: Client,
        job: Job,
        source: Source,
        worker: WorkerProcess,
        on_results: Callable[[], object],
        plan: UpdatePlan | None,
    ) -> Job:
        """Enqueues the source; returns the job once it is finished."""
        # The lock on the job proves that no other `run` has it, so its producer's lease need not expire first.
        producer = BackgroundProducer(client, job, source, self.settings, self.say, take_over=True, plan=plan)
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
