"""The nearest neighbors of all faces in a file, `neighbors.npz`: a CSR matrix that `scipy.sparse.load_npz` opens.

It is not compressed, so that one row is read without the others, and its bytes depend on nothing but its values.
"""

import io
import shutil
import stat
import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import numpy as np
import numpy.typing as npt

from shared.domain.arrays import Float32
from shared.domain.errors import ResultsError
from shared.domain.paths import printable
from shared.results.files import open_regular, read_npy_header
from shared.results.schema import NEIGHBORS

Rows = npt.NDArray[np.int32]
Index = npt.NDArray[np.int64] | npt.NDArray[np.int32]
Places = npt.NDArray[np.intp]

_DATE = (1980, 1, 1, 0, 0, 0)
_MOST_INT32 = 2**31 - 1
_PORTION_BYTES = 2**20
_DATA, _FACES, _STARTS, _SHAPE, _FORMAT = (f"{name}.npy" for name in ("data", "indices", "indptr", "shape", "format"))


@dataclass(frozen=True)
class Neighbors:
    """For each of n faces some others, the nearest first, ties by face number (the rows of a CSR matrix).

    The arrays may be mapped from a file.
    """

    starts: Index
    """[n + 1]: the neighbors of face k are those from `starts[k]` to before `starts[k + 1]`."""
    faces: Rows
    distances: Float32

    def __len__(self) -> int:
        return len(self.starts) - 1

    def of(self, face: int) -> tuple[Rows, Float32]:
        """The neighbors of a face, and their distances. ResultsError if these are no faces."""
        return self.at(slice(int(self.starts[face]), int(self.starts[face + 1])))

    def at(self, places: slice | Places) -> tuple[Rows, Float32]:
        """The neighbors at these places of the arrays, and their distances. ResultsError if these are no faces."""
        faces, distances = np.array(self.faces[places]), np.array(self.distances[places])
        if len(faces) and not (faces.min() >= 0 and faces.max() < len(self)):
            raise ResultsError(f"{NEIGHBORS} names faces that do not exist: it is damaged. Run the job again.")
        return faces, distances


class NeighborsWriter:
    """Writes the file row after row; memory does not grow with the number of neighbors. A context manager.

    Beside the file there are two temporary ones. If the block ends with an exception, there is no file.
    """

    def __init__(self, path: Path, faces: int) -> None:
        """`faces` is the number of all rows. OSError as from the disk."""
        self._path, self._starts = path, np.zeros(faces + 1, np.int64)
        self._rows = 0
        self._parts = {name: path.with_name(f".{path.name}.{name}") for name in (_FACES, _DATA)}
        self._files: dict[str, IO[bytes]] = {}

    def __enter__(self) -> Self:
        self._files = {name: part.open("xb") for name, part in self._parts.items()}
        return self

    def add(self, rows: Neighbors) -> None:
        """Adds the next rows."""
        begin = self._starts[self._rows]
        self._starts[self._rows : self._rows + len(rows) + 1] = begin + np.asarray(rows.starts, np.int64)
        self._rows += len(rows)
        self._files[_FACES].write(np.ascontiguousarray(rows.faces, np.int32).data)
        self._files[_DATA].write(np.ascontiguousarray(rows.distances, np.float32).data)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            for file in self._files.values():
                file.close()
            if kind is None:
                self._assemble()
        finally:
            for part in self._parts.values():
                part.unlink(missing_ok=True)

    def _assemble(self) -> None:
        faces, total = len(self._starts) - 1, int(self._starts[-1])
        if self._rows != faces:
            raise ValueError(f"{self._rows} of {faces} rows were added")
        index = np.int32 if total <= _MOST_INT32 else np.int64
        with zipfile.ZipFile(self._path, "x", zipfile.ZIP_STORED) as archive:
            _add_member(archive, _FACES, np.dtype(np.int32), (total,), self._parts[_FACES])
            _add_array(archive, _STARTS, self._starts.astype(index))
            _add_array(archive, _FORMAT, np.array(b"csr"))
            _add_array(archive, _SHAPE, np.array([faces, faces], np.int64))
            _add_member(archive, _DATA, np.dtype(np.float32), (total,), self._parts[_DATA])


