"""The networks in plain torch: on GPUs, and if OpenVINO is not installed."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from shared.domain.arrays import Float32
from shared.domain.contract import CROP_PX, PIXEL_MEAN, PIXEL_SCALE, Precision
from worker.models.checkpoint import read_state_dict
from worker.models.inception_resnet import State
from worker.models.mtcnn_layers import NAMES, Conv, Dense, Layer, MaxPool, PReLU, load_layers
from worker.models.onnx_file import OnnxNetwork, read_onnx
from worker.models.torch_onnx import OnnxModule, try_module

_ONNX = "embedder.onnx"
# The last bits of eager torch depend on the batch size, so every forward pass of the embedder has this many rows.
_EMBED_ROWS = 16


def new_resnet() -> Any:
    """facenet-pytorch's InceptionResnetV1 with random weights and no logits."""
    from facenet_pytorch import InceptionResnetV1

    return InceptionResnetV1(pretrained=None)


class StandardizedEmbedder(nn.Module):
    """[n, 3, 160, 160] in 0..255 -> [n, 512], L2-normalized."""

    def __init__(self, state: State) -> None:
        super().__init__()
        self.resnet = new_resnet()
        self.resnet.load_state_dict({name: torch.from_numpy(value) for name, value in state.items()})
        self.eval()

    def forward(self, crops: torch.Tensor) -> torch.Tensor:
        embeddings: torch.Tensor = self.resnet((crops - PIXEL_MEAN) / PIXEL_SCALE)
        return embeddings


def export_networks(embedder: State | OnnxNetwork, folder: Path) -> None:
    """Writes the embedder's weights into `folder`. MTCNN's weights are read from facenet-pytorch's wheel."""
    if isinstance(embedder, OnnxNetwork):
        try_module(embedder)
        (folder / _ONNX).write_bytes(embedder.model.SerializeToString())
        return
    torch.save({name: torch.from_numpy(value) for name, value in embedder.items()}, folder / "embedder.pt")


def _load_embedder(folder: Path) -> tuple[nn.Module, int]:
    """The embedder, and the side of its input."""
    if (folder / _ONNX).exists():
        network = read_onnx(folder / _ONNX)
        return OnnxModule(network), network.crop_px
    return StandardizedEmbedder(read_state_dict(folder / "embedder.pt")), CROP_PX


def _build(layers: list[Layer]) -> nn.Sequential:
    modules: list[nn.Module] = []
    flat = False
    for layer in layers:
        match layer:
            case Conv(weight, bias):
                conv = nn.Conv2d(weight.shape[1], weight.shape[0], weight.shape[2])
                modules.append(_fill(conv, weight, bias))
            case PReLU(slope):
                prelu = nn.PReLU(len(slope))
                prelu.weight.data = torch.from_numpy(slope.copy())
                modules.append(prelu)
            case MaxPool(size, stride):
                modules.append(nn.MaxPool2d(size, stride, ceil_mode=True))
            case Dense(weight, bias):
                if not flat:
                    modules.append(nn.Flatten())
                    flat = True
                modules.append(_fill(nn.Linear(weight.shape[1], weight.shape[0]), weight, bias))
    return nn.Sequential(*modules).eval()


def _fill(module: nn.Conv2d | nn.Linear, weight: Float32, bias: Float32) -> nn.Module:
    module.weight.data = torch.from_numpy(weight.copy())
    assert module.bias is not None
    module.bias.data = torch.from_numpy(bias.copy())
    return module


def load_networks(folder: Path, threads: int, device: str, precision: Precision) -> "TorchNetworks":
    """Loads the networks in `folder` on the CPU or a GPU. The precision is always float32."""
    return TorchNetworks(folder, threads, device)


class TorchNetworks:
    """P-, R-, O-net and the embedder in this process. Create it after the fork: its threads do not survive that."""

    def __init__(self, folder: Path, threads: int, device: str) -> None:
        torch.set_num_threads(threads)
        self._device = torch.device(device)
        # TF32's 10 bits of mantissa would cost three digits, and only on GPUs that have it.
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = False
        embedder, self.crop_px = _load_embedder(folder)
        self._networks: dict[str, nn.Module] = {name: _build(load_layers(name)).to(self._device) for name in NAMES}
        self._networks["embedder"] = embedder.to(self._device)

    @torch.inference_mode()
    def _run(self, name: str, values: Float32) -> Float32:
        output = self._networks[name](torch.from_numpy(np.ascontiguousarray(values)).to(self._device))
        array: Float32 = output.cpu().numpy()
        return array

    def pnet(self, pixels: Float32) -> Float32:
        return self._run("pnet", pixels)

    def rnet(self, crops: Float32) -> Float32:
        return self._run("rnet", crops)

    def onet(self, crops: Float32) -> Float32:
        return self._run("onet", crops)

    def embed(self, crops: Float32) -> Float32:
        parts = []
        for first in range(0, len(crops), _EMBED_ROWS):
            part = torch.from_numpy(np.ascontiguousarray(crops[first : first + _EMBED_ROWS]))
            padded = F.pad(part, (0, 0, 0, 0, 0, 0, 0, _EMBED_ROWS - len(part)))
            parts.append(self._run("embedder", padded.numpy())[: len(part)])
        return np.concatenate(parts)
