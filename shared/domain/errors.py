"""What can go wrong in a way the user can mend, and the exit codes of the command line."""

from enum import IntEnum


class ExitCode(IntEnum):
    """What the command line answers. The README lists them."""

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


class FaceQueueError(Exception):
    """Something went wrong that a line can explain; the message says what happened and what to do next."""

    exit_code = ExitCode.UNFORESEEN


class WrongUsage(FaceQueueError):
    """The command asks for something that cannot be."""

    exit_code = ExitCode.WRONG_USAGE


class NotFinished(FaceQueueError):
    """The work was left before its end; the same command goes on with it."""

    exit_code = ExitCode.NOT_FINISHED


class ServerError(NotFinished):
    """The Redis server does not answer or refuses to work."""


class WeightsError(FaceQueueError):
    """Model weights are missing, damaged or not the ones asked for."""


class ContractError(FaceQueueError):
    """This worker cannot produce the embeddings that a job asks for."""


class FolderMissing(FaceQueueError):
    """A job's images are not in this worker's data root, where another worker may have them."""


class BadMessage(FaceQueueError):
    """A message in the queue is not one of ours, or not of this version."""


class OutsideDataRoot(FaceQueueError):
    """A path leads out of the data root."""


class LinkedFolder(OutsideDataRoot):
    """A link to a folder, which the walk does not follow."""

    def __init__(self) -> None:
        super().__init__("a link to a folder, and these are not followed")


class ResultsError(FaceQueueError):
    """A results folder cannot be read or written."""
