"""Reads the pickles that `torch.save` writes, as data: nothing in them is looked up, imported or called.

A pickle is a program for a stack machine. This machine knows the instructions that dictionaries of tensors need, and a
few names; everything else is refused.
"""

import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any, NamedTuple, Protocol, cast

import numpy as np
import numpy.typing as npt

AnyArray = npt.NDArray[Any]

DTYPES = {
    "FloatStorage": "f4",
    "DoubleStorage": "f8",
    "HalfStorage": "f2",
    "BFloat16Storage": "u2",  # the upper halves of float32 numbers
    "LongStorage": "i8",
    "IntStorage": "i4",
    "ShortStorage": "i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
}
"""numpy's type for each of torch's storage types."""


class Source(Protocol):
    """What pickles are read from. It reserves no memory for bytes that it does not have."""

    def read(self, size: int, /) -> bytes: ...
    def readline(self) -> bytes: ...


class Name(NamedTuple):
    """The name of a class or function in a pickle. It is compared with known names, and never looked up."""

    module: str
    name: str


class Refused(ValueError):
    """The reason why a pickle is not read."""


@dataclass(frozen=True)
class Storage:
    """The numbers of one or more tensors, in a flat array. They may be filled in after the pickle has been read."""

    values: AnyArray
    is_bfloat16: bool


@dataclass(frozen=True)
class Tensor:
    """A part of a storage. Offset and strides count elements."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def array(self) -> AnyArray:
        """A copy of the tensor's numbers, in row-major order."""
        values = self.storage.values[self.offset :]
        strides = [stride * values.itemsize for stride in self.strides]
        copied = np.array(np.lib.stride_tricks.as_strided(values, self.shape, strides), order="C")
        return (copied.astype("u4") << 16).view("f4") if self.storage.is_bfloat16 else copied


_ORDERED_DICT = Name("collections", "OrderedDict")
_TENSOR = Name("torch._utils", "_rebuild_tensor_v2")
_PARAMETER = Name("torch._utils", "_rebuild_parameter")
_STORAGES = {Name("torch", name) for name in DTYPES}
_MARK = object()
_TUPLE_SIZES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_VALUES = {"BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE"}


def load(file: Source, find_storage: Callable[[Any], Storage]) -> Any:
    """The value of one pickle: dictionaries, lists, tuples, numbers, strings and `Tensor`s. What follows it in the file
    is not read.

    `find_storage` gets the persistent id of a storage. Refused, or another ValueError, if the pickle needs more.
    """
    try:
        return _Machine(find_storage).run(file)
    except (IndexError, KeyError, TypeError) as error:
        raise Refused(f"it is damaged ({type(error).__name__})") from None


class _Machine:
    """The stack machine."""

    def __init__(self, find_storage: Callable[[Any], Storage]) -> None:
        self._find_storage = find_storage
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def run(self, file: Source) -> Any:
        for opcode, argument, _ in pickletools.genops(cast(IO[bytes], file)):
            self._step(opcode.name, argument)
        return self._stack.pop()

    def _step(self, instruction: str, argument: Any) -> None:
        stack = self._stack
        match instruction:
            case "PROTO" | "FRAME" | "STOP":
                pass
            case _ if instruction in _VALUES:
                stack.append(argument)
            case _ if instruction in _CONSTANTS:
                stack.append(_CONSTANTS[instruction])
            case _ if instruction in _TUPLE_SIZES:
                stack.append(tuple([stack.pop() for _ in range(_TUPLE_SIZES[instruction])][::-1]))
            case "MARK":
                stack.append(_MARK)
            case "EMPTY_DICT":
                stack.append({})
            case "EMPTY_LIST":
                stack.append([])
            case "TUPLE":
                stack.append(tuple(self._pop_to_mark()))
            case "SETITEM":
                value, key = stack.pop(), stack.pop()
                self._set_items([key, value])
            case "SETITEMS":
                self._set_items(self._pop_to_mark())
            case "APPEND":
                self._append([stack.pop()])
            case "APPENDS":
                self._append(self._pop_to_mark())
            case "BINPUT" | "LONG_BINPUT":
                self._memo[argument] = stack[-1]
            case "MEMOIZE":
                self._memo[len(self._memo)] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(self._memo[argument])
            case "GLOBAL":
                stack.append(_known_name(*argument.split(" ", 1)))
            case "STACK_GLOBAL":
                name, module = stack.pop(), stack.pop()
                stack.append(_known_name(module, name))
            case "BINPERSID":
                stack.append(self._find_storage(stack.pop()))
            case "REDUCE":
                arguments, name = stack.pop(), stack.pop()
                stack.append(_rebuild(name, arguments))
            case "BUILD":  # a state_dict's `_metadata`
                stack.pop()
                if not isinstance(stack[-1], dict):
                    raise Refused("it sets attributes of an object")
            case _:
                raise Refused(f"it uses the instruction {instruction}")

    def _pop_to_mark(self) -> list[Any]:
        values = []
        while (value := self._stack.pop()) is not _MARK:
            values.append(value)
        return values[::-1]

    def _set_items(self, items: list[Any]) -> None:
        target = self._stack[-1]
        # Any other key could be nested too deeply to be hashed.
        if not isinstance(target, dict) or not all(isinstance(key, str | int) for key in items[::2]):
            raise Refused("it has keys that are neither strings nor numbers")
        target.update(zip(items[::2], items[1::2], strict=True))

    def _append(self, values: list[Any]) -> None:
        target = self._stack[-1]
        if not isinstance(target, list):
            raise Refused("it appends to what is no list")
        target.extend(values)


def _known_name(module: object, name: object) -> Name:
    found = Name(str(module), str(name))
    if found not in _STORAGES | {_ORDERED_DICT, _TENSOR, _PARAMETER}:
        raise Refused(f"it asks for {ascii('.'.join(found))[1:-1][:100]}")
    return found


def _rebuild(name: Any, arguments: Any) -> Any:
    """What a call in the pickle stands for."""
    if name == _ORDERED_DICT and arguments == ():
        return {}
    if name == _TENSOR:
        storage, offset, shape, strides, *_ = arguments
        return _checked_tensor(storage, offset, shape, strides)
    if name == _PARAMETER and isinstance(arguments[0], Tensor):
        return arguments[0]
    raise Refused("it calls something that is neither a tensor nor a dictionary")


def _checked_tensor(storage: Any, offset: Any, shape: Any, strides: Any) -> Tensor:
    if not (isinstance(storage, Storage) and isinstance(shape, tuple) and isinstance(strides, tuple)):
        raise Refused("it has a tensor without a storage")
    numbers = [offset, *shape, *strides]
    if len(shape) != len(strides) or not all(type(number) is int and 0 <= number < 2**62 for number in numbers):
        raise Refused("it has a tensor with an impossible shape")
    elements = 1
    for side in shape:
        elements *= side
    # Repeated elements (a stride of 0) would let a small file take any amount of memory.
    reach = offset + sum((side - 1) * stride for side, stride in zip(shape, strides, strict=True))
    if elements > len(storage.values) or (elements and reach >= len(storage.values)):
        raise Refused("it has a tensor that reaches beyond its storage")
    return Tensor(storage, offset if elements else 0, shape, strides)
