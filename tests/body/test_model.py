"""Skinning: golden SMPL values, naive loops with scales, symmetry, gradients."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from volhuman.body.model import (
    BodyParams,
    forward_kinematics,
    pose_body,
    rest_joints,
    rest_params,
    take_vertices,
)
from volhuman.body.skeleton import JOINT_INDEX, NUM_JOINTS, PARENTS, mirror_pose
from volhuman.body.template import build_body, load_template

POSE = jax.jit(pose_body)


@pytest.fixture(scope="module")
def body():
    return load_template()


@pytest.fixture(scope="module")
def small(body):
    """Every 60th vertex of the embedded body: quick, with all 24 joints' weights."""
    return take_vertices(body, jnp.arange(0, body.num_vertices, 60))


def random_params(seed, num_shape=10, scales=True):
    generator = np.random.default_rng(seed)
    spread = 0.2 if scales else 0.0
    return BodyParams(
        pose=jnp.float32(generator.normal(0, 0.5, (NUM_JOINTS, 3))),
        shape=jnp.float32(generator.normal(size=num_shape)),
        scales=jnp.float32(np.exp(generator.normal(0, spread, NUM_JOINTS))),
        translation=jnp.float32(generator.normal(size=3)),
    )


def golden_body(golden, regressed):
    """The synthetic model of PaMIR's tetrahedral SMPL as a body of this package."""
    template, regressor = golden["in/v_template"], golden["in/J_regressor"]
    directions = golden["in/shapedirs"]
    return build_body(
        name="golden",
        template=template,
        shape_dirs=directions,
        pose_dirs=golden["in/posedirs"],
        weights=golden["in/weights"],
        joints=regressor @ template[:regressed],
        joint_dirs=np.einsum("jv,vcs->jcs", regressor, directions[:regressed]),
        faces=np.zeros((1, 3), np.int32),
    )


def test_equals_the_golden_vertices_of_pamirs_body(shared):
    """Joints come from the first 120 of 150 vertices only, after shaping."""
    golden = np.load(shared / "golden" / "pamir" / "tetrasmpl_synthetic.npz")
    np.testing.assert_array_equal(golden["in/parents"], PARENTS[1:])
    body = golden_body(golden, golden["in/J_regressor"].shape[1])
    for number in range(2):
        params = dataclasses.replace(
            rest_params(body),
            pose=golden["in/pose"][number].reshape(24, 3),
            shape=golden["in/beta"][number],
        )
        posed = POSE(body, params)
        expected = golden["out/verts"][number]
        np.testing.assert_allclose(posed.vertices, expected, atol=1e-5)
        blended = np.einsum("vj,jab->vab", golden["in/weights"], posed.transforms)
        np.testing.assert_allclose(blended, golden["out/T"][number, :, :3], atol=1e-5)


def naive_body(model, params):
    """Section B.1 of deform_and_learn.md, joint by joint and vertex by vertex."""
    basis, weights = np.float64(model.basis), np.float64(model.weights)
    shape, scales = np.float64(params.shape), np.float64(params.scales)
    rest = basis[0] + np.einsum("s,scv->cv", shape, basis[1 : 1 + len(shape)])
    joints = np.float64(model.joints) + np.float64(model.joint_dirs) @ shape
    local = Rotation.from_rotvec(np.float64(params.pose)).as_matrix()
    if len(basis) > 1 + len(shape):
        feature = (local[1:] - np.eye(3)).reshape(-1)
        rest = rest + np.einsum("p,pcv->cv", feature, basis[1 + len(shape) :])
    rotations = [local[0]]
    positions = [joints[0] + np.float64(params.translation)]
    for joint in range(1, NUM_JOINTS):
        parent = PARENTS[joint]
        offset = scales[parent] * (joints[joint] - joints[parent])
        rotations.append(rotations[parent] @ local[joint])
        positions.append(positions[parent] + rotations[parent] @ offset)
    vertices = np.zeros((rest.shape[1], 3))
    for vertex, joint in np.ndindex(rest.shape[1], NUM_JOINTS):
        if weights[joint, vertex] > 0:
            own = scales[joint] * (rest[:, vertex] - joints[joint])
            moved = rotations[joint] @ own + positions[joint]
            vertices[vertex] += weights[joint, vertex] * moved
    return vertices, np.array(positions), np.array(rotations)


