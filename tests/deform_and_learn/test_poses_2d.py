"""17 joints: which they are, where the body has them, and which files are refused."""

import jax
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from volhuman.body.keypoints import (
    KEYPOINT_INDEX,
    KEYPOINT_NAMES,
    body_keypoints,
    landmark_vertices,
)
from volhuman.body.model import BodyParams, pose_body
from volhuman.body.pose_sampler import posed_joints
from volhuman.body.skeleton import JOINT_INDEX
from volhuman.body.template import load_template
from volhuman.deform_and_learn.depth_config import LAYOUTS
from volhuman.deform_and_learn.poses_2d import (
    JOINT_INDEX_17,
    JOINTS,
    joint_mixture,
    joints_from_keypoints,
    joints_from_poses,
    normalize_poses,
    read_poses_2d,
    sample_joints,
    view_joints,
)
from volhuman.errors import InputError
from volhuman.evaluation.poses import H36M_EDGES, H36M_JOINTS


@pytest.fixture(scope="module")
def model():
    return load_template()


@pytest.fixture(scope="module")
def people():
    return sample_joints(6, seed=5)


# -- which joints


def test_limbs_are_the_key_points_of_the_same_name():
    keypoints = np.arange(2.0 * len(KEYPOINT_NAMES)).reshape(-1, 2)
    joints = joints_from_keypoints(keypoints)
    for side in ("left", "right"):
        for name in ("hip", "knee", "ankle", "shoulder", "elbow", "wrist"):
            expected = keypoints[KEYPOINT_INDEX[f"{side}_{name}"]]
            np.testing.assert_array_equal(
                joints[JOINT_INDEX_17[f"{side}_{name}"]], expected
            )


def test_the_order_is_that_of_the_evaluation():
    """Sides and limbs; the two lists call joints of the head by different names."""
    renamed = {"nose": "neck", "head_top": "head"}
    assert tuple(renamed.get(name, name) for name in JOINTS) == H36M_JOINTS


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_joint_is_a_mean_of_key_points(layout):
    mixture = joint_mixture(layout)
    np.testing.assert_allclose(mixture.sum(1), 1, atol=1e-6)
    assert (mixture >= 0).all()


def test_the_layout_of_mpii_is_that_of_its_file(shared):
    path = shared / "real" / "mpii_poses_2d.npy"
    if not path.is_file():
        pytest.skip("the real poses are not here")
    poses = read_poses_2d(path)
    assert poses.shape == (19_919, 17, 2)
    take = lambda name: poses[:, JOINT_INDEX_17[name]]
    middle = (take("left_shoulder") + take("right_shoulder")) / 2
    trunk = np.linalg.norm(take("spine") - take("pelvis"), axis=1)
    off = np.linalg.norm(take("spine") - middle, axis=1) / trunk
    assert np.median(off) < 0.02
    np.testing.assert_allclose(
        take("nose"), (take("thorax") + take("head_top")) / 2, atol=1e-3
    )
    heights = joint_mixture("mpii") @ np.eye(len(KEYPOINT_NAMES))
    share = heights[JOINT_INDEX_17["thorax"], KEYPOINT_INDEX["head_top"]]
    length = lambda a, b: np.linalg.norm(take(a) - take(b), axis=1)
    found = np.median(length("thorax", "spine") / length("head_top", "spine"))
    assert abs(found - share) < 0.03


# -- from the body


def test_joints_are_the_registrations_key_points(model):
    generator = np.random.default_rng(0)
    pose = 0.3 * generator.normal(size=(24, 3)).astype(np.float32)
    shape = generator.normal(size=model.num_shape).astype(np.float32)
    params = BodyParams(pose, shape, np.ones(24), np.ones(3))
    posed = jax.jit(pose_body)(model, params)
    keypoints = body_keypoints(posed, posed.vertices[landmark_vertices(model)])
    expected = np.asarray(joints_from_keypoints(keypoints))
    found = joints_from_poses(model, pose[None], shape[None])[0]
    np.testing.assert_allclose(found, expected - expected[:1], atol=1e-5)


def test_limbs_agree_with_kinematics_on_the_host(model):
    poses = 0.4 * np.random.default_rng(1).normal(size=(3, 24, 3))
    found = joints_from_poses(model, poses, np.zeros((3, model.num_shape)))
    for pose, joints in zip(poses, found, strict=True):
        expected = posed_joints(pose, np.asarray(model.joints, np.float64))
        hips = expected[[JOINT_INDEX["left_hip"], JOINT_INDEX["right_hip"]]].mean(0)
        for name in ("left_ankle", "right_knee", "right_wrist", "left_elbow"):
            np.testing.assert_allclose(
                joints[JOINT_INDEX_17[name]],
                expected[JOINT_INDEX[name]] - hips,
                atol=1e-5,
            )


def test_a_person_depends_on_seed_and_number_alone(people):
    np.testing.assert_array_equal(sample_joints(2, seed=5), people[:2])
    assert np.abs(sample_joints(2, seed=6) - people[:2]).max() > 0.05


def test_people_have_different_shapes(people):
    start, end = np.array(H36M_EDGES).T
    bones = np.linalg.norm(people[:, end] - people[:, start], axis=-1)
    assert (bones[:, :6].std(0) > 1e-3).all()


# -- seen by cameras


def test_cameras_turn_people_and_nothing_else(people):
    seen = view_joints(np.random.default_rng(0), people)
    distances = lambda x: np.linalg.norm(x[:, :, None] - x[:, None], axis=-1)
    np.testing.assert_allclose(distances(seen), distances(people), atol=1e-5)
    volume = lambda x: np.linalg.det(x[:, [3, 10, 13]].astype(np.float64))
    np.testing.assert_allclose(volume(seen), volume(people), atol=1e-5)


