"""Hostile and damaged pickles: nothing runs, nothing large is allocated."""

import os
import pickle
import struct
import tracemalloc

import numpy as np
import pytest

from volhuman import safe_pickle
from volhuman.errors import InputError
from volhuman.safe_pickle import load_pickle


class _Reduced:
    """Pickles as a call of any function with any arguments, and a state."""

    def __init__(self, *reduced):
        self.reduced = reduced

    def __reduce__(self):
        return self.reduced


def _write(folder, content):
    path = folder / "body.pkl"
    path.write_bytes(content)
    return path


def _refused(folder, content, *words, **options):
    """Asserts a one-line refusal within little memory."""
    path = _write(folder, content)
    tracemalloc.start()
    try:
        with pytest.raises(InputError) as refusal:
            load_pickle(path, **options)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    message = str(refusal.value)
    assert str(path) in message and "\n" not in message and len(message) < 1000
    for word in words:
        assert word in message
    assert peak < 20_000_000
    return message


def _call(module, name, *arguments):
    """The bytes of a protocol 2 pickle that calls `module.name(*arguments)`."""
    body = pickle.dumps(arguments, 2)[2:-1]
    return b"\x80\x02c" + f"{module}\n{name}\n".encode() + body + b"R."


# -- code


def test_marker_appears_with_the_standard_reader_only(tmp_path):
    marker = tmp_path / "marker"
    for protocol in range(6):
        command = _Reduced(os.system, (f"touch '{marker}'",))
        content = pickle.dumps({"v_template": [command]}, protocol)
        pickle.loads(content)  # Control: the payload works.
        assert marker.exists()
        marker.unlink()
        _refused(tmp_path, content, "system", "may run code", "not loaded")
        assert not marker.exists()


GADGETS = [
    ("os", "system"),
    ("posix", "system"),
    ("nt", "system"),
    ("subprocess", "Popen"),
    ("builtins", "eval"),
    ("builtins", "exec"),
    ("__builtin__", "eval"),
    ("__builtin__", "execfile"),
    ("builtins", "getattr"),
    ("builtins", "__import__"),
    ("builtins", "map"),
    ("builtins", "type"),
    ("builtins", "set.__init__"),
    ("numpy.testing._private.utils", "runstring"),
    ("numpy.f2py.crackfortran", "myeval"),
    ("numpy.f2py.diagnose", "run_command"),
    ("numpy", "load"),
    ("numpy", "memmap"),
    ("numpy", "ndarray.__class__"),
    ("numpy.core.multiarray", "fromfile"),
    ("scipy.sparse", "os"),
    ("scipy.sparse._csc", "np.load"),
    ("operator", "attrgetter"),
    ("operator", "methodcaller"),
    ("functools", "partial"),
    ("importlib", "import_module"),
    ("runpy", "run_path"),
    ("timeit", "timeit"),
    ("copyreg", "add_extension"),
    ("copyreg", "__newobj__"),
    ("copy_reg", "_extension_registry"),
    ("pickle", "loads"),
    ("codecs", "encode"),
    ("_codecs", "decode"),
    ("collections", "namedtuple"),
    ("collections", "OrderedDict.__init__"),
    ("volhuman.safe_pickle_values", "CONSTRUCTORS"),
    ("chumpy_evil", "Ch"),
    ("", "chumpy"),
]


@pytest.mark.parametrize(("module", "name"), GADGETS)
def test_gadgets_are_named_and_refused(tmp_path, module, name):
    marker = tmp_path / "marker"
    code = f"open({str(marker)!r}, 'w').close()"
    full = f"{module}.{name}"
    _refused(tmp_path, _call(module, name, code), full)
    # The same by the other operations that name or call something.
    line = f"{module}\n{name}\n".encode()
    text = pickle.dumps(code, 0)[:-1]
    short = b"".join(
        b"\x8c" + bytes([len(part)]) + part.encode() for part in (module, name)
    )
    _refused(tmp_path, b"(" + text + b"i" + line + b".", full)
    _refused(tmp_path, b"(c" + line + text + b"o.", full)
    _refused(tmp_path, b"\x80\x04" + short + b"\x93" + text + b"\x85\x81.", full)
    _refused(tmp_path, b"\x80\x04" + short + b"\x93)}\x92.", full)
    assert not marker.exists()


