"""What a pickle file may contain: stand-ins for the classes and functions it names.

`CONSTRUCTORS` is the whole list. Each entry is a function of this module that takes the
memory budget and the arguments in the file, checks them and returns plain data. None
hands out a real class or function, and none trusts a length, a shape or an index.
"""

import dataclasses
import functools
import math
import re
from collections.abc import Callable, Iterable, Iterator

import numpy as np

_MAX_DEPTH = 100
_MAX_DIMENSIONS = 32
_ENCODINGS = {"latin1", "latin-1", "iso-8859-1", "utf-8", "utf8", "ascii"}
# Truth values, integers, floats, complex numbers, text, objects; no structures.
_DTYPE_NAME = re.compile(r"[biufcSU]\d{1,6}|O[48]?")
# chumpy's classes that hold or re-arrange an array, and where they keep it.
_OPERANDS = {
    "chumpy.Ch": "x",
    "chumpy.ch.Ch": "x",
    "chumpy.reordering.Select": "a",
    "chumpy.reordering.Reshape": "a",
    "chumpy.reordering.transpose": "a",
}


class RefusedError(Exception):
    """The file asks for something that is not done; the text continues its path."""


class Budget:
    """Counts down the bytes that may still be allocated."""

    def __init__(self, num_bytes: int):
        self.num_bytes = num_bytes

    def charge(self, num_bytes: int) -> None:
        """Refuses before an allocation that is not covered."""
        self.num_bytes -= num_bytes
        if self.num_bytes < 0:
            raise RefusedError("asks for more memory than is allowed")


class Token:
    """Stands for an allowed class or function; calling one is up to the reader."""

    __slots__ = ("construct", "name")

    def __init__(self, name: str, construct: Callable | None):
        self.name = name
        self.construct = construct


class Pending:
    """An object between its creation and the operation that sets its state."""

    __slots__ = ("finish", "memo_keys")

    def __init__(self, finish: Callable[[object], object]):
        self.finish = finish
        self.memo_keys: list[int] = []


@dataclasses.dataclass(eq=False, repr=False)
class ChumpyObject:
    """A chumpy object as inert data; `chumpy_array` computes its value.

    Attributes:
        name: module and class, for example `chumpy.ch.Ch`.
        arguments: what the file passes to the class, mostly nothing.
        state: the attributes of the object, mostly a dict.
    """

    name: str
    arguments: tuple = ()
    state: object = None


def chumpy_array(item: object) -> np.ndarray:
    """Returns an array, or the value of a chumpy object that holds or re-arranges one.

    Raises:
        ValueError: chumpy would have to compute the value, or the object is damaged.
    """
    steps: list[ChumpyObject] = []
    while isinstance(item, ChumpyObject):
        if item.name not in _OPERANDS:
            raise ValueError(f"{printable(item.name)} has to be computed by chumpy")
        if len(steps) == _MAX_DEPTH or not isinstance(item.state, dict):
            raise ValueError(f"the {item.name} object has no readable state")
        steps.append(item)
        item = item.state.get(_OPERANDS[item.name])
    item = _numbers(item, "biuf")
    for step in reversed(steps):
        try:
            item = _rearrange(item, step.name.rpartition(".")[2], step.state)
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise ValueError(f"the {step.name} object is damaged ({error})") from error
    return item


def find(module: object, name: object) -> Token:
    """Returns the stand-in of a global name.

    Raises:
        RefusedError: the name is not on the list.
    """
    if not isinstance(module, str) or not isinstance(name, str):
        raise ValueError("a name is not text")
    full = f"{module}.{name}"
    if module.partition(".")[0] == "chumpy":
        return Token(full, functools.partial(_new_chumpy, full))
    if (module, name) not in CONSTRUCTORS:
        raise RefusedError(f"names {printable(full)}, which may run code")
    return Token(full, CONSTRUCTORS[module, name])


