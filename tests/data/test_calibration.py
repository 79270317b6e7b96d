"""The calibration of the threshold, measured again on LFW View 1 (too slow for `make test`; CI runs it)."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.all_pairs import FALSE_RATES, Crops, embed, find_crops
from benchmarks.verification_rates import AllPairs
from shared.analysis.calibration import FALSE_ACCEPTS, FALSE_PAIRS_MEASURED, NEAR_DUPLICATE, SAME_PERSON, TRUE_ACCEPTS
from shared.config.settings import Settings
from shared.domain.contract import KNOWN_WEIGHTS
from tests.support.processor import needs_bf16
from worker.models.loader import load_networks
from worker.vision.pipeline import Networks

Found = tuple[Crops, NDArray[np.intp]]


@pytest.fixture(scope="module")
def found(photographs: Path, networks: Networks) -> Found:
    """The crops of View 1's images, and whose they are."""
    paths = sorted((photographs / "lfw-view1" / "images").glob("*/*"))
    return find_crops(paths, ["largest"], 32, networks)["largest"]


@pytest.fixture(scope="module")
def pairs(found: Found, networks: Networks) -> AllPairs:
    """All pairs of View 1, in float32."""
    return AllPairs(embed(found[0], networks), found[1])


@pytest.mark.data
@pytest.mark.timeout(900)
def test_the_constants_are_what_is_measured(pairs: AllPairs) -> None:
    """Rates and intervals; another processor may move a few pairs across a distance."""
    for row in FALSE_ACCEPTS:
        share = pairs.false_accepts(row.distance)
        assert share.pairs == FALSE_PAIRS_MEASURED
        measured = (share.rate, share.by_people.low, share.by_people.high)
        assert measured == pytest.approx((row.rate, row.low, row.high), rel=0.05, abs=2e-6)
    assert pairs.true_accepts(SAME_PERSON).rate == pytest.approx(TRUE_ACCEPTS, abs=0.003)
    assert pairs.true_accepts(NEAR_DUPLICATE).within == pairs.false_accepts(NEAR_DUPLICATE).within == 0


@needs_bf16
@pytest.mark.data
@pytest.mark.timeout(900)
def test_bfloat16_is_as_accurate(found: Found, pairs: AllPairs, networks: Networks) -> None:
    """True accepts within the interval of float32 at every rate, false accepts at every distance."""
    name = "casia-webface"
    bf16 = load_networks(name, KNOWN_WEIGHTS[name], Settings(_env_file=None), 1, "bf16")
    half = AllPairs(embed(found[0], bf16), found[1])
    for rate in FALSE_RATES:
        interval = pairs.true_accepts(pairs.distance_at(rate)).by_people
        assert interval.low <= half.true_accepts(half.distance_at(rate)).rate <= interval.high
    for row in FALSE_ACCEPTS:
        assert row.low <= half.false_accepts(row.distance).rate <= row.high
