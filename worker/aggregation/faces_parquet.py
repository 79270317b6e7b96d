"""Writes `faces.parquet`: the faces with their embeddings, for DuckDB, pandas and others. It needs pyarrow."""

import json
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from shared.domain.arrays import Float32
from shared.domain.job import Job
from shared.results.schema import FACES_PARQUET, FOUND_COLUMNS, PARQUET_CONTRACT
from worker.aggregation.rows import Row

if TYPE_CHECKING:
    import pyarrow

_FACES_A_GROUP = 4096
"""Rows of a row group: 8 MiB of embeddings of 512 values. Fixed, because the bytes of the file depend on it."""
_BYTES_A_FACE = 280  # without the embedding


def bytes_a_face(dimensions: int) -> int:
    """How much of the disk a face takes in the file; 0 if the file is not written."""
    return dimensions * 4 + _BYTES_A_FACE if find_spec("pyarrow") else 0


class _Texts:
    """A column of strings, as Arrow stores them."""

    def __init__(self) -> None:
        self._text, self._ends = bytearray(), array("i", [0])

    def append(self, text: Any) -> None:
        self._text += text.encode()
        self._ends.append(len(self._text))

    def buffers(self) -> list[Any]:
        return [self._ends, self._text]


class _Numbers:
    """A column of numbers."""

    def __init__(self, kind: str) -> None:
        self._values = array(kind)

    def append(self, value: Any) -> None:
        self._values.append(value)

    def buffers(self) -> list[Any]:
        return [self._values]


_COLUMNS: dict[str, tuple[str, Callable[[], _Texts | _Numbers]]] = {
    **dict.fromkeys(("face", "image"), ("int64", lambda: _Numbers("q"))),
    "path": ("string", _Texts),
    **dict.fromkeys(FOUND_COLUMNS, ("float64", lambda: _Numbers("d"))),
    "outcome": ("string", _Texts),
    **dict.fromkeys(("width", "height"), ("int32", lambda: _Numbers("i"))),
}
"""All but the embedding: their type, and an empty column."""


class FacesParquet:
    """The file while it is written. One row group is in memory."""

    def __init__(self, writer: "pyarrow.parquet.ParquetWriter", dimensions: int) -> None:
        self._writer = writer
        self._columns = {name: empty() for name, (_, empty) in _COLUMNS.items()}
        self._embeddings: Float32 = np.empty((_FACES_A_GROUP, dimensions), np.float32)
        self._faces, self._written = 0, 0

    def add(self, image: int, row: Row) -> None:
        """Adds the faces of an image. `image` is its number in images.csv."""
        width, height = row.figures[:2]
        for found, embedding in zip(row.faces, row.embeddings, strict=True):
            # The figures as the CSV has them: that is all that is known of the images of an earlier attempt.
            values = (
                *(self._written + self._faces, image, row.shown, *map(float, found)),
                *(row.outcome, int(width or 0), int(height or 0)),
            )
            for column, value in zip(self._columns.values(), values, strict=True):
                column.append(value)
            self._embeddings[self._faces] = embedding
            self._faces += 1
            if self._faces == _FACES_A_GROUP:
                self.flush()

    def flush(self) -> None:
        """Writes the faces that were added as a row group."""
        import pyarrow

        if not self._faces:
            return
        # From buffers: `pyarrow.array` would import pandas where it is installed, which takes half a second.
        schema = self._writer.schema
        arrays = [
            _array(schema.field(name).type, self._faces, *column.buffers()) for name, column in self._columns.items()
        ]
        values = self._embeddings[: self._faces].reshape(-1)
        flat = _array(pyarrow.float32(), len(values), values)
        arrays.append(pyarrow.FixedSizeListArray.from_arrays(flat, type=schema.field("embedding").type))
        self._writer.write_table(pyarrow.Table.from_arrays(arrays, schema=schema), row_group_size=_FACES_A_GROUP)
        self._written += self._faces
        self._faces = 0
        self._columns = {name: empty() for name, (_, empty) in _COLUMNS.items()}


def _array(kind: "pyarrow.DataType", length: int, *buffers: Any) -> "pyarrow.Array":
    import pyarrow

    return pyarrow.Array.from_buffers(kind, length, [None, *map(pyarrow.py_buffer, buffers)])


@contextmanager
def faces_parquet(folder: Path, job: Job) -> Iterator[FacesParquet | None]:
    """Opens `folder/faces.parquet` for writing; None if pyarrow is not installed."""
    try:
        from pyarrow.parquet import ParquetWriter
    except ImportError:
        yield None
        return
    schema = _schema(job)
    # Embeddings hardly become smaller, and are read several times as fast uncompressed.
    compression = dict.fromkeys(schema.names, "snappy") | {"embedding.list.element": "none"}
    with ParquetWriter(
        folder / FACES_PARQUET,
        schema,
        compression=compression,
        use_dictionary=["path", "outcome"],
        write_statistics=[name for name in schema.names if name != "embedding"],
    ) as writer:
        faces = FacesParquet(writer, job.contract.dimensions)
        yield faces
        faces.flush()


def _schema(job: Job) -> "pyarrow.Schema":
    import pyarrow

    contract = job.contract.as_dict() | (job.runtime or {})
    embedding = pyarrow.list_(pyarrow.field("element", pyarrow.float32(), nullable=False), job.contract.dimensions)
    return pyarrow.schema(
        [*((name, getattr(pyarrow, kind)()) for name, (kind, _) in _COLUMNS.items()), ("embedding", embedding)],
        metadata={PARQUET_CONTRACT: json.dumps(contract, sort_keys=True)},
    )
