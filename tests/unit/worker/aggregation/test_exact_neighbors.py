"""The independent check of nearest neighbors in its quick version; `make chaos` runs a long one."""

from pathlib import Path

from tests.support.exact_neighbors import check_neighbors


def test_neighbors_of_3_000_faces_are_those_of_brute_force(tmp_path: Path) -> None:
    """From one process and from tiles, one row of four."""
    check_neighbors(3000, 600, 4, tmp_path)
