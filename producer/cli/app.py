"""The command line: `python -m producer COMMAND`, or `facequeue COMMAND`."""

import gc
import sys
from itertools import pairwise

import typer

from producer.cli import jobs, operations, results
from producer.cli.errors import exit_code_after
from producer.cli.export import export
from shared.config.command_line import Command, CommandGroup
from shared.config.exit_codes import ExitCode
from shared.domain.errors import InvalidRequest

_COMMANDS = {
    "Jobs": (
        jobs.run,
        jobs.enqueue,
        jobs.watch,
        jobs.status,
        jobs.jobs,
        jobs.cancel,
        jobs.retry,
        jobs.prioritize,
        jobs.aggregate,
    ),
    "Results": (results.report, results.neighbors, results.groups, export),
    "Operation": (
        operations.workers,
        operations.dead_letters,
        operations.cache,
        operations.doctor,
        operations.flower,
        operations.metrics,
        operations.page,
        operations.sample,
    ),
}

cli = typer.Typer(
    cls=CommandGroup,
    add_completion=False,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    help="Turns a folder of photos into face embeddings and a pairwise distance matrix.",
    epilog="Exit codes: 0 finished; 1 other error; 2 wrong usage; 3 finished, some images failed; 4 not finished.",
)
for _panel, _functions in _COMMANDS.items():
    for _function in _functions:
        cli.command(cls=Command, rich_help_panel=_panel)(_function)


def main() -> None:
    """Runs the command line and exits; an error that a user can cause is one line, not a traceback."""
    code = exit_code_after(_run)
    gc.freeze()  # otherwise Python collects all objects before it ends, which takes 0.1 s
    # If a signal has interrupted a module that executes text, Python ends with that signal, unless it executes another.
    exec("")  # noqa: S102
    sys.exit(code)


def _refuse_empty(arguments: list[str]) -> None:
    """InvalidRequest if an argument is empty: as a path it would be the current folder, and it is never meant."""
    for before, argument in pairwise(["", *arguments]):
        option, _, value = argument.partition("=")
        if not argument or (option.startswith("--") and option != argument and not value):
            name = option or (before if before.startswith("-") else "An argument")
            raise InvalidRequest(f"{name} is empty. Is a variable of the shell not set?")


def _run() -> int | None:
    _refuse_empty(sys.argv[1:])
    try:
        answer: int | None = cli(standalone_mode=False)
        return answer
    except typer.Abort:
        return ExitCode.NOT_FINISHED
    except Exception as error:
        show = getattr(error, "show", None)  # typer's own usage errors have it
        if show is None:
            raise
        show()
        return ExitCode.WRONG_USAGE
