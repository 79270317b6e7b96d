"""Reads files of weights that `torch.save` wrote, without torch, in both of its formats.

Since torch 1.6 a file is a zip archive: a pickle that describes the tensors, and one member for each storage. Before,
it was a row of pickles followed by the storages. `worker/models/tensor_pickle.py` reads the pickles without running
them.
"""

import mmap
import os
import zipfile
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np

from shared.domain.errors import WeightsError
from worker.models.tensor_pickle import DTYPES, AnyArray, Name, Refused, Source, Storage, Tensor, load

ByteOrder = Literal["<", ">"]
_MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_ZIP = b"PK\3\4"


def read_state_dict(path: Path) -> dict[str, AnyArray]:
    """The tensors of a file by their names, as arrays. WeightsError if the file holds anything else."""
    try:
        with path.open("rb") as file:
            is_zip = file.read(len(_ZIP)) == _ZIP
            file.seek(0)
            if is_zip:
                held = _read_zip(file)
            else:
                # Mapped, because a file reserves the memory for as many bytes as a damaged pickle wants to read.
                with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
                    held = _read_row_of_pickles(mapped, len(mapped))
    except OSError as error:
        raise WeightsError(f"The weights {path} cannot be read: {error.strerror}.") from None
    except (Refused, zipfile.BadZipFile) as error:
        raise WeightsError(f"{path} is not a file of weights that can be loaded safely: {error}.") from None
    except (ValueError, EOFError, NotImplementedError, RuntimeError):  # no pickle; a zip of another kind
        raise WeightsError(
            f"{path} is not a file of weights: torch.save(model.state_dict(), path) writes one."
        ) from None
    if not isinstance(held, dict) or not all(isinstance(key, str) for key in held):
        raise _no_state_dict(path, held)
    if not all(isinstance(value, Tensor) for value in held.values()):
        raise _no_state_dict(path, held)
    return {name: tensor.array() for name, tensor in held.items()}


def _no_state_dict(path: Path, held: Any) -> WeightsError:
    kind = "Tensor" if isinstance(held, Tensor) else type(held).__name__
    return WeightsError(
        f"{path} holds no tensors by name (a state_dict) but something else ({kind}). "
        "Save the weights with torch.save(model.state_dict(), path)."
    )


class _Storages:
    """The storages of one file, with room for their numbers. Together they are never larger than the file."""

    def __init__(self, byte_order: ByteOrder, file_bytes: int) -> None:
        self.by_key: dict[str, Storage] = {}
        self._byte_order = byte_order
        self._left = file_bytes

    def find(self, persistent_id: Any) -> Storage:
        """The storage with this persistent id: ("storage", its type, its key, a device, its length, ...)."""
        if not isinstance(persistent_id, tuple) or len(persistent_id) < 5 or any(persistent_id[5:]):
            raise Refused("it names a storage in an unknown way")
        kind, name, key, _, length = persistent_id[:5]
        if kind != "storage" or not isinstance(name, Name) or name.name not in DTYPES or not isinstance(key, str):
            raise Refused("it names a storage in an unknown way")
        dtype = np.dtype(DTYPES[name.name]).newbyteorder(self._byte_order)
        if key not in self.by_key:
            if type(length) is not int or not 0 <= length * dtype.itemsize <= self._left:
                raise Refused("its storages are larger than the file")
            self._left -= length * dtype.itemsize
            self.by_key[key] = Storage(np.zeros(length, dtype), name.name == "BFloat16Storage")
        storage = self.by_key[key]
        if (len(storage.values), storage.values.dtype) != (length, dtype):
            raise Refused("it describes a storage in two ways")
        return storage

    def fill(self, key: str, source: Source) -> None:
        """Reads a storage's numbers."""
        values = self.by_key[key].values
        read = source.read(values.nbytes)
        if len(read) != values.nbytes:
            raise Refused("a storage is cut short")
        values[:] = np.frombuffer(read, values.dtype)


def _read_zip(file: IO[bytes]) -> Any:
    with zipfile.ZipFile(file) as archive:
        described = [name for name in archive.namelist() if name.count("/") == 1 and name.endswith("/data.pkl")]
        if len(described) != 1:
            raise Refused("the zip archive holds no data.pkl")
        folder = described[0].removesuffix("data.pkl")
        members = {member.filename: member for member in archive.infolist()}
        if any(member.compress_type != zipfile.ZIP_STORED for member in members.values()):
            raise Refused("the zip archive is compressed, which torch's are not")
        order = members.get(f"{folder}byteorder")
        storages = _Storages(">" if order and archive.read(order) == b"big" else "<", os.fstat(file.fileno()).st_size)
        with archive.open(described[0]) as pickled:
            held = load(pickled, storages.find)
        for key, storage in storages.by_key.items():
            member = members.get(f"{folder}data/{key}")
            if member is None or member.file_size != storage.values.nbytes:
                raise Refused(f"the storage {ascii(key)[:40]} is missing or has another size")
            with archive.open(member) as numbers:
                storages.fill(key, numbers)
    return held


def _read_row_of_pickles(file: Source, file_bytes: int) -> Any:
    """The format before torch 1.6: a magic number, a version, facts of the machine, the tensors, the storages' keys."""
    magic, version, machine = (load(file, _no_storage) for _ in range(3))
    if magic != _MAGIC_NUMBER or version != _PROTOCOL or not isinstance(machine, dict):
        raise ValueError("another file")
    storages = _Storages("<" if machine.get("little_endian", True) else ">", file_bytes)
    held = load(file, storages.find)
    keys = load(file, _no_storage)
    if not isinstance(keys, list) or not all(type(key) is str for key in keys) or {*keys} != {*storages.by_key}:
        raise Refused("its list of storages is not complete")
    for key in keys:
        length = int.from_bytes(file.read(8), "little" if storages.by_key[key].values.dtype.isnative else "big")
        if length != len(storages.by_key[key].values):
            raise Refused(f"the storage {ascii(key)[:40]} has another size")
        storages.fill(key, file)
    return held


def _no_storage(persistent_id: Any) -> Storage:
    raise Refused("it names a storage where none may be")
