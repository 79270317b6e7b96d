"""`python -m worker` starts a worker for both queues; `python -m worker fetch-weights NAME` fetches weights."""

import logging
import os
import socket
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from shared.config.command_line import Command, CommandGroup
from shared.config.exit_codes import ExitCode
from shared.config.settings import Settings, load_settings
from shared.config.standard_streams import open_standard_streams
from shared.domain.contract import Precision
from shared.domain.errors import ContractError, FaceQueueError, InvalidRequest, WeightsError
from shared.domain.queues import AGGREGATE, EMBED
from shared.tracing.absence import leave_out_metrics

_PROBE_S = 3.0
"""How long the readiness probe waits for a connection, and for an answer."""

cli = typer.Typer(
    cls=CommandGroup,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Start and inspect workers of facequeue.",
)


@cli.callback(invoke_without_command=True)
def serve(
    context: typer.Context,
    queues: Annotated[
        str, typer.Option(help="Queues to serve: `embed`, `aggregate` or both, separated by a comma.")
    ] = "embed,aggregate",
    concurrency: Annotated[
        int, typer.Option(help="Number of child processes; 0: one for each usable core.", min=0)
    ] = 0,
    device: Annotated[
        str | None,
        typer.Option(
            help="Device for the networks: cpu, cuda or cuda:N. cuda needs the torch backend.",
            show_default="FACEQUEUE_DEVICE",
        ),
    ] = None,
    parent_pid: Annotated[int, typer.Option(hidden=True)] = 0,
) -> None:
    """Serve the queues until stopped."""
    settings = load_settings(device=device)
    context.obj = settings
    if context.invoked_subcommand is not None:
        return
    names = {EMBED: settings.embed_queue, AGGREGATE: settings.aggregate_queue}
    wanted = [queue.strip() for queue in queues.split(",") if queue.strip()]
    unknown = [queue for queue in wanted if queue not in names]
    if unknown or not wanted:
        raise InvalidRequest(f"Unknown queue '{', '.join(unknown)}': there are `embed` and `aggregate`.")
    if parent_pid:
        threading.Thread(target=_stop_with_parent, args=(parent_pid,), daemon=True).start()

    # An error here ends the command with one line. In the pool, Celery would restart the failed process forever.
    if EMBED in wanted:  # a worker that only aggregates needs no device
        from worker.models.digest_check import begin_check
        from worker.models.runtime import check_device

        check_device(settings)
        begin_check(settings)  # while the rest is imported

    from shared.domain.cpu_limits import usable_cores
    from worker.app import make_worker

    processes = concurrency or settings.concurrency or usable_cores()
    # Not by Celery's command line, which imports all of its commands, and those of Flower.
    worker = make_worker(settings).Worker(
        concurrency=processes,
        hostname=f"worker-{os.getpid()}@{socket.gethostname()}",
        queues=[names[queue] for queue in wanted],
        loglevel=logging.INFO,
        quiet=settings.log_format == "json",  # no banner
        without_mingle=True,
        without_gossip=True,
        task_events=True,
    )
    worker.start()
    raise typer.Exit(worker.exitcode or 0)


def _stop_with_parent(parent_pid: int) -> None:
    """Ends this worker when the process that started it has ended, for whatever reason."""
    while os.getppid() == parent_pid:
        time.sleep(0.5)
    os.kill(os.getpid(), 15)


@cli.command(cls=Command)
def alive(
    context: typer.Context,
    max_age: Annotated[float, typer.Option(help="Age in seconds of a heartbeat that still counts.", min=1)] = 60,
) -> None:
    """Exit with 0 if the worker's main process is running. Asks no server (for liveness probes)."""
    from worker.supervision.heartbeat_file import age_s

    file = context.obj.heartbeat_file
    if file is None:
        raise InvalidRequest("Set FACEQUEUE_HEARTBEAT_FILE, for this command and for the worker.")
    age = age_s(file)
    if age is None:
        raise FaceQueueError(f"{file} has no heartbeat: the worker has not loaded its networks yet, or does not run.")
    if age > max_age:
        raise FaceQueueError(f"The last heartbeat in {file} is {age:.0f} s old: the worker's main process hangs.")


@cli.command(cls=Command)
def ready(context: typer.Context) -> None:
    """Exit with 0 if a worker on this host has its networks loaded and reaches the server (for readiness probes)."""
    from shared.store.redis_client import connect, explain_server_errors
    from shared.store.worker_registry import living_workers

    settings: Settings = context.obj
    with explain_server_errors(settings):
        workers = living_workers(
            connect(settings, read_timeout_s=_PROBE_S, connect_timeout_s=_PROBE_S, retries=0)  # a probe is repeated
        )
    here = [worker for worker in workers if worker.name.endswith(f"@{socket.gethostname()}")]
    if not here:
        raise FaceQueueError(
            f"No worker on this host ({socket.gethostname()}) has announced itself to the server: it starts, or does "
            "not run."
        )
    # A worker that only aggregates needs no networks.
    if not any(settings.embed_queue not in w.queues or w.resources.get("models_loaded") for w in here):
        raise FaceQueueError(f"The worker {here[0].name} has not loaded its networks yet.")


