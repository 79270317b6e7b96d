"""The networks on a CPU with OpenVINO: built and compiled once into files, loaded in every process."""

from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from openvino import opset13 as ops
from openvino.opset1 import max_pool

from shared.domain.arrays import Float32
from shared.domain.contract import Precision
from shared.domain.errors import WeightsError
from worker.models.inception_resnet import State
from worker.models.mtcnn_layers import NAMES, Conv, Dense, Layer, MaxPool, PReLU, load_layers
from worker.models.onnx_file import OnnxNetwork
from worker.models.openvino_embedder import build_embedder
from worker.models.openvino_onnx import convert_onnx, try_embedder

_LARGEST_BATCH = 128
# Compiling for a new batch size takes some milliseconds; one more crop takes 0.2 ms in R-net and 0.4 ms in O-net.
_BATCH_MULTIPLES = {"rnet": 16, "onet": 4}
_HINTS: dict[Precision, str] = {"float32": "f32", "bf16": "bf16"}
_CONFIG: dict[str, Any] = {
    "NUM_STREAMS": 1,
    # OpenVINO pins threads from core 0 on: two processes with one thread each would share a core.
    "ENABLE_CPU_PINNING": False,
    # By default, OpenVINO would use bfloat16 on every processor that has it.
    "INFERENCE_PRECISION_HINT": _HINTS["float32"],
    # By default it keeps compiled code for up to 5,000 shapes, and every image has another shape. (Measured over 3,000
    # images: with 128 shapes memory still grows by a tenth. With 16 to 32 it is constant, at the same speed.)
    "CPU_RUNTIME_CACHE_CAPACITY": 32,
    # No CACHE_DIR: OpenVINO loads damaged files from it without an error. Our own compiled files are in the manifest.
}


def export_networks(embedder: State | OnnxNetwork, folder: Path) -> None:
    """Writes pnet, rnet, onet and the embedder into `folder` as OpenVINO files, in float32."""
    sides = {"pnet": -1, "rnet": 24, "onet": 48}
    for name in NAMES:
        ov.save_model(_build(load_layers(name), sides[name]), folder / f"{name}.xml", compress_to_fp16=False)
    network = convert_onnx(embedder) if isinstance(embedder, OnnxNetwork) else build_embedder(embedder)
    if isinstance(embedder, OnnxNetwork):
        try:
            try_embedder(embedder, ov.Core().compile_model(network, "CPU", _CONFIG))
        except RuntimeError:  # its message has several lines
            raise WeightsError(f"The model {embedder.source} cannot be used: OpenVINO cannot run it.") from None
    ov.save_model(network, folder / "embedder.xml", compress_to_fp16=False)


def compile_networks(folder: Path, into: Path) -> None:
    """Compiles the networks in `folder` for float32 and this processor. They load in half the time, and only there."""
    core = ov.Core()
    for name in (*NAMES, "embedder"):
        compiled = core.compile_model(folder / f"{name}.xml", "CPU", _CONFIG)
        (into / f"{name}.blob").write_bytes(compiled.export_model().getvalue())


def _build(layers: list[Layer], side: int) -> ov.Model:
    pixels = ops.parameter(ov.PartialShape([-1, 3, side, side]), np.float32)
    node = pixels
    for layer in layers:
        match layer:
            case Conv(weight, bias):
                node = ops.convolution(node, weight, [1, 1], [0, 0], [0, 0], [1, 1])
                node = ops.add(node, bias.reshape(1, -1, 1, 1))
            case PReLU(slope):
                node = ops.prelu(node, slope)
            case MaxPool(size, stride):
                node = max_pool(node, [stride, stride], [0, 0], [0, 0], [size, size], "ceil")
            case Dense(weight, bias):
                if len(node.get_output_partial_shape(0)) == 4:
                    node = ops.reshape(node, np.array([0, weight.shape[1]]), special_zero=True)
                node = ops.add(ops.matmul(node, weight, False, True), bias.reshape(1, -1))
    return ov.Model([node], [pixels])


def load_networks(folder: Path, threads: int, device: str, precision: Precision) -> "OpenVinoNetworks":
    """Loads the networks in `folder`, compiled or not. The device is always the CPU."""
    return OpenVinoNetworks(folder, threads, precision)


class OpenVinoNetworks:
    """P-, R-, O-net and the embedder in this process. Create it after the fork, which OpenVINO's threads do not
    survive.
    """

    def __init__(self, folder: Path, threads: int, precision: Precision = "float32") -> None:
        """`precision` is the embedder's. Its last layers (normalization) stay in float32 by OpenVINO's own choice.

        RuntimeError if the folder's networks were compiled by another build of OpenVINO.
        """
        core, config = ov.Core(), _CONFIG | {"INFERENCE_NUM_THREADS": threads}
        configs = dict.fromkeys(NAMES, config) | {"embedder": config | {"INFERENCE_PRECISION_HINT": _HINTS[precision]}}
        self._mapped: list[Any] = []  # the files that compiled networks use, for as long as these exist
        self._requests = {
            name: self._load(core, folder, name, of_network).create_infer_request()
            for name, of_network in configs.items()
        }
        embedder = self._requests["embedder"].get_compiled_model()
        self.crop_px: int = embedder.input(0).get_partial_shape()[2].get_length()

    def _load(self, core: ov.Core, folder: Path, name: str, config: dict[str, Any]) -> ov.CompiledModel:
        compiled = folder / f"{name}.blob"
        if not compiled.exists():
            return core.compile_model(folder / f"{name}.xml", "CPU", config)
        # Processes share its pages. OpenVINO takes no memory that is only for reading.
        self._mapped.append(np.memmap(compiled, np.uint8, "c"))
        return core.import_model(ov.Tensor(self._mapped[-1], shared_memory=True), "CPU", config)

    def _run(self, name: str, values: Float32) -> Float32:
        result = self._requests[name].infer([np.ascontiguousarray(values)], share_inputs=True)
        output: Float32 = result[0]
        return output

    def pnet(self, pixels: Float32) -> Float32:
        return self._run("pnet", pixels)

    def _run_padded(self, name: str, crops: Float32) -> Float32:
        # Padding leaves few batch sizes, for which compiled code is cached.
        outputs = []
        for first in range(0, len(crops), _LARGEST_BATCH):
            part = crops[first : first + _LARGEST_BATCH]
            missing = -len(part) % _BATCH_MULTIPLES[name]
            padded = np.concatenate([part, np.zeros((missing, *crops.shape[1:]), np.float32)]) if missing else part
            outputs.append(self._run(name, padded)[: len(part)].copy())
        return np.concatenate(outputs)

    def rnet(self, crops: Float32) -> Float32:
        return self._run_padded("rnet", crops)

    def onet(self, crops: Float32) -> Float32:
        return self._run_padded("onet", crops)

    def embed(self, crops: Float32) -> Float32:
        return self._run("embedder", crops)
