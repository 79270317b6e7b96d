"""The command line: `python -m producer COMMAND`. Each command decodes its options, calls, and prints."""

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

import typer

from producer.cli.errors import ExitCode, exit_code_after
from shared.config.settings import Settings, get_settings
from shared.domain.contract import KNOWN_WEIGHTS, Contract, FacePolicy, own_weights_name
from shared.domain.errors import WrongUsage

# Chosen by accuracy on 1,000 pairs of LFW: docs/architecture.md holds the table.
DEFAULT_MARGIN_PX = 32

cli = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    help="Face embeddings and a distance matrix from a folder of photographs.",
    epilog="Exit codes: 0 finished; 2 wrong usage; 3 finished, some images failed; 4 not finished; 1 unforeseen.",
)

Folder = Annotated[Path, typer.Argument(help="The folder with the images.", show_default=False)]
JobName = Annotated[str, typer.Argument(help="The job's name.", show_default=False)]
Faces = Annotated[FacePolicy, typer.Option(help="Which faces of an image are embedded.")]
Exact = Annotated[bool, typer.Option("--exact", help="facenet-pytorch's own cascade in full, also for `largest`.")]
Margin = Annotated[int, typer.Option(min=0, max=120, help="Pixels around the face, in the 160 pixel crop.")]
Mirror = Annotated[bool, typer.Option("--mirror", help="Average each face's embedding with its mirror image's.")]
Weights = Annotated[str, typer.Option(help="`casia-webface`, `vggface2`, or a weights file (.pt) of your own.")]
BatchSize = Annotated[
    int | None, typer.Option(min=1, max=1024, help="Images a batch.", show_default="FACEQUEUE_BATCH_SIZE")
]
Distances = Annotated[
    Literal["auto", "full", "none"],
    typer.Option(help="Whether to write the distance matrix; auto: if it is not too large."),
]
Name = Annotated[
    str | None, typer.Option("--job", help="Name of the job and of its results folder.", show_default="made up")
]


Results = Annotated[
    Path | None, typer.Option("--results", help="Where results are.", show_default="FACEQUEUE_RESULTS_DIR")
]
Threshold = Annotated[
    float | None,
    typer.Option(min=0, help="Largest distance in a group.", show_default="calibrated for the default contract"),
]
AsCsv = Annotated[bool, typer.Option("--csv", help="CSV on standard output.")]


def _say(line: str) -> None:
    with suppress(OSError):  # the terminal may be closed, and what is being ended is to be ended all the same
        print(line, file=sys.stderr, flush=True)


def _contract(faces: FacePolicy, exact: bool, margin: int, mirror: bool, weights: str) -> Contract:
    if weights in KNOWN_WEIGHTS:
        name, sha256 = weights, KNOWN_WEIGHTS[weights]
    else:
        path = Path(weights)
        if not path.is_file():
            raise WrongUsage(f"--weights {weights}: not one of {', '.join(KNOWN_WEIGHTS)}, and not a file.")
        import hashlib

        try:
            with path.open("rb") as file:
                name, sha256 = own_weights_name(path.stem), hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise WrongUsage(f"--weights {weights} cannot be read: {error.strerror}.") from None
    return Contract(
        faces=faces,
        mode="exact" if exact else "fast",
        margin_px=margin,
        mirror=mirror,
        weights=name,
        weights_sha256=sha256,
    )


def _connect(settings: Settings) -> Any:
    from shared.store.redis_client import connect, wait_for_server

    client = connect(settings)
    wait_for_server(settings, client, _say)
    return client


def _follow(client: Any, job: str, settings: Settings, check: Callable[[], bool] = lambda: False) -> NoReturn:
    from producer.monitoring.job_watcher import describe, follow

    done = follow(client, job, settings, check)
    print(f"{done.name}: finished, {describe(done)}")
    _exit_with(done)


def _exit_with(finished: Any) -> NoReturn:
    raise typer.Exit(ExitCode.SOME_FAILED if finished.failed else ExitCode.FINISHED)


def _enqueue_and_follow(client: Any, job: Any, folder: Path | None, settings: Settings) -> NoReturn:
    from producer.submission.jobs import BackgroundProducer

    producer = BackgroundProducer(client, job, folder, settings, _say)
    producer.start()
    try:
        _follow(client, job.name, settings, producer.check)
    finally:
        producer.stop()


