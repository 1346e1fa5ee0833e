"""Part masks, part maps and heat maps of a pose."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from volhuman.body.skeleton import JOINT_INDEX, PART_NAMES
from volhuman.geometry.sampling import sample_trilinear
from volhuman.repose.parts import (
    find_joint_set,
    part_maps,
    part_masks,
    pose_heatmaps,
    view_from_pixels,
)
from volhuman.repose.published import heatmaps, least_squares_maps, stamped_masks

SHAPE = (32, 32, 16)
fit_maps = jax.jit(part_maps, static_argnames=("joint_set", "warp"))


@pytest.fixture
def poses(joints):
    return [np.asarray(view_from_pixels(pose, 32)) for pose in joints]


def _at(mask, point):
    return float(sample_trilinear(mask[..., None], point[None], "zero")[0, 0])


def test_each_bone_lies_in_its_part(poses):
    masks = part_masks(poses[0], SHAPE)
    joint = lambda name: poses[0][JOINT_INDEX[name]]
    for side in ("left", "right"):
        for part, ends in {
            "upper_arm": ("shoulder", "elbow"),
            "lower_arm": ("elbow", "wrist"),
            "thigh": ("hip", "knee"),
            "shin": ("knee", "ankle"),
        }.items():
            middle = (joint(f"{side}_{ends[0]}") + joint(f"{side}_{ends[1]}")) / 2
            assert _at(masks[PART_NAMES.index(f"{side}_{part}")], middle) > 0.5
            other = "right" if side == "left" else "left"
            assert _at(masks[PART_NAMES.index(f"{other}_{part}")], middle) < 0.5
    assert _at(masks[0], joint("spine2")) > 0.5
    assert _at(masks[1], joint("head")) > 0.5


def test_masks_follow_the_body(poses):
    moved = poses[0] + np.array([4 / 32 * 2, 0, 0], np.float32)
    np.testing.assert_allclose(
        part_masks(moved, SHAPE)[:, :, 4:],
        part_masks(poses[0], SHAPE)[:, :, :-4],
        atol=1e-5,
    )


def test_masks_resemble_the_published_ones(shared):
    """The published stamps are biased by up to a voxel; the volumes agree to 30 %."""
    golden = np.load(shared / "golden" / "repose" / "host.npz", allow_pickle=False)
    joints = golden["pose_in"].T
    stamped = stamped_masks(joints)
    view = view_from_pixels(joints - np.array([0, 0, 128.0]), 256)
    ours = part_masks(
        view.astype(np.float32), (64, 64, 32), joint_set=find_joint_set("panoptic19")
    )
    volumes = np.asarray(ours.sum((1, 2, 3))), stamped.sum((1, 2, 3))
    assert (np.abs(np.log(volumes[0] / volumes[1])) < 0.5).all(), volumes
    overlap = np.asarray(jnp.minimum(ours, stamped).sum((1, 2, 3)))
    assert (overlap / volumes[1] > 0.5).all()


@pytest.mark.parametrize("warp", ["3d", "2d"])
def test_the_same_pose_moves_nothing(poses, warp):
    maps = fit_maps(poses[0], poses[0], warp=warp)
    np.testing.assert_allclose(maps, np.tile(np.eye(3, 4), (10, 1, 1)), atol=2e-3)


@pytest.mark.parametrize("warp", ["3d", "2d"])
def test_a_shift_of_the_person_is_undone(poses, warp):
    shift = np.array([0.2, -0.1, 0.0], np.float32)
    maps = fit_maps(poses[0], poses[0] + shift, warp=warp)
    target = poses[0][JOINT_INDEX["left_elbow"]] + shift
    for matrix in np.asarray(maps):
        np.testing.assert_allclose(
            matrix[:, :3] @ target + matrix[:, 3], target - shift, atol=2e-3
        )


def test_maps_take_target_joints_to_source_joints(poses):
    maps = np.asarray(fit_maps(poses[0], poses[1]))
    for part, ends in (
        ("left_upper_arm", "shoulder elbow"),
        ("right_shin", "knee ankle"),
    ):
        side = part.split("_")[0]
        matrix = maps[PART_NAMES.index(part)]
        for end in ends.split():
            joint = JOINT_INDEX[f"{side}_{end}"]
            read = matrix[:, :3] @ poses[1][joint] + matrix[:, 3]
            np.testing.assert_allclose(read, poses[0][joint], atol=5e-3)


def test_flat_maps_keep_depths_and_flat_masks_fill_them(poses):
    maps = np.asarray(fit_maps(poses[0], poses[1], warp="2d"))
    np.testing.assert_array_equal(maps[:, 2], np.tile([0, 0, 1, 0], (10, 1)))
    masks = np.asarray(part_masks(poses[0], SHAPE, flat=True))
    assert (masks == masks[..., :1]).all()
    deep = np.asarray(part_masks(poses[0], SHAPE))
    np.testing.assert_array_equal(masks[..., 0], deep.max(-1))


def test_mirrored_maps_are_the_published_fit_and_mirror():
    generator = np.random.default_rng(0)
    pixels = generator.uniform(60, 200, (2, 19, 3)).astype(np.float32)
    theirs = least_squares_maps(*pixels)[:, :3]
    ours = np.asarray(
        part_maps(*pixels, joint_set=find_joint_set("panoptic19"), warp="mirrored")
    )
    # Torso and head are determined; of limbs only what happens in the joints' plane.
    np.testing.assert_allclose(ours[:2], theirs[:2], rtol=1e-3, atol=0.1)
    names = find_joint_set("panoptic19").names
    shoulder, elbow = (names.index(f"left_{j}") for j in ("shoulder", "elbow"))
    for joint in (shoulder, elbow):
        point = np.append(pixels[1, joint], 1)
        np.testing.assert_allclose(ours[2] @ point, theirs[2] @ point, atol=0.05)
    handedness = np.sign(np.linalg.det(ours[:, :, :3]))
    assert (handedness < 0).any() and (handedness > 0).any()


def test_degenerate_poses_have_finite_maps_and_gradients(poses):
    point = jnp.zeros((24, 3))
    for warp in ("3d", "2d", "mirrored"):
        total = lambda j, warp=warp: fit_maps(poses[0], j, warp=warp).sum()
        value, gradient = jax.jit(jax.value_and_grad(total))(point)
        assert np.isfinite(value) and np.isfinite(gradient).all()


def test_heat_maps_equal_the_published_ones_at_the_same_places():
    generator = np.random.default_rng(0)
    joints = generator.uniform(60, 200, (19, 3)).astype(np.float32)
    # Their voxel i stands at pixel 4 i (8 i in depth), ours at 4 i + 2 (8 i + 4).
    view = view_from_pixels(joints + np.array([2, 2, 4 - 128], np.float32), 256)
    np.testing.assert_allclose(
        pose_heatmaps(view, (64, 64, 32)), heatmaps(joints), atol=1e-4
    )
