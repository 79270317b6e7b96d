"""An update of the nearest neighbors has the result of a search from nothing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.analysis import neighbor_update
from shared.analysis.calibration import SAME_PERSON
from shared.analysis.candidates import Candidates, Wanted, wanted_of
from shared.analysis.copies import find_copies, places_among
from shared.analysis.exact_distances import ExactDistances
from shared.analysis.face_neighbors import rows_of_faces
from shared.analysis.near_pairs import concatenated, near_neighbors, nearest
from shared.analysis.neighbor_update import Earlier, NeighborUpdate
from shared.domain.arrays import Float32
from shared.results.neighbors_file import Neighbors, Rows
from tests.support.results_folders import people


def _from_nothing(faces: Float32, count: int, within: float | None) -> tuple[Neighbors, Neighbors]:
    """Of the distinct embeddings, and of all faces."""
    copies = find_copies(faces)
    found = near_neighbors(faces[copies.first], count, 1, within=within)
    return found, concatenated(list(rows_of_faces(found, copies)), len(faces))


def _faces(persons: int, each: int, spread: float | None) -> Float32:
    if spread is None:  # all at the same distance
        return np.eye(persons * each, 512, dtype=np.float32)
    return people(persons, each, 1, spread=spread)


def _updated(before: Float32, now: Float32, count: int, within: float | None) -> NeighborUpdate:
    old, new = find_copies(before), find_copies(now)
    places = places_among(now[new.first], before, old)
    wanted = [wanted_of(count, within, len(copies.first)) for copies in (old, new)]
    return NeighborUpdate(
        now[new.first], wanted[1], Earlier(_from_nothing(before, count, within)[1], old, wanted[0], places)
    )


@settings(max_examples=150, deadline=None)
@given(
    persons=st.integers(1, 25),
    each=st.integers(1, 8),
    before=st.lists(st.integers(0, 10**6), min_size=1, max_size=150),
    gone=st.sets(st.integers(0, 149), max_size=30),
    new=st.lists(st.tuples(st.integers(0, 150), st.integers(0, 10**6)), max_size=20),
    shuffled=st.booleans(),
    count=st.integers(1, 40),
    within=st.sampled_from([None, SAME_PERSON, 0.3]),
    most=st.sampled_from([1024, 5, 12]),
    spread=st.sampled_from([0.05, 0.4, 0.9, None]),
)
def test_the_result_is_that_from_nothing(
    persons: int,
    each: int,
    before: list[int],
    gone: set[int],
    new: list[tuple[int, int]],
    shuffled: bool,
    **how: object,
) -> None:
    """Faces come, go and change their places, with copies; rows are cut by the count, the threshold or the limit."""
    count, within, most, spread = how["count"], how["within"], how["most"], how["spread"]
    faces = _faces(persons, each, spread)  # type: ignore[arg-type]
    old = [face % len(faces) for face in before]
    now = [face for place, face in enumerate(old) if place not in gone]
    for place, face in new:
        now.insert(place % (len(now) + 1), face % len(faces))
    if shuffled:
        np.random.default_rng(0).shuffle(now)
    if not now:
        return
    with pytest.MonkeyPatch.context() as changed:
        changed.setattr("shared.analysis.candidates.MOST_WITHIN", most)
        changed.setattr(neighbor_update, "_ROWS", 16)
        changed.setattr(neighbor_update, "_COLUMNS", 24)
        update = _updated(faces[old], faces[now], count, within)  # type: ignore[arg-type]
        found = concatenated(list(update.rows(1)), len(np.unique(faces[now], axis=0)))
        expected, _ = _from_nothing(faces[now], count, within)  # type: ignore[arg-type]
    np.testing.assert_array_equal(found.starts, expected.starts)
    np.testing.assert_array_equal(found.faces, expected.faces)
    np.testing.assert_array_equal(found.distances, expected.distances)


def test_only_new_faces_and_rows_that_lost_one_are_searched() -> None:
    """And none if nothing changed."""
    faces = people(60, 5, 1, spread=0.4)
    assert _updated(faces, faces, 8, None).anew == 0
    assert _updated(faces[10:], faces, 8, None).anew == 10
    listed = _from_nothing(faces, 8, None)[0]
    losing = {row for row in range(10, 300) if (listed.of(row)[0] < 10).any()}
    update = _updated(faces, faces[10:], 8, None)
    assert update.anew == len(losing) > 0
    assert update.suffices == (len(losing) <= 290 / 4)


def test_a_face_that_moved_is_searched_and_the_others_are_not() -> None:
    """Its rows are those of before, but for their numbers."""
    faces = people(60, 5, 1, spread=0.4)
    moved = np.concatenate([faces[200:201], faces[:200], faces[201:]])
    update = _updated(faces, moved, 8, None)
    assert update.anew == 1
    expected, _ = _from_nothing(moved, 8, None)
    found = concatenated(list(update.rows(1)), 300)
    np.testing.assert_array_equal(found.faces, expected.faces)
    np.testing.assert_array_equal(found.distances, expected.distances)


def test_candidates_of_a_crowd_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many blocks of columns there are: each of 20 has as many neighbors as a row may have."""
    monkeypatch.setattr("shared.analysis.candidates.MOST_WITHIN", 50)
    monkeypatch.setattr(neighbor_update, "_COLUMNS", 60)
    faces, given = people(1, 1200, 1, spread=0.1), []

    def counted(exact: ExactDistances, these: Rows, parts: list[Candidates], wanted: Wanted) -> Neighbors:
        given.append(sum(len(part.faces) for part in parts) / len(these))
        return nearest(exact, these, parts, wanted)

    monkeypatch.setattr(neighbor_update, "nearest", counted)
    update = _updated(faces[:1190], faces, 8, SAME_PERSON)
    found = concatenated(list(update.rows(1)), len(faces))
    assert max(given) < neighbor_update._MOST_PARTS * 55
    expected, _ = _from_nothing(faces, 8, SAME_PERSON)
    np.testing.assert_array_equal(found.faces, expected.faces)


@pytest.mark.parametrize("damage", ["face", "order", "short", "nan"])
def test_damaged_neighbors_are_refused(damage: str) -> None:
    """Then everything is searched."""
    faces = people(10, 5, 1, spread=0.4)
    update = _updated(faces, faces[1:], 8, None)
    neighbors = update._earlier.neighbors
    if damage == "face":
        neighbors.faces[20] = 50
    elif damage == "order":
        neighbors.distances[20] = 9
    elif damage == "nan":
        neighbors.distances[20] = np.nan
    else:
        neighbors.starts[3] -= 1
    with pytest.raises(ValueError, match="earlier neighbors"):
        _ = update.anew
