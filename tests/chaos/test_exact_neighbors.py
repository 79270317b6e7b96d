"""The independent check of nearest neighbors in its long version."""

from pathlib import Path

from tests.support.exact_neighbors import check_neighbors


def test_neighbors_of_20_000_faces_are_those_of_scikit_learns_brute_force(tmp_path: Path) -> None:
    """From one process and from tiles; DBSCAN makes the same clusters of the file as of the embeddings."""
    check_neighbors(20_000, 4096, 64, tmp_path)