def test_gadgets_inside_of_allowed_objects(tmp_path):
    marker = tmp_path / "marker"
    touch = b"cos\nsystem\n" + pickle.dumps((f"touch '{marker}'",), 2)[2:-1] + b"R"
    chumpy = b"cchumpy.ch\nCh\n"
    array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85U\1b\x87R"
    dtype = _dtype(b"O8", order=b"|")
    contents = [
        chumpy + b")\x81}U\1x" + touch + b"sb.",
        chumpy + touch + b"\x85R.",
        array + b"(K\1K\1\x85" + dtype + b"\x89]" + touch + b"atb.",
        b"c__builtin__\nset\n]" + touch + b"a\x85R.",
        b"ccollections\nOrderedDict\n]]U\1a" + touch + b"eaa\x85R.",
        b"ccopy_reg\n_reconstructor\n(" + touch + b"c__builtin__\nobject\nNtR.",
    ]
    for content in contents:
        _refused(tmp_path, b"\x80\x02" + content, "os.system")
    assert not marker.exists()


def test_tokens_are_no_classes(tmp_path):
    """A state on a class would change that class for the whole program."""
    token = b"\x80\x02cchumpy.ch\nCh\n"
    state = b"}U\x0c__setstate__" + b"cchumpy.ch\nCh\ns"
    _refused(tmp_path, token + state + b"b.", "sets the state", "chumpy.ch.Ch")
    _refused(tmp_path, token + b"N" + state + b"\x86b.", "sets the state")
    _refused(tmp_path, b"\x80\x02]" + state + b"b.", "sets the state")
    # A second state would replace the checked first one.
    _refused(tmp_path, token + b")\x81}b}b.", "sets the state")
    _refused(tmp_path, token + b")}U\1aK\1s\x92.", "keywords")
    _refused(tmp_path, b"\x80\x02U\2os)R.", "calls a")
    _refused(tmp_path, b"\x80\x02]K\1\x85R.", "calls a")
    _refused(tmp_path, b"\x80\x02cnumpy\nndarray\nK\1\x85R.", "calls a numpy.ndarray")


def test_reconstructor_is_limited_to_stand_ins(tmp_path):
    def reconstruct(*arguments):
        return b"ccopy_reg\n_reconstructor\n(" + b"".join(arguments) + b"tR."

    chumpy, base = b"cchumpy.ch\nCh\n", b"c__builtin__\nobject\n"
    path = _write(tmp_path, reconstruct(chumpy, base, b"N"))
    assert load_pickle(path).name == "chumpy.ch.Ch"  # Control.
    _refused(tmp_path, reconstruct(b"csubprocess\nPopen\n", base, b"N"), "Popen")
    _refused(tmp_path, reconstruct(b"cnumpy\nndarray\n", base, b"N"), "another class")
    _refused(tmp_path, reconstruct(chumpy, b"c__builtin__\ndict\n", b"}"), "another")
    _refused(tmp_path, reconstruct(chumpy, base, b"K\1"), "another class")
    _refused(tmp_path, reconstruct(b"ccopy_reg\n_reconstructor\n", base, b"N"))


@pytest.mark.parametrize(
    "codec", ["zlib", "hex", "rot13", "bz2", "idna", "os", "punycode"]
)
def test_codecs_are_limited(tmp_path, codec):
    _refused(tmp_path, _call("_codecs", "encode", "text", codec), codec)
    path = _write(tmp_path, _call("_codecs", "encode", "é", "latin1"))
    assert load_pickle(path) == b"\xe9"  # Control.


def test_registry_persistent_ids_and_buffers_are_refused(tmp_path):
    for content in (b"\x80\x02\x82\1.", b"\x80\x02\x83\1\0.", b"\x80\x02\x84\1\0\0\0."):
        _refused(tmp_path, content, "extension registry")
    _refused(tmp_path, b"Pname\n.", "persistent")
    _refused(tmp_path, b"\x80\x02K\1Q.", "persistent")
    _refused(tmp_path, b"\x80\x05\x97.", "buffer")
    _refused(tmp_path, b"\x80\x05\x98.", "buffer")
    _refused(tmp_path, b"\x80\x06N.", "protocol 6")


def test_message_stays_on_one_line(tmp_path):
    name = "x\n\x1b[31m" + "y" * 5000
    encoded = b"\x80\x04\x8c\2os" + b"X" + struct.pack("<I", len(name)) + name.encode()
    message = _refused(tmp_path, encoded + b"\x93.", "os.x")
    assert message.isprintable()


# -- NumPy's own traps