def pairs(keys: Iterable, values: Iterable) -> Iterator[tuple]:
    """Pairs the keys of a dict with their values."""
    return zip(map(checked_key, keys), values, strict=True)


def checked_key(key: object, *, depth: int = 3) -> object:
    """Returns a key that is cheap to hash; nests of shared tuples are not."""
    if type(key) is tuple and depth > 0 and len(key) <= _MAX_DIMENSIONS:
        for item in key:
            checked_key(item, depth=depth - 1)
    elif not isinstance(key, (str, bytes, int, float, complex, type(None))):
        raise ValueError(f"a {describe(key)} is used as a key")
    return key


def check_depth(value: object) -> None:
    """Refuses a result so deeply nested that comparing or printing it would fail."""
    seen: set[int] = set()
    level = {id(value): value}
    for _ in range(_MAX_DEPTH):
        seen.update(level)
        children = (child for item in level.values() for child in _children(item))
        # By identity: what is shared counts once, and cycles end.
        level = {id(child): child for child in children if id(child) not in seen}
        if not level:
            return
    raise RefusedError(f"nests objects more than {_MAX_DEPTH} deep")


def _children(value: object) -> Iterable:
    """The objects that a container holds."""
    if isinstance(value, dict):
        return [*value.keys(), *value.values()]
    if isinstance(value, (list, tuple, set, frozenset)):
        return value
    if isinstance(value, ChumpyObject):
        return [value.arguments, value.state]
    is_objects = isinstance(value, np.ndarray) and value.dtype.kind == "O"
    return value.ravel().tolist() if is_objects else ()


def describe(value: object) -> str:
    """Names a value in a message."""
    if isinstance(value, Token):
        value = value.name
    # Never the text of a container: shared nested lists print in exponential time.
    return printable(value) if isinstance(value, str) else type(value).__name__


def printable(text: str) -> str:
    """Shortens text of a file to something that stays on one line of a message."""
    text = text[:100]
    return text if text.isprintable() else ascii(text)


def _numbers(array: object, kinds: str) -> np.ndarray:
    """Checks for an array: NumPy takes exponential time for shared nested lists."""
    if not isinstance(array, np.ndarray) or array.dtype.kind not in kinds:
        raise ValueError(f"expected a numeric array, got {describe(array)}")
    return array


def _rearrange(array: np.ndarray, name: str, state: dict) -> np.ndarray:
    """Applies one of chumpy's re-arranging classes to the value of its operand."""
    if name == "Select":
        indices = _numbers(state["idxs"], "iu").ravel()
        if np.any(indices < 0):
            raise ValueError("its indices are negative")
        return array.ravel()[indices].reshape(state.get("preferred_shape", -1))
    if name == "Reshape":
        return array.reshape(state["newshape"])
    if name == "transpose":
        return np.transpose(array, state.get("axes"))
    return array


def _new_chumpy(name: str, budget: Budget, *arguments: object) -> ChumpyObject:
    return ChumpyObject(name, arguments)


def _new_object(budget: Budget, token: object, base: object, state: object) -> object:
    """In place of `copyreg._reconstructor`, the `__new__` of protocols 0 and 1."""
    is_plain = isinstance(base, Token) and base.name.endswith(".object")
    is_class = isinstance(token, Token) and token.construct is not None
    if not is_plain or not is_class or state is not None:
        raise RefusedError("builds an object on another class, which may run code")
    return token.construct(budget)


def _new_collection(kind: type, budget: Budget, items: object = ()) -> object:
    if type(items) not in (list, tuple, set, frozenset):
        raise ValueError(f"a {kind.__name__} is made from a {describe(items)}")
    # Also in the budget because one large list can be copied by every operation.
    budget.charge(100 * len(items))
    if kind is dict:
        return dict(pairs(*zip(*items, strict=True))) if items else {}
    return kind(items if kind in (list, tuple) else map(checked_key, items))


