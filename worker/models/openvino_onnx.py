"""An embedder in ONNX as an OpenVINO model, tried on made-up crops."""

import re
from itertools import pairwise

import numpy as np
import openvino as ov
from openvino import opset13 as ops

from shared.domain.arrays import Float32
from shared.domain.embedders import MOST_DIMENSIONS
from shared.domain.errors import WeightsError
from worker.models.onnx_file import OnnxNetwork

_SHORTEST = 1e-12  # the length below which an embedding is not normalized further, as in torch
_MOST_VALUES = 2**26
"""Of one layer and one face: 256 MiB."""
_TRIED = 9  # crops
_BATCHES = (1, 2, 5, 9)
_LENGTH_ERROR = 1e-3


def convert_onnx(network: OnnxNetwork) -> ov.Model:
    """[n, 3, crop_px, crop_px] -> [n, dimensions], L2-normalized. WeightsError if OpenVINO cannot run the network."""
    side = network.crop_px
    try:
        model = ov.Core().read_model(network.model.SerializeToString())
        model.reshape([-1, 3, side, side])
    except RuntimeError as error:
        unknown = re.search(r"^-- ([\w.-]+)", str(error), re.MULTILINE)
        what = f"OpenVINO has no {unknown[1]} of this kind" if unknown else "OpenVINO cannot read it"
        raise _unusable(network, what) from None
    (output,) = model.outputs
    shape = output.get_partial_shape()
    if shape.rank.is_dynamic or len(shape) != 2 or shape[0].is_static or shape[1].is_dynamic:
        raise _unusable(network, f"it returns {shape.to_string()} for any number of crops, and not [n, dimensions]")
    if output.get_element_type() != ov.Type.f32:
        raise _unusable(network, "it returns no float32")
    if shape[1].get_length() > MOST_DIMENSIONS:
        raise _unusable(network, f"it returns {shape[1].get_length()} values, and {MOST_DIMENSIONS} are possible")
    _check_layers(network, model)
    last = output.get_node().input_value(0)
    length = ops.reduce_l2(last, np.array([1]), keep_dims=True)
    normalized = ops.divide(last, ops.maximum(length, np.array([[_SHORTEST]], np.float32)))
    return ov.Model([normalized], model.get_parameters())


def try_embedder(network: OnnxNetwork, compiled: ov.CompiledModel) -> None:
    """WeightsError unless embeddings have length 1, and the same bits in every batch."""
    request = compiled.create_infer_request()
    side = network.crop_px
    noise = np.random.default_rng(0).integers(0, 256, (_TRIED, 3, side, side)).astype(np.float32)

    def embed(crops: Float32) -> Float32:
        found: Float32 = request.infer([crops])[0].copy()
        return found

    for crops in (noise, (noise - 127.5) / 127.5):
        alone = np.concatenate([embed(crop[None]) for crop in crops])
        lengths = np.linalg.norm(alone, axis=1)
        if not (np.abs(lengths - 1) < _LENGTH_ERROR).all():
            raise _unusable(network, "what it returns for some crops is no direction: not finite, or zero")
        for batch in _BATCHES:
            parts = [embed(crops[first:end]) for first, end in pairwise([*range(0, _TRIED, batch), _TRIED])]
            if not np.array_equal(np.concatenate(parts), alone):
                raise _unusable(network, "what it returns for a crop depends on the other crops of the batch")


def _check_layers(network: OnnxNetwork, model: ov.Model) -> None:
    for node in model.get_ops():
        for output in node.outputs():
            shape = output.get_partial_shape()
            if shape.rank.is_dynamic or any(side.is_dynamic for side in list(shape)[1:]):
                raise _unusable(network, f"the layer {ascii(node.get_friendly_name())[:60]} has no fixed size")
            sides = [side.get_length() for side in shape if side.is_static]
            if np.prod(np.array(sides, np.float64)) > _MOST_VALUES:
                raise _unusable(network, f"the layer {ascii(node.get_friendly_name())[:60]} is too large")


def _unusable(network: OnnxNetwork, why: str) -> WeightsError:
    return WeightsError(f"The model {network.source} cannot be used: {why}.")
