"""Totals over all jobs, for monitoring: one hash, updated in the script that commits a batch.

The totals therefore agree with the jobs' own counts, and survive when jobs are finished, pruned or expired. All are
integers, which add up without rounding; time is in microseconds. Fields: `images:<outcome>`, `faces`, `<stage>:us`, and
`<stage>:<bound>` for the images whose stage took at most `<bound>` seconds, but longer than the previous bound.
"""

import re
from bisect import bisect_left
from collections.abc import Iterable, Mapping

from shared.domain.outcomes import Outcome
from shared.domain.stages import STAGES
from shared.store.keys import METRICS
from shared.store.redis_client import Client

BOUNDS = ("0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1.0", "2.5", "5.0", "10.0", "30.0", "+Inf")
"""Upper bounds of the buckets, in seconds."""
_WHOLE = re.compile(rb"\d{1,19}")
_BOUNDS_S = [float(bound) for bound in BOUNDS]


def count_batch(outcomes: Mapping[str, int], faces: int, spent_ms: Iterable[Mapping[str, float]]) -> dict[str, int]:
    """The increments of the totals for one batch. `spent_ms` has the milliseconds of each stage for each image.

    A stage that took no time did not run: the file was unreadable, or its result was cached.
    """
    added = {f"images:{outcome}": amount for outcome, amount in outcomes.items()}
    added["faces"] = faces
    for spent in spent_ms:
        for stage in STAGES:
            seconds = spent[stage] / 1000
            if seconds > 0:
                bucket = f"{stage}:{BOUNDS[bisect_left(_BOUNDS_S, seconds)]}"
                added[bucket] = added.get(bucket, 0) + 1
                added[f"{stage}:us"] = added.get(f"{stage}:us", 0) + round(seconds * 1e6)
    return added


class Totals:
    """The totals at the time they were read."""

    def __init__(self, counts: Mapping[str, int]) -> None:
        self._counts = counts

    @classmethod
    def read(cls, client: Client) -> "Totals":
        """Reads the totals from the server."""
        found = client.hgetall(METRICS)
        # An invalid field must not break the scrape.
        return cls({field.decode("utf-8", "replace"): int(n) for field, n in found.items() if _WHOLE.fullmatch(n)})

    @property
    def faces(self) -> int:
        """Number of embedded faces."""
        return self._counts.get("faces", 0)

    def images(self) -> dict[str, int]:
        """Number of images by outcome, for every outcome."""
        return {outcome.value: self._counts.get(f"images:{outcome}", 0) for outcome in Outcome}

    def seconds(self, stage: str) -> float:
        """Time spent in a stage, summed over images."""
        return self._counts.get(f"{stage}:us", 0) / 1e6

    def buckets(self, stage: str) -> list[tuple[str, int]]:
        """For each bound, the number of images whose stage took at most that many seconds."""
        found, sum_so_far = [], 0
        for bound in BOUNDS:
            sum_so_far += self._counts.get(f"{stage}:{bound}", 0)
            found.append((bound, sum_so_far))
        return found
