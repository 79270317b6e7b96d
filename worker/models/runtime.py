"""This worker's part of the contract (backend, device, instruction set, decoder), and checks of a job's contract."""

import subprocess
import sys
from dataclasses import MISSING, fields

from shared.config.settings import Settings
from shared.domain.contract import MOST_MARGIN, Contract, Runtime
from shared.domain.embedders import EMBEDDERS, FACENET
from shared.domain.errors import ContractError
from worker.models.backend import choose_backend
from worker.models.instruction_set import check_instruction_set, instruction_set
from worker.vision.decode import DECODER

_ASK_TIMEOUT_S = 50.0  # in seconds: importing torch is slow from a cold disk
_CHOSEN = {"mirror", "precision", *FACENET.contract_fields()}
"""Fields of the contract that have a default although the producer chooses them."""
_GPU_QUESTION = """
import sys, torch
count, index = torch.cuda.device_count(), int(sys.argv[1])
print(count, "sm_%d%d" % torch.cuda.get_device_capability(index) if index < count else "")
"""


def find_runtime(settings: Settings) -> Runtime:
    """This worker's part of every contract."""
    # The index of the GPU is irrelevant if the kind is the same: cuda and cuda:1 may share a job.
    return Runtime(
        backend=choose_backend(settings),
        device=settings.device.partition(":")[0],
        instruction_set=instruction_set(settings) if settings.device == "cpu" else _ask_gpu(settings.device)[1],
        decoder=DECODER,
    )


def check_device(settings: Settings) -> None:
    """ContractError, with the reason, if the configured backend or GPU does not exist here."""
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
    """The number of GPUs, and this one's compute capability (`sm_90`; empty if it does not exist)."""
    index = int(device.partition(":")[2] or 0)
    # In a separate process: torch must not have run in a process that forks.
    command = [sys.executable, "-c", _GPU_QUESTION, str(index)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=_ASK_TIMEOUT_S)
        count, *capability = done.stdout.splitlines()[-1].split()
        return int(count), capability[0] if capability else ""
    except (subprocess.TimeoutExpired, ValueError, IndexError):
        return 0, ""


def check_runtime(agreed: dict[str, str], mine: Runtime) -> None:
    """ContractError if the job has another runtime than this worker."""
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
    """ContractError if this version cannot produce the embeddings of this contract."""
    for field in fields(contract):
        # Fields without a default are the producer's choice, and every value of them is supported. The others are
        # fixed.
        theirs = getattr(contract, field.name)
        if field.default is not MISSING and field.name not in _CHOSEN and theirs != field.default:
            raise ContractError(f"{field.name}: {theirs} there, {field.default} here")
    if contract.alignment == "box" and contract.margin_px > MOST_MARGIN * contract.crop_px:
        raise ContractError(f"margin_px: {contract.margin_px} is too much in a crop of {contract.crop_px} pixels")
    if contract.precision != "float32" and contract.model != FACENET.name:
        raise ContractError(f"precision {contract.precision} is tested with the model {FACENET.name} only")
    known = EMBEDDERS.get(contract.model)
    for name, mine in known.contract_fields().items() if known else ():
        if getattr(contract, name) != mine:
            raise ContractError(f"{name} of {contract.model}: {getattr(contract, name)} there, {mine} here")
