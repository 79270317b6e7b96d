"""Rows of unequal lengths."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from shared.analysis.ragged import pieces, rectangles, row_order, starts_of

LENGTHS = st.lists(st.one_of(st.integers(0, 5), st.integers(0, 60)), max_size=40)


@given(LENGTHS)
def test_rectangles_have_each_row_once_with_its_values(lengths: list[int]) -> None:
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    values = np.arange(starts[-1], dtype=np.float32)
    seen: list[int] = []
    for rows, rectangle in rectangles(values, starts, np.inf):
        width = rectangle.shape[1]
        for row, found in zip(rows.tolist(), rectangle, strict=True):
            assert width // 2 < lengths[row] <= width
            assert found[: lengths[row]].tolist() == values[starts[row] : starts[row + 1]].tolist()
            assert np.isinf(found[lengths[row] :]).all()
            seen.append(row)
    assert sorted(seen) == [row for row, length in enumerate(lengths) if length]


@given(LENGTHS, st.integers(1, 70), st.one_of(st.none(), st.integers(1, 9)))
def test_pieces_are_all_rows_in_order_and_no_larger_than_asked(lengths: list[int], most: int, rows: int | None) -> None:
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    found = list(pieces(starts, most, rows))
    assert [row for begin, end in found for row in range(begin, end)] == list(range(len(lengths)))
    for begin, end in found:
        assert end - begin == 1 or starts[end] - starts[begin] <= most
        assert rows is None or end - begin <= rows


@given(st.lists(st.integers(0, 70_000), max_size=50), st.sampled_from([70_001, 2**16, 9]))
def test_order_by_row_is_stable_for_any_number_of_rows(rows: list[int], count: int) -> None:
    these = np.array(rows, np.int32) % count
    order = row_order(these, count)
    assert order.tolist() == sorted(range(len(rows)), key=lambda entry: these[entry])
    starts = starts_of(these, count)
    assert np.diff(starts).tolist() == np.bincount(these, minlength=count).tolist()
