"""Index files: JSON with repeated keys, archives that lie, objects behind headers."""

import io
import json
import pickle
import zipfile

import numpy as np
import pytest

from volhuman.data.sets.files import (
    finite_number,
    first_file,
    need_key,
    number_array,
    read_json_index,
    read_lines,
    read_npz_array,
    read_npz_object,
    read_pickle_dict,
)
from volhuman.errors import InputError


@pytest.fixture
def path(tmp_path):
    return tmp_path / "file"


def test_lines_of_windows_and_unix(path):
    path.write_bytes(b"\xef\xbb\xbf3\r\n a b \r\n\r\nc\r\n\r\n\n")
    assert read_lines(path) == ["3", "a b", "", "c"]
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="no text"):
        read_lines(path)


@pytest.mark.parametrize(
    "text, words",
    [
        ('{"a": 1, "b": {"c": 1, "c": 2}}', ["'c'", "twice"]),
        ('{"a": [1, 2', ["cut"]),
        ("[" * 100_000, ["JSON"]),
        ("", ["JSON"]),
    ],
)
def test_json_that_is_cut_or_repeats_a_key_is_refused(path, text, words):
    path.write_text(text)
    with pytest.raises(InputError) as refusal:
        read_json_index(path)
    for word in (str(path), *words):
        assert word in str(refusal.value)


@pytest.mark.parametrize(
    "item, words",
    [
        ({}, ["annotation 7 has no 'bbox'"]),
        ([], ["annotation 7 has no 'bbox'"]),
        ({"bbox": "1 2"}, ["'bbox' of annotation 7 is '1 2', expected a list"]),
        ({"bbox": True}, ["'True'"]),
    ],
)
def test_a_key_that_is_missing_or_of_another_kind_is_named(path, item, words):
    with pytest.raises(InputError) as refusal:
        need_key(item, "bbox", list, path, "annotation 7")
    for word in (str(path), *words):
        assert word in str(refusal.value)


def test_numbers_are_checked(path):
    array = number_array([[1, 2], [3, 4]], (None, 2), path, "x")
    assert array.dtype == np.float32 and array.shape == (2, 2)
    for values, word in (
        ([[1, 2], [3]], "not made of numbers"),
        ([["a", "b"]], "not made of numbers"),
        ([[1, 2, 3]], "(any, 2)"),
        ([[1, np.inf]], "not finite"),
        ([[1, 10**400]], "not made of numbers"),
    ):
        with pytest.raises(InputError, match="file") as refusal:
            number_array(values, (None, 2), path, "x")
        assert word in str(refusal.value)
    assert finite_number("1e3", path, "x") == 1000
    for value in ("x", "nan", None, True, "1e99"):
        with pytest.raises(InputError, match="expected a number"):
            finite_number(value, path, "x")


def test_the_first_file_that_is_there(tmp_path):
    (tmp_path / "b").write_text("")
    assert first_file([tmp_path / "a", tmp_path / "b"], "?") == tmp_path / "b"
    with pytest.raises(InputError, match=r"a is missing \(nor .*c\); copy it"):
        first_file([tmp_path / "a", tmp_path / "c"], "copy it")


def _npz(path, **members):
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(f"{name}.npy", data)


def _npy(array, **options):
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, **options)
    return buffer.getvalue()


def test_objects_and_arrays_come_back(path):
    tree = {"S1": {"Walking 1": np.arange(6, dtype=np.float32).reshape(2, 3)}}
    np.savez_compressed(
        path.with_suffix(".npz"), tree=tree, names=np.array(["a", "bc"])
    )
    loaded = read_npz_object(path.with_suffix(".npz"), "tree")
    np.testing.assert_array_equal(loaded["S1"]["Walking 1"], tree["S1"]["Walking 1"])
    assert read_npz_array(path.with_suffix(".npz"), "names").tolist() == ["a", "bc"]


def test_objects_that_run_code_are_refused(path, tmp_path):
    marker = tmp_path / "marker"

    class Poison:
        def __reduce__(self):
            return marker.write_text, ("ran",)

    np.savez(path.with_suffix(".npz"), tree=np.array(Poison(), object))
    with pytest.raises(InputError, match="may run code"):
        read_npz_object(path.with_suffix(".npz"), "tree")
    with pytest.raises(InputError, match="Python objects"):
        read_npz_array(path.with_suffix(".npz"), "tree")
    assert not marker.exists()


def test_damaged_archives_are_refused(path):
    good = _npy(np.arange(10))
    _npz(path, numbers=good, lie=good.replace(b"(10,)", b"(99,)"), text=b"hello")
    for name, word in (
        ("missing", "'missing'"),
        ("lie", "claims"),
        ("text", "cannot be read"),
    ):
        with pytest.raises(InputError, match=word):
            read_npz_array(path, name)
    with pytest.raises(InputError, match="expected one object"):
        read_npz_object(path, "numbers")
    with pytest.raises(InputError, match="cannot be read"):
        read_npz_object(path, "text")
    path.write_bytes(path.read_bytes()[:60])
    for read in (read_npz_array, read_npz_object):
        with pytest.raises(InputError, match="cannot be read"):
            read(path, "numbers")


def test_an_archive_with_another_object_than_announced_is_refused(path):
    header = _npy(np.array({}, object), allow_pickle=True)
    header = header[: header.index(b"\n") + 1]
    _npz(path, tree=header + pickle.dumps({"S1": {}}))
    with pytest.raises(InputError, match="announces"):
        read_npz_object(path, "tree")
    _npz(path, tree=header + b"hello")
    with pytest.raises(InputError, match="'tree' is no pickle"):
        read_npz_object(path, "tree")


def test_pickles_as_large_as_real_ones_are_read(path):
    """The limit of operations for body models would stop at 80,000 poses."""
    frames = {f"{i:06d}": np.full((1, 1), i, np.float32) for i in range(100_000)}
    path.write_bytes(pickle.dumps(frames, protocol=4))
    assert read_pickle_dict(path)["099999"][0, 0] == 99999


def test_a_pickle_of_something_else_is_refused(path):
    path.write_bytes(pickle.dumps([1]))
    with pytest.raises(InputError, match="holds a list"):
        read_pickle_dict(path)
    path.write_text(json.dumps({}))
    with pytest.raises(InputError, match="no pickle"):
        read_pickle_dict(path)
