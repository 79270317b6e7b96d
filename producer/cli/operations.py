"""Commands that watch workers and the server, or prepare for a job."""

from pathlib import Path
from typing import Annotated

import typer

from producer.cli.options import Address, port_option
from producer.cli.session import open_session
from producer.console.terminal import say
from shared.config.exit_codes import ExitCode
from shared.config.settings import load_settings


def workers(
    once: Annotated[bool, typer.Option("--once", help="Print the table once, even on a terminal.")] = False,
) -> None:
    """Show the live workers and what they are doing; on a terminal, every second until Ctrl-C."""
    from producer.console.worker_table import show_workers

    session = open_session()
    show_workers(session.client, session.settings, once=once)


def dead_letters(
    clear: Annotated[bool, typer.Option("--clear", help="Forget the messages after listing them.")] = False,
) -> None:
    """List the messages that workers refused, with the reason."""
    from producer.console.tables import print_dead_letters
    from shared.store.dead_letters import clear_dead_letters, list_dead_letters
    from shared.store.redis_client import explain_server_errors

    session = open_session()
    with explain_server_errors(session.settings):
        print_dead_letters(list_dead_letters(session.client))
        if clear:
            say(f"Forgotten: {clear_dead_letters(session.client)}")


def cache(
    clear: Annotated[bool, typer.Option("--clear", help="Remove all results from it.")] = False,
) -> None:
    """Show the results of images that `run` keeps on this disk, by the options they were computed with."""
    from producer.local.disk_cache import clear_disk_cache, describe_disk_cache

    settings = load_settings()
    if clear:
        print(clear_disk_cache(settings, say))
        return
    for line in describe_disk_cache(settings, say):
        print(line)


def doctor() -> None:
    """Check the server, workers, weights, data root, allowed URLs and results folder."""
    from producer.monitoring.doctor import examine

    findings = examine(load_settings())
    for finding in findings:
        print(finding)
    raise typer.Exit(ExitCode.FINISHED if all(finding.good for finding in findings) else ExitCode.NOT_FINISHED)


def flower(
    port: Annotated[int | None, port_option("FACEQUEUE_FLOWER_PORT")] = None, address: Address = "127.0.0.1"
) -> None:
    """Start Flower, which shows tasks and workers in the browser."""
    from producer.monitoring.flower import serve

    settings = open_session().settings
    serve(settings, address, port or settings.flower_port)


def metrics(
    port: Annotated[int | None, port_option("FACEQUEUE_METRICS_PORT")] = None, address: Address = "127.0.0.1"
) -> None:
    """Serve metrics of queues, jobs and workers for Prometheus."""
    from producer.monitoring.metrics_server import serve_metrics

    settings = load_settings()
    serve_metrics(settings, address, port or settings.metrics_port)


def page(
    port: Annotated[int | None, port_option("FACEQUEUE_PAGE_PORT")] = None,
    address: Address = "127.0.0.1",
    listening: Annotated[int | None, typer.Option(hidden=True, help="A socket that listens already.")] = None,
    parent_pid: Annotated[int | None, typer.Option(hidden=True, help="End when this parent process does.")] = None,
) -> None:
    """Serve a page that shows jobs, workers and reports in the browser, and changes nothing."""
    from producer.page.server import serve_page

    settings = load_settings()
    serve_page(settings, address, port or settings.page_port, listening=listening, parent_pid=parent_pid)


def sample(folder: Annotated[Path, typer.Argument(help="The folder to write.", show_default=False)]) -> None:
    """Write a sample folder: two people, pictures without people, a damaged file."""
    from producer.sample_images import write_sample

    print(f"{len(write_sample(folder))} files in {folder}")
