"""2D poses of 17 joints: from the body, seen by random cameras, and from files.

Conventions of every function here: 17 joints in the order of Human3.6M, the right leg
before the left (`JOINTS`), left is the person's left. Positions in a picture are x to
the right and y down, in any unit; a third coordinate is the depth, away from the
camera. Cameras are weakly perspective, so all three have one unit.
"""

import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from scipy.spatial.transform import Rotation

from volhuman.body.keypoints import (
    KEYPOINT_INDEX,
    KEYPOINT_NAMES,
    body_keypoints,
    landmark_vertices,
)
from volhuman.body.model import BodyModel, BodyParams, pose_body, take_vertices
from volhuman.body.pose_sampler import sample_pose
from volhuman.body.skeleton import NUM_JOINTS
from volhuman.body.template import load_template
from volhuman.checks import check_option, check_shape
from volhuman.data.sets.files import need_file, number_array, read_npz_array
from volhuman.data.sets.human36m_joints import HUMAN36M_17
from volhuman.deform_and_learn.depth_config import LAYOUTS
from volhuman.errors import InputError
from volhuman.geometry.camera import FACING_CAMERA

JOINTS = HUMAN36M_17
NUM_JOINTS_17 = len(JOINTS)
JOINT_INDEX_17 = {name: number for number, name in enumerate(JOINTS)}

_MIDDLE_HIP, _MIDDLE_SHOULDER = {"mid_hip": 1.0}, {"mid_shoulder": 1.0}
# What the four joints of the trunk are made of, by layout. In MPII's poses as they go
# round in this order, "spine" is the middle of the shoulders, "thorax" the upper neck,
# a fifth of the way from there to the top of the head, and "nose" lies halfway between
# the upper neck and the top of the head.
_TRUNKS = {
    "human36m": {
        "spine": {"mid_hip": 0.5, "mid_shoulder": 0.5},
        "thorax": _MIDDLE_SHOULDER,
        "nose": {"nose": 1.0},
        "head_top": {"head_top": 1.0},
    },
    "mpii": {
        "spine": _MIDDLE_SHOULDER,
        "thorax": {"mid_shoulder": 0.8, "head_top": 0.2},
        "nose": {"mid_shoulder": 0.4, "head_top": 0.6},
        "head_top": {"head_top": 1.0},
    },
}

# Cameras of the synthetic poses: how far they look down, in degrees.
_PITCH = (-10.0, 20.0)
# The pose sampler holds every pelvis upright. People lean, radians (deviation), and
# some lie, hang or turn over.
_LEAN = 0.2
_LYING = 0.1
_SHAPE_LIMIT = 2.0
_POSES_AT_ONCE = 256
_ARRAY_NAME = "poses_2d"
_FORM = (
    "a .npy file, or a .npz file with the array poses_2d, of shape (N, 34) or "
    "(N, 17, 2)"
)


# -- from the body


def joint_mixture(layout: str = "human36m") -> np.ndarray:
    """Returns the weights of the body's key points in each of the 17 joints.

    Args:
        layout: "human36m"; "mpii" for what MPII's poses have in the same places.

    Returns:
        `(17, K)` float32 over `body.keypoints.KEYPOINT_NAMES`; rows sum to 1.

    Raises:
        ValueError: If the layout is unknown.
    """
    check_option("layout", layout, LAYOUTS)
    mixture = np.zeros((NUM_JOINTS_17, len(KEYPOINT_NAMES)), np.float32)
    for row, name in enumerate(JOINTS):
        parts = {"pelvis": _MIDDLE_HIP, **_TRUNKS[layout]}.get(name, {name: 1.0})
        for part, weight in parts.items():
            mixture[row, KEYPOINT_INDEX[part]] = weight
    return mixture


def joints_from_keypoints(
    keypoints: jax.Array, *, layout: str = "human36m"
) -> jax.Array:
    """Takes the 17 joints from the body's key points.

    Args:
        keypoints: `(..., K, D)` in the order of `body.keypoints.KEYPOINT_NAMES`, as
            `body.keypoints.body_keypoints` gives them.
        layout: As in `joint_mixture`.

    Returns:
        `(..., 17, D)` in the unit and axes of the key points.
    """
    check_shape("keypoints", keypoints, f"... {len(KEYPOINT_NAMES)} D")
    return jnp.einsum(
        "jk,...kd->...jd", joint_mixture(layout), keypoints, precision="highest"
    )


