"""This worker's part of the contract (backend, device, instruction set, decoder), and checks of a job's contract."""

import subprocess
import sys
from dataclasses import MISSING, fields

from shared.config.settings import Settings
from shared.domain.contract import Contract, Runtime
from shared.domain.errors import ContractError
from worker.models.backend import choose_backend
from worker.models.instruction_set import check_instruction_set, instruction_set
from worker.vision.decode import DECODER

_ASK_TIMEOUT_S = 50.0  # seconds for importing torch, which is slow from a cold disk
_CHOSEN = ("mirror", "precision")
"""Fields of the contract that have a default, and that the producer chooses all the same."""
_GPU_QUESTION = """
import sys, torch
count, index = torch.cuda.device_count(), int(sys.argv[1])
print(count, "sm_%d%d" % torch.cuda.get_device_capability(index) if index < count else "")
"""


def find_runtime(settings: Settings) -> Runtime:
    """This worker's part of every contract it serves."""
    # Which of the GPUs it is makes no difference to a job, if it is of the same kind: cuda and cuda:1 may share one.
    return Runtime(
        backend=choose_backend(settings),
        device=settings.device.partition(":")[0],
        instruction_set=instruction_set(settings) if settings.device == "cpu" else _ask_gpu(settings.device)[1],
        decoder=DECODER,
    )


def check_device(settings: Settings) -> None:
    """ContractError, with the reason, where the backend or the GPU that is asked for is not here."""
    choose_backend(settings)
    if settings.device == "cpu":
        check_instruction_set(settings)
        return
    gpus, _ = _ask_gpu(settings.device)
    wanted = int(settings.device.partition(":")[2] or 0)
    if wanted >= gpus:
        found = "no GPU" if gpus == 0 else f"{gpus} GPU(s), counted from 0"
        raise ContractError(
            f"The device '{settings.device}' was asked for, and torch finds {found} here. Use --device cpu "
            "(FACEQUEUE_DEVICE=cpu), or see with `nvidia-smi` whether the driver is there and reaches this container."
        )


def _ask_gpu(device: str) -> tuple[int, str]:
    """How many GPUs there are, and this one's compute capability (`sm_90`), empty where it is not there."""
    index = int(device.partition(":")[2] or 0)
    # Asked in a process of its own: torch must not have run in a process that forks.
    command = [sys.executable, "-c", _GPU_QUESTION, str(index)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=_ASK_TIMEOUT_S)
        count, *capability = done.stdout.splitlines()[-1].split()
        return int(count), capability[0] if capability else ""
    except (subprocess.TimeoutExpired, ValueError, IndexError):
        return 0, ""


def check_runtime(agreed: dict[str, str], mine: Runtime) -> None:
    """ContractError where a job was begun with another runtime than this worker's."""
    here = mine.as_dict()
    if agreed != here:
        names = [*here, *sorted(agreed.keys() - here.keys())]
        different = [
            f"{name}: {agreed.get(name, 'not stated')} there, {here.get(name, 'not known')} here"
            for name in names
            if agreed.get(name) != here.get(name)
        ]
        raise ContractError("the job was begun with another " + "; ".join(different))


def check_contract(contract: Contract) -> None:
    """ContractError where this version cannot give the embeddings of this contract."""
    for field in fields(contract):
        # A field that the producer chooses has no default, or any value can be served; this version fixes the others.
        theirs = getattr(contract, field.name)
        if field.default is not MISSING and field.name not in _CHOSEN and theirs != field.default:
            raise ContractError(f"{field.name}: {theirs} there, {field.default} here")
