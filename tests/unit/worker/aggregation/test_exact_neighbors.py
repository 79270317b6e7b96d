"""The independent check of nearest neighbors in its quick version; `make chaos` runs a long one."""

from pathlib import Path

from tests.support.exact_neighbors import check_neighbors


def test_neighbors_of_4_000_faces_are_those_of_scikit_learns_brute_force(tmp_path: Path) -> None:
    """From one process and from tiles, and DBSCAN makes the same clusters of the file as of the embeddings. Of 16
    neighbors, some faces have more within the threshold, and others have not as many.
    """
    check_neighbors(4000, 800, 16, tmp_path)
