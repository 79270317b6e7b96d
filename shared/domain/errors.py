"""Errors that one line can explain. The command lines decide on the exit code and the next command."""


class FaceQueueError(Exception):
    """An error that one line can explain; the message says what happened and what has to change."""


class InvalidRequest(FaceQueueError):
    """The request cannot be fulfilled as it is."""


class NotFinished(FaceQueueError):
    """The work stopped before its end; the same request resumes it."""


# Jobs and their records


class JobNotFound(InvalidRequest):
    """The server has no job of this name."""

    def __init__(self, job: str) -> None:
        super().__init__(f"No job '{job}' on this server.")
        self.job = job


class RecordUnreadable(InvalidRequest):
    """A job's record is damaged, or another version of facequeue wrote it."""

    def __init__(self, job: str, reason: str) -> None:
        super().__init__(f"The record of job '{job}' cannot be read: {reason}.")
        self.job = job


class JobNotRetryable(InvalidRequest):
    """A job has no failed images that can be retried now."""


class FailedListUnreadable(InvalidRequest):
    """Only the results folder lists a job's failed images, and this machine cannot read it."""


class JobGone(NotFinished):
    """A job was cancelled or sealed while a producer was still adding to it."""


class ProducerReplaced(NotFinished):
    """Another producer has taken over the job."""

    def __init__(self, job: str) -> None:
        super().__init__(f"Another producer has taken over job '{job}', so this one stops.")


class BlockMissing(NotFinished):
    """A finished block of a job is no longer on the server."""


# The server


class ServerError(FaceQueueError):
    """The Redis server does not answer or refuses to work."""


class ServerUnreachable(ServerError):
    """Nothing answers at the server's address."""


# Settings, names and paths


class InvalidSetting(InvalidRequest):
    """A setting has an invalid value."""


class InvalidJobName(InvalidRequest):
    """The name cannot name a job."""


class OutsideDataRoot(FaceQueueError):
    """A path leads out of the data root."""


class LinkedFolder(OutsideDataRoot):
    """A path is a link to a folder, and the walk does not follow those."""

    def __init__(self) -> None:
        super().__init__("a link to a folder, and these are not followed")


# What a worker cannot do


class WeightsError(FaceQueueError):
    """Model weights are missing, damaged or not the requested ones."""


class ContractError(FaceQueueError):
    """This worker cannot produce the embeddings that a job asks for."""


class FolderMissing(FaceQueueError):
    """A job's images are not in this worker's data root. Another worker may have them."""


class LocationUnavailable(FaceQueueError):
    """The URL prefix of a job's images cannot be read from here, or may not be. Another worker may be able to."""


class BadMessage(FaceQueueError):
    """A message in the queue is not from facequeue, or not from this version."""


# Results


class ResultsError(FaceQueueError):
    """A results folder cannot be read or written."""
