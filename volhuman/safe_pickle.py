"""Reads pickle files without running anything that stands in them.

A pickle is a program: Python's own reader imports whatever the file names and calls it.
Old body models are distributed in this form only, so this module reads the program with
an interpreter of its own:

* Nothing is imported or looked up by name. A name in the file is a key of the list in
  `volhuman.safe_pickle_values`; any other name ends the reading. There is no `getattr`,
  and no real class or function is ever on the stack, only inert tokens.
* Calling a token runs a function of that list, which checks its arguments and returns
  plain data. Setting a state is defined for unfinished arrays and chumpy records only:
  on a token or a container, where Python would change a class, it is refused.
* Persistent ids, the extension registry and out-of-band buffers are refused.
* Lengths are compared with the file before anything is allocated; the operations, the
  bytes allocated and the depth of the result are bounded.

`pickle` is imported for the names of its operation codes; its readers are not used.
Python 2's text is decoded as latin-1, which keeps the bytes of arrays written as text.
"""

import codecs
import os
import pickle
import struct
from collections.abc import Callable
from pathlib import Path

from volhuman.errors import InputError
from volhuman.safe_pickle_values import (
    Budget,
    ChumpyObject,
    Pending,
    RefusedError,
    Token,
    check_depth,
    checked_key,
    describe,
    find,
    pairs,
    printable,
)

# Body models take a few thousand. An operation allocates at most about 300 bytes beyond
# what the budget counts.
_MAX_OPERATIONS = 2_000_000


def load_pickle(
    path: str | Path,
    *,
    max_bytes: int = 1 << 30,
    max_operations: int | None = None,
) -> object:
    """Loads containers, numbers, text and arrays; SciPy's sparse matrices become dense.

    Args:
        path: a file written by Python 2 or 3 with protocol 0 to 5.
        max_bytes: larger files are refused; the arrays built from a file may take four
            times as much.
        max_operations: longer programs are refused, by default those of more than two
            million operations; one array takes about 25.

    Returns:
        Plain Python and NumPy objects, and `ChumpyObject` for chumpy's classes.

    Raises:
        InputError: the file names anything else, is damaged, or exceeds a limit.
    """
    path = Path(path)
    if not os.path.isfile(path):
        raise InputError(f"{path} is not a file; give the path of a pickle file.")
    try:
        size = path.stat().st_size
        data = path.read_bytes() if size <= max_bytes else b""
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror}); check its permissions."
        ) from error
    if size > max_bytes:
        raise InputError(
            f"{path} has {size} bytes, more than the limit of {max_bytes}; "
            "raise max_bytes if the file is yours."
        )
    return load_pickled(
        data, str(path), max_bytes=max_bytes, max_operations=max_operations
    )


def load_pickled(
    data: bytes,
    source: str,
    *,
    max_bytes: int = 1 << 30,
    max_operations: int | None = None,
) -> object:
    """Loads what `load_pickle` does from bytes, such as the content of an `.npy` file.

    Args:
        data: the pickle.
        source: where it comes from, for messages.
        max_bytes: the arrays built from it may take four times as much.
        max_operations: as in `load_pickle`.

    Raises:
        InputError: as in `load_pickle`.
    """
    try:
        return _Machine(data, Budget(4 * max_bytes)).run(
            max_operations or _MAX_OPERATIONS
        )
    except RefusedError as refusal:
        raise InputError(
            f"{source} {refusal}; it was not loaded: convert it to .npz."
        ) from refusal
    # Arbitrary bytes make the checks and NumPy's own fail in any way, MemoryError and
    # RecursionError included.
    except Exception as error:
        raise InputError(
            f"{source} is no pickle file, or a damaged one ({type(error).__name__}: "
            f"{printable(str(error))}); copy it again."
        ) from error


