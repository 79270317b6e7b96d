"""The calibrations of thresholds, measured again on LFW View 1 (too slow for `make test`; CI runs it)."""

from pathlib import Path

import pytest

from benchmarks.all_pairs import FALSE_RATES
from benchmarks.labeled_faces import LabeledFace, embed_faces, find_faces, labeled_images, people_of
from benchmarks.model_choice import choose_model
from benchmarks.verification_rates import AllPairs
from shared.analysis.calibration import CALIBRATIONS, FALSE_PAIRS_MEASURED, NEAR_DUPLICATE, Calibration
from tests.support.processor import needs_bf16
from worker.vision.pipeline import Networks


@pytest.fixture(scope="module")
def faces(photographs: Path, networks: Networks) -> list[LabeledFace]:
    """View 1's faces, and the people in them."""
    return find_faces(labeled_images(photographs / "lfw-view1" / "images"), ["largest"], networks)["largest"]


@pytest.mark.data
@pytest.mark.timeout(900)
@pytest.mark.parametrize("known", CALIBRATIONS, ids=lambda known: known.contract.model)
def test_the_constants_are_what_is_measured(known: Calibration, faces: list[LabeledFace]) -> None:
    """Rates and intervals are those in the code. Another processor may move a few pairs across a threshold."""
    networks = choose_model(known.contract.model).load(1)
    pairs = AllPairs(embed_faces(faces, known.contract, networks).embeddings, people_of(faces))
    for row in known.false_accepts:
        share = pairs.false_accepts(row.distance)
        assert share.pairs == FALSE_PAIRS_MEASURED
        measured = (share.rate, share.by_people.low, share.by_people.high)
        assert measured == pytest.approx((row.rate, row.low, row.high), rel=0.05, abs=2e-6)
    assert pairs.true_accepts(known.same_person).rate == pytest.approx(known.true_accepts, abs=0.003)
    assert pairs.true_accepts(NEAR_DUPLICATE).within == pairs.false_accepts(NEAR_DUPLICATE).within == 0


@needs_bf16
@pytest.mark.data
@pytest.mark.timeout(900)
def test_bfloat16_is_as_accurate(faces: list[LabeledFace], networks: Networks) -> None:
    """True accepts within the interval of float32 at every rate, false accepts at every distance."""
    people, half = people_of(faces), choose_model("facenet", precision="bf16")
    known = CALIBRATIONS[0]
    pairs, rounded = (
        AllPairs(embed_faces(faces, known.contract, of).embeddings, people) for of in (networks, half.load(1))
    )
    for rate in FALSE_RATES:
        interval = pairs.true_accepts(pairs.distance_at(rate)).by_people
        assert interval.low <= rounded.true_accepts(rounded.distance_at(rate)).rate <= interval.high
    for row in known.false_accepts:
        assert row.low <= rounded.false_accepts(row.distance).rate <= row.high
