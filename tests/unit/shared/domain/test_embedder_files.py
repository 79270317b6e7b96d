"""Models of the user's own: what their description may say, and the contract that it makes."""

from dataclasses import replace
from pathlib import Path

import pytest

from producer.cli.options import contract_of, embedder_of
from shared.domain.contract import Contract
from shared.domain.embedders import LARGEST_MODEL_BYTES
from shared.domain.errors import ContractError, InvalidRequest
from worker.models.runtime import check_contract

GOOD = {
    "alignment": '"five-points"',
    "crop_px": "112",
    "channels": '"bgr"',
    "pixel_mean": "127.5",
    "pixel_scale": "[128, 128.0, 64]",
    "dimensions": "256",
    "license": '" MIT "',
    "origin": '"by me,\\non my photos"',
}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model with a good description. What it computes does not matter here."""
    path = tmp_path / "mine.onnx"
    path.write_bytes(b"a graph")
    _describe(path, GOOD)
    return path


def _describe(model: Path, values: dict[str, str]) -> None:
    model.with_suffix(".toml").write_text("".join(f"{key} = {value}\n" for key, value in values.items()))


def test_a_description_makes_a_contract(model: Path) -> None:
    """One number stands for all channels. License and origin are one line each, and no part of the contract."""
    embedder = embedder_of(str(model))
    assert (embedder.license, embedder.origin) == ("MIT", "by me,\\non my photos")
    contract = contract_of("largest", False, 32, False, "casia-webface", model=str(model))
    assert (contract.model, contract.weights, contract.margin_px) == ("own-mine", "own-mine", 0)
    assert (contract.pixel_mean, contract.pixel_scale) == ((127.5,) * 3, (128.0, 128.0, 64.0))
    assert contract.embedder == embedder and Contract.from_dict(contract.as_dict()) == contract


def test_a_margin_is_for_crops_that_are_not_aligned(model: Path) -> None:
    """It leaves some of the face in the crop."""
    _describe(model, GOOD | {"alignment": '"box"'})
    for margin, given in ((32, 32), (0, 0), (84, 84)):
        assert contract_of("largest", False, margin, False, "casia-webface", model=str(model)).margin_px == given
    with pytest.raises(InvalidRequest, match=r"--margin 85 is too much in .*crop of 112 pixels"):
        contract_of("largest", False, 85, False, "casia-webface", model=str(model))


def test_a_worker_refuses_a_margin_that_leaves_no_face(model: Path) -> None:
    """Contracts come from a server that others can write to."""
    _describe(model, GOOD | {"alignment": '"box"'})
    contract = contract_of("largest", False, 84, False, "casia-webface", model=str(model))
    check_contract(contract)
    with pytest.raises(ContractError, match="margin_px: 112 is too much in a crop of 112 pixels"):
        check_contract(replace(contract, margin_px=112))


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("alignment", '"none"', "alignment: Input should be"),
        ("crop_px", "16", "crop_px: Input should be greater"),
        ("crop_px", "112.5", "crop_px: Input should be a valid integer"),
        ("channels", '"gray"', "channels: Input should be"),
        ("pixel_mean", "nan", "pixel_mean"),
        ("pixel_mean", '"0"', "pixel_mean"),
        ("pixel_scale", "0", "pixel_scale"),
        ("pixel_scale", "[1, 2]", "pixel_scale"),
        ("dimensions", "513", "dimensions: Input should be less"),
        ("dimensions", "true", "dimensions"),
        ("license", '" "', "license: .*1 to 300 characters"),
        ("origin", f'"{"x" * 301}"', "origin: .*1 to 300 characters"),
        ("origin", None, "origin: Field required"),
        ("colour", "1", "colour: Extra inputs"),
        ("crop_px", "=", "is not TOML"),
    ],
)
def test_a_wrong_description_is_refused_in_a_line(model: Path, key: str, value: str | None, reason: str) -> None:
    """The line names the file and the key."""
    values = {name: text for name, text in (GOOD | {key: value}).items() if text is not None}
    _describe(model, values)
    with pytest.raises(InvalidRequest, match=reason) as refused:
        embedder_of(str(model))
    assert "mine.toml" in str(refused.value) and str(refused.value).isprintable()


def test_files_that_cannot_be_a_model_are_refused_in_a_line(model: Path, tmp_path: Path) -> None:
    """Before anything of them is read."""
    refused = {}
    for name in ("gone.onnx", "other.pt", "alone.onnx", "large.onnx", "binary.onnx", "long.onnx"):
        path = tmp_path / name
        if name != "gone.onnx":
            path.write_bytes(b"")
        if name == "large.onnx":
            with path.open("wb") as file:
                file.truncate(LARGEST_MODEL_BYTES + 1)
        if name == "binary.onnx":
            path.with_suffix(".toml").write_bytes(b"\xff\x00")
        if name == "long.onnx":
            path.with_suffix(".toml").write_text("#" * 2**17)
        with pytest.raises(InvalidRequest) as error:
            embedder_of(str(path))
        assert str(error.value).isprintable()
        refused[name] = str(error.value)
    assert "neither facenet, sface nor a file" in refused["gone.onnx"]
    assert "suffix .onnx" in refused["other.pt"]
    assert "alone.toml is missing" in refused["alone.onnx"]
    assert "a model may have 512" in refused["large.onnx"]
    assert "binary.toml is not TOML" in refused["binary.onnx"]
    assert "long.toml has more than 64 KiB" in refused["long.onnx"]


def test_options_of_facenet_are_refused(model: Path) -> None:
    """Each is named; a model given as weights too."""
    for options, named in (
        ({"weights": "vggface2"}, "--weights"),
        ({"precision": "bf16"}, "--precision"),
        ({"margin": 14}, "--margin"),
        ({"model": "facenet", "weights": str(model)}, "give it as --model"),
    ):
        given = {"faces": "largest", "exact": False, "margin": 32, "mirror": False, "weights": "casia-webface"}
        with pytest.raises(InvalidRequest, match=named):
            contract_of(**({"model": str(model)} | given | options))
