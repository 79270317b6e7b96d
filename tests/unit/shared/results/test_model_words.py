"""The model of results in words."""

from dataclasses import asdict

import pytest

from shared.analysis.calibration import FACENET_CALIBRATION
from shared.results.model_words import describe_model, model_of

FACENET = FACENET_CALIBRATION.contract.as_dict()
OWN = FACENET | {"model": "own-x", "weights": "own-x"}


def test_known_models_have_their_license_and_origin() -> None:
    """Also in results of before they were written, and whatever the file says."""
    facenet = model_of({"contract": FACENET, "model": {"license": "none", "origin": "me"}})
    assert (facenet.name, facenet.license) == ("facenet", "MIT") and "Sandberg" in facenet.origin
    sface = model_of({"contract": {"model": "sface", "weights": "sface"}})
    assert sface.license == "Apache-2.0" and "not documented" in sface.origin
    trained = model_of({"contract": FACENET | {"weights": "own-mine"}})
    assert (trained.license, trained.origin) == ("not known", "weights of the user's own, for facenet")


def test_a_model_of_ones_own_has_what_its_description_said() -> None:
    """It is in the summary only."""
    written = asdict(describe_model(OWN, "MIT", "by me"))
    assert asdict(model_of({"contract": OWN, "model": written})) == written
    assert written == {"name": "own-x", "weights": "own-x", "license": "MIT", "origin": "by me"}


@pytest.mark.parametrize("summary", [{}, {"contract": []}, {"contract": OWN, "model": 7}, {"model": {"license": []}}])
def test_a_damaged_summary_has_a_model_too(summary: dict[str, object]) -> None:
    """Nothing about the file is trusted."""
    assert all(value for value in asdict(model_of(summary)).values())


def test_words_are_one_line() -> None:
    """They are shown on terminals."""
    words = model_of({"contract": OWN, "model": {"license": "a\x1bb", "origin": "c\nd"}})
    assert (words.license, words.origin) == ("a\\x1bb", "c\\nd")
