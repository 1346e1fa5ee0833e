"""The joint tree, its mirror and the names that formats rely on."""

import numpy as np
from scipy.spatial.transform import Rotation

from volhuman.body.skeleton import (
    JOINT_INDEX,
    JOINT_NAMES,
    MIRROR,
    NUM_JOINTS,
    PARENTS,
    PART_NAMES,
    exchange_sides,
    mirror_pose,
)


def test_the_tree_is_that_of_smpl():
    """Each joint comes after its parent; the chains to head, hands and feet."""
    assert NUM_JOINTS == len(JOINT_NAMES) == len(set(JOINT_NAMES)) == 24
    assert PARENTS[0] == -1 and (PARENTS[1:] < np.arange(1, 24)).all()

    def chain(name):
        names, joint = [], JOINT_INDEX[name]
        while joint >= 0:
            names.append(JOINT_NAMES[joint])
            joint = PARENTS[joint]
        return names

    spine = ["spine3", "spine2", "spine1", "pelvis"]
    assert chain("head") == ["head", "neck", *spine]
    arm = ["hand", "wrist", "elbow", "shoulder", "collar"]
    leg = ["foot", "ankle", "knee", "hip"]
    for side in ("left", "right"):
        assert chain(f"{side}_hand") == [*(f"{side}_{n}" for n in arm), *spine]
        assert chain(f"{side}_foot") == [*(f"{side}_{n}" for n in leg), "pelvis"]


def test_mirroring_names_and_joints_is_an_involution_that_keeps_the_tree():
    for joint, name in enumerate(JOINT_NAMES):
        assert exchange_sides(exchange_sides(name)) == name
        assert JOINT_NAMES[MIRROR[joint]] == exchange_sides(name)
    np.testing.assert_array_equal(MIRROR[MIRROR], np.arange(24))
    np.testing.assert_array_equal(PARENTS[MIRROR][1:], MIRROR[PARENTS[1:]])
    assert {exchange_sides(name) for name in PART_NAMES} == set(PART_NAMES)
    assert len(PART_NAMES) == 10


def test_a_mirrored_pose_turns_as_the_reflected_rotation_does():
    """mirror R mirror for the mirror x -> -x, with left and right exchanged."""
    pose = np.random.default_rng(0).normal(size=(3, 24, 3)).astype(np.float32)
    mirrored = mirror_pose(pose)
    np.testing.assert_allclose(mirror_pose(mirrored), pose)
    flip = np.diag([-1, 1, 1])
    for joint in range(24):
        before = Rotation.from_rotvec(pose[:, MIRROR[joint]]).as_matrix()
        after = Rotation.from_rotvec(mirrored[:, joint]).as_matrix()
        np.testing.assert_allclose(after, flip @ before @ flip, atol=1e-6)
