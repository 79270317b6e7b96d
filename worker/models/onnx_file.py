"""Reads and checks the file of an embedder in ONNX, and simplifies it. It needs neither ONNX's package nor its runtime.

Nothing in the file is executed: a model that could do more than compute from its own constants is refused.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from google.protobuf.message import DecodeError

from shared.domain.embedders import LARGEST_CROP_PX, LARGEST_MODEL_BYTES, SMALLEST_CROP_PX
from shared.domain.errors import WeightsError
from worker.models.protobuf_subset import KINDS, Field, message_class

_FLOAT, _INT64, _FLOAT16, _DOUBLE, _UINT32, _UINT64 = 1, 7, 10, 11, 12, 13
_TYPES = {
    _FLOAT: "<f4",
    2: "u1",
    3: "i1",
    4: "<u2",
    5: "<i2",
    6: "<i4",
    _INT64: "<i8",
    9: "?",
    _FLOAT16: "<f2",
    _DOUBLE: "<f8",
    _UINT32: "<u4",
    _UINT64: "<u8",
}
"""numpy's names of ONNX's types of elements."""
_EXTERNAL = 1
_OWN_DOMAINS = ("", "ai.onnx")
_CHANNELS = 3
_MOST_FOLDED = 2**28
"""Values of constants that are computed: 1 GiB. A message of protobuf has less than 2 GiB."""
Array = npt.NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class OnnxNetwork:
    """A checked network: float32 [n, 3, crop_px, crop_px] -> [n, values], for any n."""

    model: Any
    """The ModelProto. Constants that are computed from constants are stored, and are not inputs."""
    crop_px: int
    source: Path

    def constants(self) -> dict[str, Array]:
        """The stored constants by name."""
        return {tensor.name: _values(tensor) for tensor in self.model.graph.initializer}


def read_onnx(path: Path) -> OnnxNetwork:
    """The network in a file. WeightsError says in one line why it cannot be used."""
    try:
        size = path.stat().st_size
        if size > LARGEST_MODEL_BYTES:
            raise WeightsError(
                f"{path} has {size / 2**20:,.0f} MiB, and a model may have {LARGEST_MODEL_BYTES / 2**20:.0f}."
            )
        data = path.read_bytes()
    except OSError as error:
        raise WeightsError(f"The model {path} cannot be read: {error.strerror}.") from None
    try:
        model = _message("ModelProto").FromString(data)
    except DecodeError:
        raise WeightsError(f"{path} is damaged, or is no ONNX file.") from None
    if not model.graph.node:
        raise WeightsError(f"{path} is damaged, or is no ONNX file: it has no graph.")
    reason = next(_what_is_refused(model), None)
    if reason is None:
        _fold_constants(model.graph, path)
        reason = _what_does_not_fit(model.graph)
    if reason is not None:
        raise WeightsError(f"The model {path} cannot be used: {reason}.")
    (pixels,) = model.graph.input
    return OnnxNetwork(model=model, crop_px=_sides(pixels)[2], source=path)


def _what_is_refused(model: Any) -> Iterator[str]:
    """What makes a file more than a graph with its constants."""
    graph = model.graph
    domains = [opset.domain for opset in model.opset_import if opset.version] + [node.domain for node in graph.node]
    if strange := sorted({ascii(domain)[:40] for domain in domains if domain not in _OWN_DOMAINS}):
        used = [node for node in graph.node if node.domain not in _OWN_DOMAINS]
        if used:
            yield f"it has operators that are not ONNX's own (of {', '.join(strange)})"
    if model.functions:
        yield "it defines functions of its own"
    if graph.sparse_initializer:
        yield "it has sparse constants"
    for node in graph.node:
        if not node.output:
            yield f"it is damaged: a node has no result ({ascii(node.op_type)[:40]})"
        if node.op_type.startswith(("Random", "Bernoulli", "Multinomial")):
            yield f"it computes with random numbers ({ascii(node.op_type)[:40]})"
        if any(attribute.g or attribute.graphs for attribute in node.attribute):
            yield f"it has branches or loops ({ascii(node.op_type)[:40]})"
    for tensor in _tensors(graph):
        if tensor.data_location == _EXTERNAL or tensor.external_data:
            yield "its weights are in other files (external data); save it with all weights inside"
        if tensor.data_type not in _TYPES:
            yield f"the constant {ascii(tensor.name)[:60]} has an unknown type ({tensor.data_type})"
        elif any(size < 0 for size in tensor.dims) or not _is_whole(tensor):
            yield f"the constant {ascii(tensor.name)[:60]} is damaged: its values do not fill its shape"


def _what_does_not_fit(graph: Any) -> str | None:
    """Why input and output are not those of an embedder; None if they are."""
    if len(graph.input) != 1:
        return f"it has {len(graph.input)} inputs, and an embedder has one"
    if len(graph.output) != 1:
        return f"it has {len(graph.output)} outputs, and an embedder has one"
    (pixels,) = graph.input
    if pixels.type.tensor_type.elem_type != _FLOAT:
        return "its input is not float32"
    sides = _sides(pixels)
    described = f"[{', '.join(str(side or '?') for side in sides)}]"
    if len(sides) != 4 or sides[1] != _CHANNELS or sides[2] != sides[3] or sides[0] not in (0, 1):
        dynamic = " (give it a fixed size)" if len(sides) == 4 and 0 in sides[1:] else ""
        return f"its input is {described}, and has to be [n, 3, size, size] with n free or 1{dynamic}"
    if not SMALLEST_CROP_PX <= sides[2] <= LARGEST_CROP_PX:
        return f"its input is {described}: sizes from {SMALLEST_CROP_PX} to {LARGEST_CROP_PX} are possible"
    return None


def _sides(value: Any) -> list[int]:
    """The shape of an input; 0 for a dimension that is free."""
    return [max(0, dimension.dim_value) for dimension in value.type.tensor_type.shape.dim]


def _tensors(graph: Any) -> Iterator[Any]:
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            yield from (attribute.t,) if attribute.HasField("t") else ()
            yield from attribute.tensors


def _is_whole(tensor: Any) -> bool:
    count: int = prod(tensor.dims)
    if tensor.raw_data:
        itemsize: int = np.dtype(_TYPES[tensor.data_type]).itemsize
        return len(tensor.raw_data) == count * itemsize
    return count == len(_list_of(tensor))


def _list_of(tensor: Any) -> Any:
    """The field that has the values of a constant of this type, if they are not stored as bytes."""
    fields = {_FLOAT: "float", _INT64: "int64", _DOUBLE: "double", _UINT32: "uint64", _UINT64: "uint64"}
    return getattr(tensor, f"{fields.get(tensor.data_type, 'int32')}_data")


def _values(tensor: Any) -> Array:
    """The values of a constant."""
    kind = np.dtype(_TYPES[tensor.data_type])
    if tensor.raw_data:
        values = np.frombuffer(tensor.raw_data, kind)
    elif tensor.data_type == _FLOAT16:  # listed as the whole numbers with the same bits
        values = np.array(tensor.int32_data, np.int32).astype("<u2").view(kind)
    else:
        values = np.array(_list_of(tensor)).astype(kind)
    return values.reshape(tuple(tensor.dims))


def _fold_constants(graph: Any, path: Path) -> None:
    """Stores what DequantizeLinear and Reshape make of constants, and drops inputs that are constants or never read.

    OpenVINO knows no dequantization by blocks, and would ask for each of these inputs.
    """
    known = {tensor.name: tensor for tensor in graph.initializer}
    kept, count = [], 0
    for node in graph.node:
        operands = [known.get(name) for name in node.input]
        try:
            folded = None if None in operands else _fold(node, operands)
        except (ValueError, LookupError, TypeError, OverflowError):  # shapes that do not fit together
            raise WeightsError(f"{path} is damaged: {ascii(node.op_type)[:40]} of constants fails.") from None
        if folded is None:
            kept.append(node)
            continue
        count += folded.size
        if count > _MOST_FOLDED:
            raise WeightsError(
                f"The model {path} cannot be used: its constants have more than {_MOST_FOLDED:,} values."
            )
        tensor = graph.initializer.add()
        tensor.name, tensor.data_type, tensor.raw_data = node.output[0], _FLOAT, folded.astype("<f4").tobytes()
        tensor.dims.extend(folded.shape)
        known[tensor.name] = tensor
    used = {name for node in kept for name in node.input} | {value.name for value in graph.output}
    _replace(graph.node, kept)
    _replace(graph.initializer, [tensor for tensor in known.values() if tensor.name in used])
    _replace(graph.input, [value for value in graph.input if value.name in used and value.name not in known])
    del graph.value_info[:]  # shapes of values that may be gone, for the batch as it was


def _replace(repeated: Any, by: Iterable[Any]) -> None:
    copies = [type(value)() for value in by]
    for copy, value in zip(copies, by, strict=True):
        copy.CopyFrom(value)
    del repeated[:]
    repeated.extend(copies)


def _fold(node: Any, operands: list[Any]) -> Array | None:
    """The constant that a node makes of constants; None if it is left to the backend."""
    attributes = {attribute.name: attribute.i for attribute in node.attribute}
    if node.op_type == "DequantizeLinear" and attributes.get("block_size"):
        quantized, scales, *zeros = (_values(tensor).astype(np.float32) for tensor in operands)
        axis = attributes.get("axis", 1) % max(1, quantized.ndim)
        size = min(attributes["block_size"], max(1, quantized.shape[axis]))  # one block may be longer
        blocks_shape = list(quantized.shape)
        blocks_shape[axis] = -(-blocks_shape[axis] // size)
        if size < 1 or any(list(each.shape) != blocks_shape for each in (scales, *zeros)):
            raise ValueError("the scales are not those of the blocks")

        def spread(of_blocks: Array) -> Array:
            return np.repeat(of_blocks, size, axis).take(np.arange(quantized.shape[axis]), axis)

        zero = spread(zeros[0]) if zeros else np.float32(0)
        return (quantized - zero) * spread(scales)
    if node.op_type == "Reshape" and operands[0].data_type == _FLOAT:
        return _values(operands[0]).reshape([int(side) for side in _values(operands[1])])
    return None


@lru_cache
def _message(name: str) -> Any:
    """The class of a message of onnx.proto, with the fields that are used here. Others are kept as they are."""
    text, number, data = KINDS.TYPE_STRING, KINDS.TYPE_INT64, KINDS.TYPE_BYTES
    messages: dict[str, list[Field]] = {
        "ModelProto": [
            ("graph", 7, "GraphProto", False),
            ("opset_import", 8, "OperatorSetIdProto", True),
            ("functions", 25, data, True),
        ],
        "OperatorSetIdProto": [("domain", 1, text, False), ("version", 2, number, False)],
        "GraphProto": [
            ("node", 1, "NodeProto", True),
            ("initializer", 5, "TensorProto", True),
            ("input", 11, "ValueInfoProto", True),
            ("output", 12, "ValueInfoProto", True),
            ("value_info", 13, "ValueInfoProto", True),
            ("sparse_initializer", 15, data, True),
        ],
        "NodeProto": [
            ("input", 1, text, True),
            ("output", 2, text, True),
            ("op_type", 4, text, False),
            ("attribute", 5, "AttributeProto", True),
            ("domain", 7, text, False),
        ],
        "AttributeProto": [
            ("name", 1, text, False),
            ("f", 2, KINDS.TYPE_FLOAT, False),
            ("i", 3, number, False),
            ("t", 5, "TensorProto", False),
            ("g", 6, data, False),
            ("ints", 8, number, True),
            ("tensors", 10, "TensorProto", True),
            ("graphs", 11, data, True),
        ],
        "TensorProto": [
            ("dims", 1, number, True),
            ("data_type", 2, KINDS.TYPE_INT32, False),
            ("float_data", 4, KINDS.TYPE_FLOAT, True),
            ("int32_data", 5, KINDS.TYPE_INT32, True),
            ("int64_data", 7, number, True),
            ("name", 8, text, False),
            ("raw_data", 9, data, False),
            ("double_data", 10, KINDS.TYPE_DOUBLE, True),
            ("uint64_data", 11, KINDS.TYPE_UINT64, True),
            ("external_data", 13, data, True),
            ("data_location", 14, KINDS.TYPE_INT32, False),
        ],
        "ValueInfoProto": [("name", 1, text, False), ("type", 2, "TypeProto", False)],
        "TypeProto": [("tensor_type", 1, "TensorTypeProto", False)],
        "TensorTypeProto": [("elem_type", 1, KINDS.TYPE_INT32, False), ("shape", 2, "TensorShapeProto", False)],
        "TensorShapeProto": [("dim", 1, "Dimension", True)],
        "Dimension": [("dim_value", 1, number, False)],
    }
    return message_class("proto2", messages, name)