@cli.command()
def run(
    folder: Folder,
    results: Annotated[
        Path | None, typer.Option(help="Where results go.", show_default="FACEQUEUE_RESULTS_DIR")
    ] = None,
    workers: Annotated[int, typer.Option(min=0, help="Worker processes; 0: the usable cores.")] = 0,
    batch_size: BatchSize = None,
    faces: Faces = "largest",
    exact: Exact = False,
    margin: Margin = DEFAULT_MARGIN_PX,
    mirror: Mirror = False,
    weights: Weights = "casia-webface",
    distances: Distances = "auto",
    job: Name = None,
    device: Annotated[
        str | None,
        typer.Option(help="cpu, cuda or cuda:1; cuda needs the torch backend.", show_default="FACEQUEUE_DEVICE"),
    ] = None,
    profile: Annotated[
        bool, typer.Option("--profile", help="A cProfile file of every worker process, and a table in the report.")
    ] = False,
    retry: Annotated[bool, typer.Option("--retry", help="Try the failed images of the finished --job again.")] = False,
) -> None:
    """Do the whole job here: server, workers, waiting, results."""
    from producer.console.summary import print_summary
    from producer.local.run import run as run_job
    from producer.submission.jobs import Request

    if device is not None:
        os.environ["FACEQUEUE_DEVICE"] = device  # before the settings are read; the workers that are started inherit it
    settings = get_settings()
    if weights not in KNOWN_WEIGHTS:
        os.environ["FACEQUEUE_WEIGHTS_PATH"] = str(Path(weights).resolve())  # for the workers that are started
    results_dir = (results or settings.results_dir).resolve()
    request = Request(
        folder=folder, contract=_contract(faces, exact, margin, mirror, weights), batch_size=batch_size or settings.batch_size,
        distances=distances, job=job, results_dir=results_dir,
    )  # fmt: skip
    done = run_job(request, settings, workers, _say, retry=retry, profile=profile)
    print_summary(results_dir / done.name)
    _exit_with(done)


@cli.command()
def enqueue(
    folder: Folder,
    wait: Annotated[bool, typer.Option("--wait", help="Follow the job to its end.")] = False,
    batch_size: BatchSize = None,
    faces: Faces = "largest",
    exact: Exact = False,
    margin: Margin = DEFAULT_MARGIN_PX,
    mirror: Mirror = False,
    weights: Weights = "casia-webface",
    distances: Distances = "auto",
    job: Name = None,
    inline: Annotated[
        bool, typer.Option("--inline", help="Send the images through the server, to workers without them.")
    ] = False,
    new: Annotated[
        bool, typer.Option("--new", help="Another job, even where one of this folder is not finished.")
    ] = False,
) -> None:
    """Put a folder into the queue of a running server, or go on with its unfinished job."""
    from producer.submission.folder_changes import refuse_changes_in_queue
    from producer.submission.jobs import Request, check_folder, enqueue_images, open_job
    from shared.messaging.celery_app import make_celery
    from shared.store.jobs import JobRecord
    from shared.store.redis_client import explain_server_errors

    settings = get_settings()
    request = Request(
        folder=folder, contract=_contract(faces, exact, margin, mirror, weights), batch_size=batch_size or settings.batch_size,
        distances=distances, job=job, results_dir=None, inline=inline,
    )  # fmt: skip
    real = check_folder(folder)
    client = _connect(settings)
    with explain_server_errors(settings):
        opened, is_new = open_job(client, request, settings, anew=new)
    if opened.state == "finished":
        known = refuse_changes_in_queue(opened, real, settings.results_dir.resolve() / opened.name)
        _say(
            f"Job {opened.name} was finished before; {known}. To compute it again: `python -m producer cancel {opened.name}`, "
            "then enqueue it anew."
        )
    elif opened.state == "sealed":
        _say(
            f"Job {opened.name} of this folder is not finished: its {opened.images} images are in the queue already, without any "
            "that came later. `--new` makes another job."
        )
    else:
        _say(f"{'Job' if is_new else 'Going on with job'} {opened.name}: {opened.source}")
    if wait:
        _enqueue_and_follow(client, opened, real, settings)
    with explain_server_errors(settings):
        enqueue_images(client, make_celery(settings), opened, real, settings, _say)
        stands = JobRecord(client, opened.name).load()
    print(
        f"{stands.name}: {stands.images} images in {stands.batches} batches. Follow it: python -m producer watch {stands.name}"
    )


