"""The adversarial lifter: sizes, turns, losses, and what its sign depends on."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from volhuman.deform_and_learn.depth_config import LAYOUTS
from volhuman.deform_and_learn.depth_gan import (
    Critic,
    Lifter,
    anatomy_loss,
    critic_accuracy,
    critic_loss,
    faces_camera,
    lift_depths,
    lift_normalized,
    lifter_loss,
    nose_in_front,
    published_direction_loss,
    rotate_vertical,
    update_gates,
)
from volhuman.deform_and_learn.poses_2d import sample_joints, view_joints
from volhuman.training.describe import count_parameters

MIRROR = np.array([1.0, 1.0, -1.0], np.float32)


@pytest.fixture(scope="module")
def people():
    """Synthetic people seen by cameras, some of whom lie."""
    joints = sample_joints(24, seed=1)
    return view_joints(np.random.default_rng(0), np.repeat(joints, 4, axis=0))


@pytest.fixture(scope="module")
def params():
    init = jax.jit(Lifter(32).init)
    return init(jax.random.key(0), jnp.zeros((1, 17, 2)))["params"]


# -- networks


@pytest.mark.parametrize("network, count", [(Lifter, 2_152_465), (Critic, 2_136_065)])
def test_published_sizes(network, count):
    poses = jax.ShapeDtypeStruct((1, 17, 2), jnp.float32)
    shapes = jax.eval_shape(network().init, jax.random.key(0), poses)
    assert count_parameters(shapes) == count


@pytest.mark.parametrize("network", [Lifter, Critic])
def test_the_skip_is_added_before_the_activation(network):
    poses = np.random.default_rng(0).normal(size=(3, 17, 2)).astype(np.float32)
    params = jax.jit(network(8).init)(jax.random.key(1), poses)
    layers = params["params"]["perceptron"]

    def dense(x, name):
        return x @ np.asarray(layers[name]["kernel"]) + np.asarray(layers[name]["bias"])

    leaky = lambda x: np.where(x > 0, x, 0.2 * x)
    first = leaky(dense(poses.reshape(3, 34), "layer1"))
    second = leaky(dense(first, "layer2"))
    expected = dense(leaky(dense(second, "layer3") + first), "layer4")
    found = np.asarray(jax.jit(network(8).apply)(params, poses))
    np.testing.assert_allclose(found.reshape(3, -1), expected, rtol=1e-4, atol=1e-6)


def test_weights_of_the_published_width_have_the_published_deviation():
    init = jax.jit(Lifter().init)
    params = init(jax.random.key(0), jnp.zeros((1, 17, 2)))["params"]
    kernel = params["perceptron"]["layer2"]["kernel"]
    assert abs(float(kernel.std()) - 0.02) < 2e-4
    assert not np.any(params["perceptron"]["layer2"]["bias"])


def test_depths_follow_scale_and_ignore_place(params, people):
    pixels = 200 * people[..., :2] + np.array([300.0, 150.0], np.float32)
    lift = jax.jit(lift_depths)
    depths = lift(params, pixels)
    np.testing.assert_array_equal(depths[:, 0], 0)
    assert np.abs(depths).max() > 1
    moved = lift(params, 3 * pixels + np.array([-1000.0, 77.0]))
    np.testing.assert_allclose(moved, 3 * depths, atol=0.05)
    one = lift(params, pixels[5])
    np.testing.assert_allclose(one, depths[5], rtol=1e-3, atol=1e-3)


def test_a_pose_in_one_point_has_depths_of_0(params):
    depths = jax.jit(lift_depths)(params, np.ones((17, 2)))
    np.testing.assert_array_equal(depths, 0)


# -- turns


def test_a_full_turn_changes_nothing(people):
    turned = rotate_vertical(people, np.full(len(people), 2 * np.pi))
    np.testing.assert_allclose(turned, people, atol=1e-5)


def test_turns_keep_heights_and_distances_and_add_up(people):
    angles = np.random.default_rng(1).uniform(0, 7, (2, len(people)))
    turned = np.asarray(rotate_vertical(people, angles[0]))
    np.testing.assert_array_equal(turned[..., 1], people[..., 1])
    distances = lambda x: np.linalg.norm(x[:, :, None] - x[:, None], axis=-1)
    np.testing.assert_allclose(distances(turned), distances(people), atol=1e-5)
    twice = rotate_vertical(turned, angles[1])
    np.testing.assert_allclose(twice, rotate_vertical(people, angles.sum(0)), atol=1e-5)


def test_a_quarter_turn_brings_what_lies_behind_to_the_right():
    behind = np.zeros((17, 3), np.float32)
    behind[:, 2] = 1
    turned = rotate_vertical(behind, np.pi / 2)
    np.testing.assert_allclose(turned[0], [1, 0, 0], atol=1e-6)


def test_mirrored_depths_look_the_same_from_the_opposite_side(people):
    """Why no critic of turned poses can tell one from the other."""
    angles = np.random.default_rng(2).uniform(0, 7, len(people))
    mirrored = rotate_vertical(people * MIRROR, angles)[..., :2]
    other_way = rotate_vertical(people, -angles)[..., :2]
    np.testing.assert_allclose(mirrored, other_way, atol=1e-5)


# -- adversarial losses


def test_losses_are_the_cross_entropies_of_the_critics_probabilities():
    real, fake = np.array([0.3, -2.0, 5.0]), np.array([1.0, -0.5, -3.0])
    probability = lambda x: 1 / (1 + np.exp(-x))
    expected = -np.log(probability(real)) - np.log(1 - probability(fake))
    np.testing.assert_allclose(critic_loss(real, fake), expected.mean(), rtol=1e-6)
    expected = -np.log(probability(fake)).mean()
    np.testing.assert_allclose(lifter_loss(fake), expected, rtol=1e-6)
    np.testing.assert_allclose(critic_accuracy(real, fake), 4 / 6)


def test_losses_are_finite_for_huge_logits():
    huge = np.array([1e4, -1e4], np.float32)
    assert np.isfinite(critic_loss(huge, huge)) and np.isfinite(lifter_loss(huge))


@pytest.mark.parametrize(
    "accuracy, lifter, critic",
    [
        (0.0, False, True),
        (0.09, False, True),
        (0.11, True, True),
        (0.5, True, True),
        (0.89, True, True),
        (0.91, True, False),
        (1.0, True, False),
    ],
)
def test_the_network_that_is_ahead_waits(accuracy, lifter, critic):
    gates = jax.jit(update_gates)(accuracy)
    assert [bool(gate) for gate in gates] == [lifter, critic]


# -- the sign


def _sizes(people):
    """Poses in units of their mean distance to the pelvis."""
    return people / np.linalg.norm(people, axis=-1).mean(1)[:, None, None]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_anatomy_accepts_people_and_refuses_mirrored_ones(layout):
    joints = sample_joints(24, seed=1, layout=layout)
    people = _sizes(view_joints(np.random.default_rng(0), joints))
    if layout == "human36m":
        assert anatomy_loss(people, layout=layout) == 0
        assert jax.vmap(anatomy_loss)(people * MIRROR).min() > 0.1
    else:  # without a nose, and heads tilt
        truth = anatomy_loss(people, layout=layout)
        assert 5 * truth < anatomy_loss(people * MIRROR, layout=layout)


def test_anatomy_does_not_depend_on_how_people_lie(people):
    people = _sizes(people) * MIRROR
    turns = Rotation.random(len(people), random_state=0).as_matrix()
    turned = np.einsum("nij,nkj->nki", turns, people)
    np.testing.assert_allclose(anatomy_loss(turned), anatomy_loss(people), rtol=1e-4)


def test_the_published_direction_is_for_people_who_stand():
    joints = sample_joints(24, seed=1)
    people = _sizes(view_joints(np.random.default_rng(0), joints, lean=False))
    hanging = people * np.array([-1.0, -1.0, 1.0], np.float32)  # turned in the picture
    assert published_direction_loss(people) < 1e-3
    assert published_direction_loss(people * MIRROR) > 0.3
    assert published_direction_loss(hanging) > 0.3
    assert anatomy_loss(hanging) == 0


def test_the_published_direction_is_the_sine_seen_from_above(people):
    found = float(published_direction_loss(people * MIRROR))
    total = 0.0
    for pose in people * MIRROR:
        (z0, x0), (z1, x1) = (
            (pose[a] - pose[b])[[2, 0]] for a, b in ((9, 8), (14, 11))
        )
        total += max(0, -(z0 * x1 - z1 * x0) / np.hypot(z0, x0) / np.hypot(z1, x1))
    assert abs(found - total / len(people)) < 0.02


@pytest.mark.parametrize("loss", [anatomy_loss, published_direction_loss])
def test_poses_in_one_point_have_finite_gradients(loss):
    for joints in (np.zeros((2, 17, 3)), np.ones((2, 17, 3))):
        assert np.isfinite(jax.jit(jax.grad(loss))(joints)).all()


def test_gradients_of_the_anatomy_are_those_of_differences(people):
    pose = _sizes(people)[3] * MIRROR
    loss = jax.jit(anatomy_loss)
    gradient = np.asarray(jax.jit(jax.grad(anatomy_loss))(pose))
    step = np.random.default_rng(0).normal(size=(17, 3)).astype(np.float32)
    ends = [loss(pose + sign * 1e-2 * step) for sign in (1, -1)]
    np.testing.assert_allclose(
        (gradient * step).sum(), (ends[0] - ends[1]) / 2e-2, rtol=0.02
    )


def test_who_faces_the_camera_has_the_nose_in_front(people):
    facing = np.asarray(faces_camera(people))
    assert 3 < facing.sum() < 60
    assert nose_in_front(people)[facing].all()
    # Seen from behind, nobody does.
    turned = rotate_vertical(people, np.full(len(people), np.pi))
    assert not faces_camera(turned)[facing].any()


def test_lifting_keeps_the_picture(params, people):
    lifted = lift_normalized(params, people[..., :2])
    np.testing.assert_array_equal(lifted[..., :2], people[..., :2])
