"""SMPL's file formats, with a small made-up body in place of the licensed one."""

import io
import os
import pickle
import struct
import tracemalloc
import zipfile
import zlib

import numpy as np
import pytest
import scipy.sparse
from safetensors.numpy import save_file

from volhuman.body.smpl_files import read_smpl_arrays
from volhuman.errors import InputError

NUM_VERTICES = 30
PARENTS = [
    -1,
    0,
    0,
    0,
    1,
    2,
    3,
    4,
    5,
    6,
    7,
    8,
    9,
    9,
    9,
    12,
    13,
    14,
    16,
    17,
    18,
    19,
    20,
    21,
]


def _body(**changes):
    """The arrays of an official file; a change of None removes one."""
    generator = np.random.default_rng(0)
    parents = np.array([PARENTS, range(24)], np.int64)
    parents[0, 0] = 2**32 - 1
    regressor = generator.random((24, NUM_VERTICES))
    weights = generator.random((NUM_VERTICES, 24))
    body = {
        "v_template": generator.normal(size=(NUM_VERTICES, 3)),
        "f": generator.integers(0, NUM_VERTICES, (40, 3)).astype(np.uint32),
        "shapedirs": generator.normal(size=(NUM_VERTICES, 3, 16)),
        "posedirs": generator.normal(size=(NUM_VERTICES, 3, 207)),
        "J_regressor": regressor / regressor.sum(axis=1, keepdims=True),
        "weights": weights / weights.sum(axis=1, keepdims=True),
        "kintree_table": parents,
        **changes,
    }
    return {name: value for name, value in body.items() if value is not None}


def _write(folder, body, suffix):
    path = folder / f"body{suffix}"
    if suffix == ".npz":
        np.savez(path, **body)
    elif suffix == ".pkl":
        path.write_bytes(pickle.dumps({"bs_type": "lrotmin", **body}, 2))
    else:
        arrays = {name: np.ascontiguousarray(value) for name, value in body.items()}
        save_file(arrays, path)
    return path


def _refused(path, *words):
    with pytest.raises(InputError) as refusal:
        read_smpl_arrays(path)
    message = str(refusal.value)
    assert str(path) in message and "\n" not in message
    for word in words:
        assert word in message


