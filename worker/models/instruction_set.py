"""Which vector instructions the networks run on: their width moves the last bits of an embedding.

oneDNN, in OpenVINO and in torch, uses the best set that the processor has, up to ONEDNN_MAX_CPU_ISA. It reads that
variable when it is first used.
"""

import os
import platform
from functools import lru_cache
from pathlib import Path

from shared.config.settings import Settings
from shared.domain.errors import ContractError

# oneDNN's names, worst first, each with what it needs beyond those before it, as the kernel names it.
_SETS = {
    "sse41": {"sse4_1"},
    "avx": {"avx"},
    "avx2": {"avx2", "fma"},
    "avx512_core": {"avx512f", "avx512bw", "avx512dq", "avx512vl"},
    "avx512_core_vnni": {"avx512_vnni"},
    "avx512_core_bf16": {"avx512_bf16"},
    "avx512_core_fp16": {"avx512_fp16", "avx_vnni"},
    "avx512_core_amx": {"amx_tile", "amx_int8", "amx_bf16"},
    "avx512_core_amx_fp16": {"amx_fp16"},
}
_TORCH = {"sse41": "default", "avx": "default", "avx2": "avx2"} | dict.fromkeys(
    ("avx512_core", "avx512_core_bf16"), "avx512"
)
"""ATEN_CPU_CAPABILITY, for the kernels that torch brings itself."""


def pin_instruction_set(settings: Settings) -> None:
    """Limits the networks' libraries in this process and its children; call it before any of them is loaded.

    The libraries have no other interface for it than these environment variables.
    """
    if settings.cpu_isa != "auto":
        os.environ["ONEDNN_MAX_CPU_ISA"] = settings.cpu_isa.upper()
        os.environ["ATEN_CPU_CAPABILITY"] = _TORCH[settings.cpu_isa]


def check_instruction_set(settings: Settings) -> None:
    """ContractError where FACEQUEUE_CPU_ISA asks for more than this processor has."""
    wanted = settings.cpu_isa
    if wanted == "auto" or wanted == instruction_set(settings):
        return
    raise ContractError(
        f"FACEQUEUE_CPU_ISA is {wanted}, and this processor has {instruction_set(settings)} at most. Give every worker "
        "the best set that all of them have."
    )


def instruction_set(settings: Settings) -> str:
    """The set in use: oneDNN's name for it, or the machine's where that is no x86-64."""
    have = best_set(_processor_flags())
    if have is None:
        return platform.machine().lower()
    names = list(_SETS)
    return have if settings.cpu_isa == "auto" else names[min(names.index(have), names.index(settings.cpu_isa))]


def is_better(name: str, than: str) -> bool:
    """Whether a set has all that another one has, and more; False for what is no set of an x86-64."""
    names = list(_SETS)
    return name in _SETS and names.index(name) > names.index(than)


def best_set(flags: frozenset[str]) -> str | None:
    """The best set for a processor with these flags of /proc/cpuinfo; None for one that has none of them."""
    best = None
    for name, needs in _SETS.items():
        if not needs <= flags:
            break
        best = name
    return best


@lru_cache(maxsize=1)
def _processor_flags() -> frozenset[str]:
    try:
        text = Path("/proc/cpuinfo").read_text(errors="replace")
    except OSError:
        return frozenset()
    return next(
        (frozenset(line.partition(":")[2].split()) for line in text.splitlines() if line.startswith("flags")),
        frozenset(),
    )