@cli.command(cls=Command)
def supports(
    context: typer.Context,
    precision: Annotated[Precision, typer.Argument(help="A precision of the embedder.", show_default=False)],
) -> None:
    """Exit with 0 if a worker on this machine can compute in this precision; otherwise say why it cannot."""
    from worker.models.precision import check_precision

    try:
        check_precision(precision, context.obj)
    except ContractError as error:
        raise InvalidRequest(f"{error}.") from None
    print(f"Workers on this machine can compute in {precision}.")


@cli.command("check-model", cls=Command)
def check_model(
    context: typer.Context,
    model: Annotated[Path, typer.Argument(help="An ONNX file with its description (.toml) beside it.")],
    sha256: Annotated[str, typer.Argument(help="The SHA-256 that it has to have.", show_default="any")] = "",
) -> None:
    """Convert a model of your own, and exit with 0 if workers on this machine can use it; otherwise say why not."""
    from shared.domain.embedder_files import read_embedder
    from shared.domain.file_digests import file_sha256
    from worker.models.backend import choose_backend
    from worker.models.compiled_networks import compile_for_here
    from worker.models.loader import load_networks
    from worker.models.weights_store import prepare

    embedder = read_embedder(model)
    settings = context.obj.model_copy(update={"weights_path": model})
    try:
        digest, backend = sha256 or file_sha256(model), choose_backend(settings)
        compile_for_here(prepare(embedder.name, digest, backend, settings), backend, settings)
        load_networks(embedder.name, digest, settings, 1, embedder=embedder)
    except WeightsError as error:
        raise InvalidRequest(str(error)) from None
    except ContractError as error:
        raise InvalidRequest(f"The model {model} does not fit {model.with_suffix('.toml').name}: {error}.") from None
    except OSError as error:
        raise InvalidRequest(f"The model {model} cannot be read: {error.strerror}.") from None
    print(f"Workers on this machine can use {model}: {embedder.dimensions} values a face.")


@cli.command("fetch-weights", cls=Command)
def fetch_weights(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="`casia-webface`, `vggface2`, `sface`, or `own-STEM` for your STEM.pt.")],
    sha256: Annotated[str, typer.Option(help="SHA-256 of weights of your own.")] = "",
    compile_too: Annotated[
        bool, typer.Option("--compile", help="Also compile the networks for this processor: workers load them faster.")
    ] = False,
) -> None:
    """Fetch and convert weights now, instead of at first use."""
    import re

    from shared.domain.contract import KNOWN_WEIGHTS, SHA256_PATTERN, WEIGHTS_NAME_PATTERN
    from worker.models.backend import choose_backend
    from worker.models.compiled_networks import compile_for_here
    from worker.models.weights_store import prepare

    if not re.fullmatch(WEIGHTS_NAME_PATTERN, name):
        raise InvalidRequest(
            f"{name!r} cannot name weights: use up to 100 letters, digits, '.', '_' and '-', and start with a letter "
            "or digit."
        )
    wanted = sha256 or KNOWN_WEIGHTS.get(name, "")
    if not wanted:
        raise InvalidRequest(
            f"'{name}' is not one of {', '.join(KNOWN_WEIGHTS)}: give --sha256 and FACEQUEUE_WEIGHTS_PATH."
        )
    if not re.fullmatch(SHA256_PATTERN, wanted):
        raise InvalidRequest(
            f"--sha256 {wanted!r} is not a SHA-256: give the 64 digits (0-9, a-f) that `sha256sum` prints."
        )
    settings: Settings = context.obj
    backend = choose_backend(settings)
    folder = prepare(name, wanted, backend, settings)
    if compile_too:
        compile_for_here(folder, backend, settings)
    print(folder)


def main() -> NoReturn:
    """Runs the command line. An error that a user can cause is printed as one line."""
    open_standard_streams()
    leave_out_metrics()
    if "--wait-for-order" in sys.argv:
        from worker.models.digest_check import begin_check
        from worker.order import wait_for_order

        with suppress(FaceQueueError):  # reported when the order is carried out
            begin_check(load_settings())
        wait_for_order()
    try:
        cli(standalone_mode=True)
    except FaceQueueError as error:
        print(f"worker: {error}", file=sys.stderr)
        sys.exit(ExitCode.WRONG_USAGE if isinstance(error, InvalidRequest) else ExitCode.UNFORESEEN)
    sys.exit(ExitCode.FINISHED)


if __name__ == "__main__":
    main()
