"""MTCNN's three networks as plain lists of layers, from the weights in the facenet-pytorch wheel.

Architecture: Zhang et al. 2016, "Joint Face Detection and Alignment Using Multitask Cascaded Convolutional Networks",
as facenet-pytorch builds it. Three changes make them cheaper without changing what they compute: the standardization
(x - 127.5) / 128 is folded into the first convolution (none of them pads), the heads are one layer, and instead of a
softmax over two classes the difference of the two logits is returned (its sigmoid is the softmax's second value).
"""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import numpy as np

from shared.domain.arrays import Float32
from shared.domain.contract import PIXEL_MEAN, PIXEL_SCALE
from shared.domain.errors import WeightsError
from worker.models.checkpoint import read_state_dict

Name = Literal["pnet", "rnet", "onet"]
NAMES: tuple[Name, ...] = ("pnet", "rnet", "onet")


@dataclass(frozen=True)
class Conv:
    weight: Float32  # [out, in, k, k]
    bias: Float32  # [out]


@dataclass(frozen=True)
class PReLU:
    slope: Float32  # [channels]


@dataclass(frozen=True)
class MaxPool:
    size: int
    stride: int  # the last window may extend beyond the edge (ceil mode)


@dataclass(frozen=True)
class Dense:
    weight: Float32  # [out, in], the input flattened in channel, row, column order
    bias: Float32


Layer = Conv | PReLU | MaxPool | Dense

# Layers by their names in facenet-pytorch's state dict. "heads" are merged into one layer, face logit difference first.
_PLANS: dict[Name, tuple[str, ...]] = {
    "pnet": ("conv1", "prelu1", "pool 2", "conv2", "prelu2", "conv3", "prelu3", "heads conv4_1 conv4_2"),
    "rnet": (
        "conv1",
        "prelu1",
        "pool 3",
        "conv2",
        "prelu2",
        "pool 3",
        "conv3",
        "prelu3",
        "dense4",
        "prelu4",
        "heads dense5_1 dense5_2",
    ),
    "onet": (
        "conv1",
        "prelu1",
        "pool 3",
        "conv2",
        "prelu2",
        "pool 3",
        "conv3",
        "prelu3",
        "pool 2",
        "conv4",
        "prelu4",
        "dense5",
        "prelu5",
        "heads dense6_1 dense6_2 dense6_3",
    ),
}
# Side of the feature map that the first dense layer sees: facenet-pytorch flattens it in column, row, channel order.
_FLATTENED_SIDE = {"rnet": 3, "onet": 3}


def weights_file(name: Name) -> Path:
    """The path of this network's weights in the facenet-pytorch wheel, found without importing the package."""
    spec = find_spec("facenet_pytorch")
    if spec is None or not spec.submodule_search_locations:
        raise WeightsError(
            "facenet-pytorch is not installed, and MTCNN's weights are in it. Install the extra 'worker'."
        )
    return Path(spec.submodule_search_locations[0]) / "data" / f"{name}.pt"


def load_layers(name: Name) -> list[Layer]:
    """The layers of one network, for a backend to build."""
    state = read_state_dict(weights_file(name))
    layers: list[Layer] = []
    for step in _PLANS[name]:
        kind, *rest = step.split()
        if kind == "pool":
            layers.append(MaxPool(size=int(rest[0]), stride=2))
        elif kind == "heads":
            layers.append(_merge_heads(state, rest))
        elif kind.startswith("prelu"):
            layers.append(PReLU(state[f"{kind}.weight"]))
        elif kind.startswith("conv"):
            layers.append(Conv(state[f"{kind}.weight"], state[f"{kind}.bias"]))
        else:
            weight = state[f"{kind}.weight"]
            if not any(isinstance(layer, Dense) for layer in layers):
                side = _FLATTENED_SIDE[name]
                weight = weight.reshape(len(weight), side, side, -1).transpose(0, 3, 2, 1).reshape(len(weight), -1)
            layers.append(Dense(np.ascontiguousarray(weight), state[f"{kind}.bias"]))
    first = layers[0]
    assert isinstance(first, Conv)
    layers[0] = _fold_standardization(first)
    return layers


def _fold_standardization(layer: Conv) -> Conv:
    weight = layer.weight / np.float32(PIXEL_SCALE)
    bias = layer.bias - np.float32(PIXEL_MEAN) * weight.sum(axis=(1, 2, 3), dtype=np.float64)
    return Conv(weight, bias.astype(np.float32))


def _merge_heads(state: dict[str, Float32], heads: list[str]) -> Conv | Dense:
    classes, *others = heads
    weight, bias = state[f"{classes}.weight"], state[f"{classes}.bias"]
    weights = [weight[1:] - weight[:1], *(state[f"{head}.weight"] for head in others)]
    biases = [bias[1:] - bias[:1], *(state[f"{head}.bias"] for head in others)]
    layer = Conv if weight.ndim == 4 else Dense
    return layer(np.concatenate(weights), np.concatenate(biases))
