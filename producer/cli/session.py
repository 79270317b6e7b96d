"""What commands share: their settings, the server, and following a job to its exit code."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

import typer

from producer.console.terminal import say
from shared.config.exit_codes import ExitCode
from shared.config.settings import Settings, load_settings

if TYPE_CHECKING:
    from producer.submission.sources import Source
    from producer.submission.update_plan import UpdatePlan
    from shared.domain.job import Job
    from shared.store.redis_client import Client


def exit_with(failed: int) -> NoReturn:
    """Ends the command with the exit code of a finished job with this number of failed images."""
    raise typer.Exit(ExitCode.SOME_FAILED if failed else ExitCode.FINISHED)


@dataclass(frozen=True)
class Session:
    """One command's settings and its client of a server that answers."""

    settings: Settings
    client: "Client"

    def follow(self, job: str, check: Callable[[], bool] = lambda: False) -> NoReturn:
        """Follows a job until it ends, and ends the command with its exit code."""
        from producer.console.progress import describe
        from producer.monitoring.job_watcher import follow

        done = follow(self.client, job, self.settings, check)
        print(f"{done.name}: finished, {describe(done)}")
        exit_with(done.failed)

    def enqueue_and_follow(self, job: "Job", source: "Source | None", plan: "UpdatePlan | None" = None) -> NoReturn:
        """Enqueues the rest of a job in the background while it is followed."""
        from producer.submission.background import BackgroundProducer

        producer = BackgroundProducer(self.client, job, source, self.settings, say, plan=plan)
        producer.start()
        try:
            self.follow(job.name, producer.check)
        finally:
            producer.stop()


def open_session() -> Session:
    """Reads the settings and connects to the server. Waits for a server that does not answer yet."""
    from shared.store.redis_client import connect, wait_for_server

    settings = load_settings()
    client = connect(settings)
    wait_for_server(settings, say)
    return Session(settings, client)