@cli.command()
def watch(job: JobName) -> None:
    """Follow a job to its end."""
    settings = get_settings()
    _follow(_connect(settings), job, settings)


@cli.command()
def status(job: Annotated[str | None, typer.Argument(help="The job's name; without it, all jobs.")] = None) -> None:
    """Say how far a job is."""
    from producer.console.tables import print_job, print_jobs
    from producer.submission.pruning import stalled_jobs
    from producer.submission.resume_command import ProducerGone, is_abandoned
    from shared.store.jobs import JobRecord, list_jobs
    from shared.store.redis_client import explain_server_errors, server_time_ms
    from shared.store.worker_registry import living_workers

    settings = get_settings()
    client = _connect(settings)
    with explain_server_errors(settings):
        if job is None:
            listed = list_jobs(client, _say)
            print_jobs(listed, server_time_ms(client), stalled_jobs(client, listed, settings))
            return
        record = JobRecord(client, job)
        alive = {worker.name for worker in living_workers(client)}
        refusals = {worker: reason for worker, reason in record.refusals().items() if worker in alive}
        found, now_ms = record.load(), server_time_ms(client)
        print_job(found, now_ms, refusals, stalled=bool(stalled_jobs(client, [found], settings)))
    if is_abandoned(found, now_ms):
        raise ProducerGone(found)


@cli.command()
def jobs(
    prune: Annotated[bool, typer.Option("--prune", help="Forget finished jobs; their results stay.")] = False,
    stalled_days: Annotated[
        int | None,
        typer.Option(
            min=1, help="With --prune: remove unfinished jobs without news for so many days too, and what they did."
        ),
    ] = None,
) -> None:
    """List the jobs on the server."""
    from producer.console.tables import print_jobs
    from producer.submission.pruning import prune_jobs, stalled_jobs
    from shared.store.jobs import list_jobs
    from shared.store.redis_client import explain_server_errors, server_time_ms

    if stalled_days is not None and not prune:
        raise WrongUsage("--stalled-days says what --prune is to remove: give both.")
    settings = get_settings()
    client = _connect(settings)
    with explain_server_errors(settings):
        found = list_jobs(client, _say)
        if prune:
            prune_jobs(client, found, stalled_days, settings, _say)
            found = list_jobs(client)
        stalled = stalled_jobs(client, found, settings)
        print_jobs(found, server_time_ms(client), stalled)
        if stalled:
            _say(
                "Stalled jobs keep what they have done and go on when a worker serves them (those of `run`: when it is "
                "repeated). `python -m producer cancel JOB` or `jobs --prune --stalled-days N` removes them."
            )


@cli.command()
def cancel(job: JobName) -> None:
    """Stop a job and remove it from the server."""
    from producer.submission.jobs import cancel_job

    settings = get_settings()
    cancel_job(_connect(settings), job, settings)
    print(f"{job}: cancelled")


@cli.command()
def aggregate(job: JobName) -> None:
    """Write the results of a complete job again, after trouble with the results folder."""
    from shared.messaging.celery_app import make_celery, send_aggregate
    from shared.messaging.messages import Aggregate
    from shared.store.jobs import JobRecord
    from shared.store.redis_client import explain_server_errors

    settings = get_settings()
    client = _connect(settings)
    with explain_server_errors(settings):
        record = JobRecord(client, job)
        found = record.load()
        if found.state == "finished":
            raise WrongUsage(f"Job '{job}' is finished; its blocks are gone. Run it again under another name.")
        if not found.complete:
            raise WrongUsage(f"Job '{job}' is not complete: {found.images_done} of {found.images} images are done.")
        record.go_on(found.uid)
        message = Aggregate(version=1, job=job, uid=found.uid)
        send_aggregate(make_celery(settings), found.aggregate_queue, message)
    watch(job)


@cli.command()
def retry(job: JobName) -> None:
    """Try the failed images of a finished job again, into the same results folder."""
    from producer.submission.jobs import folder_of, retry_job

    settings = get_settings()
    client = _connect(settings)
    found = retry_job(client, job, settings, _say)
    _enqueue_and_follow(client, found, folder_of(found), settings)


