"""The embedder's weights: found, checked against their SHA-256, converted once, kept in the cache folder."""

import hashlib
import http.client
import json
import re
import shutil
import tempfile
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from shared.config.logs import get_logger
from shared.config.settings import Settings
from shared.domain.errors import WeightsError
from shared.results.files import sync_to_disk
from worker.models.backend import import_backend

if TYPE_CHECKING:
    import torch

VGGFACE2_URL = "https://github.com/timesler/facenet-pytorch/releases/download/v2.2.9/20180402-114759-vggface2.pt"
VGGFACE2_BYTES = 111_898_327
_CONVERSION_VERSION = 1  # part of the cache's names: raise it when the files written change
_log = get_logger("weights")


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def find_weights(name: str, sha256: str, settings: Settings) -> Path:
    """The source file of the weights, checked; downloaded only for `vggface2` without a local file."""
    if settings.weights_path is not None and name != "casia-webface":
        path = settings.weights_path
        if not path.is_file():
            raise WeightsError(f"FACEQUEUE_WEIGHTS_PATH names {path}, which is not a file.")
    elif name == "casia-webface":
        from worker.models import frozen_graph

        path = frozen_graph.graph_file()
    elif name == "vggface2":
        path = download(settings.weights_url or VGGFACE2_URL, settings.cache_dir / "vggface2.pt", sha256)
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


def download(url: str, target: Path, sha256: str) -> Path:
    """Fetches a file, going on where an earlier attempt stopped; kept only if its SHA-256 is right."""
    if _is_whole(target, sha256):
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_suffix(".part")
    with FileLock(target.with_suffix(".lock")):
        if _is_whole(target, sha256):
            return target
        try:
            # Whole already, where the process was ended between its last byte and its new name.
            if not part.is_file() or file_sha256(part) != sha256:
                _fetch(url, part)
        except (OSError, http.client.HTTPException) as error:
            raise WeightsError(
                f"Downloading {url} failed: {error}. Try again (it goes on where it stopped), or download the file "
                "by other means and name it in FACEQUEUE_WEIGHTS_PATH."
            ) from None
        found = file_sha256(part)
        if found != sha256:
            part.unlink()
            raise WeightsError(f"What {url} sent has the SHA-256 {found} instead of {sha256}; it was thrown away.")
        sync_to_disk(part)
        part.replace(target)
    return target


def _is_whole(target: Path, sha256: str) -> bool:
    """Whether the file is there; one that the disk has damaged is fetched again, as the networks are made again."""
    if not target.is_file():
        return False
    whole = file_sha256(target) == sha256
    if not whole:
        _log.warning("%s is damaged and is fetched again", target, extra={"action": "weights_damaged"})
    return whole


def _fetch(url: str, part: Path) -> None:
    """The rest of a file into `part`, or all of it; ConnectionError where less came than was announced."""
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            span = re.match(r"bytes (\d+)-\d+/(\d+)$", answer.headers.get("Content-Range", ""))
            resumed = have > 0 and answer.status == 206 and (span is None or int(span[1]) == have)
            length = answer.headers.get("Content-Length", "")
            if resumed and span is not None:
                whole = int(span[2])
            else:
                whole = (int(length) if length.isdecimal() else 0) + (have if resumed else 0)
            with part.open("ab" if resumed else "wb") as file:
                shutil.copyfileobj(answer, file)
    except urllib.error.HTTPError as error:
        if error.code != http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE or not have:
            raise
        # The file has no more bytes than `part`, which is not that file: nothing of it is worth keeping.
        part.unlink()
        _fetch(url, part)
        return
    # urllib ends quietly when the connection is cut.
    came = part.stat().st_size
    if came < whole:
        raise ConnectionError(f"the connection was cut after {came:,} of {whole:,} bytes")


def prepared_folder(name: str, sha256: str, backend: str, settings: Settings) -> Path:
    """Where the networks ready for this backend are or will be kept."""
    label = f"{name}-{sha256}-{backend.replace(' ', '-')}-{_CONVERSION_VERSION}"
    return settings.cache_dir / "networks" / label


