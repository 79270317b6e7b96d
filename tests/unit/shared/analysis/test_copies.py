"""Faces with equal embeddings."""

import numpy as np

from shared.analysis.copies import find_copies, perhaps_equal
from tests.support.results_folders import people


def test_all_that_have_an_equal_are_perhaps_equal() -> None:
    """Others are not; also with as many rows as are not summed at once, and with none."""
    embeddings = people(5_000, 1)
    embeddings[[7, 4_999]] = embeddings[4_200]
    embeddings[100] = -embeddings[101]
    copies = find_copies(embeddings)
    assert (perhaps_equal(embeddings) == (copies.counts[copies.number] > 1)).all()
    assert np.flatnonzero(perhaps_equal(embeddings)).tolist() == [7, 4_200, 4_999]
    assert perhaps_equal(embeddings[:0]).tolist() == []
