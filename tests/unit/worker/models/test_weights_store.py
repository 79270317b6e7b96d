"""The converted weights compared with an independent run of their graph, and the checks that protect them."""

import hashlib
import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from shared.config.settings import Settings
from shared.domain.contract import KNOWN_WEIGHTS
from shared.domain.embedders import FACENET
from shared.domain.errors import ContractError, WeightsError
from worker.models import backend, loader, preparation
from worker.models import runtime as runtimes
from worker.models import weights_store as weights
from worker.models.checked_folder import check_folder
from worker.models.frozen_graph import find_graph
from worker.models.torch_backend import StandardizedEmbedder, new_resnet
from worker.vision.face_crops import crop_face
from worker.vision.integral_image import IntegralImage
from worker.vision.mtcnn_cascade import detect_faces
from worker.vision.pipeline import Networks

NAME = "casia-webface"
SHA256 = KNOWN_WEIGHTS[NAME]


@pytest.fixture
def crops(sample: Path, networks: Networks) -> np.ndarray:
    """Real face crops, float32 [n, 3, 160, 160] in 0..255."""
    found = []
    for person in ("collins", "hopper"):
        for variant in ("as-is", "mirrored", "darker"):
            image = Image.open(sample / person / f"{variant}.jpg").convert("RGB")
            found.append(crop_face(image, detect_faces(IntegralImage(np.asarray(image)), networks).boxes[0], 14))
    return np.stack(found)


def test_embeddings_equal_opencvs_run_of_the_graph(crops: np.ndarray, networks: Networks) -> None:
    """They agree to 1e-5 on real faces."""
    # OpenCV 5's classic engine takes this graph, its new one does not; and it takes one crop at a time.
    graph = cv2.dnn.readNetFromTensorflow(str(find_graph()), engine=cv2.dnn.ENGINE_CLASSIC)
    rows = []
    for crop in (crops - 127.5) / 128:
        graph.setInput(crop[None])
        rows.append(graph.forward()[0].copy())
    theirs = np.stack(rows)
    theirs = theirs / np.linalg.norm(theirs, axis=1, keepdims=True)
    assert np.abs(networks.embed(crops) - theirs).max() < 1e-5


def test_torch_gives_the_same_embeddings_and_the_same_bits_in_any_batch(
    crops: np.ndarray, networks: Networks, tmp_path: Path
) -> None:
    """The other backend agrees, and a row does not depend on the other rows."""
    from worker.models.torch_backend import TorchNetworks, export_networks

    export_networks(weights.read_weights(find_graph(), NAME), tmp_path)
    by_torch = TorchNetworks(tmp_path, 1, "cpu")
    together = by_torch.embed(crops)
    assert np.abs(together - networks.embed(crops)).max() < 1e-5
    assert np.array_equal(by_torch.embed(crops[2:3])[0], together[2])
    level = (crops[0][None] / 2).astype(np.float32)
    np.testing.assert_allclose(by_torch.pnet(level), networks.pnet(level), atol=2e-4)


def test_wrong_weights_are_not_loaded(tmp_path: Path) -> None:
    """The SHA-256 is checked before anything in the file is parsed."""
    path = tmp_path / "mine.pt"
    path.write_bytes(b"not weights")
    with pytest.raises(WeightsError, match="SHA-256"):
        weights.find_weights("mine", "0" * 64, Settings(_env_file=None, weights_path=path))


def test_weights_that_an_image_has_not_are_said_with_how_to_build_it() -> None:
    """A container's file system is read-only, as that of /proc. One line, before anything is downloaded."""
    settings = Settings(_env_file=None, cache_dir=Path("/proc/cache"), weights_url="http://127.0.0.1:1/none")
    with pytest.raises(WeightsError, match="FACEQUEUE_PRELOAD_WEIGHTS=vggface2 docker compose build worker") as refused:
        weights.prepare("vggface2", KNOWN_WEIGHTS["vggface2"], "openvino", settings)
    assert "\n" not in str(refused.value)


def test_a_weights_file_of_ones_own_is_used(tmp_path: Path) -> None:
    """`--weights path.pt` works with a file that contains logits from training."""
    resnet = new_resnet()
    path = tmp_path / "mine.pt"
    torch.save(resnet.state_dict() | {"logits.weight": torch.zeros(3, 512), "logits.bias": torch.zeros(3)}, path)
    embedder = StandardizedEmbedder(weights.read_weights(path, "mine"))
    with torch.inference_mode():
        x = torch.rand(2, 3, 160, 160) * 255
        assert torch.equal(embedder(x), resnet.eval()((x - 127.5) / 128))


