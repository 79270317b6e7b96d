"""Whether this worker can compute embeddings in the precision that a job asks for."""

from shared.config.settings import Settings
from shared.domain.contract import Precision
from shared.domain.errors import ContractError
from worker.models.backend import choose_backend
from worker.models.instruction_set import instruction_set, is_better

_BF16_SET = "avx512_core_bf16"
"""The instruction set whose bfloat16 kernels give a face the same bits in every batch: tests show it for no other.

OpenVINO also takes the hint on processors with plain AVX-512. There it is slower than float32, and bits depend on the
batch (docs/adr/0026-bfloat16-embedder.md).
"""


def check_precision(precision: Precision, settings: Settings) -> None:
    """ContractError, with the reason and what to do, if a worker with these settings cannot serve the precision."""
    if precision == "float32":
        return
    backend = choose_backend(settings)
    if not backend.startswith("openvino"):
        raise ContractError(
            f"precision {precision} needs the OpenVINO backend, on a CPU, and this worker has {backend} on "
            f"{settings.device}. Use --precision float32"
        )
    here = instruction_set(settings)
    if is_better(here, _BF16_SET):
        raise ContractError(
            f"precision {precision} is tested with the instruction set {_BF16_SET} only, and this worker uses {here}. "
            f"Set FACEQUEUE_CPU_ISA={_BF16_SET} on every worker"
        )
    if here != _BF16_SET:
        raise ContractError(
            f"precision {precision} needs the instruction set {_BF16_SET}, and this worker has {here}. "
            "Use --precision float32"
        )
