"""Embedders: what a network of faces wants as its input, what it returns, where it comes from.

The weights are not part of it: `shared.domain.contract.KNOWN_WEIGHTS` has their SHA-256.
"""

from dataclasses import dataclass, field, fields
from typing import Any, Literal

from shared.domain.detector_parameters import CROP_PX

Alignment = Literal["box", "five-points"]
Channels = Literal["rgb", "bgr"]

MOST_DIMENSIONS = 512
"""The error bounds of the distances (`shared.results.distance_tiles`) hold up to this many."""
MOST_WORDS = 300
"""Characters of a license or an origin in words."""
SMALLEST_CROP_PX, LARGEST_CROP_PX = 32, 512
LARGEST_MODEL_BYTES = 512 * 2**20
"""Of a file in ONNX. ArcFace's ResNet-100 has 261 MB."""


@dataclass(frozen=True, kw_only=True)
class Embedder:
    """A network that turns the crop of a face into an embedding. Another one is another value of this class."""

    name: str
    alignment: Alignment
    """`box`: the box with a margin, resized. `five-points`: the similarity transform that takes the five landmarks to
    ArcFace's template.
    """
    crop_px: int
    """Side of the square input."""
    channels: Channels
    """Order of the input's three channels."""
    pixel_mean: tuple[float, float, float]
    """By channel in this order: the network receives (x - mean) / scale for each value x in 0..255. A network that does
    this itself has the means 0 and the scales 1.
    """
    pixel_scale: tuple[float, float, float]
    dimensions: int
    """The number of values in an embedding."""
    license: str = field(default="", compare=False)
    """In words."""
    origin: str = field(default="", compare=False)
    """In words: who trained it, on what."""

    def contract_fields(self) -> dict[str, Any]:
        """The fields of a `Contract` that this embedder determines."""
        values = {about.name: getattr(self, about.name) for about in fields(self) if about.compare}
        return {"model": values.pop("name"), **values}


FACENET = Embedder(
    name="facenet",
    alignment="box",
    crop_px=CROP_PX,
    channels="rgb",
    # Its standardization, (x - 127.5) / 128, becomes part of the network when it is converted.
    pixel_mean=(0.0, 0.0, 0.0),
    pixel_scale=(1.0, 1.0, 1.0),
    dimensions=512,
    license="MIT",
    origin="InceptionResnetV1 by David Sandberg (facenet), trained on CASIA-WebFace or VGGFace2",
)
SFACE = Embedder(
    name="sface",
    alignment="five-points",
    crop_px=112,
    channels="rgb",
    pixel_mean=(0.0, 0.0, 0.0),
    pixel_scale=(1.0, 1.0, 1.0),
    dimensions=128,
    license="Apache-2.0",
    origin="SFace by Zhong et al., from OpenCV Zoo; the images that it was trained on are not documented",
)
EMBEDDERS = {embedder.name: embedder for embedder in (FACENET, SFACE)}
"""The embedders that facequeue knows, by name."""
