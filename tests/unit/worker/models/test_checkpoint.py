"""Files of weights are read without torch: the same numbers, and nothing in a file is ever run."""

import io
import os
import pickle
import random
import re
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from shared.domain.errors import WeightsError
from worker.models.checkpoint import read_state_dict
from worker.models.mtcnn_layers import NAMES, weights_file
from worker.models.torch_backend import new_resnet

Save = Callable[[Any, Path], None]
FORMATS = [True, False]


def _same(path: Path) -> None:
    expected = torch.load(path, weights_only=True, map_location="cpu")
    found = read_state_dict(path)
    assert list(found) == list(expected)
    for name, tensor in expected.items():
        values = (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).detach().numpy()
        assert (found[name].dtype, found[name].shape) == (values.dtype, values.shape)
        assert found[name].tobytes() == values.tobytes(), name


@pytest.mark.parametrize("name", NAMES)
def test_mtcnns_weights_are_torchs(name: Any) -> None:
    """The files in facenet-pytorch's wheel have the format of before torch 1.6."""
    _same(weights_file(name))


@pytest.mark.parametrize("zipped", FORMATS)
def test_an_embedders_weights_are_torchs(zipped: bool, tmp_path: Path) -> None:
    """All 714 tensors, in both formats."""
    torch.save(new_resnet().state_dict(), tmp_path / "w.pt", _use_new_zipfile_serialization=zipped)
    _same(tmp_path / "w.pt")


@pytest.mark.parametrize("zipped", FORMATS)
@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("protocol", [2, 3])
def test_every_kind_of_tensor_is_torchs(protocol: int, zipped: bool, tmp_path: Path) -> None:
    """Every type of number, and tensors that are a part of another one."""
    shared_numbers = torch.rand(10)
    tensors = {
        "parameter": torch.nn.Parameter(torch.rand(3, 4)),
        "transposed": torch.rand(4, 5).T,
        "part": shared_numbers[3:7],
        "other part": shared_numbers[5:],
        "empty": torch.zeros(0, 3),
        "number": torch.tensor(3.0),
        "half": torch.rand(3).half(),
        "bfloat16": torch.rand(3).bfloat16(),
        "double": torch.rand(2).double(),
        "bool": torch.tensor([True, False]),
        "int8": torch.tensor([-1], dtype=torch.int8),
        "uint8": torch.tensor([255], dtype=torch.uint8),
        "int16": torch.tensor([-300], dtype=torch.int16),
        "int32": torch.tensor([-(2**30)], dtype=torch.int32),
        "int64": torch.tensor([-(2**60)]),
    }
    torch.save(tensors, tmp_path / "w.pt", pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
    _same(tmp_path / "w.pt")


def test_a_file_of_a_machine_with_the_other_byte_order_is_read(tmp_path: Path) -> None:
    """torch writes the order into the file."""
    torch.save({"a": torch.tensor([1.0, 2.5])}, tmp_path / "w.pt")
    members = _members(tmp_path / "w.pt")
    folder = next(iter(members)).split("/")[0]
    members |= {f"{folder}/byteorder": b"big", f"{folder}/data/0": np.array([1.0, 2.5], ">f4").tobytes()}
    _write_zip(tmp_path / "w.pt", members)
    assert read_state_dict(tmp_path / "w.pt")["a"].tolist() == [1.0, 2.5]


class _Calls:
    """Pickled as a call of a function."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self._call = function, arguments

    def __reduce__(self) -> Any:
        return self._call


def _save_zip(held: Any, path: Path) -> None:
    _write_zip(path, {"archive/data.pkl": pickle.dumps(held, 2), "archive/version": b"3\n"})


def _save_row(held: Any, path: Path) -> None:
    parts = [0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True}, held, []]
    path.write_bytes(b"".join(pickle.dumps(part, 2) for part in parts))


def _save_first(held: Any, path: Path) -> None:
    path.write_bytes(pickle.dumps(held, 2))


@pytest.mark.parametrize("save", [_save_zip, _save_row, _save_first])
@pytest.mark.parametrize("depth", [0, 1])
def test_a_pickle_that_would_run_a_command_is_refused(depth: int, save: Save, tmp_path: Path) -> None:
    """Wherever it stands. The command is not run, and the line names what the file asks for."""
    ran = tmp_path / "ran"
    held: Any = _Calls(os.system, f"touch {ran}")
    save([held] if depth else held, tmp_path / "w.pt")
    with pytest.raises(WeightsError, match=rf"w\.pt .*loaded safely: it asks for {os.name}\.system\.") as refused:
        read_state_dict(tmp_path / "w.pt")
    assert "\n" not in str(refused.value)
    assert not ran.exists()


@pytest.mark.parametrize(
    ("held", "reason"),
    [
        (_Calls(eval, "1"), "asks for .*eval"),
        (_Calls(getattr, "a", "upper"), "asks for .*getattr"),
        (_Calls(torch.load, "x"), "asks for torch.serialization.load"),
        (_Calls(OrderedDict, [("a", 1)]), "calls something"),
        (torch.nn.Linear, "asks for torch.nn.modules.linear.Linear"),
        (Path("/tmp"), "asks for pathlib"),
        ({(1, 2): 3}, "keys that are neither"),
        (_Calls(torch._utils._rebuild_tensor_v2, 1, 0, (1,), (1,), False, None), "without a storage"),
    ],
)
def test_what_is_no_dictionary_of_tensors_is_refused(held: Any, reason: str, tmp_path: Path) -> None:
    """Other classes and calls, even torch's own."""
    _save_zip(held, tmp_path / "w.pt")
    with pytest.raises(WeightsError, match=reason):
        read_state_dict(tmp_path / "w.pt")


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        (b"ctorch\nFloatStorage\n}X\x01\x00\x00\x00aK\x01sb.", "sets attributes"),
        (b"ccollections\nOrderedDict\n(K\x01K\x02ub.", "damaged|keys"),
        (b"(iposix\nsystem\n.", "instruction INST"),
        (b"(cposix\nsystem\nX\x02\x00\x00\x00lso.", "asks for posix.system"),
        (b"cposix\nsystem\n)\x81.", "asks for posix.system"),
        (b"ccollections\nOrderedDict\n)\x81.", "instruction NEWOBJ"),
        (b"\x82\x01.", "instruction EXT1"),
        (b"X\x02\x00\x00\x00osX\x06\x00\x00\x00system\x93.", "asks for os.system"),
        (b"}h\x07.", "damaged"),
        (b".", "damaged"),
        (b"K\x01K\x01a.", "appends"),
    ],
)
def test_hand_made_programs_are_refused(program: bytes, reason: str, tmp_path: Path) -> None:
    """Instructions that make objects or set their attributes, and stacks that do not add up."""
    _write_zip(tmp_path / "w.pt", {"a/data.pkl": b"\x80\x02" + program})
    with pytest.raises(WeightsError, match=reason):
        read_state_dict(tmp_path / "w.pt")