def _add_array(archive: zipfile.ZipFile, name: str, array: npt.NDArray[Any]) -> None:
    with archive.open(_member(name), "w") as written:
        np.lib.format.write_array(written, array, (1, 0), allow_pickle=False)


def _add_member(
    archive: zipfile.ZipFile, name: str, dtype: np.dtype[Any], shape: tuple[int, ...], content: Path
) -> None:
    header = io.BytesIO()
    described = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(header, described)
    with content.open("rb") as read, archive.open(_member(name), "w", force_zip64=True) as written:
        written.write(header.getvalue())
        shutil.copyfileobj(read, written, _PORTION_BYTES)


def _member(name: str) -> zipfile.ZipInfo:
    member = zipfile.ZipInfo(name, _DATE)
    member.create_system = 3  # whatever the system: Unix
    member.external_attr = (stat.S_IFREG | 0o644) << 16
    return member


def read_neighbors(path: Path, faces: int, *, compare: bool = False) -> Neighbors:
    """The neighbors in a file about this many faces. Only the beginnings of the rows are read; the rest is mapped. With
    `compare`, all of it is read once, and compared with its checksums.

    OSError as `open_regular`; ValueError if the file is none of this kind.
    """
    with open_regular(path) as file:
        try:
            with zipfile.ZipFile(file) as archive:
                arrays = {name: _mapped(file, archive, name) for name in (_FACES, _STARTS, _DATA, _SHAPE)}
                for name in arrays if compare else ():
                    with archive.open(name) as content:
                        while content.read(_PORTION_BYTES):
                            pass  # at its end, the checksum is compared
        except _NO_ZIP as error:
            raise ValueError(f"{path.name} holds no neighbors: {printable(str(error)) or 'it is damaged'}") from None
    starts = np.array(arrays[_STARTS])
    found = Neighbors(starts, arrays[_FACES], arrays[_DATA])
    shape: list[int] = arrays[_SHAPE].tolist()
    if shape != [faces, faces] or starts.dtype not in (np.int32, np.int64) or starts.shape != (faces + 1,):
        raise ValueError(f"{path.name} is {shape}, and faces.csv has {faces} faces")
    if found.faces.dtype != np.int32 or found.distances.dtype != np.float32:
        raise ValueError(f"{path.name} holds no distances")
    if starts[0] != 0 or (np.diff(starts) < 0).any() or not len(found.faces) == len(found.distances) == starts[-1]:
        raise ValueError(f"{path.name} has rows that do not fit together")
    return found


_NO_ZIP = (zipfile.BadZipFile, KeyError, NotImplementedError, RuntimeError, EOFError, struct.error)
"""What `zipfile` raises, a RuntimeError if a file seems to be encrypted."""


def _mapped(file: io.BufferedReader, archive: zipfile.ZipFile, name: str) -> npt.NDArray[Any]:
    """A member's array, mapped read-only."""
    member = archive.getinfo(name)
    with archive.open(member) as content:
        if member.compress_type != zipfile.ZIP_STORED:
            raise ValueError(f"{name} is compressed")
        shape, _, dtype = read_npy_header(content, name)
        header = content.tell()
        if header + dtype.itemsize * int(np.prod(shape)) != member.file_size:
            raise ValueError(f"{name} is damaged")
    # After the local header, whose last two lengths may differ from those in the directory.
    file.seek(member.header_offset + 26)
    name_length, extra_length = np.frombuffer(file.read(4), "<u2").tolist()
    begin = member.header_offset + 30 + name_length + extra_length + header
    if 0 in shape:
        return np.empty(shape, dtype)
    return np.memmap(file, dtype, "r", begin, shape)