def _new_bytes(kind: type, budget: Budget, content: object = b"", *encoding: object):
    if isinstance(content, str):
        content = _encode(budget, content, *encoding)
    if not isinstance(content, (bytes, bytearray)):  # Not int: `bytes(10**12)`.
        raise ValueError(f"bytes are made from a {describe(content)}")
    budget.charge(len(content))
    return kind(content)


def _new_complex(budget: Budget, real: float, imaginary: float) -> complex:
    if type(real) is not float or type(imaginary) is not float:
        raise ValueError("a complex number is not made from two floats")
    return complex(real, imaginary)


def _encode(budget: Budget, text: object, encoding: object = "utf-8") -> bytes:
    """In place of `_codecs.encode`, which finds codecs that decompress and execute."""
    are_text = isinstance(text, str) and isinstance(encoding, str)
    if not are_text or encoding not in _ENCODINGS:
        raise RefusedError(f"encodes as {describe(encoding)}, which may run code")
    budget.charge(len(text))
    return text.encode(encoding)


def _new_dtype(budget: Budget, name: object, *_: object) -> Pending:
    """In place of `numpy.dtype`, whose state can describe memory that is not there."""
    if not isinstance(name, str) or not _DTYPE_NAME.fullmatch(name):
        raise RefusedError(f"holds the data type {describe(name)}")
    dtype = np.dtype(object if name[0] == "O" else name)

    def finish(state: object) -> np.dtype:
        version, order, *structure, item_size, _alignment, _flags = state[:8]
        if version not in (3, 4) or order not in tuple("<>|=") or any(structure):
            raise ValueError("a data type has a state of unknown form")
        if item_size not in (-1, dtype.itemsize):
            raise ValueError("a data type contradicts its size")
        return dtype.newbyteorder(order)

    return Pending(finish)


def _new_array(budget: Budget, cls: object, *_: object) -> Pending:
    """In place of NumPy's `_reconstruct`; shape and content come with the state."""
    if not isinstance(cls, Token) or cls.name != "numpy.ndarray":
        raise RefusedError(
            f"makes an array of class {describe(cls)}, which may run code"
        )

    def finish(state: object) -> np.ndarray:
        shape, dtype, is_fortran, content = state[-4:]
        return _fill(budget, content, dtype, shape, "F" if is_fortran else "C")

    return Pending(finish)


def _array_from_buffer(
    budget: Budget,
    content: object,
    dtype: object,
    shape: object,
    order: object,
    axes: tuple | None = None,
) -> np.ndarray:
    """In place of NumPy's `_frombuffer`, which protocol 5 uses."""
    if order == "K" and axes is not None:
        return np.transpose(_fill(budget, content, dtype, shape, "C"), axes)
    return _fill(budget, content, dtype, shape, order)


def _new_scalar(budget: Budget, dtype: object, content: object) -> np.generic:
    return _fill(budget, content, dtype, (), "C")[()]


def _fill(
    budget: Budget, content: object, dtype: object, shape: object, order: object
) -> np.ndarray:
    """Makes an array after comparing what it claims with what the file holds."""
    if not isinstance(dtype, np.dtype) or order not in ("C", "F"):
        raise ValueError("an array has no data type or memory order")
    count = _count(shape)
    if dtype.kind == "O":
        if not isinstance(content, list) or len(content) != count:
            raise ValueError(f"an array of shape {shape} has another content")
        budget.charge(8 * count)
        array = np.empty(count, object)
        for index, value in enumerate(content):  # A slice would unpack nested lists.
            array[index] = value
        return array.reshape(shape, order=order)
    if isinstance(content, str):
        content = _encode(budget, content, "latin-1")
    if not isinstance(content, (bytes, bytearray)):
        raise ValueError(f"an array's content is a {describe(content)}")
    if len(content) != count * dtype.itemsize:
        raise ValueError(f"an array of shape {shape} has {len(content)} bytes")
    budget.charge(len(content))
    array = np.frombuffer(content, dtype) if content else np.empty(0, dtype)
    # Copied to be writable, and in the byte order of this machine.
    return array.astype(dtype.newbyteorder("=")).reshape(shape, order=order)


