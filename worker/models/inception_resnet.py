"""InceptionResnetV1 as a plain list of steps, and its weights by facenet-pytorch's names.

Architecture: Szegedy et al. 2016, "Inception-v4, Inception-ResNet and the Impact of Residual Connections on Learning",
as facenet-pytorch builds it. Every convolution but the last of a residual block is followed by a batch norm and a ReLU.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from shared.domain.arrays import Float32
from shared.domain.errors import WeightsError

BATCH_NORM_EPSILON = 0.001
DIMENSIONS = 512
Pair = tuple[int, int]
State = Mapping[str, Float32]


@dataclass(frozen=True)
class ConvNorm:
    """A convolution without bias, a batch norm and a ReLU."""

    name: str
    inputs: int
    outputs: int
    kernel: Pair = (1, 1)
    stride: int = 1
    padding: Pair = (0, 0)


@dataclass(frozen=True)
class MaxPool:
    """The largest value of each 3 x 3 window, every 2 pixels."""


Branches = tuple[tuple[ConvNorm, ...], ...]


@dataclass(frozen=True)
class Residual:
    """The input plus `scale` times a convolution with bias of its branches, side by side."""

    name: str
    branches: Branches
    channels: int
    scale: float
    relu: bool = True


@dataclass(frozen=True)
class Reduction:
    """The branches and a `MaxPool` of the input, side by side."""

    branches: Branches


Step = ConvNorm | MaxPool | Residual | Reduction


def _chain(name: str, *convolutions: tuple[int, Pair, int, Pair], inputs: int) -> tuple[ConvNorm, ...]:
    """Convolutions one after another: outputs, kernel, stride, padding of each."""
    chain = []
    for index, (outputs, kernel, stride, padding) in enumerate(convolutions):
        one_name = f"{name}.{index}" if len(convolutions) > 1 else name
        chain.append(ConvNorm(one_name, inputs, outputs, kernel, stride, padding))
        inputs = outputs
    return tuple(chain)


def _point(outputs: int) -> tuple[int, Pair, int, Pair]:
    return outputs, (1, 1), 1, (0, 0)


def _same(outputs: int, *kernel: int) -> tuple[int, Pair, int, Pair]:
    height, width = kernel
    return outputs, (height, width), 1, (height // 2, width // 2)


def _halve(outputs: int) -> tuple[int, Pair, int, Pair]:
    return outputs, (3, 3), 2, (0, 0)


def _block35(name: str) -> Residual:
    branches = (
        _chain(f"{name}.branch0", _point(32), inputs=256),
        _chain(f"{name}.branch1", _point(32), _same(32, 3, 3), inputs=256),
        _chain(f"{name}.branch2", _point(32), _same(32, 3, 3), _same(32, 3, 3), inputs=256),
    )
    return Residual(name, branches, 256, 0.17)


def _block17(name: str) -> Residual:
    branches = (
        _chain(f"{name}.branch0", _point(128), inputs=896),
        _chain(f"{name}.branch1", _point(128), _same(128, 1, 7), _same(128, 7, 1), inputs=896),
    )
    return Residual(name, branches, 896, 0.10)


def _block8(name: str, scale: float, *, relu: bool = True) -> Residual:
    branches = (
        _chain(f"{name}.branch0", _point(192), inputs=1792),
        _chain(f"{name}.branch1", _point(192), _same(192, 1, 3), _same(192, 3, 1), inputs=1792),
    )
    return Residual(name, branches, 1792, scale, relu)


STEPS: tuple[Step, ...] = (
    ConvNorm("conv2d_1a", 3, 32, (3, 3), 2),
    ConvNorm("conv2d_2a", 32, 32, (3, 3)),
    ConvNorm("conv2d_2b", 32, 64, (3, 3), 1, (1, 1)),
    MaxPool(),
    ConvNorm("conv2d_3b", 64, 80),
    ConvNorm("conv2d_4a", 80, 192, (3, 3)),
    ConvNorm("conv2d_4b", 192, 256, (3, 3), 2),
    *(_block35(f"repeat_1.{index}") for index in range(5)),
    Reduction(
        (
            _chain("mixed_6a.branch0", _halve(384), inputs=256),
            _chain("mixed_6a.branch1", _point(192), _same(192, 3, 3), _halve(256), inputs=256),
        )
    ),
    *(_block17(f"repeat_2.{index}") for index in range(10)),
    Reduction(
        (
            _chain("mixed_7a.branch0", _point(256), _halve(384), inputs=896),
            _chain("mixed_7a.branch1", _point(256), _halve(256), inputs=896),
            _chain("mixed_7a.branch2", _point(256), _same(256, 3, 3), _halve(256), inputs=896),
        )
    ),
    *(_block8(f"repeat_3.{index}", 0.20) for index in range(5)),
    _block8("block8", 1.0, relu=False),
)
"""The network up to the mean over all pixels, which `last_linear` and `last_bn` follow."""


def shapes() -> dict[str, tuple[int, ...]]:
    """The shape of every weight, in execution order."""
    found: dict[str, tuple[int, ...]] = {}
    for step in STEPS:
        for conv in _convolutions(step):
            found[f"{conv.name}.conv.weight"] = (conv.outputs, conv.inputs, *conv.kernel)
            found |= _norm_shapes(f"{conv.name}.bn", conv.outputs)
        if isinstance(step, Residual):
            inputs = sum(branch[-1].outputs for branch in step.branches)
            found[f"{step.name}.conv2d.weight"] = (step.channels, inputs, 1, 1)
            found[f"{step.name}.conv2d.bias"] = (step.channels,)
    found["last_linear.weight"] = (DIMENSIONS, 1792)
    return found | _norm_shapes("last_bn", DIMENSIONS)


def _norm_shapes(name: str, channels: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.{part}": (channels,) for part in ("weight", "bias", "running_mean", "running_var")}


def _convolutions(step: Step) -> Iterator[ConvNorm]:
    if isinstance(step, ConvNorm):
        yield step
    elif isinstance(step, Residual | Reduction):
        for branch in step.branches:
            yield from branch


def norm_as_scale_and_offset(state: State, name: str) -> tuple[Float32, Float32]:
    """A batch norm as `scale * x + offset`, each of shape [channels]."""
    variance = state[f"{name}.running_var"] + np.float32(BATCH_NORM_EPSILON)
    scale = state[f"{name}.weight"] / np.sqrt(variance)
    return scale, state[f"{name}.bias"] - state[f"{name}.running_mean"] * scale


def check_state(found: State, source: object) -> dict[str, Float32]:
    """The weights that InceptionResnetV1 needs, as float32. WeightsError if they do not fit by name and shape.

    A classifier's last layer (`logits`) and counters of training steps are left out.
    """
    wanted = shapes()
    for name in found:
        if name not in wanted and not name.startswith("logits.") and not name.endswith(".num_batches_tracked"):
            raise WeightsError(f"{source} does not fit InceptionResnetV1: it has a tensor {ascii(name)[:100]}.")
    for name, shape in wanted.items():
        if name not in found:
            raise WeightsError(f"{source} does not fit InceptionResnetV1: it has no {name}.")
        if found[name].shape != shape:
            raise WeightsError(
                f"{source} does not fit InceptionResnetV1: {name} has the shape {found[name].shape} instead of {shape}."
            )
    return {name: np.array(found[name], np.float32, order="C") for name in wanted}
