"""Honest pickles, of Python 2 and 3 and of all protocols, give the values they hold."""

import collections
import contextlib
import pickle
import sys
import types

import numpy as np
import pytest
import scipy.sparse

from volhuman.errors import InputError
from volhuman.safe_pickle import load_pickle
from volhuman.safe_pickle_values import ChumpyObject, chumpy_array


def _load(folder, content):
    path = folder / "body.pkl"
    path.write_bytes(content)
    return load_pickle(path)


def _assert_same(actual, expected):
    assert type(actual) is type(expected)
    if isinstance(expected, (list, tuple)):
        assert len(actual) == len(expected)
        for pair in zip(actual, expected, strict=True):
            _assert_same(*pair)
    elif isinstance(expected, dict):
        assert list(actual) == list(expected)
        _assert_same(list(actual.values()), list(expected.values()))
    elif isinstance(expected, np.ndarray):
        assert actual.shape == expected.shape
        assert actual.dtype == expected.dtype.newbyteorder("=")
        assert actual.flags.writeable
        np.testing.assert_array_equal(actual, expected)
    else:
        assert actual == expected


@contextlib.contextmanager
def _chumpy():
    """Modules like chumpy's, for as long as pickles are written."""
    ch, reordering = (
        types.ModuleType("chumpy.ch"),
        types.ModuleType("chumpy.reordering"),
    )
    modules = {"chumpy": types.ModuleType("chumpy"), ch.__name__: ch}
    modules[reordering.__name__] = reordering
    for module, names in (
        (ch, ["Ch", "add"]),
        (reordering, ["Select", "Reshape", "transpose"]),
    ):
        for name in names:
            setattr(module, name, type(name, (), {"__module__": module.__name__}))
    sys.modules.update(modules)
    try:
        yield ch, reordering
    finally:
        for name in modules:
            del sys.modules[name]


def _instance(cls, **state):
    item = cls()
    item.__dict__.update(state, _dirty_vars=set(), _itr=None)
    return item


@pytest.mark.parametrize("protocol", range(6))
def test_plain_values(tmp_path, protocol):
    values = [
        [None, True, False, 0, -1, 255, 65536, -(2**31), 2**70, -(2**5000)],
        [0.0, -1.5, float("inf"), 1e-300, 2 + 3j],
        [
            "",
            "text",
            "zwei\nZeilen 'é漢\U0001f600\\",
            "x" * 300,
            b"",
            b"\0\xff",
            b"y" * 300,
        ],
        [bytearray(b""), bytearray(b"ab\xff")],
        [(), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), [], {}, {"a": {1: (2, None)}}],
        [set(), {1, "a"}, frozenset(), frozenset({(1, 2), None})],
        list(range(3000)),
    ]
    if protocol < 2:
        values[0].pop()  # Python itself limits such numbers in decimal digits.
    _assert_same(_load(tmp_path, pickle.dumps(values, protocol)), values)
    ordered = collections.OrderedDict([("b", 1), ("a", 2)])
    _assert_same(_load(tmp_path, pickle.dumps(ordered, protocol)), dict(ordered))
    shared = [1]
    first, second = _load(tmp_path, pickle.dumps([shared, shared], protocol))
    assert first is second
    cyclic = []
    cyclic.append(cyclic)
    loaded = _load(tmp_path, pickle.dumps(cyclic, protocol))
    assert loaded[0] is loaded


@pytest.mark.parametrize("protocol", range(6))
def test_arrays(tmp_path, protocol):
    base = np.arange(24.0).reshape(2, 3, 4)
    values = [
        base,
        base.T,
        base.transpose(2, 0, 1),
        base[:, ::2],
        np.asfortranarray(base[0]),
        np.float32(base),
        base.astype(">f8"),
        base.astype(">u4"),
        np.array(5),
        np.zeros((0, 3)),
        np.array([True, False]),
        np.array([1 + 2j]),
        np.array([2**32 - 1], np.uint32),
        np.array([-1], np.int8),
        np.array(["ab", "ü"]),
        np.array([b"ab", b"c"]),
        np.array([None, "text", (1, 2), [3]], dtype=object),
        np.float32(1.5),
        np.int64(-3),
        np.bool_(True),
    ]
    _assert_same(_load(tmp_path, pickle.dumps(values, protocol)), values)
    array = np.arange(3)
    first, second = _load(tmp_path, pickle.dumps([array, array], protocol))
    assert first is second


PYTHON_2 = {
    0: b"(dp0\nS'f'\np1\ncnumpy.core.multiarray\n_reconstruct\np2\n"
    b"(cnumpy\nndarray\np3\n"
    b"(I0\ntp4\nS'b'\np5\ntp6\nRp7\n(I1\n(I2\ntp8\n"
    b"cnumpy\ndtype\np9\n"
    b"(S'f8'\np10\nI0\nI1\n"
    b"tp11\nRp12\n(I3\nS'<'\np13\nNNNI-1\nI-1\nI0\ntp14\nbI00\n"
    b"S'\\x00\\x00\\x00\\x00\\x00\\x00\\xf8\\xbf"
    b"\\x00\\x00\\x00\\x00\\x00\\x00\\xe0?'\np15\ntp16\nb"
    b"sS'n'\nL12L\nsS\"it's\"\nI01\ns.",
    2: b"\x80\x02}q\0(U\1fq\1cnumpy.core.multiarray\n_reconstruct\nq\2"
    b"cnumpy\nndarray\nq\3"
    b"K\0\x85q\4U\1bq\5\x87q\6Rq\7(K\1K\2\x85q\x08cnumpy\ndtype\nq\tU\2f8q\n"
    b"K\0K\1\x87q\x0bRq\x0c(K\3U\1<q\rNNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tq\x0eb\x89U\x10"
    b"\0\0\0\0\0\0\xf8\xbf\0\0\0\0\0\0\xe0?q\x0ftq\x10bU\1nK\x0cU\4it's\x88u.",
}


