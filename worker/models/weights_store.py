"""Finds the embedder's weights, checks their SHA-256, and converts them once into the cache folder."""

import json
import shutil
import tempfile
from pathlib import Path

from filelock import FileLock

from shared.config.logs import get_logger
from shared.config.settings import Settings
from shared.domain.arrays import Float32
from shared.domain.contract import CASIA_WEBFACE, VGGFACE2
from shared.domain.errors import WeightsError
from shared.domain.file_digests import file_sha256
from shared.domain.weights_files import MANIFEST, downloaded_file, prepared_folder
from worker.models.backend import import_backend
from worker.models.checkpoint import read_state_dict
from worker.models.download import download
from worker.models.inception_resnet import check_state
from worker.models.instruction_set import pin_instruction_set, processor_key

VGGFACE2_URL = "https://github.com/timesler/facenet-pytorch/releases/download/v2.2.9/20180402-114759-vggface2.pt"
_log = get_logger("weights")
FilesFound = dict[Path, tuple[int, int, int, int]]


def find_weights(name: str, sha256: str, settings: Settings) -> Path:
    """The checked source file of the weights. Only `vggface2` without a local file is downloaded."""
    if settings.weights_path is not None and name != CASIA_WEBFACE:
        path = settings.weights_path
        if not path.is_file():
            raise WeightsError(f"FACEQUEUE_WEIGHTS_PATH names {path}, which is not a file.")
    elif name == CASIA_WEBFACE:
        from worker.models import frozen_graph  # needs packages that a worker that only aggregates has not

        path = frozen_graph.find_graph()
    elif name == VGGFACE2:
        path = download(settings.weights_url or VGGFACE2_URL, downloaded_file(settings.cache_dir, name), sha256)
    else:
        raise WeightsError(
            f"The job wants the weights '{name}'. Give this worker their file in FACEQUEUE_WEIGHTS_PATH."
        )
    try:
        found = file_sha256(path)
    except OSError as error:
        raise WeightsError(f"The weights {path} cannot be read: {error.strerror}.") from None
    if found != sha256:
        raise WeightsError(f"{path} is not the weights '{name}': its SHA-256 is {found}, and {sha256} was asked for.")
    return path


def prepare(name: str, sha256: str, backend: str, settings: Settings) -> Path:
    """Creates the networks' files, unless they exist undamaged. Several processes may do it at once."""
    pin_instruction_set(settings)
    folder = prepared_folder(settings.cache_dir, name, sha256, backend)
    if is_prepared(folder):
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.parent / f"{folder.name}.lock"):
            if is_prepared(folder):
                return folder
            if folder.exists():
                _log.warning("%s is damaged and is made again", folder, extra={"action": "weights_damaged"})
                # A process that looks at the folder meanwhile still finds it damaged, and waits for the lock.
                shutil.rmtree(folder)
            _log.info("converting %s for %s, once", name, backend, extra={"action": "weights_convert"})
            for leftover in folder.parent.glob(f".making-{folder.name}-*"):  # of a process that was killed
                shutil.rmtree(leftover, ignore_errors=True)
            scratch = Path(tempfile.mkdtemp(prefix=f".making-{folder.name}-", dir=folder.parent))
            try:
                _export(find_weights(name, sha256, settings), name, backend, scratch, settings)
                manifest = {file.name: file_sha256(file) for file in sorted(scratch.iterdir())}
                (scratch / MANIFEST).write_text(json.dumps(manifest, indent=1))
                scratch.chmod(0o755)
                scratch.rename(folder)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
    except OSError as error:
        raise WeightsError(
            f"The weights '{name}' are not in the cache folder {settings.cache_dir}, and it cannot be written: "
            f"{error.strerror}. Set FACEQUEUE_CACHE_DIR. In a container, build its image with them: "
            f"`FACEQUEUE_PRELOAD_WEIGHTS={name} docker compose build worker`; for weights of your own, mount a folder "
            "at FACEQUEUE_CACHE_DIR."
        ) from None
    return folder


def check_prepared(folder: Path) -> None:
    """WeightsError unless every file is as it was written."""
    damaged = _find_damaged(folder)
    if damaged is not None:
        raise WeightsError(f"{damaged} is missing or damaged. Remove {folder}; it is made again by itself.")


def is_prepared(folder: Path) -> bool:
    """Whether the networks' files exist, every one as it was written."""
    return _find_damaged(folder) is None


def files_as_found(folder: Path) -> FilesFound:
    """The files of a folder by path with what shows a change: inode, size, times. Empty if it cannot be read."""
    try:
        found = {path: path.stat() for path in folder.iterdir()}
    except OSError:
        return {}
    return {path: (at.st_ino, at.st_size, at.st_mtime_ns, at.st_ctime_ns) for path, at in found.items()}


def _find_damaged(folder: Path) -> Path | None:
    """The first file that has changed since it was written or cannot be read."""
    looked_at = folder / MANIFEST
    try:
        manifest = json.loads(looked_at.read_text(encoding="utf-8"))
        if not isinstance(manifest, dict) or not manifest:
            return looked_at
        for file_name, sha256 in manifest.items():
            looked_at = folder / str(file_name)
            if file_sha256(looked_at) != sha256:
                return looked_at
    except (OSError, ValueError):  # ValueError: no JSON, no UTF-8
        return looked_at
    return None


def _export(source: Path, name: str, backend: str, folder: Path, settings: Settings) -> None:
    import_backend(backend).export_networks(read_weights(source, name), folder, processor_key(settings))


def read_weights(source: Path, name: str) -> dict[str, Float32]:
    """The checked weights of InceptionResnetV1 in a file, by facenet-pytorch's names."""
    if name == CASIA_WEBFACE:
        from worker.models import frozen_graph

        return check_state(frozen_graph.to_state(frozen_graph.read_constants(source.read_bytes())), source)
    return check_state(read_state_dict(source), source)