def sample_joints(num_poses: int, *, seed: int, layout: str = "human36m") -> np.ndarray:
    """Draws people of different shapes in poses of `body.pose_sampler`.

    Args:
        num_poses: Number of people.
        seed: Person number n is a function of the seed and n.
        layout: As in `joint_mixture`.

    Returns:
        `(num_poses, 17, 3)` float32, metres, body axes, the pelvis at the origin.
    """
    model = load_template()
    rest, directions = np.asarray(model.joints), np.asarray(model.joint_dirs)
    poses = np.empty((num_poses, NUM_JOINTS, 3), np.float32)
    shapes = np.empty((num_poses, model.num_shape), np.float32)
    for number in range(num_poses):
        generator = np.random.default_rng([seed, number])
        shape = generator.standard_normal(model.num_shape)
        shapes[number] = np.clip(shape, -_SHAPE_LIMIT, _SHAPE_LIMIT)
        poses[number] = sample_pose(generator, rest + directions @ shapes[number])
    return joints_from_poses(model, poses, shapes, layout=layout)


def joints_from_poses(
    model: BodyModel,
    poses: np.ndarray,
    shapes: np.ndarray,
    *,
    layout: str = "human36m",
) -> np.ndarray:
    """Poses bodies and returns their 17 joints.

    Args:
        model: Body model with the landmarks nose and head_top.
        poses: `(N, 24, 3)` axis-angle.
        shapes: `(N, S)`.
        layout: As in `joint_mixture`.

    Returns:
        `(N, 17, 3)` float32, metres, body axes, the pelvis at the origin.
    """
    check_shape("poses", poses, "N 24 3")
    check_shape("shapes", shapes, "N S", N=len(poses), S=model.num_shape)
    small = take_vertices(model, landmark_vertices(model))
    # In blocks of one size, so that one program serves any number of poses.
    padding = -len(poses) % _POSES_AT_ONCE
    poses, shapes = (
        np.pad(x, ((0, padding), *[(0, 0)] * (x.ndim - 1))).astype(np.float32)
        for x in (np.asarray(poses), np.asarray(shapes))
    )
    starts = range(0, len(poses), _POSES_AT_ONCE)
    blocks = [slice(start, start + _POSES_AT_ONCE) for start in starts]
    parts = [_pose_block(small, poses[b], shapes[b], layout) for b in blocks]
    return np.concatenate(parts)[: len(poses) - padding]


@functools.partial(jax.jit, static_argnames="layout")
def _pose_block(model, poses, shapes, layout):
    """Joints of a block of bodies that have no vertices but the landmarks."""

    def joints_of(pose, shape):
        params = BodyParams(pose, shape, jnp.ones(NUM_JOINTS), jnp.zeros(3))
        posed = pose_body(model, params)
        keypoints = body_keypoints(posed, posed.vertices)
        joints = joints_from_keypoints(keypoints, layout=layout)
        return joints - joints[:1]

    return jax.vmap(joints_of)(poses, shapes)


# -- seen by cameras


def view_joints(
    generator: np.random.Generator, joints: np.ndarray, *, lean: bool = True
) -> np.ndarray:
    """Looks at every person from a random side.

    Yaw is drawn from all around, so people face anywhere; cameras look down by -10 to
    20 degrees.

    Args:
        generator: Source of randomness.
        joints: `(N, 17, 3)` body axes.
        lean: Whether people lean to any side, most of them by a little; for poses that
            do not say how people stand.

    Returns:
        `(N, 17, 3)` x right, y down, depth away from the camera; unit and origin as
        they were.
    """
    check_shape("joints", joints, "N 17 3")
    count = len(joints)
    angle = generator.normal(0, _LEAN, count)
    lies = generator.random(count) < _LYING
    angle = np.where(lies, generator.uniform(-np.pi, np.pi, count), angle)
    side = generator.uniform(0, np.pi, count)
    level = np.stack([np.cos(side), np.zeros(count), np.sin(side)], axis=1)
    leaning = Rotation.from_rotvec(level * (lean * angle)[:, None])
    yaw = generator.uniform(-np.pi, np.pi, count)
    pitch = np.deg2rad(generator.uniform(*_PITCH, count))
    turned = Rotation.from_euler("yx", np.stack([yaw, pitch], axis=1)) * leaning
    rotation = FACING_CAMERA @ turned.as_matrix()
    return np.einsum("nij,nkj->nki", rotation, joints).astype(np.float32)


