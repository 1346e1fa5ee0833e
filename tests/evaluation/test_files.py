"""Folders and joint files: what belongs together, and every refusal by name."""

import json
import os

import numpy as np
import pytest

from volhuman.errors import InputError
from volhuman.evaluation.files import list_items, read_joints


def test_items_are_files_of_the_folder_sorted_by_name(tmp_path):
    for name in ("b.obj", "a.PLY", "c d.obj", ".hidden.obj", "note.txt"):
        (tmp_path / name).touch()
    (tmp_path / "folder.obj").mkdir()
    items = list_items(tmp_path, (".obj", ".ply"))
    assert list(items) == ["a", "b", "c d"]
    assert items["a"] == tmp_path / "a.PLY"


def test_links_out_of_the_folder_are_not_followed(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in ("own.obj", "../foreign.obj"):
        (folder / name).touch()
    os.symlink(tmp_path / "foreign.obj", folder / "link.obj")
    os.symlink(folder / "own.obj", folder / "alias.obj")
    os.symlink(folder / "nowhere.obj", folder / "broken.obj")
    assert list(list_items(folder, (".obj",))) == ["alias", "own"]


def test_refuses_missing_and_empty_folders_and_equal_stems(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        list_items(tmp_path / "none", (".obj",))
    (tmp_path / "a.txt").touch()
    with pytest.raises(InputError, match=r"holds none of \.obj, \.ply"):
        list_items(tmp_path, (".obj", ".ply"))
    with pytest.raises(InputError, match=r"a\.txt"):
        list_items(tmp_path / "a.txt", (".obj",))
    (tmp_path / "x.obj").touch()
    (tmp_path / "x.ply").touch()
    with pytest.raises(InputError, match=r"x\.ply: x\.obj has the same stem"):
        list_items(tmp_path, (".obj", ".ply"))


@pytest.fixture
def write(tmp_path):
    def write(content):
        path = tmp_path / "joints.json"
        path.write_text(json.dumps(content))
        return path

    return write


@pytest.mark.parametrize("wrap", [lambda x: x, lambda x: {"joints": x, "body": "b"}])
def test_lists_and_names_are_read(write, wrap):
    joints = read_joints(write(wrap([[1, 2, 3], None, [4, 5.5, -6]])))
    assert joints.names == ("0", "1", "2")
    assert joints.visible.tolist() == [True, False, True]
    np.testing.assert_array_equal(
        joints.positions, [[1, 2, 3], [0, 0, 0], [4, 5.5, -6]]
    )
    named = read_joints(write(wrap({"pelvis": [1, 2, 3], "head": None})))
    assert named.names == ("pelvis", "head") and named.visible.tolist() == [True, False]


@pytest.mark.parametrize(
    "content",
    [
        [],
        {},
        3,
        "text",
        None,
        [[1, 2]],
        [1, 2, 3],
        {"head": "up"},
        {"joints": 5},
        [[1, 2, float("nan")]],
        [[1, 2, float("inf")]],
        [[1, 2, "3"]],
        [[1, 2, True]],
    ],
)
def test_refuses_what_are_no_joints(write, content):
    path = write(content)
    with pytest.raises(InputError) as refusal:
        read_joints(path)
    assert str(path) in str(refusal.value) and "\n" not in str(refusal.value)
