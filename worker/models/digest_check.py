"""Compares the digests of the networks that a worker preloads, in a thread, while the rest of it is imported."""

import threading
from pathlib import Path

from shared.config.settings import Settings
from shared.domain.contract import KNOWN_WEIGHTS
from shared.domain.weights_files import prepared_folder
from worker.models.backend import choose_backend
from worker.models.checked_folder import FilesFound, files_as_found, is_undamaged
from worker.models.compiled_networks import compiled_for_here

_begun: "dict[tuple[Path, ...], DigestCheck]" = {}


class DigestCheck:
    """Looks for a folder of networks whose files are as they were written."""

    def __init__(self, folders: tuple[Path, ...]) -> None:
        """Starts the thread. The first of `folders` that is undamaged is found."""
        self._folders = folders
        self._found: tuple[Path, FilesFound] | None = None
        self._thread = threading.Thread(target=self._look, daemon=True, name="digest-check")
        self._thread.start()

    def _look(self) -> None:
        for folder in self._folders:
            files = files_as_found(folder)
            if is_undamaged(folder):
                self._found = folder, files
                return

    def wait(self) -> tuple[Path, FilesFound] | None:
        """The folder, and its files as they were when the check began; None if there is none. The thread has ended."""
        self._thread.join()
        return self._found


def preloaded_folders(settings: Settings) -> tuple[Path, ...]:
    """Where the preloaded networks are, the ones to be preferred first. ContractError if the backend is not there."""
    name, backend = settings.preload_weights, choose_backend(settings)
    folder = prepared_folder(settings.cache_dir, name, KNOWN_WEIGHTS[name], backend)
    compiled = compiled_for_here(folder, backend, settings)
    return (folder,) if compiled is None else (compiled, folder)


def begin_check(settings: Settings) -> None:
    """Begins the check of the preloaded networks, unless it has begun. Errors as `preloaded_folders`."""
    folders = preloaded_folders(settings)
    if folders not in _begun:
        _begun[folders] = DigestCheck(folders)


def result_of_check(settings: Settings) -> tuple[Path, FilesFound] | None:
    """Waits for the check that has begun, or for a new one. Errors as `preloaded_folders`."""
    folders = preloaded_folders(settings)
    return (_begun.pop(folders, None) or DigestCheck(folders)).wait()
