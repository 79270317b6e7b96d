"""What a worker remembers of the images that it has embedded: results by contract and digest of the file's bytes.

Copies of a file are computed once, across jobs. Where the results are kept is another module's business: on the server
(`worker.execution.server_cache`) or on this disk (`worker.execution.disk_cache`). Neither is trusted.
"""

import json
from collections.abc import Iterable, Mapping
from math import isfinite
from typing import Any, Protocol

import msgpack
import numpy as np
from pydantic import TypeAdapter

from shared.domain.contract import Contract, Runtime
from shared.domain.outcomes import Outcome
from worker.batch_result import EMBEDDING_DTYPE, FACE_FIGURES, ImageRecord
from worker.vision.pipeline import MOST_THUMBNAILS, Result

_KEPT = (Outcome.OK, Outcome.NO_FACE)
_RECORD = TypeAdapter(ImageRecord)
_JPEG_START = b"\xff\xd8\xff"
_LONGEST_THUMBNAIL = 2**16


class PackedResults(Protocol):
    """Keeps packed results by the contract's label and the file's digest.

    It never fails: what it can neither keep nor find is computed.
    """

    keeps_thumbnails: bool

    def get(self, label: str, digest: str) -> bytes | None:
        """A packed result; None if it is not known."""

    def put(self, label: str, results: Mapping[str, bytes]) -> None:
        """Keeps packed results by digest, as far as there is room. Called after each batch, also without results."""


class ContractCache:
    """The remembered results of one contract."""

    def __init__(self, results: PackedResults, contract: Contract, runtime: Runtime) -> None:
        self._results, self._dimensions = results, contract.dimensions
        self._label = json.dumps(contract.as_dict() | runtime.as_dict(), sort_keys=True)

    def recall(self, digest: str) -> Result | None:
        """The result of a file with this digest; None if it is not known."""
        packed = self._results.get(self._label, digest)
        return None if packed is None else unpack_result(packed, self._dimensions)

    def keep(self, results: Iterable[Result]) -> None:
        """Remembers what was computed of a batch."""
        thumbnails = self._results.keeps_thumbnails
        self._results.put(
            self._label,
            {
                result.record.digest: pack_result(result, thumbnails=thumbnails)
                for result in results
                if result.record.outcome in _KEPT and not result.record.recalled
            },
        )


def pack_result(result: Result, *, thumbnails: bool) -> bytes:
    """The result as bytes, without what belongs to its path or to the time; the inverse is `unpack_result`."""
    record = result.record
    values = {
        "outcome": record.outcome,
        "error": record.error,
        "faces": record.faces,
        "width": record.width,
        "height": record.height,
        "embeddings": np.ascontiguousarray(result.embeddings, EMBEDDING_DTYPE).tobytes(),
    }
    if thumbnails and record.thumbnails:
        values["thumbnails"] = record.thumbnails
    packed: bytes = msgpack.packb(values)
    return packed


def unpack_result(packed: bytes, dimensions: int) -> Result | None:
    """The result, with embeddings of this many values; None if these are not the bytes of one."""
    try:
        values: dict[str, Any] = msgpack.unpackb(packed)
        embeddings = np.frombuffer(values.pop("embeddings"), EMBEDDING_DTYPE).reshape(-1, dimensions)
        thumbnails = values.pop("thumbnails", [])
        record = _RECORD.validate_python({**values, "path": ""})
        if record.outcome not in _KEPT or any(len(face) != FACE_FIGURES for face in record.faces):
            return None
        if min(record.width, record.height) < 0 or not np.isfinite(embeddings).all():
            return None
        if not all(isfinite(figure) for face in record.faces for figure in face):
            return None
        if len(record.faces) != len(embeddings) or not _are_thumbnails(thumbnails, record):
            return None
    except (ValueError, TypeError, LookupError, AttributeError):  # not written by this version
        return None
    record.thumbnails = thumbnails
    return Result(record, embeddings)


def _are_thumbnails(values: Any, record: ImageRecord) -> bool:
    return values == [] or (
        isinstance(values, list)
        and len(values) == len(record.faces) <= MOST_THUMBNAILS
        and all(isinstance(jpeg, bytes) and len(jpeg) <= _LONGEST_THUMBNAIL for jpeg in values)
        and all(jpeg.startswith(_JPEG_START) for jpeg in values)
    )
