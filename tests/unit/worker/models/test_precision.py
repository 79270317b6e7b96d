"""The embedder in bfloat16: the same bits in every batch, or refused with the reason."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from shared.config.settings import Settings
from shared.domain.arrays import Float32
from shared.domain.contract import KNOWN_WEIGHTS
from shared.domain.errors import ContractError
from shared.domain.weights_files import prepared_folder
from tests.support.processor import needs_bf16
from tests.unit.worker.models.test_instruction_set import ICE_LAKE
from worker.models import instruction_set as module
from worker.models.backend import choose_backend
from worker.models.loader import load_networks
from worker.models.openvino_backend import OpenVinoNetworks
from worker.models.precision import check_precision
from worker.vision.pipeline import Networks

NAME = "casia-webface"
AMX = ICE_LAKE | {"avx512_bf16", "avx512_fp16", "avx_vnni", "amx_tile", "amx_int8", "amx_bf16"}
LOAD = (
    "from shared.config.settings import Settings; from shared.domain.contract import KNOWN_WEIGHTS;"
    "from worker.models.loader import load_networks;"
    "load_networks('casia-webface', KNOWN_WEIGHTS['casia-webface'], Settings(_env_file=None), 1, 'bf16')"
)


@pytest.fixture(scope="module")
def crops(sample: Path) -> Float32:
    """[32, 3, 160, 160]: parts of photographs and noise."""
    rng = np.random.default_rng(0)
    whole = np.asarray(Image.open(sample / "both.jpg").convert("RGB").resize((480, 320)), np.float32).transpose(2, 0, 1)
    corners = rng.integers(0, 160, (24, 2))
    parts = [whole[:, y : y + 160, x : x + 160] for y, x in corners]
    return np.concatenate([np.stack(parts), rng.integers(0, 256, (8, 3, 160, 160)).astype(np.float32)])


def _bf16(threads: int) -> OpenVinoNetworks:
    settings = Settings(_env_file=None)
    return OpenVinoNetworks(
        prepared_folder(settings.cache_dir, NAME, KNOWN_WEIGHTS[NAME], choose_backend(settings)), threads, "bf16"
    )


@needs_bf16
@pytest.mark.parametrize("threads", [1, 2, 3, 4])
def test_the_bits_of_a_row_depend_on_the_crop_alone(crops: Float32, networks: Networks, threads: int) -> None:
    """In batches of 1 to 32, with other neighbors, in other places, with any number of threads."""
    expected = _bf16(1).embed(crops).copy()
    tested = _bf16(threads)
    for size in range(1, len(crops) + 1):
        first = (7 * size) % (len(crops) - size + 1)
        part = slice(first, first + size)
        assert tested.embed(np.ascontiguousarray(crops[part])).tobytes() == expected[part].tobytes(), size
    order = np.random.default_rng(1).permutation(len(crops))
    assert tested.embed(crops[order]).tobytes() == expected[order].tobytes()
    assert tested.embed(np.repeat(crops[:1], 5, axis=0)).tobytes() == np.repeat(expected[:1], 5, axis=0).tobytes()


@needs_bf16
def test_only_the_embedder_is_in_bfloat16(crops: Float32, networks: Networks) -> None:
    """Embeddings are near those of float32 and of length 1; what the detector gives has the same bits."""
    bf16 = load_networks(NAME, KNOWN_WEIGHTS[NAME], Settings(_env_file=None), 1, "bf16")
    found, expected = bf16.embed(crops).copy(), networks.embed(crops).copy()
    assert found.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    cosines = (found * expected).sum(axis=1)
    assert 0.999 < cosines.min() < 0.999999
    small = np.ascontiguousarray(crops[:, :, :24, :24] / 128)
    assert bf16.rnet(small).tobytes() == networks.rnet(small).tobytes()
    assert bf16.pnet(small[:1]).tobytes() == networks.pnet(small[:1]).tobytes()


@pytest.mark.parametrize("isa", ["avx2", "avx512_core"])
def test_a_processor_without_bfloat16_refuses_it(isa: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also plain AVX-512, where OpenVINO emulates it: slower than float32, and bits depend on the batch."""
    monkeypatch.setattr(module, "_processor_flags", lambda: AMX)
    pinned = Settings(_env_file=None).model_copy(update={"cpu_isa": isa})
    with pytest.raises(ContractError, match=f"needs the instruction set avx512_core_bf16, and this worker has {isa}"):
        check_precision("bf16", pinned)
    check_precision("float32", pinned)


def test_a_processor_with_more_is_told_which_pin_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    """AMX has other kernels, of which no test has shown that bits do not depend on the batch."""
    monkeypatch.setattr(module, "_processor_flags", lambda: AMX)
    settings = Settings(_env_file=None).model_copy(update={"cpu_isa": "auto"})
    with pytest.raises(ContractError, match=r"uses avx512_core_amx\. Set FACEQUEUE_CPU_ISA=avx512_core_bf16 on every"):
        check_precision("bf16", settings)
    check_precision("bf16", settings.model_copy(update={"cpu_isa": "avx512_core_bf16"}))


def test_the_torch_backend_refuses_it() -> None:
    """It has no such mode."""
    torch = Settings(_env_file=None).model_copy(update={"backend": "torch"})
    with pytest.raises(ContractError, match="needs the OpenVINO backend, on a CPU, and this worker has torch"):
        check_precision("bf16", torch)


def test_networks_are_not_loaded_where_it_is_refused(networks: Networks) -> None:
    """Pinned to AVX2 the reason is ours; OpenVINO itself would fail with a message about a pooling layer."""
    done = subprocess.run(
        [sys.executable, "-c", LOAD],
        env=os.environ | {"FACEQUEUE_CPU_ISA": "avx2"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 1
    assert "this worker has avx2. Use --precision float32" in done.stderr.splitlines()[-1]


@needs_bf16
def test_the_command_says_what_is_supported() -> None:
    """Exit code 0, or one line with the reason and 2."""
    for isa, code in (("auto", 0), ("avx2", 2)):
        done = subprocess.run(
            [sys.executable, "-m", "worker", "supports", "bf16"],
            env=os.environ | {"FACEQUEUE_CPU_ISA": isa},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == code, done.stderr
        assert len((done.stdout + done.stderr).splitlines()) == 1
