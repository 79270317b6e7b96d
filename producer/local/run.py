"""`run`: server, worker, enqueuing, following and results in one command.

Server and worker are started first. What follows the job is imported while they start.
"""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from producer.local.data_folder import RUNNING, SERVER, check_results_folder, prepare_data_folder
from producer.local.exclusive import held, log_of_its_own
from producer.local.shared_server import SharedServer
from producer.local.signals import end_undisturbed, signals_interrupt
from producer.local.worker_process import WorkerProcess
from producer.submission.folder_source import FolderSource
from producer.submission.requests import Request, queue_prefix_of
from shared.config.settings import Settings
from shared.domain.errors import InvalidRequest, NotFinished
from shared.domain.job_names import check_job_name


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
    page: bool = False,
) -> int:
    """Processes the images of a source on this machine; returns how many failed. However it ends, it ends everything
    that it has started.

    `on_results` is called with the results folder as soon as it is in its place. `page`: whether a page of jobs is
    served meanwhile.
    """
    if request.job:
        check_job_name(request.job)
    elif retry:
        raise InvalidRequest("--retry needs --job, the name of the job whose failed images are to be retried.")
    source, data_folder = request.source, settings.state_dir.resolve()
    check_results_folder(results_dir, source.folder if isinstance(source, FolderSource) else None, data_folder)
    request = replace(request, results_dir=results_dir, installation=prepare_data_folder(data_folder))
    settings = _settings_of_run(request, results_dir, settings)
    with ExitStack() as stack:
        stack.enter_context(signals_interrupt())
        stack.enter_context(only_run(data_folder, settings.queue_prefix, _whose(request)))
        log = stack.enter_context(log_of_its_own(data_folder))
        served = None
        if page:
            from producer.local.page_process import PageProcess

            served = PageProcess(settings, log)
            end_undisturbed(stack, served.stop)
        server = None
        if settings.redis_url is None:
            server = SharedServer(data_folder / SERVER)
            end_undisturbed(stack, server.release)
            server.begin()
            settings = settings.model_copy(update={"redis_url": server.url})
        if request.fresh:
            settings = settings.model_copy(update={"cache_ttl_s": 0})  # no cache: everything is computed

        from producer.local.disk_cache import with_disk_cache

        settings = with_disk_cache(settings, say)
        worker = None
        # Where its results are already, there may be nothing to do.
        if not profile and not (request.job and (results_dir / request.job).exists()):
            worker = WorkerProcess(settings, workers, log)
            end_undisturbed(stack, worker.stop)
            worker.start()

        from producer.local.local_job import LocalJob

        local = LocalJob(settings, say, stack, server, worker, data_folder, log, served)
        return local.process(request, workers, on_results, retry=retry, profile=profile)


@contextmanager
def only_run(data_folder: Path, name: str, whose: str) -> Iterator[None]:
    """Prevents other `run`s of the same job; NotFinished if one is running."""
    with held(data_folder / RUNNING / re.sub(r"[^A-Za-z0-9._-]", "_", name)) as alone:
        if not alone:
            raise NotFinished(
                f"Another `run` is at work on {whose}. Wait for it, or give another --job to process the folder again."
            )
        yield


def _whose(request: Request) -> str:
    return f"job {request.job}" if request.job else f"{request.source.shown} with the same options"


def _settings_of_run(request: Request, results_dir: Path, settings: Settings) -> Settings:
    """The settings, for one job of this source on this machine."""
    changes: dict[str, Any] = {
        "data_root": request.source.folder,
        "allowed_urls": json.dumps([request.source.location]) if request.source.location else None,
        "results_dir": results_dir,
        "queue_prefix": queue_prefix_of(request),
        "batch_size": request.batch_size,
    }
    return settings.model_copy(update=changes)
