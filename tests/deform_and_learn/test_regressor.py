"""The regressor's numbers and network."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from volhuman.deform_and_learn.body_config import NETWORKS
from volhuman.deform_and_learn.registration import Unknowns
from volhuman.deform_and_learn.regressor import (
    NUM_OUTPUTS,
    Regressor,
    join_outputs,
    mean_places,
    rest_outputs,
    split_outputs,
)
from volhuman.geometry.camera import FACING_CAMERA
from volhuman.training.describe import count_parameters


def test_numbers_are_named_and_joined_again():
    outputs = jnp.arange(3 * NUM_OUTPUTS, dtype=jnp.float32).reshape(3, -1)
    body = split_outputs(outputs, 10)
    assert NUM_OUTPUTS == 105
    assert body.pose.shape == (3, 23, 3) and body.shape.shape == (3, 10)
    assert body.scales.shape == (3, 24) and body.raw_rotation.shape == (3, 3, 3)
    assert body.log_scale.shape == (3,) and body.translation.shape == (3, 2)
    np.testing.assert_array_equal(join_outputs(body), outputs)


def test_the_rest_faces_the_camera():
    body = split_outputs(jnp.asarray(rest_outputs()), 10)
    expected = Unknowns(
        jnp.zeros((23, 3)),
        jnp.zeros(10),
        jnp.ones(24),
        jnp.asarray(FACING_CAMERA),
        jnp.zeros(()),
        jnp.zeros(2),
    )
    jax.tree.map(np.testing.assert_array_equal, body, expected)


def test_a_strong_spot_is_where_it_is_in_the_picture():
    maps = np.zeros((1, 6, 8, 2), np.float32)
    maps[0, 1, 6, 0] = 50
    places = mean_places(jnp.asarray(maps))
    np.testing.assert_allclose(
        places[0, 0], [2 * 6.5 / 8 - 1, 2 * 1.5 / 6 - 1], atol=1e-5
    )
    np.testing.assert_allclose(places[0, 1], [0, 0], atol=1e-6)


@pytest.mark.parametrize("name", ["tiny"])
def test_a_new_network_says_nearly_the_same_of_every_picture(name):
    network = NETWORKS[name]
    side = network.image_size
    images = np.random.default_rng(0).uniform(size=(3, side, side, 3))
    images = jnp.asarray(images, jnp.float32)
    variables = jax.jit(Regressor(network).init)(jax.random.key(0), images)
    outputs = jax.jit(Regressor(network).apply)(variables, images)
    assert outputs.shape == (3, NUM_OUTPUTS)
    assert 0 < float(jnp.abs(outputs).max()) < 0.1


def test_the_published_network_has_the_parameters_of_resnet_50_and_a_layer():
    pictures = jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32)
    network = Regressor(NETWORKS["paper"])
    variables = jax.eval_shape(network.init, jax.random.key(0), pictures)
    assert count_parameters(variables["params"]) == 23_508_032 + 2049 * NUM_OUTPUTS
