"""The folders that `run` writes to: its data folder (`FACEQUEUE_STATE_DIR`) and the results."""

import tempfile
import uuid
from contextlib import suppress
from pathlib import Path

from shared.domain.durable_files import replace_content
from shared.domain.errors import InvalidRequest

RUNNING, SERVER = "running", "server"
"""The subfolder with the locks of the `run`s and the server's data."""


def prepare_data_folder(data_folder: Path) -> str:
    """Creates the data folder; returns the random name that is stored in it. InvalidRequest if it cannot be used."""
    try:
        for folder in (data_folder / RUNNING, data_folder / SERVER):
            folder.mkdir(parents=True, exist_ok=True)
        return installation_name(data_folder)
    except OSError as error:
        raise InvalidRequest(
            f"The data folder {data_folder} cannot be used: {error.strerror}. Set FACEQUEUE_STATE_DIR."
        ) from None


def installation_name(data_folder: Path) -> str:
    """The random name of this data folder, which distinguishes it from those of other machines. Made at first use."""
    path = data_folder / "installation"
    with suppress(FileNotFoundError):
        if name := path.read_text():
            return name
        path.unlink()  # empty: the disk was full, or the machine died
    part = data_folder / f".installation-{uuid.uuid4().hex}"
    try:
        replace_content(part, uuid.uuid4().hex.encode())
        with suppress(FileExistsError):  # another `run` was faster
            path.hardlink_to(part)
    finally:
        part.unlink(missing_ok=True)
    return path.read_text()


def check_results_folder(results_dir: Path, images: Path | None, data_folder: Path) -> None:
    """InvalidRequest if results cannot be written there, or would mix with server data or with `images`, a
    folder that is walked. All paths are real.
    """
    if images is not None and (images == results_dir or images in results_dir.parents):
        raise InvalidRequest(
            f"The results folder {results_dir} lies in the folder with the images, and the next run would read it as "
            "images. Give another --results."
        )
    if results_dir == data_folder or results_dir in data_folder.parents:
        raise InvalidRequest(
            f"The data folder {data_folder} lies in the results folder {results_dir}. Set FACEQUEUE_STATE_DIR."
        )
    try:
        results_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".probe-", dir=results_dir):
            pass
    except OSError as error:
        raise InvalidRequest(
            f"The results folder {results_dir} cannot be written: {error.strerror}. Fix that, or give another "
            "--results."
        ) from None