def normalize_poses(poses: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Moves the pelvis to the origin and scales the mean distance to it to 1.

    Source: Kudo et al. 2018, published code: the mean over the other 16 joints.

    Args:
        poses: `(..., 17, 2)` in any unit.

    Returns:
        The normalised poses, and their sizes `(...)` in that unit. A pose whose joints
        lie in one point has size 0 and stays there.
    """
    check_shape("poses", poses, f"... {NUM_JOINTS_17} 2")
    centred = poses - poses[..., :1, :]
    squared = (centred[..., 1:, :] ** 2).sum(-1)
    # The square root has no gradient at 0.
    apart = squared > 0
    sizes = jnp.where(apart, jnp.sqrt(jnp.where(apart, squared, 1.0)), 0.0).mean(-1)
    safe = jnp.where(sizes > 0, sizes, 1.0)
    return centred / safe[..., None, None], sizes


# -- from files


def read_poses_2d(path: str | Path) -> np.ndarray:
    """Reads 2D poses in the order of `JOINTS`, in pixels or any other unit.

    Args:
        path: `.npy` file, or `.npz` with the array `poses_2d`, of shape `(N, 34)` (x
            and y by turns) or `(N, 17, 2)`; y points down.

    Returns:
        `(N, 17, 2)` float32.

    Raises:
        InputError: If the file is missing, damaged, of another form, or holds numbers
            that are not finite, joints that are missing, poses without extent, or poses
            upside down.
    """
    path = need_file(Path(path), f"give {_FORM}")
    if path.suffix == ".npz":
        array = read_npz_array(path, _ARRAY_NAME)
    elif path.suffix == ".npy":
        array = _read_npy(path)
    else:
        raise InputError(f"{path} is not {_FORM}")
    if array.dtype.kind not in "iuf" or not (array.ndim in (2, 3) and len(array)):
        raise InputError(f"{path}: {array.dtype} {array.shape}, expected {_FORM}")
    if array.ndim == 2 and array.shape[1] == 2 * NUM_JOINTS_17:
        array = array.reshape(-1, NUM_JOINTS_17, 2)
    poses = number_array(array, (None, NUM_JOINTS_17, 2), path, "the array of poses")
    _check_poses(path, poses)
    return poses


def _read_npy(path: Path) -> np.ndarray:
    try:
        # Mapped, so that a header that claims more than the file has allocates nothing.
        return np.load(path, mmap_mode="r", allow_pickle=False)
    # A damaged file fails with ValueError, OSError, EOFError and more.
    except Exception as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise InputError(f"{path} cannot be read ({reason}); give {_FORM}") from error


def _check_poses(path, poses):
    centred = poses - poses[:, :1]
    row = np.flatnonzero(np.ptp(centred, axis=1).max(axis=1) <= 0)
    if len(row):
        raise InputError(
            f"{path}: all joints of pose {row[0]} lie in one point; leave it out"
        )
    # Detectors write 0, 0 for what they did not find.
    missing = (poses[:, 1:] == 0).all(-1) & (poses[:, :1] != 0).any(-1)
    if missing.any():
        row, joint = np.argwhere(missing)[0]
        raise InputError(
            f"{path}: {JOINTS[joint + 1]} of pose {row} lies at exactly (0, 0), which "
            "stands for a missing joint; leave the pose out"
        )
    if np.median(centred[:, JOINT_INDEX_17["head_top"], 1]) > 0:
        raise InputError(
            f"{path}: most heads have a larger y than the pelvis, but y points down; "
            "negate y, or bring the joints into the order of Human3.6M"
        )
