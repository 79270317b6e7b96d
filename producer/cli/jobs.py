"""Commands that make, follow and change jobs. They import what they need when they run, so that `--help` is fast."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from producer.cli.options import (
    Archives,
    BatchSize,
    Checksum,
    Distances,
    Exact,
    Faces,
    Files,
    Folder,
    Fresh,
    JobName,
    Margin,
    Mirror,
    Model,
    Name,
    Neighbors,
    NoReport,
    PrecisionOption,
    PriorityOption,
    ReportFaces,
    Weights,
    contract_of,
    embedder_of,
)
from producer.cli.session import Session, exit_with, open_session
from producer.console.terminal import say
from shared.config.settings import load_settings
from shared.domain.contract import DEFAULT_MARGIN_PX, DEFAULT_WEIGHTS, KNOWN_WEIGHTS, SFACE_WEIGHTS
from shared.domain.counts import counted
from shared.domain.embedders import EMBEDDERS, SFACE, Embedder
from shared.domain.errors import InvalidRequest
from shared.domain.options import DEFAULT_NEIGHBORS, DEFAULT_REPORT_FACES
from shared.domain.priority import Priority

if TYPE_CHECKING:
    from producer.submission.sources import Source
    from producer.submission.update_plan import UpdatePlan
    from shared.domain.job import Job


def run(
    folder: Folder = None,
    files: Files = None,
    archives: Archives = False,
    results: Annotated[
        Path | None, typer.Option(help="The folder for the results.", show_default="FACEQUEUE_RESULTS_DIR")
    ] = None,
    workers: Annotated[int, typer.Option(min=0, help="Worker processes. 0: one per usable core.")] = 0,
    batch_size: BatchSize = None,
    faces: Faces = "largest",
    exact: Exact = False,
    margin: Margin = DEFAULT_MARGIN_PX,
    mirror: Mirror = False,
    model: Model = "facenet",
    weights: Weights = DEFAULT_WEIGHTS,
    precision: PrecisionOption = "float32",
    distances: Distances = "auto",
    neighbors: Neighbors = DEFAULT_NEIGHBORS,
    no_report: NoReport = False,
    report_faces: ReportFaces = DEFAULT_REPORT_FACES,
    job: Name = None,
    fresh: Fresh = False,
    checksum: Checksum = False,
    device: Annotated[
        str | None,
        typer.Option(help="cpu, cuda or cuda:1. cuda needs the torch backend.", show_default="FACEQUEUE_DEVICE"),
    ] = None,
    profile: Annotated[
        bool,
        typer.Option("--profile", help="Profile every worker process, and show the costliest functions in the report."),
    ] = False,
    retry: Annotated[
        bool, typer.Option("--retry", help="Retry the failed images of the finished job that --job names.")
    ] = False,
    page: Annotated[
        bool, typer.Option("--page", help="Serve a page that shows the job in the browser while it runs.")
    ] = False,
) -> None:
    """Process a folder on this machine, with a server and workers of its own."""
    from producer.console.summary import print_summary
    from producer.local.run import run as run_job
    from producer.local.worker_checks import check_model, check_precision
    from producer.submission.requests import Request, images_a_batch
    from producer.submission.sources import open_source

    settings = load_settings(device=device)
    if weights not in KNOWN_WEIGHTS:
        settings = settings.model_copy(update={"weights_path": Path(weights).resolve()})
    embedder = embedder_of(model)
    if embedder == SFACE:
        settings = settings.model_copy(update={"preload_weights": SFACE_WEIGHTS})
    check_precision(precision, settings)
    results_dir = (results or settings.results_dir).resolve()
    source = open_source(folder, files, archives=archives)
    contract = contract_of(faces, exact, margin, mirror, weights, precision, model)
    if embedder.name not in EMBEDDERS:
        settings = settings.model_copy(update={"weights_path": Path(model).resolve()})
        check_model(Path(model), contract, settings)
    request = Request(
        source=source,
        contract=contract,
        batch_size=batch_size or images_a_batch(source, settings),
        distances=distances,
        neighbors=neighbors,
        report=not no_report,
        report_faces=report_faces,
        model_license=_of_own(embedder, embedder.license),
        model_origin=_of_own(embedder, embedder.origin),
        job=job,
        results_dir=results_dir,
        fresh=fresh,
        checksum=checksum,
    )
    failed = run_job(
        request, results_dir, settings, workers, say, on_results=print_summary, retry=retry, profile=profile, page=page
    )
    exit_with(failed)


def enqueue(
    folder: Folder = None,
    files: Files = None,
    archives: Archives = False,
    wait: Annotated[bool, typer.Option("--wait", help="Follow the job until it ends.")] = False,
    batch_size: BatchSize = None,
    faces: Faces = "largest",
    exact: Exact = False,
    margin: Margin = DEFAULT_MARGIN_PX,
    mirror: Mirror = False,
    model: Model = "facenet",
    weights: Weights = DEFAULT_WEIGHTS,
    precision: PrecisionOption = "float32",
    distances: Distances = "auto",
    neighbors: Neighbors = DEFAULT_NEIGHBORS,
    no_report: NoReport = False,
    report_faces: ReportFaces = DEFAULT_REPORT_FACES,
    job: Name = None,
    fresh: Fresh = False,
    checksum: Checksum = False,
    inline: Annotated[
        bool, typer.Option("--inline", help="Send the images through the server, for workers that cannot read them.")
    ] = False,
    priority: PriorityOption = None,
    new: Annotated[
        bool, typer.Option("--new", help="Make another job, even if one of this folder is unfinished.")
    ] = False,
) -> None:
    """Put a folder into the queue of a running server, or resume its unfinished job."""
    from producer.local.worker_checks import check_model
    from producer.submission.jobs import open_job
    from producer.submission.requests import Request, images_a_batch
    from producer.submission.sources import open_source
    from shared.store.redis_client import explain_server_errors

    embedder = embedder_of(model)
    contract = contract_of(faces, exact, margin, mirror, weights, precision, model)
    if embedder.name not in EMBEDDERS:
        check_model(Path(model), contract, load_settings())
    source = open_source(folder, files, archives=archives)
    if inline and source.archives:
        raise InvalidRequest("Images in archives cannot be sent with --inline. Unpack them, or let workers read them.")
    if inline and source.location:
        raise InvalidRequest("Workers read objects themselves, so --inline cannot send them. Leave it out.")
    session = open_session()
    settings = session.settings
    request = Request(
        source=source,
        contract=contract,
        batch_size=batch_size or images_a_batch(source, settings),
        distances=distances,
        neighbors=neighbors,
        report=not no_report,
        report_faces=report_faces,
        model_license=_of_own(embedder, embedder.license),
        model_origin=_of_own(embedder, embedder.origin),
        job=job,
        results_dir=None,
        inline=inline,
        priority=priority,
        fresh=fresh,
        checksum=checksum,
    )
    with explain_server_errors(settings):
        opened = open_job(session.client, request, settings, say, anew=new)
    if opened.job is None:
        from shared.results.outcome_counts import count_failed

        exit_with(count_failed(settings.results_dir / str(job)))
    say(_describe_opened(opened.job, opened.is_new, source, settings.results_dir.resolve()))
    if wait:
        session.enqueue_and_follow(opened.job, source, opened.plan)
    _enqueue_rest(session, opened.job, source, opened.plan)


def _of_own(embedder: Embedder, words: str) -> str:
    """What is to be said of a model of the user's own; nothing of a known one."""
    return "" if embedder.name in EMBEDDERS else words


