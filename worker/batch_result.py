"""The result of a batch: one record per image, and the embeddings of the faces."""

from dataclasses import asdict, dataclass, field
from typing import Any, Self

import msgpack
import numpy as np

from shared.domain.arrays import Float32
from shared.domain.outcomes import Outcome
from shared.domain.paths import RootPath

EMBEDDING_DTYPE = np.dtype("<f4")
DIMENSIONS = 512


@dataclass(kw_only=True)
class ImageRecord:
    """The outcome of one image."""

    path: RootPath
    outcome: Outcome
    error: str = ""
    faces: list[list[float]] = field(default_factory=list)
    """x1, y1, x2, y2, probability of each embedded face, in pixels of the upright image."""
    digest: str = ""
    """BLAKE2b of the file's bytes; empty where it was not read."""
    width: int = 0
    height: int = 0
    decode_ms: float = 0.0
    detect_ms: float = 0.0
    embed_ms: float = 0.0
    thumbnails: list[bytes] = field(default_factory=list)
    """A JPEG of each face for the report; empty if none were cut."""
    recalled: bool = False
    """Whether the result was known from an earlier file of the same bytes, under the same contract."""

    @property
    def spent_ms(self) -> dict[str, float]:
        """By stage."""
        return {"decode": self.decode_ms, "detect": self.detect_ms, "embed": self.embed_ms}


@dataclass(kw_only=True)
class Block:
    """The result of a batch."""

    batch: int
    attempt: int
    worker: str
    started_ms: int
    ended_ms: int
    commit_ms: float
    """How long this process took to commit its block before (its own commit is not over when it is written)."""
    images: list[ImageRecord]
    embeddings: Float32
    """[faces, 512], rows in the order of the images' faces."""

    def pack(self) -> bytes:
        """As bytes; the inverse is `unpack`."""
        values = asdict(self) | {"embeddings": np.ascontiguousarray(self.embeddings, EMBEDDING_DTYPE).tobytes()}
        packed: bytes = msgpack.packb(values, unicode_errors="surrogateescape")
        return packed

    @classmethod
    def unpack(cls, packed: bytes) -> Self:
        """From bytes."""
        values: dict[str, Any] = msgpack.unpackb(packed, unicode_errors="surrogateescape")
        images = [ImageRecord(**{**image, "outcome": Outcome(image["outcome"])}) for image in values.pop("images")]
        embeddings = np.frombuffer(values.pop("embeddings"), EMBEDDING_DTYPE).reshape(-1, DIMENSIONS)
        return cls(**values, images=images, embeddings=embeddings)

    def count_outcomes(self) -> dict[str, int]:
        """Images by outcome."""
        counts: dict[str, int] = {}
        for image in self.images:
            counts[image.outcome] = counts.get(image.outcome, 0) + 1
        return counts