@pytest.mark.parametrize(
    "held", [torch.zeros(3), [torch.zeros(3)], {1: torch.zeros(3)}, {"model": {}}, {"epoch": 3}, 7]
)
def test_a_file_that_holds_no_state_dict_is_refused(held: object, tmp_path: Path) -> None:
    """One line names the file and says how to save it, instead of an AttributeError."""
    path = tmp_path / "mine.pt"
    torch.save(held, path)
    with pytest.raises(WeightsError, match=r"mine\.pt holds no .*state_dict\(\)") as refused:
        weights.read_weights(path, "own-mine")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("manifest", [None, b"", b"{", b"[]", b"{}", b"\xff", b'{"a.bin": 1}', b'{"gone.bin": "0"}'])
def test_a_folder_with_a_broken_manifest_is_damaged(manifest: bytes | None, tmp_path: Path) -> None:
    """A missing, invalid or wrong manifest gives the same error, never a traceback."""
    (tmp_path / "a.bin").write_bytes(b"abc")
    if manifest is not None:
        (tmp_path / "manifest.json").write_bytes(manifest)
    with pytest.raises(WeightsError, match=f"damaged. Remove {tmp_path}"):
        check_folder(tmp_path)


def test_damaged_networks_are_noticed(tmp_path: Path) -> None:
    """A changed byte in the cache folder is an error that says what to remove."""
    (tmp_path / "a.bin").write_bytes(b"abc")
    (tmp_path / "manifest.json").write_text(json.dumps({"a.bin": hashlib.sha256(b"abc").hexdigest()}))
    check_folder(tmp_path)
    (tmp_path / "a.bin").write_bytes(b"abd")
    with pytest.raises(WeightsError, match="damaged"):
        check_folder(tmp_path)


@pytest.fixture
def conversions(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Records the names of converted weights in a file, instead of converting them."""
    conversions: list[str] = []

    def export(source: Path, name: str, backend: str, folder: Path) -> None:
        conversions.append(name)
        (folder / "net.bin").write_bytes(b"x" * 1000)

    monkeypatch.setattr(weights, "_export", export)
    return conversions


def test_two_processes_may_convert_at_once(tmp_path: Path, conversions: list[str]) -> None:
    """One process converts and the other waits; the folder appears as a whole."""
    settings = Settings(_env_file=None, cache_dir=tmp_path)
    with ThreadPoolExecutor(4) as pool:
        folders = list(pool.map(lambda _: weights.prepare(NAME, SHA256, "openvino 1", settings), range(4)))
    assert len(set(folders)) == 1
    assert len(conversions) == 1
    check_folder(folders[0])


@pytest.mark.parametrize("victim", ["net.bin", "manifest.json"])
def test_a_damaged_folder_is_made_again_once(victim: str, tmp_path: Path, conversions: list[str]) -> None:
    """One process converts again, the others wait, and nothing else is left in the cache."""
    settings = Settings(_env_file=None, cache_dir=tmp_path)
    folder = weights.prepare(NAME, SHA256, "openvino 1", settings)
    (folder / victim).write_bytes(b"")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: weights.prepare(NAME, SHA256, "openvino 1", settings), range(4)))
    assert len(conversions) == 2
    check_folder(folder)
    assert {path.suffix for path in folder.parent.iterdir() if path != folder} <= {".lock"}


def test_a_worker_has_damaged_networks_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, conversions: list[str]
) -> None:
    """This happens before it loads them. Undamaged ones are kept."""
    settings = Settings(_env_file=None, cache_dir=tmp_path)
    chosen = backend.choose_backend(settings)
    folder = weights.prepare(NAME, SHA256, chosen, settings)
    monkeypatch.setattr(
        loader, "prepare_in_subprocess", lambda name, sha256, settings: weights.prepare(name, sha256, chosen, settings)
    )
    loader.ModelLoader(settings).prepare(processes=1)
    assert len(conversions) == 1
    (folder / "net.bin").write_bytes(b"")
    loader.ModelLoader(settings).prepare(processes=1)
    assert len(conversions) == 2
    check_folder(folder)
    (folder / "net.bin").write_bytes(b"")
    with pytest.raises(RuntimeError):  # what is made here is no network that could be loaded
        loader.load_networks(NAME, SHA256, settings, 1)
    assert len(conversions) == 3
    check_folder(folder)


@pytest.mark.parametrize("name", ["--help", "../outside", "a/b"])
def test_a_name_is_never_an_option_nor_a_path(name: str) -> None:
    """`--help` would succeed without converting anything."""
    with pytest.raises(WeightsError, match="cannot name weights"):
        preparation.prepare_in_subprocess(name, SHA256, Settings(_env_file=None))


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("kill -9 $$", r"signal 9 \(.*memory"),
        ("echo converting >&2; kill -9 $$", "signal 9"),
        ("exit 3", "exit code 3"),
        ("echo first >&2; echo the reason >&2; exit 1", "^the reason$"),
        ("exec sleep 60", "after 1 s"),
    ],
)
def test_how_a_conversion_failed_is_said(
    script: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error is its own message, or its exit code or signal. It cannot hang forever."""
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(python))
    monkeypatch.setattr(preparation, "_TIMEOUT_S", 1.0)
    with pytest.raises(WeightsError, match=said) as failed:
        preparation.prepare_in_subprocess("own-mine", SHA256, Settings(_env_file=None))
    assert "\n" not in str(failed.value)


