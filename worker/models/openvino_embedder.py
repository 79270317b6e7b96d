"""InceptionResnetV1 as an OpenVINO model. Batch norms and scales are folded into the convolutions before them."""

from typing import Any

import numpy as np
import openvino as ov
from openvino import opset13 as ops
from openvino.opset1 import max_pool

from shared.domain.arrays import Float32
from shared.domain.contract import CROP_PX, PIXEL_MEAN, PIXEL_SCALE
from worker.models.inception_resnet import (
    STEPS,
    Branches,
    ConvNorm,
    MaxPool,
    Pair,
    Reduction,
    Residual,
    State,
    norm_as_scale_and_offset,
)

_SHORTEST = 1e-12  # the length below which an embedding is not normalized further, as in torch


def build_embedder(state: State) -> ov.Model:
    """[n, 3, 160, 160] in 0..255 -> [n, 512], L2-normalized."""
    crops = ops.parameter(ov.PartialShape([-1, 3, CROP_PX, CROP_PX]), np.float32)
    node: Any = ops.divide(ops.add(crops, _number(-PIXEL_MEAN)), _number(PIXEL_SCALE))
    for step in STEPS:
        match step:
            case ConvNorm():
                node = _conv_norm(node, step, state)
            case MaxPool():
                node = _max_pool(node)
            case Reduction(branches):
                node = ops.concat([*_run_branches(node, branches, state), _max_pool(node)], 1)
            case Residual():
                node = _residual(node, step, state)
    node = ops.reduce_mean(node, np.array([2, 3]), keep_dims=True)
    node = ops.reshape(node, np.array([-1, 1792]), special_zero=False)
    node = ops.matmul(node, state["last_linear.weight"], False, True)
    scale, offset = norm_as_scale_and_offset(state, "last_bn")
    node = ops.add(ops.multiply(node, scale[None]), offset[None])
    length = ops.reduce_l2(node, np.array([1]), keep_dims=True)
    node = ops.divide(node, ops.maximum(length, np.array([[_SHORTEST]], np.float32)))
    return ov.Model([node], [crops])


def _conv_norm(node: Any, conv: ConvNorm, state: State) -> Any:
    scale, offset = norm_as_scale_and_offset(state, f"{conv.name}.bn")
    weight = state[f"{conv.name}.conv.weight"] * scale.reshape(-1, 1, 1, 1)
    return ops.relu(_convolution(node, weight, offset, conv.stride, conv.padding))


def _residual(node: Any, block: Residual, state: State) -> Any:
    branches = ops.concat(_run_branches(node, block.branches, state), 1)
    scale = np.float32(block.scale)
    weight, bias = (state[f"{block.name}.conv2d.{part}"] * scale for part in ("weight", "bias"))
    total = ops.add(_convolution(branches, weight, bias), node)
    return ops.relu(total) if block.relu else total


def _run_branches(node: Any, branches: Branches, state: State) -> list[Any]:
    ends = []
    for branch in branches:
        end = node
        for conv in branch:
            end = _conv_norm(end, conv, state)
        ends.append(end)
    return ends


def _convolution(node: Any, weight: Float32, bias: Float32, stride: int = 1, padding: Pair = (0, 0)) -> Any:
    convolved = ops.convolution(node, weight, [stride, stride], [*padding], [*padding], [1, 1])
    return ops.add(convolved, bias.reshape(1, -1, 1, 1))


def _number(value: float) -> Float32:
    return np.full((1, 1, 1, 1), value, np.float32)


def _max_pool(node: Any) -> Any:
    return max_pool(node, [2, 2], [0, 0], [0, 0], [3, 3], "floor")
