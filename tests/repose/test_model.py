"""Generator and discriminator: sizes, counts, differentiability, several pictures."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from volhuman.repose.config import MEDIUM, PAPER, SMALL, ReposeConfig, network_of
from volhuman.repose.describe import describe_networks
from volhuman.repose.forward import picture_heatmaps, repose
from volhuman.repose.model import Discriminator


@pytest.fixture(scope="module")
def pictures():
    generator = np.random.default_rng(0)
    return generator.uniform(-1, 1, (2, 1, 32, 32, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def paint(network, params):
    noise = jnp.zeros((2, 32, 32, 1))
    return jax.jit(
        lambda images, source, target: repose(
            network, params, images, source, target, noise[: len(images)]
        )
    )


def test_counts_of_the_published_sizes():
    for published in (False, True):
        text = describe_networks(ReposeConfig(network="paper", published=published))
        lines = [line for line in text.splitlines() if line.startswith("parameters:")]
        assert lines == ["parameters: 47005427", "parameters: 10475841"]


@pytest.mark.parametrize(
    "network", [PAPER, MEDIUM, SMALL], ids=["paper", "medium", "small"]
)
def test_presets_fit_together(network):
    assert network.volume_shape[0] * 4 == network.image_size
    doublings = sum(doubles for _, _, doubles in network.decoder)
    assert 2**doublings * network.volume_shape[0] == network.image_size


def test_pictures_come_out_as_large_as_they_went_in(paint, pictures, joints):
    output = paint(pictures, joints[:2, None], joints[1:])
    assert output["image"].shape == (2, 32, 32, 3)
    assert output["mask"].shape == (2, 32, 32, 1)
    blended = output["mask"] * output["foreground"]
    blended += (1 - output["mask"]) * output["background"]
    np.testing.assert_allclose(output["image"], blended, atol=1e-6)
    assert np.abs(output["image"]).max() <= 1


def test_examples_of_a_batch_do_not_mix(paint, pictures, joints):
    both = paint(pictures, joints[:2, None], joints[1:])["image"]
    alone = paint(pictures[1:], joints[1:2, None], joints[2:])["image"]
    np.testing.assert_allclose(both[1], alone[0], atol=1e-5)


def test_the_same_picture_twice_is_as_good_as_once(paint, pictures, joints):
    once = paint(pictures[:1], joints[:1, None], joints[1:2])
    twice = paint(
        np.concatenate([pictures[:1]] * 2, axis=1),
        np.stack([joints[:1]] * 2, axis=1),
        joints[1:2],
    )
    np.testing.assert_allclose(once["image"], twice["image"], atol=1e-5)
    other = paint(
        np.concatenate([pictures[:1], pictures[1:]], axis=1),
        np.stack([joints[:1], joints[2:]], axis=1),
        joints[1:2],
    )
    assert (other["warped"] >= once["warped"] - 1e-5).all()
    assert np.abs(other["image"] - once["image"]).max() > 1e-4


def test_the_gradient_by_the_target_joints_agrees_with_finite_differences(
    network, params, pictures, joints
):
    """From joints over fits, warp and heat maps to the picture, in float64.

    Normalised heat maps of a tiny network are strongly curved: steps are small.
    """
    generator = np.random.default_rng(1)
    weights = generator.standard_normal((1, 32, 32, 3))
    direction = generator.standard_normal((1, 24, 3))
    with jax.enable_x64(True):
        double = lambda tree: jax.tree.map(lambda x: jnp.asarray(x, jnp.float64), tree)
        exact, images = double(params), double(pictures[:1])
        source, target = double(joints[:1, None]), double(joints[1:2])
        noise = jnp.zeros((1, 32, 32, 1))

        @jax.jit
        def along(step):
            moved = target + step * direction
            image = repose(network, exact, images, source, moved, noise)["image"]
            return (image * weights).sum()

        derivative = jax.jit(jax.grad(along))(0.0)
        slope = (along(1e-5) - along(-1e-5)) / 2e-5
    np.testing.assert_allclose(derivative, slope, rtol=0.02)


@pytest.mark.parametrize(
    ("warp", "pose"),
    [
        pytest.param("2d", "3d", marks=pytest.mark.slow),
        pytest.param("3d", "2d", marks=pytest.mark.slow),
        ("2d", "2d"),
    ],
)
def test_ablations_run_with_the_same_parameters(
    network, params, pictures, joints, warp, pose
):
    ablated = dataclasses.replace(network, warp=warp, pose=pose)
    inputs = (
        params,
        pictures[:1],
        joints[:1, None],
        joints[1:2],
        jnp.zeros((1, 32, 32, 1)),
    )
    image = jax.jit(lambda *a: repose(ablated, *a)["image"])(*inputs)
    full = jax.jit(lambda *a: repose(network, *a)["image"])(*inputs)
    assert np.isfinite(image).all() and np.abs(image - full).max() > 1e-4


def test_poses_outside_the_picture_and_equal_joints_stay_finite(
    paint, pictures, joints
):
    for odd in (joints[1:2] + 1000, np.full((1, 24, 3), 16, np.float32)):
        assert np.isfinite(paint(pictures[:1], joints[:1, None], odd)["image"]).all()


def test_a_critic_gives_one_number_an_example(network, pictures, joints):
    critic = Discriminator(network)
    heatmaps = picture_heatmaps(network, joints[:2])
    assert heatmaps.shape == (2, 32, 32, 4, 24)
    params = critic.init(jax.random.key(0), pictures[:, 0], pictures[:, 0], heatmaps)
    logits = critic.apply(params, pictures[:, 0], pictures[:, 0], heatmaps)
    alone = critic.apply(params, pictures[1:, 0], pictures[1:, 0], heatmaps[1:])
    assert logits.shape == (2,)
    np.testing.assert_allclose(logits[1], alone[0], atol=1e-5)


def test_unknown_presets_are_named():
    for option in ({"network": "huge"}, {"warp": "4d"}, {"pose": "flat"}):
        with pytest.raises(ValueError, match="expected one of"):
            network_of(ReposeConfig(**option))