SUFFIXES = [".npz", ".pkl", ".safetensors"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_formats_give_the_same_arrays(tmp_path, suffix):
    body = _body()
    arrays = read_smpl_arrays(_write(tmp_path, body, suffix))
    expected = {
        "template": body["v_template"],
        "faces": body["f"],
        "shape_dirs": body["shapedirs"][..., :10],
        "pose_dirs": body["posedirs"],
        "joint_regressor": body["J_regressor"],
        "weights": body["weights"],
        "parents": np.array(PARENTS),
    }
    assert set(arrays) == set(expected)
    for name, array in arrays.items():
        is_index = name in ("faces", "parents")
        assert array.dtype == (np.int32 if is_index else np.float32)
        assert array.flags.c_contiguous and array.flags.writeable
        np.testing.assert_allclose(array, expected[name], rtol=1e-6)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_other_names_and_optional_arrays(tmp_path, suffix):
    body = _body(f=None, faces=_body()["f"], posedirs=None)
    body = {**body, "parents": np.array(PARENTS)}
    del body["kintree_table"]
    arrays = read_smpl_arrays(_write(tmp_path, body, suffix), num_shape=16)
    assert "pose_dirs" not in arrays
    assert arrays["shape_dirs"].shape == (NUM_VERTICES, 3, 16)
    assert arrays["parents"].tolist() == PARENTS


def test_types_of_the_official_files(tmp_path):
    table = _body()["kintree_table"]
    minus_one = table.copy()
    minus_one[0, 0] = -1
    for changes in (
        {"kintree_table": table.astype(np.uint32)},
        {"kintree_table": minus_one},
        {"kintree_table": minus_one.astype(np.uint64)},
        {"v_template": _body()["v_template"].astype(np.float16)},
        {"shapedirs": np.asfortranarray(_body()["shapedirs"])},
        {"weights": _body()["weights"].astype(">f8")},
    ):
        for suffix in (".npz", ".pkl"):
            arrays = read_smpl_arrays(_write(tmp_path, _body(**changes), suffix))
            assert arrays["parents"].tolist() == PARENTS


def test_sparse_regressor_of_a_pickle(tmp_path):
    dense = _body()["J_regressor"]
    for kind in ("csc_matrix", "csr_array", "coo_matrix"):
        sparse = getattr(scipy.sparse, kind)(dense)
        path = _write(tmp_path, _body(J_regressor=sparse), ".pkl")
        regressor = read_smpl_arrays(path)["joint_regressor"]
        np.testing.assert_allclose(regressor, dense, rtol=1e-6)


def test_chumpy_arrays_of_a_pickle(tmp_path):
    """As in the official files: the shape directions are selected from more."""

    def chumpy(name, state):
        module, _, cls = name.rpartition(".")
        head = b"c" + f"{module}\n{cls}\n".encode() + b")\x81"
        return head + pickle.dumps(state, 2)[2:-1] + b"b"

    body = _body(shapedirs=None)
    full = np.random.default_rng(1).normal(size=(NUM_VERTICES, 3, 300))
    indices = np.arange(full.size).reshape(full.shape)[..., :10]
    operand = chumpy("chumpy.ch.Ch", {"x": full})
    state = {"idxs": indices.ravel(), "preferred_shape": indices.shape}
    select = chumpy("chumpy.reordering.Select", state)
    # The operand is put into the pickled state, before it is set.
    select = select[:-1] + b"U\1a" + operand + b"sb"
    path = tmp_path / "body.pkl"
    content = pickle.dumps(body, 2)[:-1] + b"U\x09shapedirs"
    path.write_bytes(content + select + b"s.")
    shape_dirs = read_smpl_arrays(path)["shape_dirs"]
    np.testing.assert_allclose(shape_dirs, full[..., :10], rtol=1e-6)
    path.write_bytes(content + chumpy("chumpy.ch_ops.add", state) + b"s.")
    _refused(path, "shapedirs", "chumpy.ch_ops.add")


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("name", [name for name in _body() if name != "posedirs"])
def test_missing_array(tmp_path, suffix, name):
    _refused(_write(tmp_path, _body(**{name: None}), suffix), name)


def _changed(name, index, value):
    array = _body()[name].copy()
    array[index] = value
    return {name: array}


BAD = {
    "nan": (_changed("v_template", (3, 1), np.nan), "v_template", "finite"),
    "infinite": (_changed("posedirs", (0, 0, 0), np.inf), "posedirs", "finite"),
    "overflow": (_changed("shapedirs", (0, 0, 0), 1e300), "shapedirs", "finite"),
    "planar": ({"v_template": np.zeros((30, 2))}, "v_template", "(30, 3)"),
    "vertices": ({"v_template": np.zeros((31, 3))}, "shapedirs", "31"),
    "scalar": ({"v_template": np.float64(1)}, "v_template"),
    "text": ({"v_template": np.full((30, 3), "1.0")}, "v_template"),
    "few_shapes": ({"shapedirs": np.zeros((30, 3, 9))}, "9", "10"),
    "flat_shapes": ({"shapedirs": np.zeros((90, 10))}, "shapedirs"),
    "pose_dirs": ({"posedirs": np.zeros((30, 3, 216))}, "posedirs", "207"),
    "regressor": ({"J_regressor": np.ones((23, 30)) / 30}, "J_regressor", "(24, 30)"),
    "regressor_sum": ({"J_regressor": np.ones((24, 30)) / 28}, "J_regressor", "sum"),
    "weights": ({"weights": np.ones((30, 23)) / 23}, "weights"),
    "weights_sum": (_changed("weights", (4, 2), 0.9), "weights", "sum"),
    "face_high": (_changed("f", (3, 1), 30), "faces", "30"),
    "face_negative": ({"f": np.full((4, 3), -1)}, "faces"),
    "face_float": ({"f": np.zeros((4, 3))}, "faces"),
    "face_quads": ({"f": np.zeros((4, 4), int)}, "faces"),
    "face_none": ({"f": np.zeros((0, 3), int)}, "faces"),
    "root": (_changed("kintree_table", (0, 0), 0), "parent"),
    "second_root": (_changed("kintree_table", (0, 3), -1), "parent"),
    "unsigned_root": (_changed("kintree_table", (0, 3), 2**32 - 1), "parent"),
    "order": (_changed("kintree_table", (0, 3), 4), "parent"),
    "itself": (_changed("kintree_table", (0, 3), 3), "parent"),
    "names": (_changed("kintree_table", (1, 3), 4), "kintree_table"),
    "float_tree": ({"kintree_table": _body()["kintree_table"] + 0.0}, "tree"),
}


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_arrays_that_contradict(tmp_path, suffix, case):
    changes, *words = BAD[case]
    if case == "text" and suffix == ".safetensors":
        pytest.skip("the format has no text")
    _refused(_write(tmp_path, _body(**changes), suffix), *words)


@pytest.mark.parametrize("num_joints", [52, 55, 16])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_other_bodies_are_named_by_their_joints(tmp_path, suffix, num_joints):
    table = np.array([np.arange(num_joints) - 1, np.arange(num_joints)])
    body = _body(kintree_table=table, weights=np.ones((NUM_VERTICES, num_joints)))
    _refused(_write(tmp_path, body, suffix), f"{num_joints} joints", "24", "SMPL-X")


def test_paths_and_options(tmp_path):
    _refused(tmp_path / "none.npz", "not a file")
    (tmp_path / "folder.pkl").mkdir()
    _refused(tmp_path / "folder.pkl", "not a file")
    (tmp_path / "body.obj").touch()
    _refused(tmp_path / "body.obj", ".npz", ".safetensors")
    upper = _write(tmp_path, _body(), ".npz").rename(tmp_path / "BODY.NPZ")
    assert read_smpl_arrays(upper)
    with pytest.raises(ValueError, match="num_shape"):
        read_smpl_arrays(upper, num_shape=0)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_damaged_files(tmp_path, suffix):
    path = _write(tmp_path, _body(), suffix)
    content = path.read_bytes()
    for damaged in (b"", b"text", content[: len(content) // 2], content[:-1]):
        path.write_bytes(damaged)
        _refused(path)
    generator = np.random.default_rng(0)
    for _ in range(200):
        changed = bytearray(content)
        changed[generator.integers(len(content))] ^= 1 << generator.integers(8)
        path.write_bytes(changed)
        try:
            read_smpl_arrays(path)
        except InputError as refusal:
            assert str(path) in str(refusal)


def test_poisoned_pickles_and_object_arrays(tmp_path):
    marker = tmp_path / "marker"

    class Touch:
        def __reduce__(self):
            return os.system, (f"touch '{marker}'",)

    path = _write(tmp_path, _body(v_template=Touch()), ".pkl")
    _refused(path, "system", "may run code")
    path.write_bytes(pickle.dumps(np.zeros(3)))
    _refused(path, "dict")
    for value in (np.array([Touch()]), scipy.sparse.csc_matrix(np.eye(3))):
        path = _write(tmp_path, _body(J_regressor=value), ".npz")
        _refused(path, "J_regressor", "convert")
    assert not marker.exists()
    with np.load(
        _write(tmp_path, _body(weights=[Touch()]), ".npz"), allow_pickle=True
    ) as f:
        f["weights"]  # Control: the payload works.
    assert marker.exists()
    # Official archives hold texts and objects beside the arrays; they are not read.
    marker.unlink()
    body = _body(bs_style=np.array([Touch()]), bs_type="lrotmin")
    assert read_smpl_arrays(_write(tmp_path, body, ".npz"))
    assert not marker.exists()


def _npz(folder, members):
    path = folder / "body.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return path


def _npy(shape, dtype="<f8", content=b""):
    stream = io.BytesIO()
    header = {"descr": dtype, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, header)
    return stream.getvalue() + content


def _peak_of_refusal(path, *words):
    tracemalloc.start()
    try:
        _refused(path, *words)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("shape", [(10**8,), (10**13, 3), (-1, -3), (2**62, 2**62)])
def test_npz_with_a_lying_header(tmp_path, shape):
    members = {}
    for name, array in _body().items():
        stream = io.BytesIO()
        np.save(stream, array)
        members[name] = stream.getvalue()
    assert read_smpl_arrays(_npz(tmp_path, members))  # Control.
    members["v_template"] = _npy(shape)
    path = _npz(tmp_path, members)
    assert _peak_of_refusal(path, "v_template", "claims") < 5_000_000


def test_zip_bomb(tmp_path):
    """Half a gigabyte of zeros in half a megabyte, and the same with a false size."""
    chunk = zlib.compressobj(9, zlib.DEFLATED, -15)
    zeros = bytes(1 << 20)
    packed = b"".join(chunk.compress(zeros) for _ in range(513)) + chunk.flush()
    path = tmp_path / "body.npz"
    name = b"v_template.npy"
    for size, words in ((513 << 20, "bytes, more than"), (1000, "CRC")):
        sizes = (len(packed), size)
        fields = struct.pack("<5H3I2H", 20, 0, 8, 0, 33, 0, *sizes, len(name), 0)
        local = b"PK\3\4" + fields + name + packed
        entry = b"PK\1\2" + struct.pack("<H", 20) + fields + bytes(14) + name
        sizes = (len(entry), len(local))
        ending = b"PK\5\6" + struct.pack("<4H2IH", 0, 0, 1, 1, *sizes, 0)
        path.write_bytes(local + entry + ending)
        assert _peak_of_refusal(path, words) < 5_000_000


def test_safetensors_with_a_lying_header(tmp_path):
    path = tmp_path / "body.safetensors"
    for header in (
        b'{"v_template":{"dtype":"F32","shape":[100000000],"data_offsets":[0,400000000]}}',
        b'{"v_template":{"dtype":"F32","shape":[1000],"data_offsets":[0,4]}}',
        b"[" * 100_000,
    ):
        path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(4))
        assert _peak_of_refusal(path) < 5_000_000
    path.write_bytes(struct.pack("<Q", 1 << 60))
    _refused(path)
