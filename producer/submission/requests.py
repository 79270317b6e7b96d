"""Requests of `run` and `enqueue`, and their identity."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from producer.submission.sources import Source
from shared.config.settings import Settings
from shared.domain.contract import Contract
from shared.domain.options import DEFAULT_NEIGHBORS, DEFAULT_REPORT_FACES, MOST_IMAGES, WhenDistances
from shared.domain.priority import Priority

_OBJECTS_FOR_A_FILE = 2
RUN_PREFIX = "run-"
"""Prefix of the queue names of `run`. Only the worker that it starts serves these queues."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """A request to enqueue the images of a source."""

    source: Source
    contract: Contract
    batch_size: int
    distances: WhenDistances
    neighbors: int = DEFAULT_NEIGHBORS
    """How many nearest neighbors of each face are written."""
    report: bool = True
    """Whether report.html is written."""
    report_faces: int = DEFAULT_REPORT_FACES
    """How many faces of a large report have a thumbnail."""
    model_license: str = ""
    model_origin: str = ""
    """Of a model of the user's own, in words."""
    job: str | None
    results_dir: Path | None
    """Part of the job's identity for `run`, which writes the results itself."""
    inline: bool = False
    """Whether the images are sent through the server."""
    priority: Priority | None = None
    """None: that of the unfinished job, or normal."""
    fresh: bool = False
    """Whether everything is computed, even if there are results."""
    checksum: bool = False
    """Whether an update compares the bytes of all files."""
    installation: str = ""
    """Distinguishes the `run`s of different machines that share a server."""


def images_a_batch(source: Source, settings: Settings) -> int:
    """The images of a batch, unless the user says how many. Of objects there are more than of files: the first one of
    each batch is waited for, and the longer the rest takes, the less that costs.
    """
    most = settings.batch_size * (_OBJECTS_FOR_A_FILE if source.location else 1)
    return min(most, MOST_IMAGES)


def origin_of(request: Request) -> str:
    """Fingerprint of source, settings and results folder."""
    parts = [
        request.installation,
        request.source.identity,
        request.contract.as_dict(),
        request.batch_size,
        request.distances,
        str(request.results_dir),
        *(["inline"] if request.inline else []),
        *([] if request.report else ["no report"]),
        *([] if request.neighbors == DEFAULT_NEIGHBORS else [f"{request.neighbors} neighbors"]),
    ]
    return hashlib.blake2b(json.dumps(parts, sort_keys=True).encode(), digest_size=16).hexdigest()


def queue_prefix_of(request: Request) -> str:
    """Prefix of the queues of a `run` of this source on this machine: its workers take no batches of another job."""
    origin, listing = origin_of(request), request.source.listing
    more = [*([request.job] if request.job is not None else []), *([listing.digest] if listing is not None else [])]
    if more:
        origin = hashlib.blake2b(" ".join([origin, *more]).encode(), digest_size=16).hexdigest()
    return f"{RUN_PREFIX}{origin[:12]}-"
