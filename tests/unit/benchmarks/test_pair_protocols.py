"""Accuracy on labeled pairs: LFW's file format, and protocols against values computed by hand."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from benchmarks.pair_protocols import Embeddings, Pair, evaluate, read_pairs

IMAGES = Path("images")


def _write(folder: Path, *lines: str) -> Path:
    file = folder / "pairs.txt"
    file.write_text("\n".join(lines) + "\n")
    return file


def test_pairs_of_view_2_are_read_fold_by_fold(tmp_path: Path) -> None:
    """`folds pairs` in the first line: in each fold that many pairs of one person, then as many of two."""
    file = _write(
        tmp_path, "2\t1", "Ada_Byron\t1\t12", "Ada_Byron\t3\tAl-Jubeir\t4", "Al-Jubeir\t4\t5", "Zoe\t1\tAda_Byron\t12"
    )
    assert read_pairs(IMAGES, file) == [
        [
            Pair(IMAGES / "Ada_Byron/Ada_Byron_0001.jpg", IMAGES / "Ada_Byron/Ada_Byron_0012.jpg", same=True),
            Pair(IMAGES / "Ada_Byron/Ada_Byron_0003.jpg", IMAGES / "Al-Jubeir/Al-Jubeir_0004.jpg", same=False),
        ],
        [
            Pair(IMAGES / "Al-Jubeir/Al-Jubeir_0004.jpg", IMAGES / "Al-Jubeir/Al-Jubeir_0005.jpg", same=True),
            Pair(IMAGES / "Zoe/Zoe_0001.jpg", IMAGES / "Ada_Byron/Ada_Byron_0012.jpg", same=False),
        ],
    ]


def test_pairs_of_view_1_are_one_fold(tmp_path: Path) -> None:
    """Only `pairs` in the first line, as in pairsDevTest.txt."""
    (fold,) = read_pairs(IMAGES, _write(tmp_path, "2", "A 1 2", "B 1 2", "A 1 B 2", "B 1 A 2"))
    assert [pair.same for pair in fold] == [True, True, False, False]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["ten 300"], "line 1: expected"),
        (["2 1", "A 1 2", "A 1 B 1"], "announces 2 x 2 x 1 pairs, and 2 lines follow"),
        (["1", "A 1 2", "A 1 B 1 C"], "line 3: expected `name i j`"),
        (["1", "A one 2", "A 1 B 1"], "line 2: expected `name i j`"),
        (["1", "A 1 B 1", "A 1 2"], "line 2: each fold has 1 pairs of one person, then 1 of two"),
    ],
)
def test_a_damaged_pairs_file_is_refused_with_the_line(tmp_path: Path, lines: list[str], message: str) -> None:
    """A truncated or disordered file must not give a result."""
    with pytest.raises(ValueError, match=message):
        read_pairs(IMAGES, _write(tmp_path, *lines))


def _folds(pairs: Sequence[Sequence[tuple[object, object, bool]]]) -> tuple[list[list[Pair]], Embeddings]:
    """Pairs of points in the plane, one image for each point."""
    embeddings: Embeddings = {}

    def image(point: object) -> Path:
        path = Path(str(len(embeddings)))
        embeddings[path] = None if point is None else np.array(point, np.float32)
        return path

    return [[Pair(image(a), image(b), same) for a, b, same in fold] for fold in pairs], embeddings


# Both folds have the mean (10, 0). Around it the same person lies at a right angle or less (0.5 pi, 0.25 pi), two
# people opposite one another (1 pi). Seen from the origin all lie in nearly the same direction.
_AROUND_TEN = [
    [((11, 0), (10, 1), True), ((10, -1), (9, 0), True), ((11, 0), (9, 0), False), ((10, 1), (10, -1), False)],
    [((11, 0), (11, 1), True), ((9, 0), (9, -1), True), ((12, 0), (8, 0), False), ((10, 2), (10, -2), False)],
]


def test_the_mean_of_the_training_folds_is_subtracted() -> None:
    """By hand, around the mean (10, 0): angles 1/2, 1/2, 1, 1 and 1/4, 1/4, 1, 1 of pi.

    Thresholds are the first best of 0, 0.01, ...: 0.26 from the second fold, which rejects both true pairs of the first
    (accuracy 1/2); 0.51 from the first fold, which is right on all of the second.
    """
    found = evaluate(*_folds(_AROUND_TEN), protocol="facenet")
    assert found.accuracy == pytest.approx(0.75)
    assert found.deviation == pytest.approx(0.25)
    assert found.threshold == pytest.approx((0.26 + 0.51) / 2)
    assert found.true_accepts == 1.0
    assert found.false_accept_threshold == pytest.approx(1.0)
    assert (found.pairs, found.missing) == (8, 0)


def test_the_tested_fold_has_no_part_in_the_mean() -> None:
    """By hand: the first fold's mean is (0, 0), the second's (2, 0), and each is tested around the other's.

    First fold around (0, 0): 1/4 and 1, threshold 0.26; the second fold's true pairs are at 0.205 there and its false
    ones at 0.844, all right. Second fold around (2, 0): 1/2 and 0.844, threshold 0.51; all pairs of the first fold are
    nearer there (0.25, 0.10, 0, 0.30), so its two false ones are taken for one person.
    """
    first = [((1, 0), (1, 1), True), ((-1, 0), (-1, -1), True), ((1, 0), (-1, 0), False), ((0, 1), (0, -1), False)]
    second = [((3, 1), (3, -1), True), ((3, 1), (3, -1), True), ((1, 4), (1, -4), False), ((1, 4), (1, -4), False)]
    found = evaluate(*_folds([first, second]), protocol="facenet")
    assert found.accuracy == pytest.approx(0.75)
    assert found.deviation == pytest.approx(0.25)
    assert found.threshold == pytest.approx((0.26 + 0.51) / 2)


def test_euclidean_distances_are_as_written() -> None:
    """By hand: 1 and 1.5 in the first fold, 0.5 and 1.5 in the second, each (true, false).

    Of the thresholds 0, 0.005, ... the middle of the best counts: 1.005 to 1.5 in the first fold, 0.505 to 1.5 in the
    second.
    """
    folds, embeddings = _folds(
        [
            [((0, 0), (1.0, 0), True), ((0, 0), (0, 1.5), False)],
            [((0, 0), (0.5, 0), True), ((0, 0), (0, 1.5), False)],
        ]
    )
    found = evaluate(folds, embeddings)
    assert found.threshold == pytest.approx((1.0025 + 1.2525) / 2, abs=1e-9)
    assert found.accuracy == 1.0


def test_an_image_without_a_face_makes_its_pair_different() -> None:
    """It counts as an error if the pair is one person, and is not part of the mean."""
    pairs: list[list[tuple[object, object, bool]]] = [list(fold) for fold in _AROUND_TEN]
    pairs[1][0] = (None, (11, 1), True)
    pairs[1][1] = ((9, 0), (9, -1), True)
    found = evaluate(*_folds(pairs), protocol="facenet")
    assert found.missing == 1
    whole = evaluate(*_folds(_AROUND_TEN), protocol="facenet")
    assert found.accuracy < whole.accuracy


def test_one_fold_is_split_into_even_and_odd_pairs() -> None:
    """View 1 has one fold: its halves take turns, and both are tested."""
    even, odd = _AROUND_TEN
    mixed = [pair for both in zip(even, odd, strict=True) for pair in both]
    assert evaluate(*_folds([mixed]), protocol="facenet").accuracy == pytest.approx(0.75)
