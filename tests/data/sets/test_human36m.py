"""Human3.6M in three forms: sides, units, splits, strides, refusals.

Every form is written with a person whose left joints have x > 0 and whose right joints
have x < 0, so that an order that exchanges the sides shows.
"""

import numpy as np
import pytest
import scipy.io

from volhuman.data.sets.human36m import Human36m
from volhuman.data.sets.human36m_files import action_name, check_metres
from volhuman.data.sets.human36m_joints import (
    HUMAN36M_17,
    HUMAN36M_17_LEFT_FIRST,
    HUMAN36M_32,
    LSP_17,
    SPIN_24,
    reorder,
)
from volhuman.errors import InputError

NAME = "volhuman_human36m"
ORDERS = {
    "17": HUMAN36M_17,
    "17 left first": HUMAN36M_17_LEFT_FIRST,
    "17 of LSP": LSP_17,
    "24 of SPIN": SPIN_24,
    "32": HUMAN36M_32,
}
HEIGHTS = {"head_top": 1.7, "shoulder": 1.4, "hip": 0.9, "knee": 0.5, "ankle": 0.1}


def _person(names, offset=0.0):
    """Joints in metres: x tells the side, y the height, z the number of the joint."""
    joints = np.zeros((len(names), 3))
    for index, name in enumerate(names):
        side = {"left": 1, "right": -1}.get(name.partition("_")[0], 0)
        height = next((h for key, h in HEIGHTS.items() if name.endswith(key)), 1.2)
        joints[index] = 0.2 * side, height, offset
    return joints


PERSON = _person(HUMAN36M_17)


def _sides(joints):
    return {
        name: float(np.sign(x))
        for name, x in zip(HUMAN36M_17, joints[:, 0])
        if name.startswith(("left", "right"))
    }


def _check_sides(joints):
    for name, side in _sides(joints).items():
        assert side == (1 if name.startswith("left") else -1), name


# -- the orders


def test_orders_are_the_published_ones():
    """The numbers stand in the authors' programs; here they follow from names."""
    moving = [0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27]
    assert reorder(HUMAN36M_32, HUMAN36M_17) == moving
    assert len(HUMAN36M_32) == 32 and len(SPIN_24) == 24
    to_lsp = [6, 5, 4, 1, 2, 3, 16, 15, 14, 11, 12, 13, 8, 10, 0, 7, 9]
    assert reorder(HUMAN36M_17_LEFT_FIRST, LSP_17) == to_lsp
    from_spin = [14, 2, 1, 0, 3, 4, 5, 16, 12, 17, 18, 9, 10, 11, 8, 7, 6]
    assert reorder(SPIN_24, HUMAN36M_17) == from_spin


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
def test_left_stays_left_in_every_order(order):
    joints = _person(order)[reorder(order, HUMAN36M_17)]
    np.testing.assert_array_equal(joints, PERSON)
    _check_sides(joints)


def test_the_two_orders_of_legs_are_not_the_same():
    exchanged = _person(HUMAN36M_17_LEFT_FIRST)
    assert _sides(exchanged)["left_knee"] == -1


def test_joints_that_are_not_there_are_named():
    with pytest.raises(ValueError, match="tail"):
        reorder(HUMAN36M_17, ["tail"])
    with pytest.raises(ValueError, match="''"):
        reorder(HUMAN36M_32, [""])


def test_millimetres_are_refused_where_metres_are_expected():
    check_metres(PERSON[None], "file")
    with pytest.raises(InputError, match="400 m"):
        check_metres(1000 * PERSON[None], "file")


def test_actions_have_one_name():
    assert action_name("TakingPhoto_1") == action_name("Photo 1") == "Photo 1"
    assert action_name("WalkingDog") == "WalkDog"
    assert action_name("SittingDown 2") == "SittingDown 2"


# -- folders


def _folder(subject, camera=1):
    return f"s_{subject:02d}_act_02_subact_01_ca_{camera:02d}"


@pytest.fixture
def folders(files):
    """Seven frames of subjects 1 and 9; frame i moves 10 mm a frame in z."""

    def write(name, count=7, **changes):
        places = 5 + np.arange(count) / 100
        joints = 1000 * np.stack([_person(HUMAN36M_17, place) for place in places])
        points = 2 * joints[..., :2]
        content = {
            "Y3d_mono": joints.reshape(count, -1).T,
            "Y2d": points.reshape(count, -1).T,
            "bbox": np.zeros((4, count)),
            "num_images": np.array([[count]], np.uint16),
        } | changes
        content = {k: v for k, v in content.items() if v is not None}
        path = files.path(f"{name}/matlab_meta.mat")
        scipy.io.savemat(path, content, do_compression=True)
        for frame in range(count):
            files.picture(f"{name}/{name}_{frame + 1:06d}.jpg", seed=frame)

    for subject in (1, 9):
        write(_folder(subject))
    return write


