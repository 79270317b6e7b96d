"""The result of a batch: one record per image, and the embeddings of the faces."""

from dataclasses import asdict, dataclass, field
from typing import Any, Self

import msgpack
import numpy as np

from shared.domain.arrays import Float32
from shared.domain.outcomes import Outcome
from shared.domain.paths import RootPath
from shared.domain.stages import STAGES

EMBEDDING_DTYPE = np.dtype("<f4")
FACE_FIGURES = 20
"""The numbers of a face in a record."""


@dataclass(kw_only=True)
class ImageRecord:
    """The outcome of one image."""

    path: RootPath
    outcome: Outcome
    error: str = ""
    faces: list[list[float]] = field(default_factory=list)
    """x1, y1, x2, y2, probability of each embedded face, then x and y of its five landmarks, in pixels of the upright
    image; then its quality.
    """
    digest: str = ""
    """BLAKE2b of the file's bytes; empty if the file was not read."""
    size: int = 0
    """Of the file, in bytes; 0 if it is not known."""
    mtime_ns: int = 0
    """When the file last changed (`shared.domain.file_status`)."""
    width: int = 0
    height: int = 0
    decode_ms: float = 0.0
    detect_ms: float = 0.0
    embed_ms: float = 0.0
    thumbnails: list[bytes] = field(default_factory=list)
    """A JPEG of each face for the report; empty if none were cut."""
    recalled: bool = False
    """Whether the result was cached, from an earlier file with the same bytes and under the same contract."""

    @property
    def spent_ms(self) -> dict[str, float]:
        """The milliseconds of each stage."""
        return dict(zip(STAGES, (self.decode_ms, self.detect_ms, self.embed_ms), strict=True))


@dataclass(kw_only=True)
class Block:
    """The result of a batch."""

    batch: int
    attempt: int
    worker: str
    started_ms: int
    ended_ms: int
    commit_ms: float
    """The time that this process took to commit its previous block: its own commit has not ended when it is written."""
    images: list[ImageRecord]
    embeddings: Float32
    """[faces, dimensions], rows in the order of the images' faces."""

    def pack(self) -> bytes:
        """The block as bytes; the inverse is `unpack`."""
        values = asdict(self) | {"embeddings": np.ascontiguousarray(self.embeddings, EMBEDDING_DTYPE).tobytes()}
        packed: bytes = msgpack.packb(values, unicode_errors="surrogateescape")
        return packed

    @classmethod
    def unpack(cls, packed: bytes, dimensions: int) -> Self:
        """The inverse of `pack`, for embeddings of this many values."""
        values: dict[str, Any] = msgpack.unpackb(packed, unicode_errors="surrogateescape")
        images = [ImageRecord(**{**image, "outcome": Outcome(image["outcome"])}) for image in values.pop("images")]
        embeddings = np.frombuffer(values.pop("embeddings"), EMBEDDING_DTYPE).reshape(-1, dimensions)
        return cls(**values, images=images, embeddings=embeddings)

    def count_outcomes(self) -> dict[str, int]:
        """The number of images by outcome."""
        counts: dict[str, int] = {}
        for image in self.images:
            counts[image.outcome] = counts.get(image.outcome, 0) + 1
        return counts