def _new_sparse(format_: str, budget: Budget, *arguments: object) -> Pending:
    """In place of SciPy's sparse classes, which trust their index arrays."""
    if arguments:
        raise ValueError("a sparse matrix has arguments")

    def finish(state: object) -> np.ndarray:
        shape = state["_shape"] if "_shape" in state else state["shape"]
        values = _numbers(state["data"], "biuf")
        num_bytes = _count(shape) * values.itemsize
        if values.ndim != 1 or len(shape) != 2:
            raise ValueError("a sparse matrix has no list of values or no shape")
        rows, columns = _coordinates(format_, state, shape)
        for index, size in ((rows, shape[0]), (columns, shape[1])):
            if index.shape != values.shape or np.any((index < 0) | (index >= size)):
                raise ValueError("a sparse matrix points outside of its shape")
        budget.charge(num_bytes)
        dense = np.zeros(shape, values.dtype)
        np.add.at(dense, (rows, columns), values)
        return dense

    return Pending(finish)


def _coordinates(
    format_: str, state: dict, shape: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the entries of a sparse matrix."""
    if format_ == "coo":
        indices = state.get("coords") or (state["row"], state["col"])
    else:
        indices = (state["indptr"], state["indices"])
    starts, minor = (_numbers(item, "iu").astype(np.int64) for item in indices)
    if format_ == "coo":
        return starts, minor
    lengths = np.diff(starts)
    num_major = shape[0] if format_ == "csr" else shape[1]
    is_partition = np.all(lengths >= 0) and starts[0] == 0 and starts[-1] == minor.size
    if len(lengths) != num_major or not is_partition:
        raise ValueError("the index pointers of a sparse matrix do not fit")
    major = np.repeat(np.arange(num_major), lengths)
    return (major, minor) if format_ == "csr" else (minor, major)


def _count(shape: object) -> int:
    """The number of elements of an array of that shape."""
    if not isinstance(shape, tuple) or len(shape) > _MAX_DIMENSIONS:
        raise ValueError("a shape is not a short tuple")
    if not all(isinstance(size, int) and size >= 0 for size in shape):
        raise ValueError("a shape is not made of natural numbers")
    return math.prod(shape)


# The names are those of Python 2 and 3, NumPy 1 and 2, SciPy before and since 1.8.
CONSTRUCTORS: dict[tuple[str, str], Callable | None] = {
    ("_codecs", "encode"): _encode,
    ("copy_reg", "_reconstructor"): _new_object,
    ("copyreg", "_reconstructor"): _new_object,
    ("collections", "OrderedDict"): functools.partial(_new_collection, dict),
    ("numpy", "ndarray"): None,
    ("numpy", "dtype"): _new_dtype,
}
for _module in ("builtins", "__builtin__"):
    CONSTRUCTORS[_module, "object"] = None
    CONSTRUCTORS[_module, "complex"] = _new_complex
    for _type in (list, tuple, set, frozenset, dict):
        _build = functools.partial(_new_collection, _type)
        CONSTRUCTORS[_module, _type.__name__] = _build
    for _type in (bytes, bytearray):
        CONSTRUCTORS[_module, _type.__name__] = functools.partial(_new_bytes, _type)
for _module in ("numpy.core", "numpy._core"):
    CONSTRUCTORS[f"{_module}.multiarray", "_reconstruct"] = _new_array
    CONSTRUCTORS[f"{_module}.multiarray", "scalar"] = _new_scalar
    CONSTRUCTORS[f"{_module}.numeric", "_frombuffer"] = _array_from_buffer
for _format in ("csc", "csr", "coo"):
    for _module in (_format, f"_{_format}"):
        for _suffix in ("matrix", "array"):
            _name = (f"scipy.sparse.{_module}", f"{_format}_{_suffix}")
            CONSTRUCTORS[_name] = functools.partial(_new_sparse, _format)
