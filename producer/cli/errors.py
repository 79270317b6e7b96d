"""Turns errors into an exit code and one line on standard error: what happened, and which command to type next."""

import errno
from collections.abc import Callable

from producer.console.terminal import say
from shared.config.exit_codes import ExitCode
from shared.config.standard_streams import discard_standard_output
from shared.domain.errors import (
    FaceQueueError,
    InvalidRequest,
    JobNotFound,
    NotFinished,
    RecordUnreadable,
    ServerError,
    ServerUnreachable,
)

_INTERRUPTED = 130  # typer's exit code after a KeyboardInterrupt
_PATH_SHOWN = 100


def exit_code_of(error: FaceQueueError) -> ExitCode:
    """The exit code of an error."""
    if isinstance(error, InvalidRequest):
        return ExitCode.WRONG_USAGE
    if isinstance(error, NotFinished | ServerError):
        return ExitCode.NOT_FINISHED
    return ExitCode.UNFORESEEN


def next_step(error: FaceQueueError) -> str:
    """The command to type next, with a space before it; empty if the message already says what to do."""
    # Imported here, since `--help` needs none of them.
    from producer.cli.resume_command import command_to_resume, is_of_run
    from producer.monitoring.job_watcher import JobNotServed, NoWorkers, ResultsNotWritten
    from producer.submission.abandoned_jobs import ProducerGone
    from producer.submission.folders import FolderOutsideDataRoot
    from producer.submission.heartbeat import AnotherProducer
    from producer.submission.jobs import JobExists
    from producer.submission.list_source import PathsOutside

    match error:
        case JobNotFound():
            return " `python -m producer jobs` lists the jobs."
        case RecordUnreadable():
            return f" `python -m producer cancel {error.job}` removes it."
        case ServerUnreachable():
            return (
                " Start one (`docker compose up redis`), or set REDIS_URL. Or use `python -m producer run`, "
                "which starts its own."
            )
        case ResultsNotWritten() if "ancel the job" in str(error):  # nothing can be aggregated again
            return f" `python -m producer cancel {error.job}` cancels it."
        case ResultsNotWritten():
            return f" Then run `python -m producer aggregate {error.job}`, or repeat the same `run`."
        case NoWorkers():
            return (
                " Start one (`python -m worker`, or `docker compose up worker`), then "
                f"`python -m producer watch {error.job}`."
            )
        case JobNotServed():
            return f" Then `python -m producer watch {error.job}`."
        case AnotherProducer():
            return (
                f" `python -m producer watch {error.job}` follows it. To continue from here, stop that producer and "
                "repeat the command; `enqueue DIR --new` makes another job of the same folder."
            )
        case ProducerGone():
            where = ", and with its --results if it had one" if is_of_run(error.of) else ""
            return f" On that machine{where}, `{command_to_resume(error.of)}` resumes it."
        case JobExists():
            freed = "" if error.of_run else f", or free the name with `python -m producer cancel {error.job}`"
            return f" Choose another --job{freed}."
        case FolderOutsideDataRoot():
            return " Or use `python -m producer run`."
        case PathsOutside():
            return " `run / --files LIST` takes paths from anywhere on this machine."
    return ""


def exit_code_after(command: Callable[[], int | None]) -> int:
    """Runs a command and returns its exit code. A FaceQueueError is one line; a defect keeps its traceback."""
    try:
        code = command()
        if code == _INTERRUPTED:
            raise KeyboardInterrupt
        return int(code or ExitCode.FINISHED)
    except FaceQueueError as error:
        say(f"producer: {error}{next_step(error)}")
        return exit_code_of(error)
    except KeyboardInterrupt:
        say("producer: interrupted. Nothing is lost: repeat the command to resume.")
        return ExitCode.NOT_FINISHED
    except OSError as error:
        if error.errno == errno.ENOSPC:
            discard_standard_output()
            say(
                f"producer: {error.filename or 'Standard output'} cannot be written: {error.strerror}. Free some space."
            )
            return ExitCode.UNFORESEEN
        if error.errno != errno.ENAMETOOLONG:
            raise
        say(f"producer: A path is too long for this system: {str(error.filename)[:_PATH_SHOWN]}... Give a shorter one.")
        return ExitCode.WRONG_USAGE
