"""Reads files of results folders, which may come from a stranger: regular files only, never a link or a pipe."""

import errno
import io
import json
import os
import shutil
import stat
from pathlib import Path
from tokenize import TokenError
from typing import IO, Any, TextIO

import numpy as np
import numpy.typing as npt


def open_regular(path: Path) -> io.BufferedReader:
    """The file, open for reading. OSError for a symbolic link, a pipe, a device or a folder.

    A results folder may come from a stranger: a pipe would block its reader, and a link would lead to any file.
    """
    return os.fdopen(_open_regular(path, os.O_RDONLY), "rb")


def open_below(root: Path, *names: str) -> io.BufferedReader:
    """The file `root/name/name/...`, open for reading. OSError as `open_regular`, and for a folder that is a link.

    ValueError if one of the names is not that of an entry of a folder. `root` itself may be a link.
    """
    for name in names:
        if name in ("", ".", "..") or "/" in name or "\0" in name:
            raise ValueError(f"{name!r} does not name an entry of a folder")
    folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for name in names[:-1]:
            inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
            os.close(folder)
            folder = inner
        return os.fdopen(_open_regular(Path(names[-1]), os.O_RDONLY, folder), "rb")
    finally:
        os.close(folder)


def open_to_change(path: Path, *, create: bool = False) -> io.BufferedRandom:
    """Opens the file for reading and writing. OSError as `open_regular`."""
    return os.fdopen(_open_regular(path, os.O_RDWR | (os.O_CREAT if create else 0)), "r+b")


def _open_regular(path: Path, flags: int, folder: int | None = None) -> int:
    try:
        descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o666, dir_fd=folder)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise OSError(errno.ELOOP, "it is a symbolic link", str(path)) from None
        if error.errno == errno.ENXIO:
            raise OSError(errno.ENXIO, "it is not a regular file", str(path)) from None  # a socket
        raise
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def open_table(path: Path) -> TextIO:
    """A CSV file, open for reading. OSError as `open_regular`."""
    return io.TextIOWrapper(open_regular(path), encoding="utf-8", newline="")


def read_json(path: Path) -> Any:
    """The file's JSON value. OSError as `open_regular`; ValueError if it is not JSON, or nested too deeply."""
    with open_regular(path) as file:
        content = file.read()
    try:
        return json.loads(content.decode())
    except RecursionError:
        raise ValueError(f"{path.name} is nested too deeply") from None


def map_array(path: Path) -> npt.NDArray[Any]:
    """The array in a `.npy` file, mapped into memory read-only.

    OSError as `open_regular`; ValueError if the file is damaged.
    """
    with open_regular(path) as file:
        shape, is_fortran, dtype = read_npy_header(file, path.name)
        size = dtype.itemsize
        for length in shape:
            size *= max(0, length)
        begin = file.tell()
        if begin + size > os.fstat(file.fileno()).st_size:
            raise ValueError(f"{path.name} is shorter than its header says")
        order: Any = "F" if is_fortran else "C"
        if size == 0:  # an empty file cannot be mapped
            return np.empty(shape, dtype, order)
        return np.memmap(file, dtype, "r", begin, shape, order)


def read_npy_header(file: IO[bytes], name: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """The shape of a `.npy` file's array, whether it is in Fortran's order, and its type. `file` is then at the array's
    first byte. ValueError, which calls it `name`, if the header is damaged, or if the array holds Python objects.
    """
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    read_header = readers.get(np.lib.format.read_magic(file))
    if read_header is None:
        raise ValueError(f"{name} has an unknown version of the npy format")
    try:
        shape, is_fortran, dtype = read_header(file)
    except (TokenError, RecursionError, MemoryError):  # NumPy evaluates the header as Python's literals
        raise ValueError(f"{name} has a damaged header") from None
    if dtype.hasobject:
        raise ValueError(f"{name} holds Python objects")
    return shape, is_fortran, dtype


def copy_regular(source: Path, target: Path) -> None:
    """Copies the content of a regular file to the new file `target`. OSError as `open_regular`."""
    with open_regular(source) as read, target.open("xb") as written:
        shutil.copyfileobj(read, written)