def _tensor_program(length: int, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> bytes:
    class Pickler(pickle.Pickler):
        def persistent_id(self, value: Any) -> Any:
            return ("storage", torch.FloatStorage, "0", "cpu", length) if value == "numbers" else None

    out = io.BytesIO()
    tensor = _Calls(torch._utils._rebuild_tensor_v2, "numbers", offset, shape, strides, False, OrderedDict())
    Pickler(out, 2).dump({"a": tensor})
    return out.getvalue()


@pytest.mark.parametrize(
    ("tensor", "reason"),
    [
        ((4, 1, (4,), (1,)), "reaches beyond"),
        ((4, 0, (2, 3), (3, 1)), "reaches beyond"),
        ((4, 0, (2**40,), (0,)), "reaches beyond"),
        ((4, 0, (2,), (2**40,)), "reaches beyond"),
        ((4, -1, (1,), (1,)), "impossible shape"),
        ((4, 0, (4,), (-1,)), "impossible shape"),
        ((4, 0, (4,), (1, 1)), "impossible shape"),
        ((2**50, 0, (4,), (1,)), "larger than the file"),
        ((5, 0, (4,), (1,)), "another size"),
    ],
)
def test_a_tensor_stays_inside_its_storage(tensor: Any, reason: str, tmp_path: Path) -> None:
    """No file makes the reader look beyond its numbers, or reserve more memory than the file is large."""
    _write_zip(tmp_path / "w.pt", {"a/data.pkl": _tensor_program(*tensor), "a/data/0": bytes(16)})
    with pytest.raises(WeightsError, match=reason):
        read_state_dict(tmp_path / "w.pt")


def test_a_compressed_archive_is_refused(tmp_path: Path) -> None:
    """torch's are not, and a small one could unpack into any amount of memory."""
    with zipfile.ZipFile(tmp_path / "w.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", pickle.dumps({}))
    with pytest.raises(WeightsError, match="compressed"):
        read_state_dict(tmp_path / "w.pt")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """With the reason."""
    with pytest.raises(WeightsError, match=re.escape(f"{tmp_path / 'w.pt'} cannot be read: No such file")):
        read_state_dict(tmp_path / "w.pt")


@pytest.mark.parametrize("zipped", FORMATS)
def test_damaged_files_give_a_line_or_other_numbers(zipped: bool, tmp_path: Path) -> None:
    """Cut anywhere, or with changed bytes, the error is always the same kind, and memory stays small."""
    torch.save({"a": torch.rand(2, 3), "b": torch.zeros(4)}, tmp_path / "w.pt", _use_new_zipfile_serialization=zipped)
    whole = (tmp_path / "w.pt").read_bytes()
    chosen = random.Random(0)
    damaged = [whole[:length] for length in range(0, len(whole), 7)]
    for _ in range(1500):
        changed = bytearray(whole)
        for _ in range(chosen.choice((1, 1, 2, 8))):
            changed[chosen.randrange(len(changed))] = chosen.randrange(256)
        damaged.append(bytes(changed))
    outcomes = set()
    for content in damaged:
        (tmp_path / "w.pt").write_bytes(content)
        try:
            read_state_dict(tmp_path / "w.pt")
            outcomes.add("read")
        except WeightsError as error:
            assert "\n" not in str(error)
            outcomes.add("refused")
    assert outcomes == {"read", "refused"}


def _members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _write_zip(path: Path, members: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