def test_folders_are_split_by_subject_and_thinned(files, folders):
    builder, examples = files.build(NAME, layout="folders", test_stride=3)
    assert [item["frame"] for item in examples["train"]] == [0, 5]
    assert [item["frame"] for item in examples["test"]] == [0, 3, 6]
    item = examples["test"][1]
    assert item["subject"] == 9 and item["action"] == b"Directions 1"
    assert item["camera"] == b"54138969"
    assert item["name"].decode() == f"{_folder(9)}/000004"
    expected = _person(HUMAN36M_17, 5.03)
    np.testing.assert_allclose(item["joints"], expected, rtol=1e-6)
    _check_sides(item["joints"])
    np.testing.assert_allclose(
        item["keypoints"][0, :, :2], 2000 * expected[:, :2], rtol=1e-6
    )
    np.testing.assert_array_equal(item["keypoints"][0, :, 2], 1)
    np.testing.assert_array_equal(
        item["image"], files.pixels(f"{_folder(9)}/{_folder(9)}_000004.jpg")
    )
    assert builder.info.metadata["joint_names"] == list(HUMAN36M_17)


def test_the_strides_of_the_protocol_are_the_default():
    config = Human36m.CONFIG(layout="folders")
    assert config.name == "folders_every5_200"
    with pytest.raises(InputError, match="strides are 0"):
        Human36m.CONFIG(layout="folders", train_stride=0)


def test_all_folders_are_demanded_unless_said(files, folders):
    files.refused(NAME, "838 of 840", "complete=False", layout="folders", complete=True)


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"Y3d_mono": None}, ["no 'Y3d_mono'", "Y2d"]),
        ({"Y3d_mono": np.zeros((51, 6))}, ["Y3d_mono", "(51, 6)", "(51, 7)"]),
        ({"Y2d": np.full((34, 7), np.nan)}, ["Y2d", "not finite"]),
        ({"Y3d_mono": np.tile(PERSON.reshape(51, 1), 7)}, ["thigh is 0.0004"]),
    ],
)
def test_annotations_of_another_form_are_refused(files, folders, changes, words):
    folders(_folder(9), **changes)
    files.refused(NAME, f"{_folder(9)}/matlab_meta.mat", *words, layout="folders")


def test_damaged_folders_are_named(files, folders):
    files.cut(f"{_folder(1)}/matlab_meta.mat")
    files.refused(NAME, f"{_folder(1)}/matlab_meta.mat", layout="folders")
    folders(_folder(1))
    (files.root / f"{_folder(1)}/{_folder(1)}_000006.jpg").unlink()
    files.refused(NAME, f"{_folder(1)}_000006.jpg", layout="folders")
    builder, examples = files.build(NAME, layout="folders", broken="skip")
    assert [item["frame"] for item in examples["train"]] == [0]
    assert list(builder.info.metadata["broken"]["train"]) == [f"{_folder(1)}/000006"]


# -- archives


def _archive(names, joints=None, **changes):
    count = len(names)
    joints = np.zeros((count, 24, 4)) if joints is None else joints
    used = reorder(SPIN_24, HUMAN36M_17)
    joints[:, :, :3] = _person(SPIN_24)
    joints[:, used, 3] = 1
    part = np.zeros((count, 24, 3))
    part[:, used, :2] = 100 + 50 * _person(SPIN_24)[used, :2]
    part[:, used, 2] = 1
    content = {
        "imgname": np.array(names),
        "center": np.full((count, 2), 100.0),
        "scale": np.full(count, 0.5),
        "S": joints,
        "part": part,
    } | changes
    return {k: v for k, v in content.items() if v is not None}


@pytest.fixture
def archive(files):
    names = {
        "h36m_train.npz": ["images/S1_Directions_1.54138969_000001.jpg"],
        "h36m_valid_protocol1.npz": [
            "images/S9_WalkingDog.60457274_000006.jpg",
            "images/S11_Photo_1.55011271_000001.jpg",
        ],
    }
    for file_name, rows in names.items():
        np.savez(files.path(file_name), **_archive(rows))
        for seed, row in enumerate(rows):
            files.picture(row, seed=seed)


def test_archives_come_back_in_the_order_of_the_others(files, archive):
    _, examples = files.build(NAME, layout="archive")
    assert len(examples["train"]) == 1
    first, second = examples["test"]
    assert (first["subject"], second["subject"]) == (9, 11)
    assert first["action"] == b"WalkDog" and second["action"] == b"Photo 1"
    assert first["frame"] == 5 and first["camera"] == b"60457274"
    np.testing.assert_allclose(first["joints"], PERSON, rtol=1e-6)
    _check_sides(first["joints"])
    np.testing.assert_allclose(first["keypoints"][0, :, :2], 100 + 50 * PERSON[:, :2])
    np.testing.assert_array_equal(first["box"], [50, 50, 100, 100])
    np.testing.assert_array_equal(
        second["image"], files.pixels("images/S11_Photo_1.55011271_000001.jpg")
    )


def test_archives_without_2d_joints_give_confidence_0(files, archive):
    content = _archive(["images/S1_Directions_1.54138969_000001.jpg"], part=None)
    np.savez(files.path("h36m_train.npz"), **content)
    _, examples = files.build(NAME, layout="archive")
    np.testing.assert_array_equal(examples["train"][0]["keypoints"], 0)


