"""Generator and discriminator: sizes, counts, differentiability, several pictures."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from volhuman.errors import InputError
from volhuman.repose.config import MEDIUM, PAPER, SMALL, ReposeConfig, network_of
from volhuman.repose.describe import describe_networks
from volhuman.repose.forward import picture_heatmaps, repose
from volhuman.repose.model import Discriminator, Generator, composite


@pytest.fixture(scope="module")
def pictures():
    generator = np.random.default_rng(0)
    return generator.uniform(-1, 1, (2, 1, 32, 32, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def paint(network, params):
    """Two examples at a time: each further shape would be compiled again."""
    noise = jnp.zeros((2, 32, 32, 1))
    return jax.jit(
        lambda images, source, target: repose(
            network, params, images, source, target, noise
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
    first = paint(pictures, joints[:2, None], joints[1:])["image"]
    beside = paint(
        np.stack([-pictures[0], pictures[1]]), joints[[2, 1], None], joints[[0, 2]]
    )["image"]
    np.testing.assert_allclose(first[1], beside[1], atol=1e-5)
    assert np.abs(first[0] - beside[0]).max() > 1e-3


def test_the_same_picture_twice_is_as_good_as_once(paint, pictures, joints):
    once = paint(pictures, joints[:2, None], joints[1:])
    twice = paint(
        np.concatenate([pictures] * 2, axis=1),
        np.stack([joints[:2]] * 2, axis=1),
        joints[1:],
    )
    np.testing.assert_allclose(once["image"], twice["image"], atol=1e-5)
    other = paint(
        np.concatenate([pictures, pictures[::-1]], axis=1),
        np.stack([joints[:2], joints[[2, 0]]], axis=1),
        joints[1:],
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
        @jax.value_and_grad
        def along(step):
            moved = target + step * direction
            image = repose(network, exact, images, source, moved, noise)["image"]
            return (image * weights).sum()

        _, derivative = along(0.0)
        slope = (along(1e-5)[0] - along(-1e-5)[0]) / 2e-5
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
    network, params, paint, pictures, joints, warp, pose
):
    ablated = dataclasses.replace(network, warp=warp, pose=pose)
    inputs = (pictures, joints[:2, None], joints[1:])
    noise = jnp.zeros((2, 32, 32, 1))
    image = jax.jit(lambda *a: repose(ablated, params, *a, noise)["image"])(*inputs)
    full = paint(*inputs)["image"]
    assert np.isfinite(image).all() and np.abs(image - full).max() > 1e-4


def test_poses_outside_the_picture_and_equal_joints_stay_finite(
    paint, pictures, joints
):
    odd = np.stack([joints[1] + 1000, np.full((24, 3), 16, np.float32)])
    assert np.isfinite(paint(pictures, joints[:2, None], odd)["image"]).all()


def test_a_new_network_leaves_the_background_as_it_is(paint, joints):
    """Far from the person, nothing but the coverage before training changes it."""
    colour = np.array([0.4, -0.2, 0.1], np.float32)
    images = np.broadcast_to(colour, (2, 1, 32, 32, 3))
    output = paint(images, joints[:2, None], joints[1:])
    np.testing.assert_allclose(output["background"], images[:, 0], atol=0.01)
    assert np.median(output["mask"]) < 0.3


def test_what_is_near_hides_what_is_behind():
    volume = jnp.asarray(np.random.default_rng(0).standard_normal((2, 4, 3)))
    wall = jnp.full((2, 4), -50.0).at[:, 1].set(50.0)
    np.testing.assert_allclose(composite(volume, wall), volume[:, 1], atol=1e-6)
    empty = jnp.full((2, 4), -50.0)
    np.testing.assert_allclose(composite(volume, empty), 0, atol=1e-6)
    # Half of what comes through stays in each voxel.
    shares = composite(jnp.eye(4)[None], jnp.zeros((1, 4)))
    np.testing.assert_allclose(shares[0], [0.5, 0.25, 0.125, 0.0625], rtol=1e-6)


def test_compositing_in_bfloat16_loses_no_voxel():
    volume = jnp.eye(16)[None]
    density = jnp.full((1, 16), -6.0)
    exact = composite(volume, density)
    rough = composite(*(x.astype(jnp.bfloat16) for x in (volume, density)))
    assert rough.dtype == jnp.bfloat16
    np.testing.assert_allclose(rough.astype(jnp.float32), exact, rtol=0.01)


def test_shortcuts_are_ours_alone():
    for name in ("small", "tiny", "medium", "paper"):
        ours = network_of(ReposeConfig(network=name))
        assert ours.shortcuts == (name in ("small", "tiny"))
    assert not network_of(ReposeConfig(network="paper", published=True)).shortcuts
    with pytest.raises(ValueError, match="no shortcuts"):
        dataclasses.replace(SMALL, published=True)


@pytest.mark.parametrize(
    "options", [{"network": "medium"}, {"warp": "2d"}, {"pose": "2d"}]
)
def test_the_published_network_is_one_network(options):
    config = ReposeConfig(**({"network": "paper", "published": True} | options))
    with pytest.raises(InputError, match=r"published network's .*network=paper"):
        network_of(config)


def test_the_lift_sees_each_pixel_in_its_own_cell(network, params, joints):
    """Without features, a pixel reaches the column of its cell, at all depths alike."""
    deaf = jax.tree.map(jnp.zeros_like, params["encoder"])
    lift = jax.tree.map(jnp.zeros_like, params["lift"])
    model = Generator(network)
    volume = lambda images: model.apply(
        {"params": params | {"encoder": deaf, "lift": lift}},
        images,
        method="lift_images",
    )
    grey = jnp.zeros((1, 1, 32, 32, 3))
    change = volume(grey.at[0, 0, 13, 22].set(1)) - volume(grey)
    change = np.abs(np.asarray(change[0])).max(-1)
    assert (change[3, 5] > 1e-4).all() and np.ptp(change[3, 5]) < 1e-6
    change[3, 5] = 0
    assert change.max() == 0


def test_a_critic_gives_one_number_an_example(network, pictures, joints):
    critic = Discriminator(network)
    heatmaps = picture_heatmaps(network, joints[:2])
    assert heatmaps.shape == (2, 32, 32, 4, 24)
    pairs = (pictures[:, 0], pictures[::-1, 0], heatmaps)
    params = jax.jit(critic.init)(jax.random.key(0), *pairs)
    judge = jax.jit(critic.apply)
    logits = judge(params, *pairs)
    assert logits.shape == (2,)
    # The other way round, each keeps its own.
    turned = judge(params, *(x[::-1] for x in pairs))
    np.testing.assert_allclose(turned, logits[::-1], atol=1e-5)
    assert abs(logits[0] - logits[1]) > 1e-6


def test_unknown_presets_are_named():
    for option in ({"network": "huge"}, {"warp": "4d"}, {"pose": "flat"}):
        with pytest.raises(ValueError, match="expected one of"):
            network_of(ReposeConfig(**option))
