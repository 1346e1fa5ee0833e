"""THuman: text files with Windows line ends, the root transform, subjects apart."""

import numpy as np
import pytest
from PIL import Image
from scipy.spatial.transform import Rotation

from volhuman.data.sets.thuman import (
    NUM_SMPL_VERTICES,
    ThumanScan,
    apply_root,
    read_body,
    split_by_subject,
)
from volhuman.errors import InputError

NAME = "volhuman_thuman"
FOLDERS = ("results_gyx_20181012_scw_1_M/10", "results_hyd_20181017_zt_2_F/7")


def _rigid(seed):
    transform = np.eye(4)
    transform[:3, :3] = Rotation.random(random_state=seed).as_matrix()
    transform[:3, 3] = [0.1, -0.2, 2]
    return transform


def _rows(matrix):
    return "\r\n".join(" ".join(f"{value:.9g}" for value in row) for row in matrix)


def _params(betas, root, pose):
    return (
        "betas\r\n"
        + _rows([betas])
        + "\r\nroot transform\r\n"
        + _rows(root)
        + "\r\nposes\r\n"
        + _rows(pose.reshape(72, 1))
        + "\r\n"
    )


@pytest.fixture
def scans(files, numbers):
    """Two scans; returns what was written."""
    written = {}
    depth = np.arange(512 * 424, dtype=np.uint16).reshape(424, 512)
    Image.fromarray(depth).save(files.path("depth.png"))
    mask = 255 * (depth % 7 > 3).astype(np.uint8)
    Image.fromarray(mask).save(files.path("mask.png"))
    shared = {name: files.root / name for name in ("depth.png", "mask.png")}
    body = "".join(f"v {i} 0 {i % 9}\n" for i in range(NUM_SMPL_VERTICES)) + "f 1 2 3\n"
    for seed, name in enumerate(FOLDERS):
        betas, pose = numbers(10, seed=seed), numbers(24, 3, seed=seed)
        written[name] = betas, pose, _rigid(seed), _rigid(seed + 5)
        files.text(f"{name}/smpl_params.txt", _params(betas, _rigid(seed), pose))
        files.text(f"{name}/cam.txt", _rows(_rigid(seed + 5)) + "\r\n")
        files.text(
            f"{name}/mesh.obj",
            "v 0 0 0 1 0 0\nv 0 1 0 0 1 0\nv 1 0 0 0 0 .2\nf 1 2 3\nf 3 2 1\n",
        )
        files.text(f"{name}/smpl.obj", body)
        files.picture(f"{name}/color.jpg", size=(192, 108), seed=seed)
        for file_name, source in shared.items():
            files.path(f"{name}/{file_name}").write_bytes(source.read_bytes())
    for source in shared.values():
        source.unlink()
    return written


def test_scans_come_back_as_written(files, scans):
    builder, examples = files.build(NAME)
    assert {split: len(items) for split, items in examples.items()} == {
        "train": 1,
        "test": 1,
    }
    for name, gender in zip(FOLDERS, ("male", "female")):
        (item,) = examples["train" if gender == "male" else "test"]
        betas, pose, root, camera = scans[name]
        assert item["name"].decode() == name
        assert item["gender"].decode() == gender
        assert item["subject"].decode() == name[8:11]
        np.testing.assert_allclose(item["shape"], betas, rtol=1e-6)
        np.testing.assert_allclose(item["pose"], pose, rtol=1e-6)
        np.testing.assert_allclose(item["root"], root, atol=1e-6)
        np.testing.assert_allclose(item["depth_from_world"], camera, atol=1e-6)
        np.testing.assert_array_equal(item["image"], files.pixels(f"{name}/color.jpg"))
        assert item["depth"].dtype == np.uint16 and item["depth"].shape == (424, 512)
        np.testing.assert_array_equal(item["depth"][0, :5], range(5))
        assert item["depth"].max() == 65535
        np.testing.assert_array_equal(item["mask"][0, :8], [0, 0, 0, 0, 1, 1, 1, 0])
        np.testing.assert_array_equal(item["faces"], [[0, 1, 2], [2, 1, 0]])
        np.testing.assert_array_equal(item["colors"][2], [0, 0, 51])
        np.testing.assert_array_equal(item["smpl_vertices"][10], [10, 0, 1])
    assert builder.info.metadata["depth_intrinsics"][0] == 365.4020


