"""The networks of this process: loaded once, after the fork, warmed up before work is taken."""

import importlib.util
import signal
import subprocess
import sys
import time
from dataclasses import MISSING, fields
from functools import lru_cache
from importlib.metadata import version

import numpy as np

from shared.config.logs import get_logger
from shared.config.settings import Settings
from shared.domain.contract import CROP_PX, Contract, Runtime
from shared.domain.errors import ContractError, WeightsError
from worker.models import weights_store as weights
from worker.models.cpu_limits import usable_cores
from worker.models.instruction_set import check_instruction_set, instruction_set, pin_instruction_set
from worker.vision.decode import DECODER
from worker.vision.mtcnn_cascade import STRIP_PIXELS, detect_faces
from worker.vision.pipeline import Networks

_PREPARE_TIMEOUT_S = 3600.0  # seconds for converting; the rest is for fetching 112 MB over a slow line
_COUNT_TIMEOUT_S = 50.0  # seconds for importing torch, which is slow from a cold disk
_GPU_QUESTION = """
import sys, torch
count, index = torch.cuda.device_count(), int(sys.argv[1])
print(count, "sm_%d%d" % torch.cuda.get_device_capability(index) if index < count else "")
"""
_log = get_logger("models")
loads = 0
"""How often this process has loaded networks."""


def thread_count(settings: Settings, processes: int) -> int:
    """Threads for each of so many processes: more would fight for the same cores."""
    return settings.threads or max(1, usable_cores() // max(1, processes))


def choose_backend(settings: Settings) -> str:
    """`openvino` or `torch` with its version; ContractError where the setting cannot be met."""
    has_openvino = importlib.util.find_spec("openvino") is not None
    name = settings.backend
    if name == "auto":
        name = "openvino" if has_openvino and settings.device == "cpu" else "torch"
    if name == "openvino" and settings.device != "cpu":
        raise ContractError("The OpenVINO backend runs on the CPU; set FACEQUEUE_BACKEND=torch for a GPU.")
    if importlib.util.find_spec(name) is None:
        raise ContractError(f"The backend '{name}' is not installed. Install the extra 'worker'.")
    return f"{name} {version(name).split('+')[0].split('-')[0]}"


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


@lru_cache(maxsize=2)
def runtime(settings: Settings) -> Runtime:
    """This worker's part of every contract it serves."""
    # Which of the GPUs it is makes no difference to a job, if it is of the same kind: cuda and cuda:1 may share one.
    return Runtime(
        backend=choose_backend(settings),
        device=settings.device.partition(":")[0],
        instruction_set=instruction_set(settings) if settings.device == "cpu" else _ask_gpu(settings.device)[1],
        decoder=DECODER,
    )


def _ask_gpu(device: str) -> tuple[int, str]:
    """How many GPUs there are, and this one's compute capability (`sm_90`), empty where it is not there."""
    index = int(device.partition(":")[2] or 0)
    # Asked in a process of its own: torch must not have run in a process that forks.
    command = [sys.executable, "-c", _GPU_QUESTION, str(index)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=_COUNT_TIMEOUT_S)
        count, *capability = done.stdout.splitlines()[-1].split()
        return int(count), capability[0] if capability else ""
    except (subprocess.TimeoutExpired, ValueError, IndexError):
        return 0, ""


def are_prepared(name: str, sha256: str, settings: Settings) -> bool:
    """Whether the networks' files for this worker's backend are in the cache folder, undamaged."""
    return weights.is_prepared(weights.prepared_folder(name, sha256, choose_backend(settings), settings))


def prepare_in_subprocess(name: str, sha256: str) -> None:
    """Converts weights in a process of its own: torch must not have run in a process that forks."""
    # A name that begins with `-` must not be an option.
    command = [sys.executable, "-m", "worker", "fetch-weights", f"--sha256={sha256}", "--", name]
    by_hand = f"To see more, run it by hand: python -m worker fetch-weights {name} --sha256 {sha256}"
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=_PREPARE_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        raise WeightsError(
            f"Preparing the weights '{name}' was ended after {_PREPARE_TIMEOUT_S:.0f} s. {by_hand}"
        ) from None
    said = (done.stderr or done.stdout).strip().splitlines()
    if done.returncode < 0:
        # Its last line may be about anything: it did not know that it would be killed.
        what = f"signal {-done.returncode} ({signal.strsignal(-done.returncode)})"
        raise WeightsError(f"Preparing the weights '{name}' was ended by {what}; is memory short? {by_hand}")
    if done.returncode and not said:
        raise WeightsError(f"Preparing the weights '{name}' ended with exit code {done.returncode}. {by_hand}")
    if done.returncode:
        raise WeightsError(said[-1])


@lru_cache(maxsize=2)
def load_networks(name: str, sha256: str, settings: Settings, threads: int) -> Networks:
    """The networks with these weights, ready to run; kept for the life of the process."""
    global loads
    started = time.monotonic()
    pin_instruction_set(settings)
    backend = choose_backend(settings)
    folder = weights.prepared_folder(name, sha256, backend, settings)
    if not weights.is_prepared(folder):
        prepare_in_subprocess(name, sha256)
        weights.check_prepared(folder)
    networks: Networks
    if backend.startswith("openvino"):
        from worker.models.openvino_backend import OpenVinoNetworks

        networks = OpenVinoNetworks(folder, threads)
    else:
        from worker.models.torch_backend import TorchNetworks

        networks = TorchNetworks(folder, threads, settings.device)
    _warm_up(networks)
    loads += 1
    _log.info(
        "networks loaded in %.1f s: %s, %s, %d thread(s)", time.monotonic() - started, name, backend, threads,
        extra={"action": "models_loaded"},
    )  # fmt: skip
    return networks


def _warm_up(networks: Networks) -> None:
    """Runs everything once, at the largest shapes that are common: OpenVINO keeps memory for the largest it has seen.

    So a process has its full size from the start, and a machine that is too small for it shows at once.
    """
    noise = np.random.default_rng(0).integers(0, 256, (120, 160, 3)).astype(np.uint8)
    detect_faces(noise, networks)
    width = 1024
    networks.pnet(np.zeros((1, 3, STRIP_PIXELS // width, width), np.float32))
    networks.rnet(np.zeros((128, 3, 24, 24), np.float32))
    networks.onet(np.zeros((64, 3, 48, 48), np.float32))
    networks.embed(np.zeros((16, 3, CROP_PX, CROP_PX), np.float32))


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
        # What a producer can choose has no default, or any value of it can be served; the rest is fixed by this version.
        theirs = getattr(contract, field.name)
        if field.default is not MISSING and field.name != "mirror" and theirs != field.default:
            raise ContractError(f"{field.name}: {theirs} there, {field.default} here")
