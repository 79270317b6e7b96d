"""Writes `faces.parquet`: the faces with their embeddings, for DuckDB, pandas and others. It needs pyarrow."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from shared.domain.arrays import DIMENSIONS, Float32
from shared.domain.job import Job
from shared.results.schema import BOX_COLUMNS, FACES_PARQUET, PARQUET_CONTRACT
from worker.aggregation.rows import Row

if TYPE_CHECKING:
    import pyarrow

_FACES_A_GROUP = 4096
"""Rows of a row group: 8 MiB of embeddings. Fixed, because the bytes of the file depend on it."""
_BYTES_A_FACE = DIMENSIONS * 4 + 150


def bytes_a_face() -> int:
    """How much of the disk a face takes in the file; 0 if the file is not written."""
    return _BYTES_A_FACE if find_spec("pyarrow") else 0


class FacesParquet:
    """The file while it is written. One row group is in memory."""

    def __init__(self, writer: "pyarrow.parquet.ParquetWriter") -> None:
        self._writer = writer
        self._columns: dict[str, list[Any]] = {name: [] for name in writer.schema.names if name != "embedding"}
        self._embeddings: Float32 = np.empty((_FACES_A_GROUP, DIMENSIONS), np.float32)
        self._faces, self._written = 0, 0

    def add(self, image: int, row: Row) -> None:
        """Adds the faces of an image. `image` is its number in images.csv."""
        width, height = row.figures[:2]
        for box, embedding in zip(row.boxes, row.embeddings, strict=True):
            # The figures as the CSV has them: that is all that is known of the images of an earlier attempt.
            values = (
                *(self._written + self._faces, image, row.shown, *map(float, box)),
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
        flat = pyarrow.array(self._embeddings[: self._faces].reshape(-1))
        embeddings = pyarrow.FixedSizeListArray.from_arrays(flat, type=self._writer.schema.field("embedding").type)
        self._writer.write_table(
            pyarrow.table([*self._columns.values(), embeddings], schema=self._writer.schema),
            row_group_size=_FACES_A_GROUP,
        )
        self._written += self._faces
        self._faces = 0
        for column in self._columns.values():
            column.clear()


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
        faces = FacesParquet(writer)
        yield faces
        faces.flush()


def _schema(job: Job) -> "pyarrow.Schema":
    import pyarrow

    whole, size = pyarrow.int64(), pyarrow.int32()
    contract = job.contract.as_dict() | (job.runtime or {})
    return pyarrow.schema(
        [
            *(("face", whole), ("image", whole), ("path", pyarrow.string())),
            *((column, pyarrow.float64()) for column in BOX_COLUMNS),
            *(("outcome", pyarrow.string()), ("width", size), ("height", size)),
            pyarrow.field(
                "embedding", pyarrow.list_(pyarrow.field("element", pyarrow.float32(), nullable=False), DIMENSIONS)
            ),
        ],
        metadata={PARQUET_CONTRACT: json.dumps(contract, sort_keys=True)},
    )