@pytest.mark.parametrize("seed", [0, 1])
def test_equals_naive_loops_with_segment_scales(variant, small, seed):
    params = random_params(seed)
    posed = variant(pose_body)(small, params)
    vertices, joints, rotations = naive_body(small, params)
    np.testing.assert_allclose(posed.vertices, vertices, atol=1e-5)
    np.testing.assert_allclose(posed.joints, joints, atol=1e-5)
    linear = rotations * np.float64(params.scales)[:, None, None]
    np.testing.assert_allclose(posed.transforms[..., :3], linear, atol=1e-5)
    # Each transform takes its rest joint to the posed joint.
    rest = np.float64(rest_joints(small, params.shape))
    moved = np.einsum("jab,jb->ja", posed.transforms[..., :3], rest)
    moved = moved + posed.transforms[..., 3]
    np.testing.assert_allclose(moved, posed.joints, atol=1e-5)


def test_pose_directions_and_scales_together_equal_naive_loops(shared):
    golden = np.load(shared / "golden" / "pamir" / "tetrasmpl_synthetic.npz")
    body = golden_body(golden, 120)
    params = random_params(2)
    vertices, _, _ = naive_body(body, params)
    np.testing.assert_allclose(POSE(body, params).vertices, vertices, atol=1e-5)


def test_rest_parameters_give_the_template(body):
    posed = POSE(body, rest_params(body))
    np.testing.assert_allclose(posed.vertices, body.template, atol=2e-6)
    np.testing.assert_allclose(posed.joints, body.joints, atol=2e-6)
    assert body.template.shape == (body.num_vertices, 3)


def test_a_rigid_motion_turns_about_the_pelvis(small):
    params = random_params(3)
    still = dataclasses.replace(
        params, pose=params.pose.at[0].set(0), translation=jnp.zeros(3)
    )
    before, after = POSE(small, still), POSE(small, params)
    turn = Rotation.from_rotvec(params.pose[0]).as_matrix()
    pelvis = np.asarray(rest_joints(small, params.shape)[0])
    expected = (before.vertices - pelvis) @ turn.T + pelvis + params.translation
    np.testing.assert_allclose(after.vertices, expected, atol=1e-5)


def test_one_common_scale_scales_the_body_about_the_pelvis(small):
    params = random_params(4, scales=False)
    larger = dataclasses.replace(params, scales=jnp.full(NUM_JOINTS, 1.7))
    one, two = POSE(small, params), POSE(small, larger)
    expected = (one.vertices - one.joints[0]) * 1.7 + one.joints[0]
    np.testing.assert_allclose(two.vertices, expected, atol=1e-5)


def test_a_scaled_segment_lengthens_its_bone_and_moves_what_hangs_on_it(small):
    params = rest_params(small)
    elbow, wrist = JOINT_INDEX["left_elbow"], JOINT_INDEX["left_wrist"]
    scaled = dataclasses.replace(params, scales=params.scales.at[elbow].set(1.5))
    one, two = POSE(small, params).joints, POSE(small, scaled).joints
    length = np.linalg.norm(one[wrist] - one[elbow])
    np.testing.assert_allclose(np.linalg.norm(two[wrist] - two[elbow]), 1.5 * length)
    moved = np.abs(two - one).max(1) > 1e-5
    expected = {"left_wrist", "left_hand"}
    assert {n for n, j in JOINT_INDEX.items() if moved[j]} == expected


def test_the_mirrored_pose_gives_the_mirrored_body(body):
    """On the embedded body, whose vertices come in mirrored pairs."""
    params = random_params(5, scales=False)
    shape = jnp.zeros(10)
    params = dataclasses.replace(params, shape=shape, translation=jnp.zeros(3))
    mirrored = dataclasses.replace(params, pose=jnp.asarray(mirror_pose(params.pose)))
    one, two = POSE(body, params), POSE(body, mirrored)
    sign = np.array([-1, 1, 1])
    np.testing.assert_allclose(
        two.vertices, np.asarray(one.vertices)[body.mirror] * sign, atol=2e-3
    )
    difference = np.abs(two.vertices - np.asarray(one.vertices)[body.mirror] * sign)
    assert difference.mean() < 1e-4
    np.testing.assert_array_equal(np.asarray(body.mirror)[body.mirror], np.arange(6890))


def test_vmap_equals_a_loop(small):
    people = [random_params(seed) for seed in (6, 7, 8)]
    batch = jax.tree.map(lambda *leaves: jnp.stack(leaves), *people)
    posed = jax.jit(jax.vmap(pose_body, in_axes=(None, 0)))(small, batch)
    for number, params in enumerate(people):
        single = POSE(small, params)
        for one, two in zip(jax.tree.leaves(posed), jax.tree.leaves(single)):
            np.testing.assert_allclose(one[number], two, atol=2e-6)


