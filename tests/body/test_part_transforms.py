"""Part transforms: exact recovery, the twist of straight limbs, continuity, noise.

Oracle: the published fit (a synthetic third point along the bending normal) in NumPy,
with the determinant repaired.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from volhuman.body.part_transforms import (
    BODY24,
    PANOPTIC19,
    fit_limb,
    fit_part_transforms,
)
from volhuman.body.skeleton import PART_NAMES
from volhuman.body.template import load_template
from volhuman.geometry.rotation import minimal_rotation

NUM_LIMBS = 2000
LENGTH, NOISE = 80.0, 1.0
FIT_LIMBS = jax.jit(jax.vmap(fit_limb))
FIT_PARTS = {
    joint_set.name: jax.jit(functools.partial(fit_part_transforms, joint_set=joint_set))
    for joint_set in (BODY24, PANOPTIC19)
}
PANOPTIC_REST = {
    "nose": (0, 0.55, 0.1),
    "left_eye": (0.03, 0.58, 0.08),
    "right_eye": (-0.03, 0.58, 0.08),
    "left_ear": (0.07, 0.57, 0.01),
    "right_ear": (-0.07, 0.57, 0.01),
}


def rest_joints(joint_set):
    """T-posed joints with perfectly straight arms and legs, metres."""
    body = dict(zip(BODY24.names, np.float64(load_template().joints)))
    joints = np.array(
        [body.get(name, PANOPTIC_REST.get(name)) for name in joint_set.names],
        np.float64,
    )
    index = joint_set.names.index
    for side in ("left", "right"):
        for start, middle, end in (
            ("shoulder", "elbow", "wrist"),
            ("hip", "knee", "ankle"),
        ):
            start, middle, end = (index(f"{side}_{n}") for n in (start, middle, end))
            along = joints[middle] - joints[start]
            joints[end] = joints[middle] + 0.9 * along
    return joints


@pytest.fixture(scope="module", params=[BODY24, PANOPTIC19], ids=lambda s: s.name)
def joint_set(request):
    return request.param


def limbs(bends, reach=0.9):
    """Limbs `(N, 3, 3)` along x that bend in the x-y plane by the given angles."""
    bends = np.asarray(bends, np.float64)
    end = np.stack([1 + reach * np.cos(bends), reach * np.sin(bends), 0 * bends], -1)
    start = np.zeros_like(end)
    return LENGTH * np.stack([start, start + np.eye(3)[0], end], axis=1)


def angles_between(rotations, others):
    return np.rad2deg(
        Rotation.from_matrix(rotations @ others.swapaxes(-1, -2)).magnitude()
    )


def published_fit(source, target):
    """Rotations of the published three-point fit, mirrors repaired: `(N, 3, 3)`."""

    def completed(joints):
        bone, beyond = joints[:, 1] - joints[:, 0], joints[:, 2] - joints[:, 1]
        normal = np.cross(bone, beyond)
        normal /= np.linalg.norm(normal, axis=1, keepdims=True)
        third = joints[:, 1] + normal * np.linalg.norm(beyond, axis=1, keepdims=True)
        points = np.stack([joints[:, 0], joints[:, 1], third], axis=1)
        return points - points.mean(1, keepdims=True)

    moment = completed(target).swapaxes(1, 2) @ completed(source)
    u, _, vt = np.linalg.svd(moment)
    u[:, :, 2] *= np.linalg.det(u @ vt)[:, None]
    return u @ vt


def noisy_limbs(bend, largest_twist, seed=0):
    """Limbs before and after, true motions and motions of the part they hang on."""
    generator = np.random.default_rng(seed)
    source = limbs(np.full(NUM_LIMBS, np.deg2rad(bend)))
    turn = Rotation.random(NUM_LIMBS, generator).as_matrix()
    source = np.einsum("nij,nkj->nki", turn, source)
    bone = source[:, 1] - source[:, 0]
    bone /= np.linalg.norm(bone, axis=1, keepdims=True)
    parent = Rotation.random(NUM_LIMBS, generator)
    # The limb turns against its parent without twist, then twists about itself.
    across = np.cross(bone, generator.normal(size=bone.shape))
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    swing = Rotation.from_rotvec(across * generator.uniform(0, 1.5, (NUM_LIMBS, 1)))
    twist = np.deg2rad(generator.uniform(-1, 1, (NUM_LIMBS, 1)) * largest_twist)
    true = (parent * swing * Rotation.from_rotvec(twist * bone)).as_matrix()
    target = np.einsum("nij,nkj->nki", true, source)
    target += generator.normal(0, NOISE, target.shape)
    return source, target, true, parent.as_matrix()


def fitted(source, target, parent):
    return FIT_LIMBS(*(np.float32(x) for x in (source, target, parent)))


@pytest.mark.parametrize("bend,limit", [(0, 5), (2, 5), (10, 8)])
def test_a_nearly_straight_limb_is_not_twisted_by_noise(bend, limit):
    """1 px on an 80 px limb; the published fit is off by 87, 54 and 10 degrees."""
    source, target, true, parent = noisy_limbs(bend, largest_twist=0)
    source = source + np.random.default_rng(9).normal(0, NOISE, source.shape)
    rotation = np.asarray(fitted(source, target, parent).rotation)
    error = np.median(angles_between(rotation, true))
    published = np.median(angles_between(published_fit(source, target), true))
    assert error < limit
    assert error < published


@pytest.mark.parametrize("bend", [30, 60, 90])
def test_a_visible_twist_is_found_as_well_as_by_the_published_fit(bend):
    """Twists up to 90 degrees against the parent."""
    source, target, true, parent = noisy_limbs(bend, largest_twist=90)
    rotation = np.asarray(fitted(source, target, parent).rotation)
    error = np.median(angles_between(rotation, true))
    published = np.median(angles_between(published_fit(source, target), true))
    assert error < 1.02 * published
    assert published < 10


def test_a_straight_limb_has_no_twist_against_its_parent():
    """Its rotation is the parent's, then the smallest one that aligns the bone."""
    source, target, _, parent = noisy_limbs(0, largest_twist=0)
    for joints in (source, target):  # exactly straight
        joints[:, 2] = joints[:, 1] + 0.9 * (joints[:, 1] - joints[:, 0])
    fit = fitted(source, target, parent)
    bone_source, bone_target = (np.float32(x[:, 1] - x[:, 0]) for x in (source, target))
    carried = np.einsum("nij,nj->ni", np.float32(parent), bone_source)
    expected = np.asarray(minimal_rotation(carried, bone_target)) @ parent
    assert angles_between(np.asarray(fit.rotation), expected).max() < 0.1
    moved = np.asarray(fit.apply(np.float32(source)))[:, :2]
    np.testing.assert_allclose(moved, target[:, :2], atol=1.0)