class _Machine:
    """The stack machine that a pickle is written for."""

    def __init__(self, data: bytes, budget: Budget):
        self.data = data
        self.position = 0
        self.budget = budget
        self.stack: list = []
        self.marks: list[int] = []
        self.memo: dict[int, object] = {}

    def run(self, max_operations: int) -> object:
        """Executes the program and returns the object that it leaves."""
        for _ in range(max_operations):
            code = self.take(1)
            if code == pickle.STOP:
                result = self.pop()
                check_depth(result)
                return result
            if code not in _ACTIONS:
                raise ValueError(f"unknown operation {code!r}")
            _ACTIONS[code](self)
        raise RefusedError(f"takes more than {max_operations} operations")

    def take(self, count: int) -> bytes:
        """Reads `count` bytes; a length beyond the file never allocates."""
        end = self.position + count
        if count < 0 or end > len(self.data):
            raise EOFError("the file ends early")
        start, self.position = self.position, end
        return self.data[start:end]

    def line(self) -> bytes:
        """Reads up to the end of the line."""
        end = self.data.index(b"\n", self.position)
        return self.take(end + 1 - self.position)[:-1]

    def number(self, layout: str) -> int | float:
        """Reads one number in a layout of `struct`."""
        return struct.unpack(layout, self.take(struct.calcsize(layout)))[0]

    def push(self, value: object) -> None:
        """Puts an object on the stack."""
        self.stack.append(value)

    def pop(self) -> object:
        """Takes a finished object; states that contain their own array do not exist."""
        value = self.stack.pop()
        if isinstance(value, Pending):
            raise ValueError("an array is used before it has a content")
        return value

    def pop_items(self) -> list:
        """Takes the objects above the last mark."""
        height = self.marks.pop()
        items = [self.pop() for _ in range(len(self.stack) - height)]
        return items[::-1]

    def remember(self, key: int) -> None:
        """Stores the top of the stack for later use."""
        value = self.stack[-1]
        if isinstance(value, Pending):
            value.memo_keys.append(key)
        self.memo[key] = value

    def call(self, arguments: object) -> None:
        """Replaces the token on the stack by what it makes of its arguments."""
        token = self.pop()
        if not isinstance(token, Token) or token.construct is None:
            raise RefusedError(f"calls a {describe(token)}, which may run code")
        if not isinstance(arguments, tuple):
            raise ValueError("arguments are not a tuple")
        self.push(token.construct(self.budget, *arguments))

    def set_state(self) -> None:
        """Finishes an array, or records the state of a chumpy object."""
        state = self.pop()
        target = self.stack[-1]
        if isinstance(target, Pending):
            self.stack[-1] = target.finish(state)
            for key in target.memo_keys:
                self.memo[key] = self.stack[-1]
        elif isinstance(target, ChumpyObject) and target.state is None:
            target.state = state
        else:
            raise RefusedError(
                f"sets the state of a {describe(target)}, which may run code"
            )

    def extend(self, items: list) -> None:
        """Adds items to the list, set or dict on top of the stack."""
        target = self.stack[-1]
        if type(target) is list:
            target.extend(items)
        elif type(target) is set:
            target.update(map(checked_key, items))
        elif type(target) is dict:
            target.update(pairs(items[0::2], items[1::2]))
        else:
            raise ValueError(f"items are added to a {describe(target)}")


# -- the operations


def _text(machine: _Machine) -> None:
    """Python 2's text in quotes, with escapes."""
    quoted = machine.line().strip()
    if len(quoted) < 2 or quoted[:1] not in b"'\"" or quoted[-1:] != quoted[:1]:
        raise ValueError("text without quotes")
    machine.push(codecs.escape_decode(quoted[1:-1])[0].decode("latin-1"))


def _integer(machine: _Machine) -> None:
    """An integer in digits, or a truth value with a leading zero."""
    digits = machine.line()
    truth = {b"00": False, b"01": True}
    machine.push(truth[digits] if digits in truth else int(digits))


def _dict(machine: _Machine) -> None:
    """A dict of the keys and values after the mark, protocol 0."""
    items = machine.pop_items()
    machine.push(dict(pairs(items[0::2], items[1::2])))


def _global(machine: _Machine) -> None:
    """A name in two lines."""
    module, name = machine.line().decode(), machine.line().decode()
    machine.push(find(module, name))


def _stack_global(machine: _Machine) -> None:
    """A name from the stack."""
    name, module = machine.pop(), machine.pop()
    machine.push(find(module, name))


def _instance(machine: _Machine) -> None:
    """Name and call in one, protocol 0."""
    _global(machine)
    token = machine.pop()
    arguments = tuple(machine.pop_items())
    machine.push(token)
    machine.call(arguments)


def _object(machine: _Machine) -> None:
    """A call of the first object after the mark, protocol 1."""
    token, *arguments = machine.pop_items()
    machine.push(token)
    machine.call(tuple(arguments))


def _new_with_keywords(machine: _Machine) -> None:
    if machine.pop():
        raise RefusedError("calls a class with keywords, which may run code")
    machine.call(machine.pop())


def _protocol(machine: _Machine) -> None:
    version = machine.take(1)[0]
    if version > 5:
        raise RefusedError(f"has pickle protocol {version}; 5 is the last one known")


def _refuse(reason: str) -> Callable[[_Machine], None]:
    def action(machine: _Machine) -> None:
        raise RefusedError(f"{reason}, which this reader does not follow")

    return action


def _push_read(layout: str, decode: Callable | None = None) -> Callable:
    """A number, or with `decode` a number of bytes and then the bytes."""

    def action(machine: _Machine) -> None:
        number = machine.number(layout)
        machine.push(decode(machine.take(number)) if decode else number)

    return action


def _latin(content: bytes) -> str:
    return content.decode("latin-1")


def _unicode(content: bytes) -> str:
    return content.decode("utf-8", "surrogatepass")