def _enqueue_rest(session: Session, job: "Job", source: "Source", plan: "UpdatePlan | None") -> None:
    """Enqueues the rest of a job and prints what the job holds then."""
    from producer.submission.batches import enqueue_images
    from shared.messaging.celery_app import make_celery
    from shared.store.jobs import JobRecord
    from shared.store.redis_client import explain_server_errors

    client, settings = session.client, session.settings
    with explain_server_errors(settings):
        enqueue_images(client, make_celery(settings), job, source, settings, say, plan=plan)
        found = JobRecord(client, job.name).load()
    print(
        f"{found.name}: {counted(found.images, 'image')} in {counted(found.batches, 'batch', 'batches')}. "
        f"Follow it with `python -m producer watch {found.name}`."
    )


def _describe_opened(job: "Job", is_new: bool, source: "Source", results_dir: Path) -> str:
    """What `enqueue` has found or made; UnseenResults if the job is finished, and was to be updated elsewhere."""
    from producer.submission.finished_jobs import compare_unseen
    from shared.domain.job import JobState

    if job.state == JobState.FINISHED:
        compared = compare_unseen(job, source, results_dir)
        return f"Job {job.name} was finished before; {compared}. --fresh computes it again."
    if job.state == JobState.SEALED:
        return (
            f"Job {job.name} of this folder is unfinished: all of its images ({job.images:,}) are in the queue. Images "
            "added to the folder since are not part of it; `--new` makes another job."
        )
    return f"{'Job' if is_new else 'Resuming job'} {job.name}: {job.source}"


def watch(job: JobName) -> None:
    """Follow a job until it ends."""
    open_session().follow(job)


