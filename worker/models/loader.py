"""The networks of a worker: converted before its processes fork, then loaded and warmed up once in each of them."""

import os
import time
from contextlib import suppress
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np

from shared.config.logs import get_logger
from shared.config.settings import Settings
from shared.domain.contract import EMBEDDER_OF_WEIGHTS, KNOWN_WEIGHTS, Precision, Runtime
from shared.domain.cpu_limits import usable_cores
from shared.domain.embedders import FACENET, Embedder
from shared.domain.errors import ContractError
from shared.domain.weights_files import prepared_folder
from worker.models.allocator import keep_freed_memory
from worker.models.backend import choose_backend, import_backend
from worker.models.checked_folder import FilesFound, check_folder, files_as_found, is_undamaged
from worker.models.compiled_networks import compiled_for_here
from worker.models.digest_check import preloaded_folders, result_of_check
from worker.models.instruction_set import pin_instruction_set
from worker.models.precision import check_precision
from worker.models.preparation import prepare_in_subprocess
from worker.models.runtime import find_runtime
from worker.vision.pipeline import Networks

_KEPT_NETWORKS = 2  # for two sets of weights: 0.4 GiB each
_log = get_logger("models")


def thread_count(settings: Settings, processes: int) -> int:
    """The number of threads for each process: more would compete for the same cores."""
    return settings.threads or max(1, usable_cores() // max(1, processes))


class ModelLoader:
    """The networks of a worker's processes. Each process keeps the networks that it has loaded."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._processes = 1
        self._checked: FilesFound | None = None
        self.load = lru_cache(maxsize=_KEPT_NETWORKS)(self._load)

    @cached_property
    def runtime(self) -> Runtime:
        """This worker's part of every contract. It is determined before the fork, so that no child process queries a
        GPU again.
        """
        return find_runtime(self._settings)

    @property
    def threads(self) -> int:
        """The number of threads for each process."""
        return thread_count(self._settings, self._processes)

    def prepare(self, processes: int) -> None:
        """Before the fork: determines the runtime, converts and compiles the preloaded weights, and divides the cores
        among the processes.
        """
        self._processes = processes
        _ = self.runtime
        settings, name = self._settings, self._settings.preload_weights
        best = preloaded_folders(settings)[0]
        found = result_of_check(settings)  # no thread may run at the fork
        if found is None or (found[0] != best and os.access(best.parent, os.W_OK)):
            prepare_in_subprocess(name, KNOWN_WEIGHTS[name], settings)
            found = result_of_check(settings)
        self._checked = found[1] if found else None

    def preload(self) -> None:
        """After the fork: loads the networks that most jobs use."""
        name = self._settings.preload_weights
        self.load(EMBEDDER_OF_WEIGHTS[name], name, KNOWN_WEIGHTS[name], "float32")

    def _load(self, embedder: Embedder, weights: str, sha256: str, precision: Precision) -> Networks:
        """The networks with these weights, ready to run. ContractError if this worker lacks the precision, or the
        weights are not of this embedder.
        """
        return load_networks(
            weights, sha256, self._settings, self.threads, precision, embedder=embedder, checked=self._checked
        )


def load_networks(
    name: str,
    sha256: str,
    settings: Settings,
    threads: int,
    precision: Precision = "float32",
    *,
    embedder: Embedder = FACENET,
    checked: FilesFound | None = None,
) -> Networks:
    """Loads networks with these weights in this process and warms them up. Converts the weights first if necessary.

    `checked` are the files of a folder whose digests the main process has compared, so that each process need not do
    it again.
    """
    started = time.monotonic()
    keep_freed_memory()
    check_precision(precision, settings)
    pin_instruction_set(settings)
    backend = choose_backend(settings)
    folder = prepared_folder(settings.cache_dir, name, sha256, backend)
    compiled = compiled_for_here(folder, backend, settings) if precision == "float32" else None
    library, networks = import_backend(backend), None
    if compiled is not None and _is_intact(compiled, checked):
        with suppress(RuntimeError):  # by another build of OpenVINO
            networks = library.load_networks(compiled, threads, settings.device, precision)
    if networks is None:
        if not _is_intact(folder, checked):
            prepare_in_subprocess(name, sha256, settings)
            check_folder(folder)
        networks = library.load_networks(folder, threads, settings.device, precision)
    _warm_up(networks, name, embedder)
    _log.info(
        "networks loaded in %.1f s: %s, %s, %s, %d thread(s)",
        time.monotonic() - started,
        name,
        backend,
        precision,
        threads,
        extra={"action": "models_loaded", "duration_s": round(time.monotonic() - started, 3)},
    )
    return networks


def _is_intact(folder: Path, checked: FilesFound | None) -> bool:
    return (checked is not None and files_as_found(folder) == checked) or is_undamaged(folder)


def _warm_up(networks: Networks, weights: str, embedder: Embedder) -> None:
    """Runs every network once, on little: networks that crash this machine do so before they can be held against an
    image. ContractError if the weights are not of this embedder.
    """
    networks.pnet(np.zeros((1, 3, 48, 48), np.float32))
    networks.rnet(np.zeros((16, 3, 24, 24), np.float32))
    networks.onet(np.zeros((4, 3, 48, 48), np.float32))
    taken = networks.crop_px
    if taken != embedder.crop_px:
        raise ContractError(
            f"the weights '{weights}' take crops of {taken} pixels, and {embedder.name} has {embedder.crop_px}"
        )
    returned = networks.embed(np.zeros((1, 3, taken, taken), np.float32)).shape[1]
    if returned != embedder.dimensions:
        raise ContractError(
            f"the weights '{weights}' return {returned} values, and {embedder.name} has {embedder.dimensions}"
        )
