"""The folders that `run` writes to: its data folder (`FACEQUEUE_STATE_DIR`), one `run` at a time, and the results."""

import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from shared.domain.durable_files import replace_content
from shared.domain.errors import InvalidRequest, NotFinished


@contextmanager
def locked(data_folder: Path) -> Iterator[None]:
    """Keeps a second `run` out of the data folder; the lock ends with this process, however it ends.

    NotFinished if another `run` holds the lock.
    """
    lock = FileLock(data_folder / "lock", timeout=0)
    try:
        data_folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise NotFinished(
            f"Another `run` uses the data folder {data_folder}. Wait for it, or set FACEQUEUE_STATE_DIR to another "
            "folder."
        ) from None
    except OSError as error:
        raise InvalidRequest(
            f"The data folder {data_folder} cannot be used: {error.strerror}. Set FACEQUEUE_STATE_DIR."
        ) from None
    try:
        yield
    finally:
        lock.release()


def installation_name(data_folder: Path) -> str:
    """A random name of this data folder, kept in it."""
    path = data_folder / "installation"
    if not path.is_file() or not path.stat().st_size:  # empty: the disk was full, or the machine died
        replace_content(path, uuid.uuid4().hex.encode())
    return path.read_text()


def check_results_folder(results_dir: Path, images: Path, data_folder: Path) -> None:
    """InvalidRequest if results cannot be written there, or would mix with images or server data. All paths are
    real.
    """
    if images == results_dir or images in results_dir.parents:
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