def status(
    job: Annotated[str | None, typer.Argument(help="The name of the job. Without it: all jobs.")] = None,
) -> None:
    """Show the progress of a job, or of all jobs."""
    session = open_session()
    if job is None:
        _print_jobs(session)
    else:
        _print_job(session, job)


def _print_jobs(session: Session) -> bool:
    """Prints all jobs; whether some of them are stalled."""
    from producer.console.tables import print_jobs
    from producer.submission.pruning import stalled_jobs
    from shared.store.jobs import list_jobs
    from shared.store.redis_client import explain_server_errors, server_time_ms

    client, settings = session.client, session.settings
    with explain_server_errors(settings):
        listed = list_jobs(client, say)
        stalled = stalled_jobs(client, listed, settings)
        print_jobs(listed, server_time_ms(client), stalled)
    return bool(stalled)


def _print_job(session: Session, name: str) -> None:
    """Prints one job, with the living workers that refuse it; ProducerGone if nobody enqueues the rest of it."""
    from producer.console.tables import print_job
    from producer.submission.abandoned_jobs import ProducerGone, is_abandoned
    from producer.submission.pruning import stalled_jobs
    from shared.store.jobs import JobRecord
    from shared.store.redis_client import explain_server_errors, server_time_ms
    from shared.store.worker_registry import living_workers

    client, settings = session.client, session.settings
    with explain_server_errors(settings):
        record = JobRecord(client, name)
        alive = {worker.name for worker in living_workers(client)}
        refusals = {worker: reason for worker, reason in record.refusals().items() if worker in alive}
        found, now_ms = record.load(), server_time_ms(client)
        print_job(found, now_ms, refusals, stalled=bool(stalled_jobs(client, [found], settings)))
    if is_abandoned(found, now_ms):
        raise ProducerGone(found)


def jobs(
    prune: Annotated[bool, typer.Option("--prune", help="Forget finished jobs. Their results stay.")] = False,
    stalled_days: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="With --prune: also remove unfinished jobs without news for this many days, with the work they have "
            "done.",
        ),
    ] = None,
) -> None:
    """List the jobs on the server."""
    from producer.submission.pruning import prune_jobs
    from shared.store.jobs import list_jobs
    from shared.store.redis_client import explain_server_errors

    if stalled_days is not None and not prune:
        raise InvalidRequest("--stalled-days needs --prune.")
    session = open_session()
    if prune:
        with explain_server_errors(session.settings):
            listed = list_jobs(session.client)
            prune_jobs(session.client, listed, stalled_days, session.settings, say)
    if _print_jobs(session):
        say(
            "Stalled jobs keep the work they have done, and resume when a worker serves them (a job of `run`: when "
            "that `run` is repeated). `python -m producer cancel JOB` or `jobs --prune --stalled-days N` removes them."
        )


def cancel(job: JobName) -> None:
    """Stop a job and remove it from the server."""
    from producer.submission.jobs import cancel_job

    session = open_session()
    cancel_job(session.client, job, session.settings)
    print(f"{job}: cancelled")


def prioritize(
    job: JobName, priority: Annotated[Priority, typer.Argument(help="The new priority.", show_default=False)]
) -> None:
    """Change the priority of an unfinished job."""
    from producer.submission.jobs import prioritize_job

    session = open_session()
    changed = prioritize_job(session.client, job, priority, session.settings)
    print(f"{job}: priority {priority}{'' if changed else ', as before'}")


def retry(job: JobName) -> None:
    """Retry the failed images of a finished job, into the same results folder."""
    from producer.submission.folder_source import source_to_send
    from producer.submission.jobs import retry_job

    session = open_session()
    reopened = retry_job(session.client, job, session.settings, say)
    session.enqueue_and_follow(reopened, source_to_send(reopened))


def aggregate(job: JobName) -> None:
    """Write the results of a complete job again, after they could not be written."""
    from shared.domain.job import JobState
    from shared.messaging.celery_app import make_celery, send_aggregate
    from shared.messaging.messages import Aggregate
    from shared.store.jobs import JobRecord
    from shared.store.redis_client import explain_server_errors

    session = open_session()
    with explain_server_errors(session.settings):
        record = JobRecord(session.client, job)
        found = record.load()
        if found.state == JobState.FINISHED:
            raise InvalidRequest(
                f"Job '{job}' is finished, and its blocks are deleted. Run it again under another name."
            )
        if not found.complete:
            raise InvalidRequest(f"Job '{job}' is not complete: {found.images_done} of {found.images} images are done.")
        record.go_on(found.uid)
        message = Aggregate(version=1, job=job, uid=found.uid)
        send_aggregate(make_celery(session.settings), found.aggregate_queue, message)
    session.follow(job)
