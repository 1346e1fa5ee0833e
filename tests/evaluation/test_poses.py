"""Pose metrics: SciPy's Procrustes, hand-made tables, mirrors, missing joints."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
from scipy.spatial.transform import Rotation

from volhuman.body.skeleton import JOINT_NAMES
from volhuman.body.template import load_template
from volhuman.evaluation.poses import (
    H36M_BONE_SUM,
    H36M_EDGES,
    H36M_JOINTS,
    H36M_PROTOCOL_1,
    H36M_PROTOCOL_1_14,
    MPJPE,
    PA_MPJPE,
    POSE_PROTOCOLS,
    PoseProtocol,
    align_similarity,
    auc_continuous,
    auc_discrete,
    joint_distances,
    pck,
    pose_error,
    rescale_bones,
)

ERROR = jax.jit(pose_error, static_argnums=2)


@pytest.fixture
def pair():
    """A pose of 17 joints 4 m from the camera and a noisy estimate, batch of 5."""
    generator = np.random.default_rng(0)
    target = generator.normal([100, -200, 4000], 300, (5, 17, 3))
    return target + generator.normal(0, 40, target.shape), target


def _rooted(joints):
    return joints - joints[..., :1, :]


def test_mpjpe_is_the_mean_distance_relative_to_the_root(pair, variant):
    prediction, target = pair
    expected = np.linalg.norm(_rooted(prediction) - _rooted(target), axis=-1).mean(-1)
    run = variant(lambda a, b: pose_error(a, b, MPJPE))
    np.testing.assert_allclose(run(prediction, target), expected, rtol=1e-5)
    free = dataclasses.replace(MPJPE, root=None)
    expected = np.linalg.norm(prediction - target, axis=-1).mean(-1)
    np.testing.assert_allclose(ERROR(prediction, target, free), expected, rtol=1e-5)


@pytest.mark.parametrize("protocol", POSE_PROTOCOLS.values(), ids=lambda p: p.name)
def test_batch_and_vmap_equal_single_poses(pair, protocol):
    batch = ERROR(*pair, protocol)
    single = [ERROR(a, b, protocol) for a, b in zip(*pair)]
    mapped = jax.jit(jax.vmap(lambda a, b: pose_error(a, b, protocol)))(*pair)
    np.testing.assert_allclose(batch, single, rtol=1e-5)
    np.testing.assert_allclose(mapped, single, rtol=1e-5)


def test_the_root_may_be_any_joint(pair):
    prediction, target = pair
    protocol = dataclasses.replace(MPJPE, root=8)
    expected = np.linalg.norm(
        prediction - prediction[:, 8:9] - target + target[:, 8:9], axis=-1
    )
    np.testing.assert_allclose(
        ERROR(prediction, target, protocol), expected.mean(-1), rtol=1e-5
    )


# -- Procrustes


def _procrustes(prediction, target):
    """Similarity alignment without reflection, by SciPy's SVD, in float64."""
    p, t = prediction - prediction.mean(0), target - target.mean(0)
    u, values, vh = scipy.linalg.svd(t.T @ p)
    sign = np.sign(np.linalg.det(u @ vh))
    rotation = u @ np.diag([1, 1, sign]) @ vh
    scale = (values * [1, 1, sign]).sum() / (p**2).sum()
    return scale * p @ rotation.T + target.mean(0)


def test_pa_mpjpe_equals_the_procrustes_of_scipy(pair):
    prediction, target = pair
    expected = [
        np.linalg.norm(_procrustes(a, b) - b, axis=-1).mean()
        for a, b in zip(prediction, target)
    ]
    np.testing.assert_allclose(ERROR(*pair, PA_MPJPE), expected, rtol=1e-4)
    moved = align_similarity(*pair)
    np.testing.assert_allclose(moved[2], _procrustes(*(x[2] for x in pair)), atol=0.05)


@pytest.mark.parametrize("seed", range(5))
def test_pa_mpjpe_does_not_see_a_similarity(pair, seed):
    generator = np.random.default_rng(seed)
    prediction, target = pair
    rotation = Rotation.random(rng=generator).as_matrix()
    moved = generator.uniform(0.2, 5) * prediction @ rotation.T
    moved = moved + generator.normal(0, 1000, 3)
    before, after = ERROR(*pair, PA_MPJPE), ERROR(moved, target, PA_MPJPE)
    np.testing.assert_allclose(after, before, rtol=2e-3)
    exact = ERROR(generator.uniform(0.2, 5) * target @ rotation.T, target, PA_MPJPE)
    np.testing.assert_allclose(exact, 0, atol=0.05)
    assert (np.abs(ERROR(moved, target, MPJPE) - ERROR(*pair, MPJPE)) > 1).all()