def test_networks_are_loaded_once_a_process() -> None:
    """The same weights give the same objects for every batch."""
    models = loader.ModelLoader(Settings(_env_file=None))
    first = models.load(FACENET, NAME, SHA256, "float32")
    assert models.load(FACENET, NAME, SHA256, "float32") is first
    models.preload()
    assert models.load.cache_info().misses == 1


def test_the_device_of_the_command_line_reaches_the_conversion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks are converted for `--device`, even if the environment names no device."""
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\necho "$@" >&2\nexit 1\n')
    python.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(python))
    monkeypatch.delenv("FACEQUEUE_DEVICE", raising=False)
    with pytest.raises(WeightsError, match="--device cuda:1 fetch-weights --compile"):
        preparation.prepare_in_subprocess(NAME, SHA256, Settings(_env_file=None, device="cuda:1"))


def test_embeddings_depend_on_no_file_that_is_not_checked() -> None:
    """OpenVINO loads damaged compiled networks without an error: ours are in a manifest, it writes none."""
    settings = Settings(_env_file=None)
    preparation.prepare_in_subprocess(NAME, SHA256, settings)
    loader.load_networks(NAME, SHA256, settings, 1)
    blobs = list(settings.cache_dir.rglob("*.blob"))
    assert blobs
    assert all(blob.name in json.loads((blob.parent / "manifest.json").read_text()) for blob in blobs)


def test_a_gpu_that_is_not_there_ends_the_worker_in_a_line() -> None:
    """It ends at once instead of failing in every process of its pool repeatedly."""
    done = subprocess.run(
        [sys.executable, "-m", "worker", "--device", "cuda"],
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | {"FACEQUEUE_BACKEND": "torch"},
    )
    if torch.cuda.is_available():
        pytest.skip("a GPU is here")
    assert done.returncode == 1
    assert re.fullmatch(r"worker: The device 'cuda' was asked for, and torch finds no GPU here\. .*\n", done.stderr)


FAKE_TORCH = """
class cuda:
    device_count = staticmethod(lambda: 2)
    get_device_capability = staticmethod(lambda index: [(8, 0), (9, 0)][index])
"""


@pytest.mark.parametrize(("device", "found"), [("cuda:1", ""), ("cuda", ""), ("cuda:2", r"2 GPU\(s\), counted from 0")])
def test_gpus_are_counted_from_0(device: str, found: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With two GPUs the second exists and the third does not. The compute capability, not the index, is in the
    contract.
    """
    (tmp_path / "torch.py").write_text(FAKE_TORCH)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    settings = Settings(_env_file=None, backend="torch", device=device)
    runtime = runtimes.find_runtime(settings)
    assert runtime.device == "cuda"
    assert runtime.instruction_set == ({"cuda": "sm_80", "cuda:1": "sm_90"}.get(device, ""))
    if not found:
        runtimes.check_device(settings)
        return
    with pytest.raises(ContractError, match=found):
        runtimes.check_device(settings)


def test_openvino_and_a_gpu_end_the_worker_in_a_line() -> None:
    """This happens before anything is started."""
    done = subprocess.run(
        [sys.executable, "-m", "worker", "--device", "cuda:1"],
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | {"FACEQUEUE_BACKEND": "openvino"},
    )
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "FACEQUEUE_BACKEND=torch for a GPU" in done.stderr
