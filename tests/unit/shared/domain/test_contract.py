"""A job's contract comes from a server that others can write to, so every field is validated."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from producer.cli.options import contract_of
from shared.domain.contract import KNOWN_WEIGHTS, Contract, own_weights_name
from shared.domain.errors import ContractError, InvalidRequest

GOOD = Contract(
    faces="all", mode="exact", margin_px=14, weights="casia-webface", weights_sha256=KNOWN_WEIGHTS["casia-webface"]
)


def test_a_contract_comes_back_from_json_as_it_was() -> None:
    """This includes the thresholds, which are a list in JSON."""
    assert Contract.from_dict(json.loads(json.dumps(GOOD.as_dict()))) == GOOD


OTHER = replace(
    GOOD,
    model="own-x",
    alignment="five-points",
    crop_px=112,
    channels="bgr",
    pixel_mean=(1.0, 2.0, 3.5),
    dimensions=128,
)


def test_facenets_contract_reads_as_before_there_were_other_embedders() -> None:
    """Results of then are updated, and their cached images recalled; only other embedders are described in full."""
    of_others = {"model", "alignment", "channels", "pixel_mean", "pixel_scale", "dimensions"}
    assert GOOD.as_dict().keys() == OTHER.as_dict().keys() - of_others | {"standardisation"}
    assert GOOD.as_dict()["standardisation"] == "(x - 127.5) / 128"
    assert Contract.from_dict(json.loads(json.dumps(OTHER.as_dict()))) == OTHER
    assert OTHER.embedder.contract_fields().items() <= vars(OTHER).items()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("model", "../x"),
        ("alignment", "none"),
        ("crop_px", 0),
        ("crop_px", 10**6),
        ("channels", "gray"),
        ("pixel_mean", [1.0, 2.0]),
        ("pixel_scale", [1.0, 0.0, 1.0]),
        ("pixel_scale", [1.0, float("nan"), 1.0]),
        ("dimensions", 0),
        ("dimensions", 10**9),
        ("standardisation", "x"),
    ],
)
def test_a_wrong_embedder_is_refused_in_a_line(field: str, value: Any) -> None:
    """A worker reserves memory for what these fields say."""
    with pytest.raises(ContractError, match=field):
        Contract.from_dict(OTHER.as_dict() | {field: value})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("weights", "../../../etc/passwd"),
        ("weights", "/etc/passwd"),
        ("weights", "--help"),
        ("weights", ".hidden"),
        ("weights", ""),
        ("weights", "mine\n"),
        ("weights", "m\x00ine"),
        ("weights", "\ud800"),
        ("weights", "x" * 101),
        ("weights", None),
        ("weights_sha256", "0" * 63),
        ("weights_sha256", "A" * 64),
        ("weights_sha256", "0" * 64 + "\n"),
        ("weights_sha256", "../" + "0" * 61),
        ("faces", "some"),
        ("mode", ["fast"]),
        ("margin_px", -1),
        ("margin_px", 121),
        ("margin_px", "14"),
        ("margin_px", 14.0),
        ("margin_px", True),
        ("mirror", 1),
        ("precision", "f16"),
        ("precision", None),
        ("detector", 5),
        ("min_face_px", "20"),
        ("thresholds", [0.6, 0.7]),
        ("thresholds", [0.6, 0.7, "0.7"]),
        ("thresholds", [0.6, 0.7, float("nan")]),
        ("thresholds", 5),
        ("pyramid_factor", None),
        ("pyramid_factor", float("inf")),
        ("crop_px", {}),
        ("pipeline_version", "1"),
    ],
)
def test_a_wrong_value_is_refused_in_a_line(field: str, value: Any) -> None:
    """The line names the field and contains nothing of the value."""
    with pytest.raises(ContractError) as refused:
        Contract.from_dict(GOOD.as_dict() | {field: value})
    assert str(refused.value).isprintable()
    assert field in str(refused.value) or value == "\ud800"  # which is no JSON at all


@pytest.mark.parametrize("field", sorted(GOOD.as_dict()))
def test_a_missing_field_is_refused(field: str) -> None:
    """Even a field with a default: the job may have been created with another value."""
    values = GOOD.as_dict()
    del values[field]
    with pytest.raises(ContractError, match=f"no {field}"):
        Contract.from_dict(values)


@pytest.mark.parametrize("values", [GOOD.as_dict() | {"color\n": 1}, [], None, "contract", 7])
def test_what_is_no_contract_is_refused(values: Any) -> None:
    """An unknown field is refused, and so is a value that is not an object."""
    with pytest.raises(ContractError) as refused:
        Contract.from_dict(values)
    assert str(refused.value).isprintable()


@pytest.mark.parametrize("stem", ["casia-webface", "vggface2", "mine", "-rf", "ma\nfoto été", "x" * 250])
def test_weights_of_ones_own_have_a_name_of_their_own(stem: str, tmp_path: Path) -> None:
    """Whatever the file's name, it is not mistaken for built-in weights, and workers accept the name."""
    path = tmp_path / f"{stem}.pt"
    path.write_bytes(b"weights")
    contract = contract_of("largest", False, 32, False, str(path))
    assert contract.weights not in KNOWN_WEIGHTS
    assert contract.weights.startswith("own-")
    assert Contract.from_dict(contract.as_dict()) == contract


def test_a_plain_name_can_be_recognized() -> None:
    """The file's stem is kept if it has only valid characters."""
    assert own_weights_name("casia-webface") == "own-casia-webface"
    assert own_weights_name("a b") == "own-a_b"


def test_sface_has_a_contract_of_its_own() -> None:
    """What does not apply to it is refused, and names the option."""
    contract = contract_of("largest", False, 32, False, "casia-webface", model="sface")
    assert (contract.model, contract.weights, contract.dimensions) == ("sface", "sface", 128)
    assert Contract.from_dict(json.loads(json.dumps(contract.as_dict()))) == contract
    for options, named in (
        ({"margin": 14}, "--margin"),
        ({"weights": "vggface2"}, "--weights"),
        ({"precision": "bf16"}, "--precision"),
        ({"model": "facenet", "weights": "sface"}, "--model sface"),
    ):
        given = {"faces": "largest", "exact": False, "margin": 32, "mirror": False, "weights": "casia-webface"}
        with pytest.raises(InvalidRequest, match=named):
            contract_of(**({"model": "sface"} | given | options))
