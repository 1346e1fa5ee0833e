"""Bodies of other estimators: both layouts say the same of the same person."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from volhuman.data.smpl_results import _PELVIS, read_smpl_results
from volhuman.errors import InputError

SHAPE = (480, 640)
FOCAL, PLACE = 1000.0, np.array([0.3, 0.1, 5.0])


@pytest.fixture
def pose():
    pose = 0.3 * np.random.default_rng(0).standard_normal((24, 3))
    pose[0] = [np.pi, 0, 0]
    return pose


def _hmr(path, pose, *, matrices=True, **changes):
    turns = Rotation.from_rotvec(pose)
    flat = turns.as_matrix() if matrices else turns.as_rotvec()
    arrays = {
        "global_orient": flat[None, :1],
        "body_pose": flat[None, 1:],
        "pred_cam_t_full": PLACE[None],
        "focal_length": np.array(FOCAL),
        "betas": np.zeros((1, 10)),
    } | changes
    np.savez(path, **{n: a for n, a in arrays.items() if a is not None})
    return path


def test_a_pinhole_puts_the_pelvis_where_it_is_seen(tmp_path, pose):
    for matrices in (True, False):
        path = _hmr(tmp_path / "a.npz", pose, matrices=matrices)
        (person,) = read_smpl_results(path, SHAPE)
        x, y, z = PLACE + _PELVIS
        expected = np.array([320, 240]) + FOCAL * np.array([x, y]) / z
        np.testing.assert_allclose(person.pelvis, expected, rtol=1e-6)
        np.testing.assert_allclose(person.pixels_a_metre, FOCAL / z)
        np.testing.assert_allclose(person.rotation, np.diag([1, -1, -1]), atol=1e-6)
        np.testing.assert_allclose(person.pose, pose[1:], atol=1e-6)


def test_romps_camera_follows_from_its_joints(tmp_path, pose):
    joints = np.random.default_rng(1).standard_normal((2, 71, 3))
    pixels = 150 * joints[..., :2] + [200, 300]
    results = {
        "smpl_thetas": np.stack([pose.reshape(-1)] * 2).astype(np.float32),
        "joints": joints.astype(np.float32),
        "pj2d_org": pixels.astype(np.float32),
        "cam": np.zeros((2, 3), np.float32),
    }
    np.savez(tmp_path / "r.npz", results=results)
    people = read_smpl_results(tmp_path / "r.npz", SHAPE)
    assert len(people) == 2
    for person, own in zip(people, pixels, strict=True):
        np.testing.assert_allclose(person.pixels_a_metre, 150, rtol=1e-5)
        np.testing.assert_allclose(person.pelvis, own[0], rtol=1e-5)
        np.testing.assert_allclose(person.pose, pose[1:], atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"body_pose": None}, "no 'body_pose' among its arrays"),
        ({"pred_cam_t_full": None}, "no 'pred_cam_t_full' among"),
        ({"body_pose": np.zeros((1, 21, 3))}, "expected 23 rotations for each of 1"),
        ({"global_orient": 2 * np.eye(3)[None, None]}, "no rotations"),
        ({"focal_length": np.array(-3.0)}, "pixels above 0"),
        ({"pred_cam_t_full": np.array([[0, 0, -1.0]])}, "before the camera"),
        ({"pred_cam_t_full": np.array([[0, 0, np.nan]])}, "not finite"),
        ({"global_orient": np.array([["a"]])}, "expected numbers"),
        ({"pred_cam_t_full": np.zeros((0, 3))}, "translation holds nobody"),
        ({"pred_cam_t_full": np.zeros((1, 4))}, r"\(1, 4\), expected numbers N x 3"),
    ],
)
def test_bad_files_are_named(tmp_path, pose, changes, message):
    path = _hmr(tmp_path / "bad.npz", pose, **changes)
    with pytest.raises(InputError, match=message) as caught:
        read_smpl_results(path, SHAPE)
    assert str(path) in str(caught.value)


def test_the_camera_of_one_person_may_stand_alone(tmp_path, pose):
    place = np.array([0.1, 0.2, 5.0])
    alone = _hmr(tmp_path / "alone.npz", pose, pred_cam_t_full=place)
    listed = _hmr(tmp_path / "listed.npz", pose, pred_cam_t_full=place[None])
    (one,), (other,) = (read_smpl_results(p, SHAPE) for p in (alone, listed))
    np.testing.assert_array_equal(one.pelvis, other.pelvis)


def test_what_is_no_npz_is_refused(tmp_path):
    (tmp_path / "x.npz").write_bytes(b"text")
    with pytest.raises(InputError, match="not an npz file"):
        read_smpl_results(tmp_path / "x.npz", SHAPE)
    with pytest.raises(InputError, match="no such file"):
        read_smpl_results(tmp_path / "y.npz", SHAPE)