def test_pa_mpjpe_rejects_a_mirrored_body():
    """A reflection allowed by mistake would give 0."""
    rest = 1000 * np.asarray(load_template().joints)
    posed = rest.copy()
    posed[JOINT_NAMES.index("left_wrist")] += [-150, 350, 250]
    posed[JOINT_NAMES.index("left_ankle")] += [0, 250, 300]
    posed[JOINT_NAMES.index("right_knee")] += [0, 50, -200]
    mirrored = posed * [-1, 1, 1]
    assert ERROR(posed * 1.3 + 50, posed, PA_MPJPE) < 0.01
    assert ERROR(mirrored, posed, PA_MPJPE) > 50


# -- bone lengths and the protocols of Human3.6M


def test_bones_sum_to_the_canonical_length_and_the_root_stays(pair, variant):
    rescale = variant(lambda x: rescale_bones(x, H36M_EDGES, H36M_BONE_SUM, root=8))
    joints = np.asarray(rescale(pair[0]))
    total = sum(
        np.linalg.norm(joints[:, a] - joints[:, b], axis=-1) for a, b in H36M_EDGES
    )
    np.testing.assert_allclose(total, H36M_BONE_SUM, rtol=1e-5)
    np.testing.assert_allclose(joints[:, 8], pair[0][:, 8], atol=1e-3)


@pytest.mark.parametrize("scale", [0.01, 0.5, 3.0])
def test_protocol_1_does_not_see_the_size_of_the_prediction(pair, scale):
    prediction, target = pair
    for protocol in (H36M_PROTOCOL_1, H36M_PROTOCOL_1_14):
        expected = ERROR(_rooted(prediction), target, protocol)
        scaled = ERROR(_rooted(prediction) * scale, target, protocol)
        np.testing.assert_allclose(scaled, expected, rtol=1e-4)


def test_protocol_1_is_mpjpe_after_rescaling_over_its_joints(pair):
    prediction, target = map(_rooted, pair)
    lengths = np.array([prediction[:, a] - prediction[:, b] for a, b in H36M_EDGES])
    factor = 4072.3544 / np.linalg.norm(lengths, axis=-1).sum(0)
    distances = np.linalg.norm(prediction * factor[:, None, None] - target, axis=-1)
    np.testing.assert_allclose(
        ERROR(*pair, H36M_PROTOCOL_1), distances.mean(-1), rtol=1e-4
    )
    fourteen = np.delete(distances, [0, 7, 9], axis=-1)
    assert fourteen.shape[-1] == 14
    np.testing.assert_allclose(
        ERROR(*pair, H36M_PROTOCOL_1_14), fourteen.mean(-1), rtol=1e-4
    )


def test_the_bones_are_a_tree_with_left_and_right_alike():
    assert len(H36M_JOINTS) == 17 and len(H36M_EDGES) == 16
    assert sorted(child for _, child in H36M_EDGES) == list(range(1, 17))
    other = {"left": "right", "right": "left"}
    swap = []
    for name in H36M_JOINTS:
        side, _, rest = name.partition("_")
        swap.append(H36M_JOINTS.index(f"{other[side]}_{rest}" if rest else name))
    mirrored = {(swap[a], swap[b]) for a, b in H36M_EDGES}
    assert mirrored == set(H36M_EDGES)


# -- AUC and PCK


TABLE = np.array([0.0, 5.0, 74.9, 75.0, 150.0, 1e6])


def test_the_two_areas_on_a_table_made_by_hand(variant):
    continuous = np.array([1, 29 / 30, 1 - 74.9 / 150, 0.5, 0, 0])
    # Thresholds 0, 5, ..., 150 above the distance, of 31.
    discrete = np.array([30, 29, 16, 15, 0, 0]) / 31
    for function, expected in ((auc_continuous, continuous), (auc_discrete, discrete)):
        each = variant(function)(TABLE[:, None])
        np.testing.assert_allclose(each, expected, atol=1e-6)
        np.testing.assert_allclose(variant(function)(TABLE), expected.mean(), atol=1e-6)