def prepare(name: str, sha256: str, backend: str, settings: Settings) -> Path:
    """Makes the networks' files, unless they are there undamaged; safe against other processes that do the same."""
    folder = prepared_folder(name, sha256, backend, settings)
    if is_prepared(folder):
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.parent / f"{folder.name}.lock"):
            if is_prepared(folder):
                return folder
            if folder.exists():
                _log.warning("%s is damaged and is made again", folder, extra={"action": "weights_damaged"})
                # Who looks at it meanwhile finds it damaged still, and then waits for the lock.
                shutil.rmtree(folder)
            _log.info("converting %s for %s, once", name, backend, extra={"action": "weights_convert"})
            for leftover in folder.parent.glob(f".making-{folder.name}-*"):  # of a process that was killed
                shutil.rmtree(leftover, ignore_errors=True)
            scratch = Path(tempfile.mkdtemp(prefix=f".making-{folder.name}-", dir=folder.parent))
            try:
                _export(find_weights(name, sha256, settings), name, backend, scratch)
                manifest = {file.name: file_sha256(file) for file in sorted(scratch.iterdir())}
                (scratch / "manifest.json").write_text(json.dumps(manifest, indent=1))
                scratch.chmod(0o755)
                scratch.rename(folder)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
    except OSError as error:
        raise WeightsError(
            f"The cache folder {settings.cache_dir} cannot be written: {error.strerror}. Set FACEQUEUE_CACHE_DIR."
        ) from None
    return folder


def check_prepared(folder: Path) -> None:
    """WeightsError unless every file is the one that was written."""
    damaged = _find_damaged(folder)
    if damaged is not None:
        raise WeightsError(f"{damaged} is missing or damaged. Remove {folder}; it is made again by itself.")


def is_prepared(folder: Path) -> bool:
    """Whether the networks' files are there, every one as it was written."""
    return _find_damaged(folder) is None


def _find_damaged(folder: Path) -> Path | None:
    """The first file that is not the one that was written, or cannot be read."""
    looked_at = folder / "manifest.json"
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


def _export(source: Path, name: str, backend: str, folder: Path) -> None:
    import_backend(backend).export_networks(load_embedder(source, name), folder)


def load_embedder(source: Path, name: str) -> "torch.nn.Module":
    """InceptionResnetV1 with these weights, standardisation in front, in evaluation mode."""
    import torch

    from worker.models import frozen_graph
    from worker.models.torch_backend import StandardisedEmbedder, new_resnet

    resnet = new_resnet()
    if name == "casia-webface":
        template = {key: value.numpy() for key, value in resnet.state_dict().items()}
        arrays = frozen_graph.to_state_dict(frozen_graph.read_constants(source.read_bytes()), template)
        state: dict[str, Any] = {key: torch.from_numpy(value.copy()) for key, value in arrays.items()}
    else:
        try:
            loaded = torch.load(source, map_location="cpu", weights_only=True)
        # torch raises many kinds for what is no weights file, and for one that would run code.
        except Exception:
            raise WeightsError(f"{source} is not a file of weights that torch loads safely (weights_only).") from None
        # torch.load gives whatever was saved: a tensor, a list, a whole training checkpoint.
        if not isinstance(loaded, dict) or not all(
            isinstance(key, str) and isinstance(value, torch.Tensor) for key, value in loaded.items()
        ):
            raise WeightsError(
                f"{source} holds no tensors by name (a state_dict) but something else ({type(loaded).__name__}). "
                "Save the weights with torch.save(model.state_dict(), path)."
            )
        state = {key: value for key, value in loaded.items() if not key.startswith("logits.")}
    try:
        resnet.load_state_dict(state)
    except RuntimeError as error:
        raise WeightsError(f"{source} does not fit InceptionResnetV1: {str(error).splitlines()[-1].strip()}") from None
    return StandardisedEmbedder(resnet).eval()
