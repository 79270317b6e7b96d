"""What is counted for monitoring: totals over all jobs in one hash, raised in the same step that commits a batch.

So they agree with the jobs' own counts, and stay when jobs are finished, pruned or expired. Whole numbers only, which
add up without rounding: time is in microseconds. Fields: `images:<outcome>`, `faces`, `<stage>:us`, and
`<stage>:<bound>` for the images whose stage took at most `<bound>` seconds, but longer than the bound before.
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
    """What a batch adds to the totals; `spent_ms` has a stage's milliseconds for each image.

    A stage that took no time was not run: the file was unreadable, or its result was known from a copy.
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
    """The totals as they stood when they were read."""

    def __init__(self, counts: Mapping[str, int]) -> None:
        self._counts = counts

    @classmethod
    def read(cls, client: Client) -> "Totals":
        """From the server."""
        found = client.hgetall(METRICS)
        # What is none of ours must not end the scrape.
        return cls({field.decode("utf-8", "replace"): int(n) for field, n in found.items() if _WHOLE.fullmatch(n)})

    @property
    def faces(self) -> int:
        """Faces embedded."""
        return self._counts.get("faces", 0)

    def images(self) -> dict[str, int]:
        """Images by outcome, all outcomes."""
        return {outcome.value: self._counts.get(f"images:{outcome}", 0) for outcome in Outcome}

    def seconds(self, stage: str) -> float:
        """Time spent in a stage, summed over images."""
        return self._counts.get(f"{stage}:us", 0) / 1e6

    def buckets(self, stage: str) -> list[tuple[str, int]]:
        """For each bound, how many images' stage took at most so long."""
        found, sum_so_far = [], 0
        for bound in BOUNDS:
            sum_so_far += self._counts.get(f"{stage}:{bound}", 0)
            found.append((bound, sum_so_far))
        return found
