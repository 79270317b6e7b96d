"""The vector instructions that the networks use: their width changes the last bits of an embedding.

oneDNN, in OpenVINO and in torch, uses the best set that the processor has, up to ONEDNN_MAX_CPU_ISA. It reads that
variable when it is first used.
"""

import hashlib
import os
import platform
from functools import lru_cache
from pathlib import Path

from shared.config.settings import Settings
from shared.domain.errors import ContractError

# oneDNN's names, narrowest first, each with the processor flags that it needs in addition to those of the sets before.
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
"""The values of ATEN_CPU_CAPABILITY, for torch's own kernels."""

_X86 = ("vendor_id", "cpu family", "model", "stepping", "model name", "flags")
_ARM = ("CPU implementer", "CPU architecture", "CPU variant", "CPU part", "Features")
_KIND = (*_X86, *_ARM)  # what /proc/cpuinfo says of a kind of processor


def pin_instruction_set(settings: Settings) -> None:
    """Limits the instruction set in this process and its children. Call it before any of the networks' libraries is
    loaded.

    These environment variables are the libraries' only interface for it.
    """
    if settings.cpu_isa != "auto":
        os.environ["ONEDNN_MAX_CPU_ISA"] = settings.cpu_isa.upper()
        os.environ["ATEN_CPU_CAPABILITY"] = _TORCH[settings.cpu_isa]


def processor_key(settings: Settings) -> str | None:
    """Equal only on processors of the same kind with the same instruction set: code compiled on one of them runs on
    the other, with the same bits. None if nothing is known of the processor.
    """
    kind = [_described(name) for name in _KIND]
    if not any(kind):
        return None
    described = "\n".join([platform.machine(), instruction_set(settings), *kind])
    return hashlib.sha256(described.encode()).hexdigest()[:16]


def check_instruction_set(settings: Settings) -> None:
    """ContractError if this processor lacks the instruction set in FACEQUEUE_CPU_ISA."""
    wanted = settings.cpu_isa
    if wanted == "auto" or wanted == instruction_set(settings):
        return
    raise ContractError(
        f"FACEQUEUE_CPU_ISA is {wanted}, and this processor has {instruction_set(settings)} at most. Give every worker "
        "the best set that all of them have."
    )


def instruction_set(settings: Settings) -> str:
    """The instruction set in use, by oneDNN's name; on processors other than x86-64, the machine's name."""
    have = best_set(_processor_flags())
    if have is None:
        return platform.machine().lower()
    names = list(_SETS)
    return have if settings.cpu_isa == "auto" else names[min(names.index(have), names.index(settings.cpu_isa))]


def is_better(name: str, than: str) -> bool:
    """Whether a set includes another one and more; False if it is not a set of x86-64."""
    names = list(_SETS)
    return name in _SETS and names.index(name) > names.index(than)


def best_set(flags: frozenset[str]) -> str | None:
    """The best set for a processor with these flags of /proc/cpuinfo; None if it supports none of them."""
    best = None
    for name, needs in _SETS.items():
        if not needs <= flags:
            break
        best = name
    return best


def _processor_flags() -> frozenset[str]:
    return frozenset(_described("flags").split())


@lru_cache
def _described(name: str) -> str:
    """What /proc/cpuinfo says of the first processor under this name; empty if nothing."""
    try:
        text = Path("/proc/cpuinfo").read_text(errors="replace")
    except OSError:
        return ""
    lines = (line.partition(":") for line in text.splitlines())
    return next((value.strip() for found, _, value in lines if found.strip() == name), "")
