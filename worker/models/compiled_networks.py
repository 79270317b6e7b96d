"""Networks that are compiled for this machine's kind of processor, beside those that any machine can load.

They load in half the time. Without them nothing is missing but that.
"""

from pathlib import Path

from shared.config.logs import get_logger
from shared.config.settings import Settings
from shared.domain.weights_files import compiled_folder
from worker.models.checked_folder import make_folder
from worker.models.instruction_set import pin_instruction_set, processor_key

_log = get_logger("weights")


def compiled_for_here(folder: Path, backend: str, settings: Settings) -> Path | None:
    """Where the networks in `folder` are, or would be, compiled for this processor; None if the backend compiles none
    or the processor is unknown.
    """
    key = processor_key(settings) if backend.startswith("openvino") else None
    return compiled_folder(folder, key) if key else None


def compile_for_here(folder: Path, backend: str, settings: Settings) -> None:
    """Compiles the networks in `folder`, unless they are. A cache folder that cannot be written stays as it is.

    OpenVINO's threads do not survive a fork: never call this in a process that forks.
    """
    compiled = compiled_for_here(folder, backend, settings)
    if compiled is None:
        return

    def fill(scratch: Path) -> None:
        from worker.models.openvino_backend import compile_networks

        _log.info("compiling %s for this processor, once", folder.name, extra={"action": "networks_compile"})
        compile_networks(folder, scratch)

    pin_instruction_set(settings)
    try:
        make_folder(compiled, fill)
    except OSError as error:
        _log.warning("%s is not made: %s", compiled, error.strerror, extra={"action": "networks_not_compiled"})