SWEEPS = {
    # name: bends of the source and of the target for the parameter in degrees, and the
    # twist against the parent; +-3.5 degrees pass through the straight limb.
    "straight source": (lambda b: 0 * b, lambda b: b, 0),
    "bent source": (lambda b: 0 * b + 20, lambda b: 3.5 / 25 * b, 0),
    "both": (lambda b: b, lambda b: b, 0),
    "both, twisted by 60": (lambda b: b, lambda b: b, 60),
    "both, twisted by 120": (lambda b: np.abs(b), lambda b: np.abs(b), 120),
    "source through straight": (lambda b: 3.5 / 25 * b, lambda b: 0 * b + 20, 0),
}


@pytest.mark.parametrize("case", SWEEPS)
def test_the_rotation_varies_continuously_as_a_limb_bends_through_straight(case):
    """Change of rotation at most 60 times the change of bend, on a fine sweep.

    The bending plane's normal flips where the limb is straight: the published fit jumps
    there by 180 degrees.
    """
    bend_source, bend_target, twist = SWEEPS[case]
    sweep = np.linspace(-25, 25, 2001)
    turn = Rotation.from_rotvec([0.4, -0.3, 0.2])
    source = limbs(np.deg2rad(bend_source(sweep)))
    about_bone = Rotation.from_rotvec([np.deg2rad(twist), 0, 0])
    target = limbs(np.deg2rad(bend_target(sweep)))
    target = target @ (turn * about_bone).as_matrix().T
    parent = np.tile(turn.as_matrix(), (len(sweep), 1, 1))
    rotation = np.float64(fitted(source, target, parent).rotation)
    change = angles_between(rotation[1:], rotation[:-1])
    assert change.max() < 60 * (sweep[1] - sweep[0])
    follows = angles_between(rotation, parent)
    # The straight limb has no twist; the clearly bent one has the twist that it shows.
    np.testing.assert_allclose(follows[len(sweep) // 2], 0, atol=0.1)
    if "both" in case:
        np.testing.assert_allclose(follows[[0, -1]], twist, atol=0.1)


def test_a_similarity_of_all_joints_is_recovered_for_every_part(joint_set):
    """Straight limbs included, whose twist the joints alone do not show."""
    generator = np.random.default_rng(1)
    source = rest_joints(joint_set)
    bent = source + generator.normal(0, 0.08, source.shape)
    for joints in (source, bent):
        for _ in range(4):
            rotation = Rotation.random(random_state=generator).as_matrix()
            scale, shift = np.exp(generator.normal(0, 0.3)), generator.normal(size=3)
            target = scale * joints @ rotation.T + shift
            fit = FIT_PARTS[joint_set.name](np.float32(joints), np.float32(target))
            assert fit.rotation.shape == (len(PART_NAMES), 3, 3)
            for part, name in enumerate(PART_NAMES):
                np.testing.assert_allclose(
                    fit.rotation[part], rotation, atol=1e-4, err_msg=name
                )
                np.testing.assert_allclose(fit.scale[part], scale, rtol=1e-4)
                np.testing.assert_allclose(fit.translation[part], shift, atol=3e-4)


def test_the_identity_pose_gives_identities(joint_set):
    joints = np.float32(rest_joints(joint_set))
    matrices = FIT_PARTS[joint_set.name](joints, joints).as_matrix()
    expected = np.broadcast_to(np.eye(4), (10, 4, 4))
    np.testing.assert_allclose(matrices, expected, atol=1e-5)


def test_every_part_follows_its_own_joints(joint_set):
    """Raising one lower arm moves that part alone, and takes its joints along."""
    source = rest_joints(joint_set)
    target = source.copy()
    elbow, wrist = (joint_set.names.index(f"left_{n}") for n in ("elbow", "wrist"))
    turn = Rotation.from_rotvec([0, 0, 1.2]).as_matrix()
    target[wrist] = target[elbow] + turn @ (target[wrist] - target[elbow])
    fit = FIT_PARTS[joint_set.name](np.float32(source), np.float32(target))
    changed = np.abs(np.asarray(fit.rotation) - np.eye(3)).max((1, 2)) > 1e-3
    lower = PART_NAMES.index("left_lower_arm")
    upper = PART_NAMES.index("left_upper_arm")
    assert changed[lower] and not np.delete(changed, [lower, upper]).any()
    moved = jax.tree.map(lambda leaf: leaf[lower], fit).apply(
        jnp.float32(source[[elbow, wrist]])
    )
    np.testing.assert_allclose(moved, target[[elbow, wrist]], atol=1e-5)


def test_matches_the_published_transforms_on_the_golden_pose(shared):
    """Where the published fit is no mirror and the limb clearly bends.

    Their matrices map the target pose to the input pose, in pixels.
    """
    golden = np.load(shared / "golden" / "repose" / "host.npz")
    source, target = golden["pose_tg"].T, golden["pose_in"].T
    fit = FIT_PARTS["panoptic19"](source, target)
    helmert = np.float64(golden["helmert"])
    proper = np.linalg.det(helmert[:, :3, :3]) > 0
    head = PART_NAMES.index("head")
    assert proper[head]
    np.testing.assert_allclose(fit.as_matrix()[head], helmert[head], atol=2e-3)
    determinants = np.linalg.det(np.float64(fit.rotation))
    np.testing.assert_allclose(determinants, 1, atol=1e-5)
    # In the plane of the points a mirror does the same: compare what happens there.
    bones = {2: (2, 3), 3: (4, 3), 4: (8, 9), 5: (10, 9), 6: (5, 6), 7: (7, 6)}
    for part, ends in bones.items():
        moved = source[list(ends)] @ helmert[part, :3, :3].T + helmert[part, :3, 3]
        ours = jax.tree.map(lambda leaf, part=part: leaf[part], fit).apply(
            source[list(ends)]
        )
        np.testing.assert_allclose(ours, moved, atol=2.5)


BENDS = [0.0, 1e-6, 1e-3, 0.5]


@pytest.fixture(scope="module")
def limb_gradient():
    def loss(source, target, parent):
        fit = fit_limb(source, target, parent)
        factors = jnp.arange(9.0).reshape(3, 3)
        return fit.scale + (fit.rotation * factors).sum() + fit.translation.sum()

    return jax.jit(jax.vmap(jax.grad(loss, argnums=(0, 1))))


def test_determinant_and_gradient_for_straight_and_coincident_limbs(limb_gradient):
    """Bends of 0, 1e-6, 1e-3 on either side; joints that coincide in all ways."""
    straight = limbs(BENDS)
    pairs = [(a, b) for a in straight for b in straight]
    pairs += [(a, -b) for a in straight for b in straight]  # the bone turned over
    folded = limbs([np.pi])[0]
    zero, point = np.zeros((3, 3)), np.full((3, 3), 7.0)
    first_two = np.array([[0, 0, 0], [0, 0, 0], [1, 2, 3.0]]) * LENGTH
    last_two = np.array([[0, 0, 0], [1, 2, 3.0], [1, 2, 3]]) * LENGTH
    special = [folded, zero, point, first_two, last_two, straight[3]]
    pairs += [(a, b) for a in special for b in special]
    source, target = (np.float32([pair[k] for pair in pairs]) for k in (0, 1))
    parent = np.tile(np.eye(3, dtype=np.float32), (len(pairs), 1, 1))
    fit = FIT_LIMBS(source, target, parent)
    determinants = np.linalg.det(np.float64(fit.rotation))
    np.testing.assert_allclose(determinants, 1, atol=1e-5)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(fit))
    for gradient in limb_gradient(source, target, parent):
        bad = ~np.isfinite(gradient).all((1, 2))
        assert not bad.any(), [pairs[k] for k in np.flatnonzero(bad)[:3]]


@pytest.mark.slow  # compiles for half a minute; the limbs are tested above
def test_gradient_of_all_parts_is_finite_for_straight_and_coincident_joints(joint_set):
    loss = lambda s, t: sum(
        (leaf * jnp.arange(1.0, leaf.size + 1).reshape(leaf.shape)).sum()
        for leaf in jax.tree.leaves(fit_part_transforms(s, t, joint_set))
    )
    slope = jax.jit(jax.vmap(jax.grad(loss, argnums=(0, 1))))
    rest = rest_joints(joint_set)
    line = np.outer(np.arange(len(rest)), [1.0, 2, 3])
    cases = [rest, rest * [1, 1, 0], np.zeros_like(rest), np.ones_like(rest), line]
    pairs = [(a, b) for a in cases for b in (rest, cases[2], line)]
    source, target = (np.float32([pair[k] for pair in pairs]) for k in (0, 1))
    for gradient in slope(source, target):
        assert np.isfinite(gradient).all()
    fit = jax.jit(
        jax.vmap(functools.partial(fit_part_transforms, joint_set=joint_set))
    )(source, target)
    determinants = np.linalg.det(np.float64(fit.rotation))
    np.testing.assert_allclose(determinants, 1, atol=1e-5)


def test_gradient_of_a_limb_matches_finite_differences(limb_gradient):
    """Bends in, between and beyond the range where the plane begins to count."""
    source = limbs(np.deg2rad([3, 8, 14, 40]))
    turn = Rotation.from_rotvec([0.4, -0.3, 0.2]).as_matrix()
    target = limbs(np.deg2rad([4, 10, 12, 55])) @ turn.T + [5, 3, 1]
    source, target = source / LENGTH, target / LENGTH
    with jax.enable_x64(True):
        parent = jnp.tile(jnp.eye(3), (4, 1, 1))
        source, target = jnp.asarray(source), jnp.asarray(target)
        slopes = [np.asarray(g) for g in limb_gradient(source, target, parent)]

        def loss(source, target):
            fit = FIT_LIMBS(source, target, parent)
            factors = jnp.arange(9.0).reshape(3, 3)
            return np.asarray(
                fit.scale
                + (fit.rotation * factors).sum((1, 2))
                + fit.translation.sum(1)
            )

        generator = np.random.default_rng(3)
        for _ in range(3):
            d, e = generator.normal(size=(2, 4, 3, 3))
            ends = [loss(source + s * d, target + s * e) for s in (1e-6, -1e-6)]
            numeric = (ends[0] - ends[1]) / 2e-6
            computed = (slopes[0] * d).sum((1, 2)) + (slopes[1] * e).sum((1, 2))
            np.testing.assert_allclose(computed, numeric, rtol=1e-3, atol=1e-4)


def test_plain_jit_and_vmap_agree():
    generator = np.random.default_rng(4)
    rest = rest_joints(BODY24)
    source, target = rest + generator.normal(0, 0.1, (2, 3, 24, 3))
    source, target = np.float32(source), np.float32(target)
    mapped = jax.jit(jax.vmap(fit_part_transforms))(source, target)
    eye = jnp.eye(3)
    limb = fit_limb(source[0][:3], target[0][:3], eye)
    compiled = FIT_LIMBS(source[:1, :3], target[:1, :3], eye[None])
    for one, two in zip(jax.tree.leaves(limb), jax.tree.leaves(compiled)):
        np.testing.assert_allclose(one, two[0], atol=1e-5)
    for number in range(3):
        single = FIT_PARTS["body24"](source[number], target[number])
        for one, two in zip(jax.tree.leaves(mapped), jax.tree.leaves(single)):
            np.testing.assert_allclose(one[number], two, atol=1e-5)


def test_refuses_joints_of_another_format():
    with pytest.raises(ValueError, match="source_joints has shape"):
        fit_part_transforms(jnp.zeros((19, 3)), jnp.zeros((19, 3)))
    with pytest.raises(ValueError, match="target_joints has shape"):
        fit_part_transforms(jnp.zeros((19, 3)), jnp.zeros((24, 3)), PANOPTIC19)
