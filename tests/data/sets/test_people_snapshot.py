"""People-Snapshot: HDF5 files and a video joined frame by frame.

Skips where the optional h5py or imageio is not installed, except for the tests of what
is said then.
"""

import sys

import numpy as np
import pytest

from volhuman.data.sets.containers import open_hdf5
from volhuman.data.sets.people_snapshot import read_camera, read_subjects
from volhuman.errors import InputError

NAME = "volhuman_people_snapshot"
SUBJECT = "female-3-casual"
COUNT, SIDE = 7, 64
CAMERA = {
    "camera_t": np.zeros(3),
    "camera_rt": np.zeros(3),
    "camera_f": np.array([2664.0, 2665.0]),
    "camera_c": np.array([32.0, 31.0]),
    "camera_k": np.array([0.1, 0.01, 0.0, 0.0, 0.2]),
    "width": SIDE,
    "height": SIDE,
}
OTHERS = ("masks.hdf5", "keypoints.hdf5", "reconstructed_poses.hdf5", f"{SUBJECT}.mp4")


def _write_hdf5(path, **arrays):
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file[name] = array


def _write_video(path, count=COUNT):
    """A video in which frame i has the brightness 30 i."""
    imageio = pytest.importorskip("imageio.v3")
    pytest.importorskip("imageio_ffmpeg")
    frames = np.repeat(np.arange(count, dtype=np.uint8) * 30, SIDE * SIDE * 3)
    imageio.imwrite(path, frames.reshape(count, SIDE, SIDE, 3), plugin="FFMPEG", fps=25)


@pytest.fixture
def masks():
    masks = np.zeros((COUNT, SIDE, SIDE), np.uint8)
    for frame in range(COUNT):
        masks[frame, frame : frame + 9, 4:20] = 1
    return masks


@pytest.fixture
def tracks(numbers):
    return {
        "pose": numbers(COUNT + 1, 72),  # one more than pictures, as in the set
        "trans": numbers(COUNT + 1, 3),
        "betas": numbers(10),
    }


@pytest.fixture
def subject(files, masks, tracks, numbers):
    folder = files.root / SUBJECT
    files.pickle(f"{SUBJECT}/camera.pkl", CAMERA, protocol=0)
    _write_hdf5(folder / "masks.hdf5", masks=masks)
    _write_hdf5(folder / "keypoints.hdf5", keypoints=numbers(COUNT, 54))
    _write_hdf5(folder / "reconstructed_poses.hdf5", **tracks)
    _write_video(folder / f"{SUBJECT}.mp4")
    files.text("female-3-casual.zip", "not a folder")
    return folder


@pytest.mark.parametrize("step", [1, 3])
def test_frames_masks_and_poses_belong_together(
    files, subject, masks, tracks, numbers, step
):
    _, examples = files.build(NAME, step=step)
    numbers_of = list(range(0, COUNT, step))
    assert [item["frame"] for item in examples["test"]] == numbers_of
    for frame, item in zip(numbers_of, examples["test"]):
        assert item["name"].decode() == f"{SUBJECT}/{frame:06d}"
        assert item["gender"] == b"female"
        # The codec changes colours a little, and the frames differ by 30.
        assert abs(item["image"].astype(float).mean() - 30 * frame) < 10
        np.testing.assert_array_equal(item["mask"], masks[frame])
        np.testing.assert_array_equal(
            item["pose"], tracks["pose"][frame].reshape(24, 3)
        )
        np.testing.assert_array_equal(item["translation"], tracks["trans"][frame])
        np.testing.assert_array_equal(
            item["keypoints"], numbers(COUNT, 54)[frame].reshape(18, 3)
        )
        np.testing.assert_array_equal(item["shape"], tracks["betas"])
        np.testing.assert_array_equal(item["focal"], [2664, 2665])
        np.testing.assert_array_equal(item["center"], [32, 31])
        np.testing.assert_allclose(item["distortion"], CAMERA["camera_k"], rtol=1e-6)


def test_files_of_another_video_are_refused(files, subject, tracks):
    short = {"pose": tracks["pose"][:3], "trans": tracks["trans"][:3]}
    _write_hdf5(subject / "reconstructed_poses.hdf5", **short, betas=tracks["betas"])
    files.refused(NAME, SUBJECT, "7 masks, 3 poses, 7 keypoints")


def test_a_short_video_is_refused(files, subject):
    _write_video(subject / f"{SUBJECT}.mp4", count=3)
    files.refused(NAME, "ends at frame 2", "7 masks", step=1)


def test_a_video_of_another_size_is_refused(files, subject):
    camera = CAMERA | {"width": 1080, "height": 1080}
    files.pickle(f"{SUBJECT}/camera.pkl", camera)
    files.refused(NAME, "64 x 64", "1080 x 1080")


@pytest.mark.parametrize("name", OTHERS)
def test_cut_files_are_named(files, subject, name):
    files.cut(f"{SUBJECT}/{name}", 0.3)
    files.refused(NAME, name)


def test_arrays_that_are_not_there_are_named(files, subject, tracks):
    del tracks["trans"]
    _write_hdf5(subject / "reconstructed_poses.hdf5", **tracks)
    files.refused(NAME, "reconstructed_poses.hdf5", "'trans'", "betas")


# -- what needs no optional part


@pytest.mark.parametrize("missing", ["camera.pkl", *OTHERS])
def test_missing_files_are_named(files, missing):
    for name in {"camera.pkl", *OTHERS} - {missing}:
        files.text(f"{SUBJECT}/{name}", "")
    with pytest.raises(InputError) as refusal:
        read_subjects(files.root)
    assert f"{SUBJECT}/{missing} is missing" in str(refusal.value)


def test_a_folder_without_subjects_is_refused(files):
    files.text("people_snapshot_public/x", "")
    with pytest.raises(InputError, match="female-3-casual"):
        read_subjects(files.root)


@pytest.mark.parametrize(
    "change, word",
    [
        ({"camera_f": None}, "no 'camera_f'"),
        ({"width": None}, "no 'width'"),
        ({"camera_k": np.zeros(4)}, "(4,)"),
        ({"camera_t": np.array([0, 0, 1.0])}, "zeros"),
    ],
)
def test_cameras_of_another_form_are_refused(files, change, word):
    camera = {k: v for k, v in (CAMERA | change).items() if v is not None}
    files.pickle("camera.pkl", camera, protocol=0)
    with pytest.raises(InputError, match=r"camera\.pkl") as refusal:
        read_camera(files.root / "camera.pkl")
    assert word in str(refusal.value)


def test_without_h5py_the_sentence_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    with (
        pytest.raises(
            InputError, match=r"masks\.hdf5.*pip install 'volhuman\[datasets"
        ),
        open_hdf5(tmp_path / "masks.hdf5"),
    ):
        pass


def test_a_step_below_one_is_refused(files):
    files.text("x", "")
    files.refused(NAME, "step is 0", step=0)
