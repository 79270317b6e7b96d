"""InceptionResnetV1 as OpenVINO runs it is facenet-pytorch's, and weights are converted without torch."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import pytest
import torch

from shared.domain.errors import WeightsError
from worker.models.inception_resnet import check_state, shapes
from worker.models.openvino_embedder import build_embedder
from worker.models.torch_backend import StandardizedEmbedder, new_resnet


@pytest.fixture(scope="module")
def state() -> dict[str, np.ndarray]:
    """Weights with batch norms unlike those of a new network, whose mean is 0 and variance 1."""
    random = np.random.default_rng(0)
    made = {name: value.numpy() for name, value in new_resnet().state_dict().items()}
    for name, value in made.items():
        if name.endswith(("running_mean", "bias")):
            made[name] = random.normal(0, 0.2, value.shape).astype(np.float32)
        if name.endswith(("running_var", "bn.weight")):
            made[name] = random.uniform(0.5, 2, value.shape).astype(np.float32)
    return check_state(made, "made up")


def test_its_weights_have_facenet_pytorchs_names_and_shapes() -> None:
    """In the same order, which the frozen graph is matched by."""
    expected = {name: tuple(value.shape) for name, value in new_resnet().state_dict().items()}
    assert list(shapes().items()) == [item for item in expected.items() if not item[0].endswith("num_batches_tracked")]


def test_its_embeddings_are_facenet_pytorchs(state: dict[str, np.ndarray]) -> None:
    """With folded batch norms and scales they agree to 1e-5."""
    crops = np.random.default_rng(1).integers(0, 256, (3, 3, 160, 160)).astype(np.float32)
    with torch.inference_mode():
        expected = StandardizedEmbedder(state)(torch.from_numpy(crops)).numpy()
    found = ov.Core().compile_model(build_embedder(state), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(crops)[0]
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    assert np.abs(found - expected).max() < 1e-5


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"conv2d_1a.conv.weight": None}, "it has no conv2d_1a.conv.weight"),
        ({"last_linear.weight": np.zeros((128, 1792))}, r"last_linear.weight has the shape \(128, 1792\) instead of"),
        ({"head.weight": np.zeros(3)}, "it has a tensor 'head.weight'"),
    ],
)
def test_weights_that_do_not_fit_are_refused(change: dict[str, Any], said: str, state: dict[str, np.ndarray]) -> None:
    """The line names the first tensor that is missing, unknown or of another shape."""
    changed = {name: value for name, value in (state | change).items() if value is not None}
    with pytest.raises(WeightsError, match=rf"mine\.pt does not fit InceptionResnetV1: {said}"):
        check_state(changed, "mine.pt")


def test_weights_are_converted_without_torch(tmp_path: Path) -> None:
    """A machine without torch writes the same networks: the image of the workers has none."""
    without = "import sys; sys.modules.update(dict.fromkeys(('torch', 'torchvision')));"
    run = "sys.argv[1:] = ['fetch-weights', 'casia-webface']; from worker.__main__ import main; main()"
    manifests = []
    for code in ("import sys;" + run, without + run):
        cache = tmp_path / str(len(manifests))
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"FACEQUEUE_CACHE_DIR": str(cache)},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        manifests.append(json.loads((Path(done.stdout.splitlines()[-1]) / "manifest.json").read_text()))
    networks = [{name: sha for name, sha in made.items() if name.endswith(".bin")} for made in manifests]
    assert len(networks[0]) == 4
    assert networks[0] == networks[1]