def test_the_discrete_area_is_the_mean_of_pck_over_its_thresholds():
    distances = np.random.default_rng(0).uniform(0, 200, (4, 30))
    curve = [pck(distances, 5.0 * k) for k in range(31)]
    np.testing.assert_allclose(auc_discrete(distances), np.mean(curve, 0), atol=1e-6)
    fine = auc_discrete(distances, step=0.01)
    np.testing.assert_allclose(auc_continuous(distances), fine, atol=2e-4)


def test_pck_counts_joints_strictly_below_the_threshold():
    assert pck(TABLE, 75.0) == pytest.approx(3 / 6)
    assert pck(TABLE, 150.0) == pytest.approx(4 / 6)
    assert pck(TABLE, 75.0, visible=TABLE < 80) == pytest.approx(3 / 4)


# -- missing and broken joints


def test_invisible_joints_change_nothing_whatever_they_hold(pair):
    visible = np.ones((5, 17), bool)
    visible[:, [3, 16]] = False
    kept = [joints[:, visible[0]] for joints in pair]
    for protocol in (MPJPE, PA_MPJPE):
        expected = ERROR(*kept, protocol)
        for junk in (0.0, 1e6, np.nan):
            for spoiled in (0, 1):
                pieces = [joints.copy() for joints in pair]
                pieces[spoiled][:, [3, 16]] = junk
                value = ERROR(*pieces, protocol, visible=visible)
                np.testing.assert_allclose(value, expected, rtol=1e-4)


def test_area_and_pck_leave_invisible_joints_out():
    visible = np.array([True, True, True, True, False, False])
    for function in (auc_continuous, auc_discrete):
        value = function(np.where(visible, TABLE, np.nan), visible=visible)
        np.testing.assert_allclose(value, function(TABLE[:4]), atol=1e-6)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_visible_joint_that_is_not_finite_is_a_failure(pair, value):
    prediction, target = pair
    prediction[1, 5, 2] = value
    for protocol in POSE_PROTOCOLS.values():
        errors = np.asarray(ERROR(prediction, target, protocol))
        assert np.isfinite(errors).tolist() == [True, False, True, True, True]
    distances = joint_distances(prediction, target, MPJPE)
    for score in (auc_continuous, auc_discrete, lambda d: pck(d, 150)):
        assert np.isnan(score(distances)).tolist() == [False, True, False, False, False]


def test_nothing_visible_and_an_invisible_root_give_nan(pair):
    visible = np.ones((5, 17), bool)
    visible[2] = False
    visible[3, 0] = False
    errors = ERROR(*pair, MPJPE, visible=visible)
    assert np.isnan(errors).tolist() == [False, False, True, True, False]
    errors = ERROR(*pair, PA_MPJPE, visible=visible)
    assert np.isnan(errors).tolist() == [False, False, True, False, False]


def test_a_prediction_without_extent_has_no_bones_to_scale(pair):
    point = np.ones_like(pair[0])
    assert np.isnan(ERROR(point, pair[1], H36M_PROTOCOL_1)).all()
    assert np.isfinite(ERROR(point, pair[1], PA_MPJPE)).all()


def test_the_gradient_of_the_error_is_finite_at_zero(pair):
    target = jnp.array(pair[1])
    gradient = jax.grad(lambda x: pose_error(x, target, MPJPE).sum())(target)
    assert (gradient == 0).all()


@pytest.mark.parametrize("shape", [(17, 2), (16, 3), (4, 17)])
def test_refuses_other_shapes(shape):
    with pytest.raises(ValueError, match="has shape"):
        pose_error(np.zeros((17, 3)), np.zeros(shape), MPJPE)


def test_refuses_another_number_of_flags():
    pose = np.zeros((17, 3))
    with pytest.raises(ValueError, match="visible"):
        pose_error(pose, pose, MPJPE, visible=np.ones(16, bool))


def test_refuses_contradicting_protocols():
    with pytest.raises(ValueError, match="edges"):
        PoseProtocol(name="x", bone_sum=1.0)
    with pytest.raises(ValueError, match="align"):
        PoseProtocol(name="x", align="affine")
