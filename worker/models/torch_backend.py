"""The networks in plain torch: where OpenVINO is not installed, and on GPUs."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from shared.domain.arrays import Float32
from shared.domain.contract import PIXEL_MEAN, PIXEL_SCALE, Precision
from worker.models.mtcnn_layers import NAMES, Conv, Dense, Layer, MaxPool, PReLU, load_layers

# Eager torch's last bits move with the size of the batch, so every forward pass of the embedder has this many rows.
_EMBED_ROWS = 16


def new_resnet() -> Any:
    """facenet-pytorch's InceptionResnetV1 with random weights and no logits."""
    from facenet_pytorch import InceptionResnetV1

    return InceptionResnetV1(pretrained=None)


class StandardisedEmbedder(nn.Module):
    """[n, 3, 160, 160] in 0..255 -> [n, 512], L2-normalised."""

    def __init__(self, resnet: nn.Module) -> None:
        super().__init__()
        self.resnet = resnet

    def forward(self, crops: torch.Tensor) -> torch.Tensor:
        embeddings: torch.Tensor = self.resnet((crops - PIXEL_MEAN) / PIXEL_SCALE)
        return embeddings


def export_networks(embedder: nn.Module, folder: Path) -> None:
    """Writes the embedder's weights into `folder`; MTCNN's are read from facenet-pytorch's wheel."""
    torch.save(embedder.state_dict(), folder / "embedder.pt")


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
    """The networks from `folder`, on the CPU or a GPU; the precision is always float32."""
    return TorchNetworks(folder, threads, device)


class TorchNetworks:
    """P-, R-, O-net and the embedder in this process. Build it after the fork: torch's threads do not survive one."""

    def __init__(self, folder: Path, threads: int, device: str) -> None:
        torch.set_num_threads(threads)
        self._device = torch.device(device)
        # Its 10 bits of mantissa would cost embeddings three digits, and only on GPUs that have it.
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = False
        embedder = StandardisedEmbedder(new_resnet())
        state = torch.load(folder / "embedder.pt", map_location="cpu", weights_only=True)
        embedder.load_state_dict(state)
        self._networks: dict[str, nn.Module] = {name: _build(load_layers(name)).to(self._device) for name in NAMES}
        self._networks["embedder"] = embedder.eval().to(self._device)

    @torch.inference_mode()
    def _run(self, name: str, values: Float32) -> Float32:
        output = self._networks[name](torch.from_numpy(np.ascontiguousarray(values)).to(self._device))
        array: Float32 = output.cpu().numpy()
        return array

    def pnet(self, pixels: Float32) -> Float32:
        output: Float32 = self._run("pnet", pixels)[0]
        return output

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
