"""The number of false pairs to expect for a threshold."""

import math

import pytest

from shared.analysis.calibration import CALIBRATIONS, SAME_PERSON, Calibration
from shared.analysis.calibration import FACENET_CALIBRATION as FACENET
from shared.analysis.false_pairs import expect_false_pairs
from shared.analysis.strangers import expect_strangers
from shared.report.captions import calibration_note, false_pairs_note, few, strangers_note, threshold_note

CONTRACT = FACENET.contract.as_dict()
_row = FACENET.false_accepts_at


@pytest.mark.parametrize("known", CALIBRATIONS, ids=lambda known: known.contract.model)
def test_the_rates_rise_with_the_distance_and_lie_in_their_intervals(known: Calibration) -> None:
    """The default threshold is one of the measured distances."""
    rows = known.false_accepts
    assert [row.distance for row in rows] == sorted(row.distance for row in rows)
    for name in ("rate", "low", "high"):
        values = [getattr(row, name) for row in rows]
        assert values == sorted(values)
    assert all(row.low <= row.rate <= row.high for row in rows)
    assert known.false_accepts_at(known.same_person).rate < 1e-3


def test_expected_pairs_by_hand() -> None:
    """388 faces have 388 * 387 / 2 pairs. At a measured distance the rate is the measured one."""
    found = expect_false_pairs(388, 0.95, FACENET)
    assert found.pairs == 75_078
    assert found.expected == pytest.approx(75_078 * 0.000277)
    assert (found.low, found.high) == pytest.approx((75_078 * 0.000188, 75_078 * 0.000391))


def test_between_two_distances_the_rate_is_their_geometric_mean_in_the_middle() -> None:
    """It is continuous at the measured distances, including the one without a lower bound."""
    middle = expect_false_pairs(1_000, 0.975, FACENET)
    assert middle.expected == pytest.approx(499_500 * math.sqrt(_row(0.95).rate * _row(1.00).rate))
    for row in FACENET.false_accepts[1:-1]:
        below, above = (expect_false_pairs(1_000, row.distance + step, FACENET) for step in (-1e-9, 1e-9))
        assert (below.expected, below.low, below.high) == pytest.approx((above.expected, above.low, above.high))
    first = expect_false_pairs(1_000, 0.80, FACENET)
    assert first.low == 0 < (first.expected or 0) < first.high


def test_outside_what_was_measured_only_a_bound_is_known() -> None:
    """Nothing is extrapolated."""
    below, above = expect_false_pairs(1_000, 0.5, FACENET), expect_false_pairs(1_000, 1.3, FACENET)
    assert (below.expected, below.low, below.high) == (None, 0, pytest.approx(499_500 * _row(0.80).high))
    assert (above.expected, above.low, above.high) == (None, pytest.approx(499_500 * _row(1.20).low), math.inf)


@pytest.mark.parametrize(
    ("faces", "threshold", "words"),
    [
        (388, 0.95, "about 21 of their 75,078 pairs would be expected within 0.95 (14 to 29, 95 % confidence)"),
        (40, 0.95, "about 0.22 of their 780 pairs would be expected within 0.95 (0.15 to 0.3, 95 % confidence)"),
        (2, 0.95, "of their 1 pair would be"),
        (388, 0.5, "at most 0.96 of their 75,078 pairs would be expected within 0.5 (the threshold is below all"),
        (388, 1.3, "more than 3,063 of their 75,078 pairs would be expected within 1.3 (the threshold is above all"),
    ],
)
def test_the_sentence_for_people(faces: int, threshold: float, words: str) -> None:
    """It states the condition that all faces are of different people."""
    note = false_pairs_note(faces, threshold, FACENET)
    assert words in note
    assert note.startswith(f"If all {faces} faces were of different people, ")


def test_one_face_has_no_pairs() -> None:
    """No face has none either."""
    assert {false_pairs_note(faces, 0.95, FACENET) for faces in (0, 1)} == {""}


def test_a_calibration_is_said_with_what_it_accepts() -> None:
    """For another contract the note says that there is none, and why."""
    note = calibration_note(CONTRACT)
    assert "threshold 0.95 was calibrated on LFW View 1" in note
    assert "0.028 % of 1.2 million pairs of different people are that near, and 88 % of the pairs of one person" in note
    assert "No threshold is calibrated for facenet" in calibration_note(CONTRACT | {"margin_px": 14})


@pytest.mark.parametrize(
    ("threshold", "words", "rate"), [(0.95, "about", 2.77e-4), (0.5, "at most", 1.28e-5), (1.3, "more than", 0.0408)]
)
def test_strangers_are_the_faces_outside_times_the_false_accepts(threshold: float, words: str, rate: float) -> None:
    """Outside of the measured distances one of the bounds is known."""
    found = expect_strangers(400, threshold, FACENET)
    assert (found.words, found.faces) == (words, 400) and found.rate == pytest.approx(rate)
    assert found.expected(5) == pytest.approx(395 * rate)
    assert f"{words} {100 * rate:.2g} % of them would be expected" in strangers_note(found)


def test_expected_numbers_are_short() -> None:
    """Two digits, whole numbers from 10 on, and no small powers of ten."""
    assert [few(number) for number in (0, 0.0004, 0.0123, 1.26, 1234.5)] == [
        "0",
        "less than 0.01",
        "0.012",
        "1.3",
        "1,234",
    ]


def test_the_reports_note_has_the_sentence_only_for_calibrated_contracts() -> None:
    """This includes a threshold given by the user."""
    note = threshold_note(SAME_PERSON, CONTRACT, "j", 388)
    assert "about 21 of their 75,078 pairs" in note
    assert "about 71 of their 75,078 pairs" in threshold_note(1.0, CONTRACT, "j", 388)
    assert "pairs" not in threshold_note(1.0, CONTRACT | {"margin_px": 14}, "j", 388)
    assert "pairs" not in threshold_note(None, CONTRACT | {"margin_px": 14}, "j", 388)