def _array(shape=b"K\3\x85", dtype=None, content=bytes(24), flag=b"\x89"):
    """A Python 2 pickle of an array, with parts to be falsified."""
    dtype = _dtype() if dtype is None else dtype
    text = b"T" + struct.pack("<I", len(content)) + content
    head = b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n"
    return head + b"K\0\x85U\1b\x87R(K\1" + shape + dtype + flag + text + b"tb."


def _dtype(name=b"f8", structure=b"NNN", size=b"J\xff\xff\xff\xff", order=b"<"):
    head = b"cnumpy\ndtype\nU" + bytes([len(name)]) + name + b"K\0K\1\x87R"
    return head + b"(K\3U\1" + order + structure + size + b"J\xff\xff\xff\xffK\0tb"


def test_arrays_that_lie(tmp_path):
    assert load_pickle(_write(tmp_path, _array())).tolist() == [0, 0, 0]  # Control.
    big = b"\x8a\6" + (10**13).to_bytes(6, "little") + b"\x85"
    for shape in (big, b"K\4\x85", b"K\2\x85", b"J\xff\xff\xff\xff\x85", b"N", b"]"):
        _refused(tmp_path, _array(shape))
    negative = b"J\xff\xff\xff\xffJ\xfd\xff\xff\xff\x86"  # -1 x -3 elements are 3.
    _refused(tmp_path, _array(negative))
    _refused(tmp_path, _array(b"(" + b"K\1" * 40 + b"t"))
    # Bytes as object pointers, by the type and by a state that replaces the type.
    _refused(tmp_path, _array(dtype=_dtype(b"O8", order=b"|")))
    _refused(tmp_path, _array(dtype=_dtype(structure=b"N(U\1at}U\1aK\1s")))
    _refused(tmp_path, _array(dtype=_dtype(structure=b"cnumpy\ndtype\nNN")))
    _refused(tmp_path, _array(dtype=_dtype(size=b"K\x40")))
    for name in (b"V8", b"M8", b"f8,f8", b"(3,)f8", b"O", b"i4;import os", b"f7"):
        _refused(tmp_path, _array(dtype=_dtype(name)))
    _refused(tmp_path, _array(dtype=b"cnumpy\ndtype\n"))
    # An array without content, on its own and below its finished self.
    head = _array()[: _array().index(b"(K\1")]
    _refused(tmp_path, head + b".")
    _refused(tmp_path, head + b"q\1]h\1a.")
    _refused(tmp_path, head + b"2" + _array()[len(head) : -1] + b"\x86.")
    _refused(tmp_path, _array().replace(b"cnumpy\nndarray", b"cchumpy\nmatrix"))


def test_sparse_matrices_that_lie(tmp_path):
    def sparse(**changes):
        state = {
            "_shape": (2, 3),
            "data": np.ones(2),
            "indices": np.int32([0, 1]),
            "indptr": np.int32([0, 1, 2, 2]),
            **changes,
        }
        body = pickle.dumps(state, 2)[2:-1]
        return b"\x80\x02cscipy.sparse._csc\ncsc_matrix\n)\x81" + body + b"b."

    assert load_pickle(_write(tmp_path, sparse())).tolist() == [[1, 0, 0], [0, 1, 0]]
    for changes in (
        {"indices": np.int32([0, 2])},
        {"indices": np.int32([0, -1])},
        {"indptr": np.int32([0, 1, 2])},
        {"indptr": np.int32([0, 2, 1, 2])},
        {"indptr": np.int32([0, 1, 2, 9])},
        {"indptr": np.int32([-1, 1, 2, 2])},
        {"indptr": np.float64([0, 1, 2, 2])},
        {"data": np.ones((2, 1))},
        {"data": np.array([None, None])},
        {"_shape": (10**9, 3)},
        {"_shape": (2, 3, 1)},
        {"_shape": "23"},
    ):
        _refused(tmp_path, sparse(**changes))


# -- damage and size


@pytest.mark.parametrize(
    "content", [b"", b".", b"text", b"<html>", b"\x80\x02", b"N0."]
)
def test_other_content(tmp_path, content):
    _refused(tmp_path, content, "no pickle file")


def test_every_truncation_is_refused(tmp_path):
    array = {"a": np.arange(4.0), "b": [1, (2, "x")], "c": {1}, "d": 10**30}
    for protocol in range(6):
        content = pickle.dumps(array, protocol)
        load_pickle(_write(tmp_path, content))  # Control.
        for length in range(len(content) - 1):
            with pytest.raises(InputError):
                load_pickle(_write(tmp_path, content[:length]))


