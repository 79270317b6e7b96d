"""An embedder in ONNX as a torch module, for the operators that convolutional embedders consist of."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from shared.domain.errors import WeightsError
from worker.models.onnx_file import OnnxNetwork

_LENGTH_ERROR = 1e-3
_Values = dict[str, torch.Tensor]
_Attributes = dict[str, Any]


class OnnxModule(nn.Module):
    """[n, 3, crop_px, crop_px] -> [n, dimensions], L2-normalized. WeightsError if an operator is not known here."""

    def __init__(self, network: OnnxNetwork) -> None:
        super().__init__()
        graph = network.model.graph
        (pixels,), (output,) = graph.input, graph.output
        self._input, self._output = pixels.name, output.name
        self._constants = {}
        for number, (name, value) in enumerate(network.constants().items()):
            self.register_buffer(f"constant{number}", torch.from_numpy(value.copy()))
            self._constants[name] = f"constant{number}"
        self._steps = []
        for node in graph.node:
            if node.op_type == "Constant":  # only those of operators that are not run, as the share of a Dropout
                continue
            if node.op_type not in _OPERATORS:
                raise WeightsError(
                    f"The model {network.source} cannot be used with the torch backend: it has the operator "
                    f"{ascii(node.op_type)[:40]}. Use the OpenVINO backend (FACEQUEUE_BACKEND=openvino)."
                )
            if strange := {attribute.name for attribute in node.attribute} - _ATTRIBUTES.get(node.op_type, set()):
                raise WeightsError(
                    f"The model {network.source} cannot be used with the torch backend: its {node.op_type} has "
                    f"{ascii(min(strange))[:40]}. Use the OpenVINO backend (FACEQUEUE_BACKEND=openvino)."
                )
            attributes = {
                attribute.name: list(attribute.ints) or (attribute.f if attribute.HasField("f") else attribute.i)
                for attribute in node.attribute
            }
            self._steps.append((_OPERATORS[node.op_type], list(node.input), node.output[0], attributes))
        self.eval()

    def forward(self, crops: torch.Tensor) -> torch.Tensor:
        values: _Values = {name: getattr(self, buffer) for name, buffer in self._constants.items()}
        values[self._input] = crops
        for operator, operands, result, attributes in self._steps:
            values[result] = operator([values[name] for name in operands if name in values], attributes)
        return F.normalize(values[self._output], dim=1)


def try_module(network: OnnxNetwork) -> None:
    """WeightsError if the network cannot be run, or what it returns for a made-up crop has no length."""
    side = network.crop_px
    module = OnnxModule(network)
    try:
        with torch.inference_mode():
            returned = module(torch.full((1, 3, side, side), 127.0))
        usable = returned.ndim == 2 and abs(float(returned.norm()) - 1) < _LENGTH_ERROR
    except (RuntimeError, LookupError, TypeError, ValueError):  # operands that do not fit together
        usable = False
    if not usable:
        raise WeightsError(f"The model {network.source} cannot be used: torch cannot run it, or it returns nothing.")


def _convolve(operands: list[torch.Tensor], attributes: _Attributes) -> torch.Tensor:
    pixels, weight, *bias = operands
    top, left, bottom, right = attributes.get("pads", (0, 0, 0, 0))
    return F.conv2d(
        F.pad(pixels, (left, right, top, bottom)),
        weight,
        bias[0] if bias else None,
        attributes.get("strides", 1),
        0,
        attributes.get("dilations", 1),
        attributes.get("group", 1),
    )


def _normalize_batch(operands: list[torch.Tensor], attributes: _Attributes) -> torch.Tensor:
    values, gamma, beta, mean, variance = operands
    return F.batch_norm(values, mean, variance, gamma, beta, eps=attributes.get("epsilon", 1e-5))


def _multiply_matrices(operands: list[torch.Tensor], attributes: _Attributes) -> torch.Tensor:
    left, right, *bias = operands
    left = left.T if attributes.get("transA") else left
    right = right.T if attributes.get("transB") else right
    product: torch.Tensor = attributes.get("alpha", 1.0) * (left @ right)
    if bias:
        product = product + attributes.get("beta", 1.0) * bias[0]
    return product


_ATTRIBUTES = {
    "BatchNormalization": {"epsilon", "momentum", "training_mode", "spatial"},
    "Conv": {"dilations", "group", "kernel_shape", "pads", "strides"},
    "Dropout": {"ratio", "seed"},
    "Flatten": {"axis"},
    "Gemm": {"alpha", "beta", "transA", "transB"},
}
"""The attributes of operators that are computed with, or change nothing. Others are refused."""

_OPERATORS: dict[str, Callable[[list[torch.Tensor], _Attributes], torch.Tensor]] = {
    "Add": lambda operands, _: operands[0] + operands[1],
    "BatchNormalization": _normalize_batch,
    "Conv": _convolve,
    "Div": lambda operands, _: operands[0] / operands[1],
    "Dropout": lambda operands, _: operands[0],
    "Flatten": lambda operands, attributes: torch.flatten(operands[0], attributes.get("axis", 1)),
    "Gemm": _multiply_matrices,
    "GlobalAveragePool": lambda operands, _: operands[0].mean((2, 3), keepdim=True),
    "Identity": lambda operands, _: operands[0],
    "Mul": lambda operands, _: operands[0] * operands[1],
    # Not F.prelu, whose slope is one for each channel: ONNX's is broadcast.
    "PRelu": lambda operands, _: torch.where(operands[0] < 0, operands[0] * operands[1], operands[0]),
    "Relu": lambda operands, _: F.relu(operands[0]),
    "Sigmoid": lambda operands, _: torch.sigmoid(operands[0]),
    "Sub": lambda operands, _: operands[0] - operands[1],
}
