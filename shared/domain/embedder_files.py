"""An embedder of the user's own: an ONNX file, and beside it `STEM.toml`, which says what the network wants."""

import tomllib
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, FiniteFloat, ValidationError

from shared.domain.contract import own_weights_name
from shared.domain.embedders import (
    LARGEST_CROP_PX,
    LARGEST_MODEL_BYTES,
    MOST_DIMENSIONS,
    MOST_WORDS,
    SMALLEST_CROP_PX,
    Alignment,
    Channels,
    Embedder,
)
from shared.domain.errors import InvalidRequest
from shared.domain.paths import printable
from shared.domain.validation import explain

MODEL_SUFFIX = ".onnx"
_LARGEST_DESCRIPTION_BYTES = 64 * 2**10


def _one_line(text: str) -> str:
    words = printable(text.strip())
    if not 1 <= len(words) <= MOST_WORDS:
        raise ValueError(f"has to have 1 to {MOST_WORDS} characters")
    return words


def _three(value: Any) -> Any:
    """One number stands for all channels."""
    return (value,) * 3 if isinstance(value, int | float) and not isinstance(value, bool) else value


_Words = Annotated[str, AfterValidator(_one_line)]
_Mean = Annotated[FiniteFloat, Field(ge=-1e6, le=1e6)]
_Scale = Annotated[FiniteFloat, Field(ge=1e-6, le=1e6)]


class _Description(BaseModel):
    """The keys of the file, with the names that the contract has for them."""

    model_config = ConfigDict(extra="forbid", strict=True)

    alignment: Alignment
    crop_px: Annotated[int, Field(ge=SMALLEST_CROP_PX, le=LARGEST_CROP_PX)]
    channels: Channels
    pixel_mean: Annotated[tuple[_Mean, _Mean, _Mean], Field(strict=False), BeforeValidator(_three)]
    pixel_scale: Annotated[tuple[_Scale, _Scale, _Scale], Field(strict=False), BeforeValidator(_three)]
    dimensions: Annotated[int, Field(ge=1, le=MOST_DIMENSIONS)]
    license: _Words
    origin: _Words


def read_embedder(model: Path) -> Embedder:
    """The embedder in an ONNX file, as the file beside it describes it; InvalidRequest says in a line what is wrong.

    Of the ONNX file only the size is looked at: workers check the rest (`worker.models.onnx_file`).
    """
    shown = printable(str(model))
    try:
        if not model.is_file():
            raise InvalidRequest(f"--model {shown}: neither facenet, sface nor a file (.onnx).")
        if model.suffix != MODEL_SUFFIX:
            raise InvalidRequest(f"--model {shown}: a model of your own is an ONNX file, with the suffix .onnx.")
        if (size := model.stat().st_size) > LARGEST_MODEL_BYTES:
            raise InvalidRequest(
                f"--model {shown} has {size / 2**20:,.0f} MiB, and a model may have {LARGEST_MODEL_BYTES / 2**20:.0f}."
            )
    except OSError as error:
        raise InvalidRequest(f"--model {shown} cannot be read: {error.strerror}.") from None
    described = _read(model.with_suffix(".toml"))
    return Embedder(name=own_weights_name(model.stem), **described.model_dump())


def _read(path: Path) -> _Description:
    shown = printable(str(path))
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST_DESCRIPTION_BYTES + 1)
    except FileNotFoundError:
        raise InvalidRequest(
            f"{shown} is missing: it says what the model wants (docs/models.md has an example)."
        ) from None
    except OSError as error:
        raise InvalidRequest(f"{shown} cannot be read: {error.strerror}.") from None
    if len(data) > _LARGEST_DESCRIPTION_BYTES:
        raise InvalidRequest(f"{shown} has more than {_LARGEST_DESCRIPTION_BYTES // 2**10} KiB: is it the right file?")
    try:
        return _Description.model_validate(tomllib.loads(data.decode()))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest(f"{shown} is not TOML: {printable(str(error))}.") from None
    except ValidationError as error:
        raise InvalidRequest(f"{shown}: {printable(explain(error))}. docs/models.md has an example.") from None