def test_random_damage_raises_input_error_only(tmp_path):
    generator = np.random.default_rng(0)
    arrays = {"a": np.arange(3.0), "b": [b"x", {1: 2.5}], "c": np.array([None, "s"])}
    for trial in range(3000):
        content = bytearray(pickle.dumps(arrays, trial % 6))
        for place in generator.integers(0, len(content), 1 + trial % 4):
            content[place] = generator.integers(256)
        try:
            load_pickle(_write(tmp_path, bytes(content)))
        except InputError as refusal:
            assert "\n" not in str(refusal)


def test_lengths_beyond_the_file_allocate_nothing(tmp_path):
    huge = struct.pack("<Q", 1 << 40)
    for code in (pickle.BINBYTES8, pickle.BINUNICODE8, pickle.BYTEARRAY8):
        _refused(tmp_path, b"\x80\x05" + code + huge + b"abc.", "ends early")
    _refused(tmp_path, b"\x80\x02T\xff\xff\xff\x7f.", "ends early")
    _refused(tmp_path, b"\x80\x02T\xff\xff\xff\xff.")  # A negative length.
    _refused(tmp_path, b"\x80\x02\x8b\xff\xff\xff\x7f.", "ends early")
    _refused(tmp_path, _call("__builtin__", "bytearray", 10**12))
    _refused(tmp_path, _call("__builtin__", "bytes", 10**12))
    # Python's reader allocates its memory up to the key.
    path = _write(tmp_path, b"\x80\x02K\1r\xff\xff\xff\xff.")
    assert load_pickle(path) == 1


def test_nesting(tmp_path):
    for depth, opening in ((100_000, b"]"), (100_000, b"("), (200, b"]")):
        closing = b"a" if opening == b"]" else b"t"
        content = opening * depth + (closing * (depth - 1 + (opening == b"(")))
        _refused(tmp_path, content + b".", "deep")
    assert load_pickle(_write(tmp_path, b"]" * 50 + b"a" * 49 + b".")) is not None
    # Shared pairs: 2**90 paths, but 90 objects.
    shared = b"]" + b"q\0h\0h\0\x86" * 90
    assert load_pickle(_write(tmp_path, b"\x80\x02" + shared + b".")) is not None
    # Hashing, printing and converting the same would follow all paths.
    shared = b"K\1" + b"2\x86" * 60
    _refused(tmp_path, b"\x80\x02}" + shared + b"K\1s.", "key")
    _refused(tmp_path, b"\x80\x02c_codecs\nencode\nU\1x" + shared + b"\x86R.")
    _refused(tmp_path, b"\x80\x02cnumpy\ndtype\n" + shared + b"\x85R.")
    sparse = b"\x80\x02cscipy.sparse.coo\ncoo_matrix\n)\x81}(U\4data" + shared
    _refused(tmp_path, sparse + b"U\5shapeK\1K\1\x86ub.", "numeric array")
    sparse = sparse[: -len(shared)] + _array()[2:-1] + b"U\5shape" + shared
    _refused(tmp_path, sparse + b"K\1\x86ub.", "shape")


def test_copies_of_one_object_are_bounded(tmp_path):
    items = b"]q\1(" + b"K\1" * 2000 + b"e"
    copy = b"c__builtin__\nlist\nh\1\x85R"
    content = b"\x80\x02(" + items + copy * 100 + b"l."
    _refused(tmp_path, content, "memory", max_bytes=100_000)
    text = b"T" + struct.pack("<I", 50_000) + bytes(50_000) + b"q\1"
    encode = b"c_codecs\nencode\nh\1U\6latin1\x86R"
    _refused(
        tmp_path,
        b"\x80\x02(" + text + encode * 100 + b"l.",
        "memory",
        max_bytes=100_000,
    )


def test_limits_of_size_and_of_operations(tmp_path, monkeypatch):
    content = pickle.dumps([0] * 1000, 2)
    path = _write(tmp_path, content)
    assert load_pickle(path, max_bytes=len(content)) == [0] * 1000
    _refused(tmp_path, content, "limit", max_bytes=len(content) - 1)
    monkeypatch.setattr(safe_pickle, "_MAX_OPERATIONS", 500)
    _refused(tmp_path, content, "operations")


def test_missing_files_and_folders(tmp_path):
    for path in (tmp_path, tmp_path / "none.pkl", tmp_path / ("x" * 300)):
        with pytest.raises(InputError, match="not a file"):
            load_pickle(path)