def test_people_face_anywhere_and_stand_upright_where_they_do(model):
    rest = joints_from_poses(
        model, np.zeros((1, 24, 3)), np.zeros((1, model.num_shape))
    )
    many = np.repeat(rest, 2000, axis=0)
    seen = view_joints(np.random.default_rng(0), many, lean=False)
    shoulders = seen[:, JOINT_INDEX_17["left_shoulder"]]
    angles = np.arctan2(shoulders[:, 2], shoulders[:, 0])
    assert np.histogram(angles, 8, (-np.pi, np.pi))[0].min() > 150
    # The rest pose faces the camera where its left is on the right of the picture.
    facing = seen[np.abs(angles) < 0.1]
    nose = facing[:, JOINT_INDEX_17["nose"]] - facing[:, JOINT_INDEX_17["thorax"]]
    assert len(facing) > 20 and (nose[:, 2] < 0).all()
    head = seen[:, JOINT_INDEX_17["head_top"]]
    upright = -head[:, 1] / np.linalg.norm(head, axis=1)
    assert upright.min() > np.cos(np.deg2rad(25))
    # A camera that looks down sees heads nearer than feet.
    assert 0.6 < (head[:, 2] < seen[:, JOINT_INDEX_17["left_ankle"], 2]).mean() < 0.8
    leaning = view_joints(np.random.default_rng(0), many)
    head = leaning[:, JOINT_INDEX_17["head_top"]]
    assert 0.02 < (head[:, 1] > 0).mean() < 0.1


# -- normalised


def test_normalised_poses_forget_place_and_size():
    poses = np.random.default_rng(0).normal(size=(4, 17, 2))
    found, sizes = normalize_poses(poses)
    np.testing.assert_allclose(found[:, 0], 0)
    distances = np.linalg.norm(found[:, 1:], axis=-1).mean(1)
    np.testing.assert_allclose(distances, 1, rtol=1e-5)
    moved, larger = normalize_poses(40 * poses + [300, -20])
    np.testing.assert_allclose(moved, found, atol=1e-4)
    np.testing.assert_allclose(larger, 40 * sizes, rtol=1e-4)


def test_a_pose_in_one_point_has_finite_values_and_gradients():
    def total(poses):
        found, sizes = normalize_poses(poses)
        return found.sum() + sizes.sum()

    value, gradient = jax.jit(jax.value_and_grad(total))(np.full((2, 17, 2), 3.0))
    assert value == 0 and np.isfinite(gradient).all()


# -- files


@pytest.fixture
def poses():
    """Upright people in pixels."""
    rest = np.zeros((5, 17, 2), np.float32)
    rest[:, :, 0] = np.random.default_rng(0).uniform(100, 200, (5, 17))
    rest[:, :, 1] = np.linspace(300, 100, 17)
    return rest


def test_all_forms_of_a_file_are_the_same_poses(poses, tmp_path):
    np.save(tmp_path / "rows.npy", poses.reshape(-1, 34).astype(np.float64))
    np.save(tmp_path / "points.npy", poses)
    np.savez(tmp_path / "archive.npz", poses_2d=poses, other=np.zeros(3))
    for name in ("rows.npy", "points.npy", "archive.npz"):
        found = read_poses_2d(tmp_path / name)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, poses)


def _changed(poses, place, value):
    poses = poses.copy()
    poses[place] = value
    return poses


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda p: p[:, :16], "17"),
        (lambda p: p[:0], "shape"),
        (lambda p: p[0], "17"),
        (lambda p: p.ravel(), "expected"),
        (lambda p: np.full((3, 34), "left"), "expected"),
        (lambda p: _changed(p, (2, 3, 0), np.nan), "finite"),
        (lambda p: _changed(p, 2, 7.0), "pose 2 lie in one point"),
        (lambda p: _changed(p, (1, 3), 0.0), "right_ankle of pose 1"),
        (lambda p: -p, "y points down"),
    ],
)
def test_poses_that_cannot_be_used_are_refused(poses, tmp_path, change, words):
    path = tmp_path / "poses.npy"
    np.save(path, change(poses))
    with pytest.raises(InputError, match=words) as raised:
        read_poses_2d(path)
    assert str(path) in str(raised.value)


def test_files_that_cannot_be_read_are_refused(poses, tmp_path):
    for name, words in (
        ("none.npy", "missing"),
        ("cut.npy", "cannot be read"),
        ("objects.npy", "cannot be read"),
        ("other.npz", "poses_2d"),
        ("poses.txt", "expected|is not"),
    ):
        path = tmp_path / name
        if name == "cut.npy":
            np.save(path, poses)
            path.write_bytes(path.read_bytes()[:-40])
        elif name == "objects.npy":
            np.save(path, np.array([{}, []], object), allow_pickle=True)
        elif name == "other.npz":
            np.savez(path, keypoints=poses)
        elif name == "poses.txt":
            path.write_text("1 2 3")
        with pytest.raises(InputError, match=words) as raised:
            read_poses_2d(path)
        assert str(path) in str(raised.value)


def test_rotations_of_the_views_are_those_of_the_camera_room():
    """The same pitch and yaw as `people.cameras.look_at`, which says what they mean."""
    from volhuman.people.cameras import look_at

    camera = look_at(0.7, 0.2, 0.0, centre=np.zeros(3), reach=1.0)
    turned = Rotation.from_euler("yx", [0.7, 0.2]).as_matrix()
    np.testing.assert_allclose(camera.rotation, np.diag([1, -1, -1]) @ turned)