@cli.command()
def report(
    job: JobName,
    images: Annotated[
        Path | None, typer.Option(help="The folder with the job's images.", show_default="as the job had it")
    ] = None,
    threshold: Threshold = None,
    results: Results = None,
) -> None:
    """Write report.html into a job's results folder again."""
    from producer.results.lookup import find_results
    from shared.domain.paths import printable
    from shared.report.build import build_report, images_folder

    folder = find_results(job, results or get_settings().results_dir)
    if images is not None and not images.is_dir():
        raise WrongUsage(f"--images {images} is not a folder.")
    source = images or images_folder(folder)
    if source is None:
        _say(
            "The images are not where they were: the report has no pictures of faces. --images DIR says where they are."
        )
    print(printable(str(build_report(folder, source, threshold=threshold))))


@cli.command()
def neighbors(
    job: JobName,
    image: Annotated[str, typer.Argument(help="Path as in faces.csv, or its end.", show_default=False)],
    count: Annotated[int, typer.Option("--count", "-k", min=1, help="Faces.")] = 10,
    as_csv: AsCsv = False,
    results: Results = None,
) -> None:
    """List the faces nearest to those of an image."""
    from producer.results.lookup import find_results
    from producer.results.queries import show_neighbours

    show_neighbours(find_results(job, results or get_settings().results_dir), image, count, as_csv=as_csv)


@cli.command()
def groups(job: JobName, threshold: Threshold = None, as_csv: AsCsv = False, results: Results = None) -> None:
    """Group faces that may be one person."""
    from producer.results.lookup import find_results
    from producer.results.queries import show_groups

    show_groups(find_results(job, results or get_settings().results_dir), threshold, as_csv=as_csv)


@cli.command()
def workers(
    once: Annotated[bool, typer.Option("--once", help="One look, also on a terminal.")] = False,
) -> None:
    """Show the workers that are alive, and what they do; on a terminal until Ctrl-C."""
    from producer.console.worker_table import show_workers

    settings = get_settings()
    show_workers(_connect(settings), settings, once=once)


@cli.command()
def dead_letters(
    clear: Annotated[bool, typer.Option("--clear", help="Print them, then forget them.")] = False,
) -> None:
    """List the messages that workers refused, with the reason."""
    from producer.console.tables import print_dead_letters
    from shared.store.dead_letters import clear_dead_letters, list_dead_letters
    from shared.store.redis_client import explain_server_errors

    settings = get_settings()
    client = _connect(settings)
    with explain_server_errors(settings):
        print_dead_letters(list_dead_letters(client))
        if clear:
            _say(f"Forgotten: {clear_dead_letters(client)}")


@cli.command()
def sample(folder: Annotated[Path, typer.Argument(help="Where the pictures go.", show_default=False)]) -> None:
    """Write a sample folder: two people, no people, a damaged file."""
    from producer.sample_images import write_sample

    print(f"{len(write_sample(folder))} files in {folder}")


@cli.command()
def doctor() -> None:
    """Check server, workers, weights, data root and results folder."""
    from producer.monitoring.doctor import examine

    findings = examine(get_settings())
    for finding in findings:
        print(finding)
    raise typer.Exit(ExitCode.FINISHED if all(finding.good for finding in findings) else ExitCode.NOT_FINISHED)


@cli.command()
def flower(
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Port on loopback.", show_default="FACEQUEUE_FLOWER_PORT")
    ] = None,
    address: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
) -> None:
    """Start Flower: tasks and workers in the browser."""
    from producer.monitoring.flower import serve

    settings = get_settings()
    _connect(settings)
    serve(settings, address, port or settings.flower_port)


@cli.command()
def metrics(
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Port.", show_default="FACEQUEUE_METRICS_PORT")
    ] = None,
    address: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
) -> None:
    """Serve metrics of queue, jobs and workers for Prometheus."""
    from producer.monitoring.metrics_server import serve_metrics

    settings = get_settings()
    serve_metrics(settings, address, port or settings.metrics_port)


def main() -> None:
    """Runs the command line; what a user can cause is a line, not a traceback."""
    sys.exit(exit_code_after(_run))


def _run() -> int | None:
    try:
        answer: int | None = cli(standalone_mode=False)
        return answer
    except typer.Abort:
        return ExitCode.NOT_FINISHED
    except Exception as error:
        show = getattr(error, "show", None)  # typer's own usage errors
        if show is None:
            raise
        show()
        return ExitCode.WRONG_USAGE