@pytest.mark.parametrize(
    "names, changes, words",
    [
        (["images/S9_Directions_1.54138969_000001.jpg"], {}, ["subject 9", "train"]),
        (["images/a.jpg"], {}, ["row 0", "a.jpg"]),
        (["../S1_Directions_1.54138969_000001.jpg"], {}, ["row 0"]),
        (["images/S1_Directions_1.54138969_000001.jpg"], {"S": None}, ["no 'S'"]),
        (
            ["images/S1_Directions_1.54138969_000001.jpg"],
            {"scale": np.zeros(3)},
            ["scale", "(3,)"],
        ),
        (
            ["images/S1_Directions_1.54138969_000001.jpg"],
            {"imgname": np.array(["x", None], object)},
            ["Python objects"],
        ),
        (
            ["images/S1_Directions_1.54138969_000001.jpg"],
            {"S": np.zeros((1, 24, 4))},
            ["confidence 0"],
        ),
    ],
)
def test_archives_of_another_form_are_refused(files, archive, names, changes, words):
    content = {k: v for k, v in (_archive(names) | changes).items() if v is not None}
    np.savez(files.path("h36m_train.npz"), **content)
    files.refused(NAME, "h36m_train.npz", *words, layout="archive")


def test_both_archives_are_demanded_unless_said(files, archive):
    (files.root / "h36m_train.npz").unlink()
    assert list(files.build(NAME, layout="archive")[1]) == ["test"]
    files.refused(NAME, "h36m_train.npz is missing", layout="archive", complete=True)


# -- sequences

METADATA = {
    "layout_name": "h36m",
    "num_joints": 17,
    "keypoints_symmetry": [[4, 5, 6, 11, 12, 13], [1, 2, 3, 14, 15, 16]],
}


@pytest.fixture
def sequences(files):
    """Files of VideoPose3D; a function writes them again with changes."""

    def write(positions=None, points=None, metadata=METADATA):
        frames = np.stack([_person(HUMAN36M_32, i / 10) for i in range(6)])
        frames = frames.astype(np.float32)
        places = 500 + 10 * _person(HUMAN36M_17)[:, :2]
        views = [np.stack([places + k] * 7) for k in range(4)]
        everyone = ("S1", "S9")
        positions = positions or {s: {"Walking 1": frames} for s in everyone}
        points = points or {s: {"Walking 1": views} for s in everyone}
        np.savez_compressed(files.path("data_3d_h36m.npz"), positions_3d=positions)
        np.savez_compressed(
            files.path("data_2d_h36m_gt.npz"), positions_2d=points, metadata=metadata
        )

    write()
    return write


def test_sequences_come_back_in_four_cameras(files, sequences):
    _, examples = files.build(NAME, layout="sequences", test_stride=2)
    assert [item["frame"] for item in examples["train"]] == [0, 5]
    assert [item["frame"] for item in examples["test"]] == [0, 2, 4]
    item = examples["test"][1]
    assert item["name"] == b"S9/Walking 1/000002" and "image" not in item
    np.testing.assert_allclose(item["joints"], _person(HUMAN36M_17, 0.2), rtol=1e-6)
    _check_sides(item["joints"])
    for camera in range(4):
        np.testing.assert_allclose(
            item["keypoints"][camera, :, :2], 500 + 10 * PERSON[:, :2] + camera
        )


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"positions": {"S1": {"Walking 1": np.zeros((2, 17, 3))}}}, ["(2, 17, 3)"]),
        ({"positions": {"subject": {}}}, ["'subject'"]),
        ({"points": {"S1": {}}}, ["S1 Walking 1", "four cameras"]),
        ({"points": {"S1": {"Walking 1": [np.zeros((2, 17, 2))] * 4}}}, ["2 frames"]),
        ({"metadata": {}}, ["left and right", "None"]),
        (
            {"metadata": METADATA | {"keypoints_symmetry": [[1, 2, 3], [4, 5, 6]]}},
            ["left and right"],
        ),
    ],
)
def test_sequences_of_another_form_are_refused(files, sequences, changes, words):
    sequences(**changes)
    files.refused(NAME, "h36m", *words, layout="sequences")


def test_all_sequences_are_demanded_unless_said(files, sequences):
    files.refused(NAME, "subject 1 has 1 of 30", layout="sequences", complete=True)


def test_sequences_that_run_code_are_refused(files, sequences, tmp_path):
    marker = tmp_path / "marker"

    class Poison:
        def __reduce__(self):
            return marker.write_text, ("ran",)

    np.savez(files.path("data_3d_h36m.npz"), positions_3d={"S1": Poison()})
    files.refused(NAME, "data_3d_h36m.npz", "may run code", layout="sequences")
    assert not marker.exists()


def test_missing_sequences_are_named(files, sequences):
    (files.root / "data_2d_h36m_gt.npz").unlink()
    files.refused(NAME, "data_2d_h36m_gt.npz is missing", layout="sequences")