def test_unix_line_ends_are_read_too(files, scans):
    path = files.root / FOLDERS[0] / "smpl_params.txt"
    body = read_body(path)
    path.write_bytes(path.read_bytes().replace(b"\r\n", b"\n"))
    for name in ("shape", "pose", "root"):
        np.testing.assert_array_equal(
            getattr(read_body(path), name), getattr(body, name)
        )


def test_the_root_turns_about_the_origin_not_about_the_body():
    turn = np.diag([-1.0, 1, -1, 1])  # half a turn about y
    turn[0, 3] = 0.5
    np.testing.assert_allclose(apply_root(np.array([[2, 3, 4]]), turn), [[-1.5, 3, -4]])
    transform = _rigid(3)
    points = np.random.default_rng(0).normal(size=(5, 3))
    expected = [transform @ [*point, 1] for point in points]
    np.testing.assert_allclose(apply_root(points, transform), np.array(expected)[:, :3])


def test_nobody_is_in_both_splits():
    people = "abcdefghij"
    scans = [
        ThumanScan(f"results_{person}_{i}_M/{i}", person, "male", None)
        for person in people
        for i in range(10)
    ]
    splits = split_by_subject(scans)
    train, test = (
        {scan.subject for scan in splits[part]} for part in ("train", "test")
    )
    assert not train & test and train | test == set(people)
    assert len(splits["train"]) == 80


@pytest.mark.parametrize(
    "name, change, words",
    [
        ("smpl_params.txt", lambda text: text[:-40], ["pose", "72"]),
        ("smpl_params.txt", lambda text: text.replace("\r\n", "", 1), ["shape"]),
        ("smpl_params.txt", lambda text: text[:7] + "x" + text[7:], ["'x"]),
        ("cam.txt", lambda text: text[:-30], ["camera"]),
        ("cam.txt", lambda text: "2" + text[text.index(" ") :], ["no rotation"]),
        ("cam.txt", lambda text: text.rstrip()[:-1] + "7", ["0 0 0 1"]),
        ("smpl.obj", lambda text: text.replace("v 5 0 5\n", ""), ["6889 vertices"]),
        ("mesh.obj", lambda text: text[:-4], ["mesh.obj"]),
    ],
)
def test_damaged_files_are_named(files, scans, name, change, words):
    path = files.root / FOLDERS[0] / name
    path.write_bytes(change(path.read_bytes().decode()).encode())
    files.refused(NAME, path, *words)


@pytest.mark.parametrize("name", ["mesh.obj", "depth.png", "color.jpg", "cam.txt"])
def test_missing_files_are_named(files, scans, name):
    (files.root / FOLDERS[1] / name).unlink()
    files.refused(NAME, files.root / FOLDERS[1] / name)
    # The only scan of the test is broken: a split without examples is refused.
    files.refused(NAME, "all 1 items of split 'test'", name, broken="skip")


def test_folders_of_another_form_are_refused(files, scans):
    (files.root / "results_x_1").mkdir()
    files.refused(NAME, "results_x_1", "last letter")
    (files.root / "results_x_1").rename(files.root / "results_x_1_M")
    files.refused(NAME, "results_x_1_M holds no frame")


def test_a_folder_without_subjects_is_refused(files):
    files.text("readme.txt", "x")
    files.refused(NAME, files.root, "results_<subject>")


def test_reading_a_body_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match=r"smpl_params\.txt"):
        read_body(tmp_path / "smpl_params.txt")
