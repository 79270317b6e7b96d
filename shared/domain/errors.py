"""What can go wrong in a way that a line explains. Which exit code and which next command follow is the command line's affair."""


class FaceQueueError(Exception):
    """Something went wrong that a line can explain; the message says what happened and what has to change."""


class WrongUsage(FaceQueueError):
    """What was asked for cannot be."""


class NotFinished(FaceQueueError):
    """The work was left before its end; whoever asks again goes on with it."""


# Jobs and their records


class JobNotFound(WrongUsage):
    """There is no job of this name on the server."""

    def __init__(self, job: str) -> None:
        super().__init__(f"No job '{job}' on this server.")
        self.job = job


class RecordUnreadable(WrongUsage):
    """A job's record is damaged, or of another version."""

    def __init__(self, job: str, reason: str) -> None:
        super().__init__(f"The record of job '{job}' cannot be read: {reason}.")
        self.job = job


class JobNotRetryable(WrongUsage):
    """A job has no failed images that could be tried again now."""


class FailedListUnreadable(WrongUsage):
    """Only the results folder lists a job's failed images, and it cannot be read here."""


class JobGone(NotFinished):
    """A job was cancelled, or takes no more images, while somebody worked for it."""


class ProducerReplaced(NotFinished):
    """Another producer has taken over the job."""

    def __init__(self, job: str) -> None:
        super().__init__(f"Another producer has taken over job '{job}'; this one stops.")


class BlockMissing(NotFinished):
    """A finished block of a job is not on the server any more."""


# The server


class ServerError(FaceQueueError):
    """The Redis server does not answer or refuses to work."""


class ServerUnreachable(ServerError):
    """Nothing answers at the server's address."""


# Settings, names and paths


class InvalidSetting(WrongUsage):
    """A setting has a value that it cannot have."""


class InvalidJobName(WrongUsage):
    """A name that no job can have."""


class OutsideDataRoot(FaceQueueError):
    """A path leads out of the data root."""


class LinkedFolder(OutsideDataRoot):
    """A link to a folder, which the walk does not follow."""

    def __init__(self) -> None:
        super().__init__("a link to a folder, and these are not followed")


# What a worker cannot do


class WeightsError(FaceQueueError):
    """Model weights are missing, damaged or not the ones asked for."""


class ContractError(FaceQueueError):
    """This worker cannot produce the embeddings that a job asks for."""


class FolderMissing(FaceQueueError):
    """A job's images are not in this worker's data root, where another worker may have them."""


class BadMessage(FaceQueueError):
    """A message in the queue is not one of ours, or not of this version."""


# Results


class ResultsError(FaceQueueError):
    """A results folder cannot be read or written."""