@pytest.mark.parametrize("protocol", PYTHON_2)
def test_python_2(tmp_path, protocol):
    expected = {"f": np.array([-1.5, 0.5]), "n": 12, "it's": True}
    content = PYTHON_2[protocol]
    _assert_same(pickle.loads(content, encoding="latin1"), expected)  # Control.
    _assert_same(_load(tmp_path, content), expected)


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("form", ["csc", "csr", "coo"])
def test_sparse_matrices_become_dense(tmp_path, protocol, form):
    generator = np.random.default_rng(0)
    dense = generator.random((5, 7)) * (generator.random((5, 7)) < 0.3)
    for kind in ("matrix", "array"):
        sparse = getattr(scipy.sparse, f"{form}_{kind}")(dense)
        _assert_same(_load(tmp_path, pickle.dumps(sparse, protocol)), dense)
    _assert_same(
        _load(tmp_path, pickle.dumps(sparse.__class__((3, 2)), protocol)),
        np.zeros((3, 2)),
    )


def test_sparse_matrix_of_old_scipy(tmp_path):
    state = {
        "_shape": (2, 2),
        "maxprint": 50,
        "format": "csc",
        "data": np.array([1.0, 2, 4]),
    }
    state |= {"indices": np.int32([0, 1, 1]), "indptr": np.int32([0, 1, 3])}
    state |= {"_has_sorted_indices": True}
    name = b"cscipy.sparse.csc\ncsc_matrix\nc__builtin__\nobject\n"
    name = b"ccopy_reg\n_reconstructor\n(" + name + b"NtR"
    loaded = _load(tmp_path, b"\x80\x02" + name + pickle.dumps(state, 2)[2:-1] + b"b.")
    np.testing.assert_array_equal(loaded, [[1, 0], [0, 6]])  # Duplicates add up.


@pytest.mark.parametrize("protocol", range(6))
def test_chumpy_objects_are_inert_and_have_their_value(tmp_path, protocol):
    array = np.arange(24.0).reshape(2, 3, 4)
    indices = np.arange(24).reshape(2, 3, 4)[..., :2]
    with _chumpy() as (ch, reordering):
        leaf = _instance(ch.Ch, x=array)
        select = _instance(
            reordering.Select, a=leaf, idxs=indices.ravel(), preferred_shape=(2, 3, 2)
        )
        flat = _instance(reordering.Select, a=leaf, idxs=np.array([3, 1]))
        reshaped = _instance(reordering.Reshape, a=select, newshape=(6, 2))
        turned = _instance(reordering.transpose, a=reshaped, axes=None)
        content = pickle.dumps(
            {"leaf": leaf, "select": select, "flat": flat, "turned": turned}, protocol
        )
    loaded = _load(tmp_path, content)
    assert {type(item) for item in loaded.values()} == {ChumpyObject}
    assert loaded["select"].name == "chumpy.reordering.Select"
    assert loaded["select"].state["a"] is loaded["leaf"]
    _assert_same(chumpy_array(loaded["leaf"]), array)
    _assert_same(chumpy_array(loaded["select"]), array[..., :2])
    _assert_same(chumpy_array(loaded["flat"]), np.array([3.0, 1.0]))
    _assert_same(chumpy_array(loaded["turned"]), array[..., :2].reshape(6, 2).T)
    _assert_same(chumpy_array(array), array)


def test_chumpy_objects_without_a_simple_value(tmp_path):
    def chumpy(name, **state):
        return ChumpyObject(name, (), state)

    leaf = chumpy("chumpy.ch.Ch", x=np.arange(3.0))
    cyclic = chumpy("chumpy.reordering.Reshape", newshape=3)
    cyclic.state["a"] = cyclic
    for item, words in (
        (chumpy("chumpy.ch_ops.add", a=leaf, b=leaf), "computed by chumpy"),
        (chumpy("chumpy.ch.Ch"), "numeric array"),
        (chumpy("chumpy.ch.Ch", x=np.array([None])), "numeric array"),
        (chumpy("chumpy.reordering.Select", a=leaf), "damaged"),
        (chumpy("chumpy.reordering.Select", a=leaf, idxs=np.array([3])), "damaged"),
        (chumpy("chumpy.reordering.Select", a=leaf, idxs=np.array([-1])), "damaged"),
        (chumpy("chumpy.reordering.Reshape", a=leaf, newshape=(2, 2)), "damaged"),
        (chumpy("chumpy.reordering.transpose", a=leaf, axes="x"), "damaged"),
        (ChumpyObject("chumpy.ch.Ch"), "no readable state"),
        (cyclic, "no readable state"),
        ("text", "numeric array"),
    ):
        with pytest.raises(ValueError, match=words):
            chumpy_array(item)


def test_other_classes_are_refused(tmp_path):
    for value in (
        np.ma.array([1]),
        np.datetime64("2020"),
        collections.Counter("a"),
        range(3),
    ):
        with pytest.raises(InputError, match="not loaded"):
            _load(tmp_path, pickle.dumps(value))
    with pytest.raises(InputError, match="data type"):
        _load(tmp_path, pickle.dumps(np.zeros(2, "datetime64[s]"), 2))
    with pytest.raises(InputError, match="data type"):
        _load(tmp_path, pickle.dumps(np.zeros(2, [("a", "f8")]), 2))
