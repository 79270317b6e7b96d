"""`neighbors.npz` is a CSR matrix for SciPy, has the same bytes every time, and is read row by row."""

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse

from shared.domain.errors import ResultsError
from shared.results.files import map_array
from shared.results.neighbors_file import Neighbors, NeighborsWriter, read_neighbors

ROWS = [
    Neighbors(np.array([0, 2, 3]), np.array([1, 2], np.int32).repeat([2, 1]), np.array([0, 0.5, 1], np.float32)),
    Neighbors(np.array([0, 0, 2]), np.array([2, 0], np.int32), np.array([0.25, 0.75], np.float32)),
]


def _write(path: Path) -> Path:
    with NeighborsWriter(path, 4) as file:
        for rows in ROWS:
            file.add(rows)
    return path


def test_scipy_opens_it(tmp_path: Path) -> None:
    """With explicit zeros, which are distances between copies."""
    matrix = scipy.sparse.load_npz(_write(tmp_path / "neighbors.npz"))
    assert matrix.format == "csr" and matrix.shape == (4, 4) and matrix.dtype == np.float32
    assert matrix.indptr.tolist() == [0, 2, 3, 3, 5] and matrix.indices.tolist() == [1, 1, 2, 2, 0]
    assert matrix.data.tolist() == [0, 0.5, 1, 0.25, 0.75]


def test_it_has_the_same_bytes_every_time(tmp_path: Path) -> None:
    """It has no time and no name of a system, and nothing is left beside it."""
    first, again = (_write(tmp_path / name).read_bytes() for name in ("a.npz", "b.npz"))
    assert first == again
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.npz", "b.npz"]


def test_a_row_is_read_back(tmp_path: Path) -> None:
    """Also one without neighbors."""
    found = read_neighbors(_write(tmp_path / "neighbors.npz"), 4)
    rows = [(faces.tolist(), distances.tolist()) for faces, distances in map(found.of, range(4))]
    assert rows == [([1, 1], [0, 0.5]), ([2], [1]), ([], []), ([2, 0], [0.25, 0.75])]


def test_no_faces(tmp_path: Path) -> None:
    """The file exists, and is empty."""
    with NeighborsWriter(tmp_path / "neighbors.npz", 0):
        pass
    assert len(read_neighbors(tmp_path / "neighbors.npz", 0)) == 0
    assert scipy.sparse.load_npz(tmp_path / "neighbors.npz").shape == (0, 0)


def test_an_error_leaves_nothing(tmp_path: Path) -> None:
    """Neither the file nor parts of it."""
    with pytest.raises(OSError, match="full"), NeighborsWriter(tmp_path / "neighbors.npz", 4) as file:
        file.add(ROWS[0])
        raise OSError("full")
    with pytest.raises(ValueError, match="2 of 4 rows"), NeighborsWriter(tmp_path / "neighbors.npz", 4) as file:
        file.add(ROWS[0])
    assert not list(tmp_path.iterdir())


def _other_faces(path: Path) -> None:
    path.unlink()
    with NeighborsWriter(path, 4) as file:
        file.add(ROWS[0])
        file.add(Neighbors(ROWS[1].starts, np.array([2, 9], np.int32), ROWS[1].distances))


def _compressed(path: Path) -> None:
    np.savez_compressed(path.with_suffix(""), **np.load(path))


def _no_zip(path: Path) -> None:
    path.write_bytes(b"PK")


def _objects(path: Path) -> None:
    np.savez(path.with_suffix(""), **(dict(np.load(path)) | {"indices": np.array([{}] * 5)}), allow_pickle=True)


def _without_data(path: Path) -> None:
    arrays = dict(np.load(path))
    del arrays["data"]
    np.savez(path.with_suffix(""), **arrays)


def _falling(path: Path) -> None:
    np.savez(path.with_suffix(""), **(dict(np.load(path)) | {"indptr": np.array([0, 3, 2, 3, 5], np.int32)}))


def _of_doubles(path: Path) -> None:
    np.savez(path.with_suffix(""), **(dict(np.load(path)) | {"data": np.zeros(5)}))


def _shorter(path: Path) -> None:
    content = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        size = archive.getinfo("data.npy").file_size
    path.write_bytes(content.replace(size.to_bytes(4, "little"), (size + 400).to_bytes(4, "little")))


@pytest.mark.parametrize(
    "damage", [_compressed, _no_zip, _objects, _without_data, _falling, _of_doubles, _shorter, lambda path: None]
)
def test_a_foreign_file_is_refused(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    """With a reason, and before anything is mapped beyond its end. The last is one of another number of faces."""
    path = _write(tmp_path / "neighbors.npz")
    damage(path)
    with pytest.raises(ValueError, match=r"\w"):
        read_neighbors(path, 4 if damage.__name__ != "<lambda>" else 5)


def test_any_changed_byte_leaves_neighbors_or_a_reason(tmp_path: Path) -> None:
    """Of all of them in turn: those of the zip file and of its arrays' headers too. The same for the arrays alone."""
    for path in (_write(tmp_path / "neighbors.npz"), tmp_path / "embeddings.npy"):
        if path.suffix == ".npy":
            np.save(path, np.eye(4, 3, dtype=np.float32))
        content = path.read_bytes()
        refused = 0
        for place in range(len(content)):
            for changed in (content[place] ^ 1, content[place] ^ 64, 0):
                path.write_bytes(content[:place] + bytes([changed]) + content[place + 1 :])
                try:
                    found = read_neighbors(path, 4) if path.suffix == ".npz" else map_array(path)
                    assert len(found) == 4 or path.suffix == ".npy"
                except (ValueError, OSError) as error:
                    assert str(error)
                    refused += 1
        assert refused > len(content) / 2


def test_a_face_that_does_not_exist_is_noticed(tmp_path: Path) -> None:
    """The other rows stay readable."""
    _other_faces(_write(tmp_path / "neighbors.npz"))
    found = read_neighbors(tmp_path / "neighbors.npz", 4)
    assert found.of(0)[0].tolist() == [1, 1]
    with pytest.raises(ResultsError, match=r"neighbors\.npz names faces that do not exist"):
        found.of(3)
