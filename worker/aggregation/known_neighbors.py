"""The neighbors that a job's earlier results have, for an update of them."""

from pathlib import Path
from typing import Any

from shared.analysis.calibration import same_person_threshold
from shared.analysis.candidates import wanted_of
from shared.analysis.copies import find_copies, places_among
from shared.analysis.neighbor_update import Earlier, NeighborUpdate
from shared.domain.arrays import Float32
from shared.domain.job import Job
from shared.results.distance_tiles import arithmetic
from shared.results.files import map_array, read_json
from shared.results.neighbors_file import read_neighbors
from shared.results.schema import EMBEDDINGS, NEIGHBORS, SUMMARY


def describe_neighbors(job: Job) -> dict[str, Any]:
    """What a job's neighbors depend on, besides the embeddings."""
    threshold = same_person_threshold(job.contract.as_dict())
    return {"count": job.options.neighbors, "within": threshold, "arithmetic": arithmetic()}


def takes_earlier_rows(job: Job) -> bool:
    """Whether a job takes images from the results that it had before."""
    return job.options.update or job.retries > 0


def neighbor_update(job: Job, distinct: Float32, earlier: Path) -> NeighborUpdate | None:
    """The update of the neighbors in the results folder `earlier`; None if everything is better searched anew, or must
    be: after a change of what is searched, or if those files do not fit together.

    `distinct` has the distinct embeddings now; it may be mapped from a file.
    """
    described = describe_neighbors(job)
    try:
        if read_json(earlier / SUMMARY)["neighbors"] != described:
            return None
        before: Float32 = map_array(earlier / EMBEDDINGS)
        if before.ndim != 2 or before.shape[1] != distinct.shape[1] or before.dtype != distinct.dtype:
            return None
        neighbors = read_neighbors(earlier / NEIGHBORS, len(before), compare=True)
        before_copies = find_copies(before)
        searched, wanted = (
            wanted_of(described["count"], described["within"], faces)
            for faces in (len(before_copies.first), len(distinct))
        )
        places = places_among(distinct, before, before_copies)
        update = NeighborUpdate(distinct, wanted, Earlier(neighbors, before_copies, searched, places))
        return update if update.suffices else None
    except (OSError, ValueError, LookupError, TypeError):
        return None
