"""Errors become exit codes and a line on standard error: what happened, and which command to type next."""

import errno
import sys
from collections.abc import Callable
from enum import IntEnum

from shared.domain.errors import (
    FaceQueueError,
    JobNotFound,
    NotFinished,
    RecordUnreadable,
    ServerError,
    ServerUnreachable,
    WrongUsage,
)

_INTERRUPTED = 130  # what typer makes of a KeyboardInterrupt
_PATH_SHOWN = 100


class ExitCode(IntEnum):
    """What the command line answers. docs/cli.md lists them."""

    FINISHED = 0
    """Finished; every file is ok, no_face or skipped."""
    UNFORESEEN = 1
    """Anything unforeseen."""
    WRONG_USAGE = 2
    """No such folder, empty folder, unknown job, other settings under the same name."""
    SOME_FAILED = 3
    """Finished; some images failed, and images.csv lists them."""
    NOT_FINISHED = 4
    """Interrupted, cancelled, no server, no worker or no producer within the stated time."""


def exit_code_of(error: FaceQueueError) -> ExitCode:
    """The exit code for an error that a line explains."""
    if isinstance(error, WrongUsage):
        return ExitCode.WRONG_USAGE
    if isinstance(error, NotFinished | ServerError):
        return ExitCode.NOT_FINISHED
    return ExitCode.UNFORESEEN


def next_step(error: FaceQueueError) -> str:
    """The command to type next, with a space before it; empty where the message says all there is to do."""
    # Here, as `--help` needs none of them.
    from producer.monitoring.job_watcher import JobNotServed, NoWorkers, ResultsNotWritten
    from producer.submission.heartbeat import AnotherProducer
    from producer.submission.resume_command import ProducerGone, command_to_go_on, is_of_run

    match error:
        case JobNotFound():
            return " `python -m producer jobs` lists them."
        case RecordUnreadable():
            return f" `python -m producer cancel {error.job}` removes it."
        case ServerUnreachable():
            return " Or use `python -m producer run`, which brings its own."
        case ResultsNotWritten():
            return f" Then `python -m producer aggregate {error.job}`, or the same `run` again."
        case NoWorkers():
            return (
                " Start one (`python -m worker`, or `docker compose up worker`), then "
                f"`python -m producer watch {error.job}`."
            )
        case JobNotServed():
            return f" Then `python -m producer watch {error.job}`."
        case AnotherProducer():
            return (
                f" `python -m producer watch {error.job}` follows it. To go on from here, stop that producer first, then repeat "
                "the command; `enqueue DIR --new` makes another job of the same folder."
            )
        case ProducerGone():
            where = ", and with its --results where it had one" if is_of_run(error.of) else ""
            return f" On that machine{where}, `{command_to_go_on(error.of)}` goes on."
    return ""


def say_error(line: str) -> None:
    """Prints a line on standard error."""
    print(f"producer: {line}", file=sys.stderr, flush=True)


def exit_code_after(command: Callable[[], int | None]) -> int:
    """Runs a command; what a user can cause is a line and an exit code, anything else keeps its traceback."""
    try:
        code = command()
        if code == _INTERRUPTED:
            raise KeyboardInterrupt
        return int(code or ExitCode.FINISHED)
    except FaceQueueError as error:
        say_error(f"{error}{next_step(error)}")
        return exit_code_of(error)
    except KeyboardInterrupt:
        say_error("interrupted. Nothing is lost: repeat the command to go on.")
        return ExitCode.NOT_FINISHED
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        say_error(f"A path is too long for this system: {str(error.filename)[:_PATH_SHOWN]}... Give a shorter one.")
        return ExitCode.WRONG_USAGE
