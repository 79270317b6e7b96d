"""The instruction set decides the last bits: it is detected, reported, and can be pinned."""

import os
import subprocess
import sys

import pytest

from shared.config.settings import Settings
from shared.domain.contract import KNOWN_WEIGHTS
from shared.domain.errors import ContractError
from tests.support.processor_flags import ICE_LAKE, SKYLAKE, ZEN3
from worker.models import instruction_set as module
from worker.models import weights_store as weights
from worker.models.instruction_set import best_set, check_instruction_set, instruction_set
from worker.vision.pipeline import Networks

NETWORKS = (
    "import sys, hashlib, numpy as np; from pathlib import Path; from shared.config.settings import Settings;"
    "from shared.domain.contract import KNOWN_WEIGHTS; from worker.models.loader import load_networks;"
    "n = load_networks('casia-webface', KNOWN_WEIGHTS['casia-webface'], Settings(_env_file=None), 1);"
    "x = np.random.default_rng(0).integers(0, 256, (2, 3, 160, 160)).astype(np.float32);"
    "print(hashlib.sha256(n.embed(x).tobytes()).hexdigest())"
)


def _pinned(isa: str) -> Settings:
    return Settings(_env_file=None).model_copy(update={"cpu_isa": isa})


@pytest.fixture
def processor(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A processor without a limit in the environment."""
    for name in ("FACEQUEUE_CPU_ISA", "ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


@pytest.mark.parametrize(
    ("flags", "name"),
    [
        (ZEN3, "avx2"),
        (SKYLAKE, "avx512_core"),
        (ICE_LAKE, "avx512_core_vnni"),
        (SKYLAKE - {"avx512vl"}, "avx2"),
        (frozenset({"sse4_1"}), "sse41"),
        (frozenset({"asimd"}), None),
    ],
)
def test_the_best_set_is_found_in_the_processors_flags(flags: frozenset[str], name: str | None) -> None:
    """The names are oneDNN's. Other kinds of processors have none."""
    assert best_set(flags) == name


def test_a_pin_is_what_stands_in_the_contract(processor: pytest.MonkeyPatch) -> None:
    """The pin is the setting, else oneDNN's own variable, in either spelling."""
    processor.setattr(module, "_processor_flags", lambda: ICE_LAKE)
    assert instruction_set(Settings(_env_file=None)) == "avx512_core_vnni"
    assert instruction_set(_pinned("avx2")) == "avx2"
    processor.setenv("ONEDNN_MAX_CPU_ISA", "AVX512_CORE")
    assert instruction_set(Settings(_env_file=None)) == "avx512_core"
    processor.setenv("ONEDNN_MAX_CPU_ISA", "bogus")
    with pytest.raises(ValueError, match="avx512_core"):
        Settings(_env_file=None)


def test_more_than_the_processor_has_ends_the_worker_in_a_line(processor: pytest.MonkeyPatch) -> None:
    """It must not work with less than the others."""
    processor.setattr(module, "_processor_flags", lambda: ZEN3)
    check_instruction_set(_pinned("avx2"))
    with pytest.raises(ContractError, match="FACEQUEUE_CPU_ISA is avx512_core, and this processor has avx2 at most"):
        check_instruction_set(_pinned("avx512_core"))


def test_a_pin_moves_the_bits(networks: Networks) -> None:
    """The pin affects the networks, so the contract has to name it."""
    if best_set(module._processor_flags()) in (None, "sse41"):
        pytest.skip("a processor without a set to choose from")
    digests = []
    for isa in ("sse41", "sse41", "auto"):
        done = subprocess.run(
            [sys.executable, "-c", NETWORKS],
            env=os.environ | {"FACEQUEUE_CPU_ISA": isa},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        digests.append(done.stdout.split()[-1])
    assert digests[0] == digests[1] != digests[2]


def test_tf32_is_off() -> None:
    """On a GPU it would cost embeddings three digits."""
    import torch

    from worker.models.torch_backend import TorchNetworks

    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = True
    folder = weights.prepare("casia-webface", KNOWN_WEIGHTS["casia-webface"], "torch test", Settings(_env_file=None))
    TorchNetworks(folder, 1, "cpu")
    assert (torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32) == (False, False)