def test_gradients_are_finite_at_rest_and_match_finite_differences(small):
    """At the zero pose, where the angle of every joint has no derivative of its own."""
    factors = np.random.default_rng(9).normal(size=(small.num_vertices, 3))
    loss = lambda params: (pose_body(small, params).vertices * factors).sum()
    slope = jax.jit(jax.grad(loss))
    generator = np.random.default_rng(10)
    for params in (rest_params(small), random_params(11)):
        gradient = slope(params)
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))
        direction = jax.tree.map(
            lambda x: np.float64(generator.normal(size=x.shape)), params
        )
        ends = []
        for step in (1e-5, -1e-5):
            moved = jax.tree.map(
                lambda x, d, s=step: np.float64(x) + s * d, params, direction
            )
            ends.append((naive_body(small, moved)[0] * factors).sum())
        numeric = (ends[0] - ends[1]) / 2e-5
        computed = sum(
            (np.float64(g) * d).sum()
            for g, d in zip(jax.tree.leaves(gradient), jax.tree.leaves(direction))
        )
        np.testing.assert_allclose(computed, numeric, rtol=1e-4)


def test_taken_vertices_are_those_of_the_whole_body(body):
    numbers = jnp.array([5, 17, 5, 6000])
    params = random_params(12)
    whole = POSE(body, params).vertices
    part = POSE(take_vertices(body, numbers), params).vertices
    np.testing.assert_allclose(part, whole[numbers], atol=2e-6)


def test_forward_kinematics_equals_the_chain_of_rotations():
    generator = np.random.default_rng(13)
    rotations = Rotation.random(24, generator).as_matrix().astype(np.float32)
    rest = generator.normal(size=(24, 3)).astype(np.float32)
    linear, joints = jax.jit(forward_kinematics)(
        rotations, rest, jnp.ones(24), jnp.zeros(3)
    )
    for name in ("left_hand", "right_foot", "head"):
        chain, joint = [], JOINT_INDEX[name]
        while joint >= 0:
            chain.append(joint)
            joint = PARENTS[joint]
        rotation, position = np.eye(3), rest[0].astype(np.float64)
        for outer, inner in zip(chain[:0:-1], chain[-2::-1]):
            rotation = rotation @ rotations[outer]
            position = position + rotation @ (rest[inner] - rest[outer])
        rotation = rotation @ rotations[chain[0]]
        np.testing.assert_allclose(linear[chain[0]], rotation, atol=1e-5)
        np.testing.assert_allclose(joints[chain[0]], position, atol=1e-5)


def test_equals_smplx_on_a_synthetic_model(shared):
    lbs = pytest.importorskip("smplx.lbs").lbs
    torch = pytest.importorskip("torch")
    golden = np.load(shared / "golden" / "pamir" / "tetrasmpl_synthetic.npz")
    template = golden["in/v_template"][:120]
    arrays = {
        key: golden[f"in/{key}"][:120] for key in ("shapedirs", "posedirs", "weights")
    }
    regressor = golden["in/J_regressor"]
    body = build_body(
        name="smplx",
        template=template,
        shape_dirs=arrays["shapedirs"],
        pose_dirs=arrays["posedirs"],
        weights=arrays["weights"],
        joints=regressor @ template,
        joint_dirs=np.einsum("jv,vcs->jcs", regressor, arrays["shapedirs"]),
        faces=np.zeros((1, 3), np.int32),
    )
    params = random_params(14, scales=False)
    params = dataclasses.replace(params, translation=jnp.zeros(3))
    tensor = lambda x: torch.from_numpy(np.array(x, np.float32))
    vertices, joints = lbs(
        tensor(params.shape)[None],
        tensor(params.pose).reshape(1, -1),
        tensor(template)[None],
        tensor(arrays["shapedirs"]),
        tensor(arrays["posedirs"].reshape(-1, 207).T),
        tensor(regressor),
        torch.from_numpy(PARENTS.astype(np.int64)),
        tensor(arrays["weights"]),
    )
    posed = POSE(body, params)
    np.testing.assert_allclose(posed.vertices, vertices[0].numpy(), atol=1e-5)
    np.testing.assert_allclose(posed.joints, joints[0].numpy(), atol=1e-5)


def test_says_which_shape_is_wrong(small):
    params = rest_params(small)
    with pytest.raises(ValueError, match="pose has shape"):
        pose_body(small, dataclasses.replace(params, pose=jnp.zeros((23, 3))))
    with pytest.raises(ValueError, match="shape has shape"):
        pose_body(small, dataclasses.replace(params, shape=jnp.zeros(11)))