def _long(content: bytes) -> int:
    return int.from_bytes(content, "little", signed=True)


_ACTIONS: dict[bytes, Callable[[_Machine], None]] = {
    pickle.PROTO: _protocol,
    pickle.FRAME: lambda m: m.take(8),  # A hint for reading ahead.
    # Constants, numbers, text.
    pickle.NONE: lambda m: m.push(None),
    pickle.NEWTRUE: lambda m: m.push(True),
    pickle.NEWFALSE: lambda m: m.push(False),
    pickle.INT: _integer,
    pickle.LONG: lambda m: m.push(int(m.line().rstrip(b"L"))),
    pickle.FLOAT: lambda m: m.push(float(m.line())),
    pickle.STRING: _text,
    pickle.UNICODE: lambda m: m.push(m.line().decode("raw-unicode-escape")),
    pickle.BININT: _push_read("<i"),
    pickle.BININT1: _push_read("<B"),
    pickle.BININT2: _push_read("<H"),
    pickle.BINFLOAT: _push_read(">d"),
    pickle.LONG1: _push_read("<B", _long),
    pickle.LONG4: _push_read("<i", _long),
    pickle.BINSTRING: _push_read("<i", _latin),
    pickle.SHORT_BINSTRING: _push_read("<B", _latin),
    pickle.BINUNICODE: _push_read("<I", _unicode),
    pickle.SHORT_BINUNICODE: _push_read("<B", _unicode),
    pickle.BINUNICODE8: _push_read("<Q", _unicode),
    pickle.BINBYTES: _push_read("<I", bytes),
    pickle.SHORT_BINBYTES: _push_read("<B", bytes),
    pickle.BINBYTES8: _push_read("<Q", bytes),
    pickle.BYTEARRAY8: _push_read("<Q", bytearray),
    # Containers.
    pickle.MARK: lambda m: m.marks.append(len(m.stack)),
    pickle.POP: lambda m: m.pop(),
    pickle.POP_MARK: lambda m: m.pop_items(),
    pickle.DUP: lambda m: m.push(m.stack[-1]),
    pickle.EMPTY_TUPLE: lambda m: m.push(()),
    pickle.EMPTY_LIST: lambda m: m.push([]),
    pickle.EMPTY_DICT: lambda m: m.push({}),
    pickle.EMPTY_SET: lambda m: m.push(set()),
    pickle.TUPLE1: lambda m: m.push((m.pop(),)),
    pickle.TUPLE2: lambda m: m.push((m.pop(), m.pop())[::-1]),
    pickle.TUPLE3: lambda m: m.push((m.pop(), m.pop(), m.pop())[::-1]),
    pickle.TUPLE: lambda m: m.push(tuple(m.pop_items())),
    pickle.LIST: lambda m: m.push(m.pop_items()),
    pickle.DICT: _dict,
    pickle.FROZENSET: lambda m: m.push(frozenset(map(checked_key, m.pop_items()))),
    pickle.APPEND: lambda m: m.extend([m.pop()]),
    pickle.SETITEM: lambda m: m.extend([m.pop(), m.pop()][::-1]),
    pickle.APPENDS: lambda m: m.extend(m.pop_items()),
    pickle.ADDITEMS: lambda m: m.extend(m.pop_items()),
    pickle.SETITEMS: lambda m: m.extend(m.pop_items()),
    # Memory.
    pickle.GET: lambda m: m.push(m.memo[int(m.line())]),
    pickle.BINGET: lambda m: m.push(m.memo[m.number("<B")]),
    pickle.LONG_BINGET: lambda m: m.push(m.memo[m.number("<I")]),
    pickle.PUT: lambda m: m.remember(int(m.line())),
    pickle.BINPUT: lambda m: m.remember(m.number("<B")),
    pickle.LONG_BINPUT: lambda m: m.remember(m.number("<I")),
    pickle.MEMOIZE: lambda m: m.remember(len(m.memo)),
    # Objects.
    pickle.GLOBAL: _global,
    pickle.STACK_GLOBAL: _stack_global,
    pickle.INST: _instance,
    pickle.OBJ: _object,
    pickle.REDUCE: lambda m: m.call(m.pop()),
    pickle.NEWOBJ: lambda m: m.call(m.pop()),
    pickle.NEWOBJ_EX: _new_with_keywords,
    pickle.BUILD: lambda m: m.set_state(),
    pickle.PERSID: _refuse("refers to a persistent object"),
    pickle.BINPERSID: _refuse("refers to a persistent object"),
    pickle.EXT1: _refuse("refers to the extension registry"),
    pickle.EXT2: _refuse("refers to the extension registry"),
    pickle.EXT4: _refuse("refers to the extension registry"),
    pickle.NEXT_BUFFER: _refuse("refers to a buffer outside of the file"),
    pickle.READONLY_BUFFER: _refuse("refers to a buffer outside of the file"),
}
