"""The regressor's numbers and network."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from volhuman.body.keypoints import KEYPOINT_NAMES
from volhuman.body.template import load_template
from volhuman.deform_and_learn.body_config import NETWORKS
from volhuman.deform_and_learn.registration import Unknowns
from volhuman.deform_and_learn.regressor import (
    NUM_OUTPUTS,
    NUM_PLACES,
    Regressor,
    body_places,
    join_outputs,
    proper,
    rest_outputs,
    split_outputs,
)
from volhuman.geometry.camera import FACING_CAMERA
from volhuman.geometry.rotation import gram_schmidt
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


def test_points_of_a_body_are_where_its_key_points_are_projected():
    model = load_template()
    outputs = rest_outputs()
    outputs[-3:] = np.log(0.5), 0.1, -0.2
    joints = np.asarray(model.joints)
    # A T-pose that faces the camera: y and z turn round.
    expected = 0.5 * joints * [1, -1, -1] + [0.1, -0.2, 0]
    points = body_places(jnp.asarray(outputs))
    assert points.shape == (NUM_PLACES, 3)
    np.testing.assert_allclose(points[:24], expected, atol=1e-5)
    nose = points[KEYPOINT_NAMES.index("nose")]
    assert nose[2] < points[KEYPOINT_NAMES.index("head")][2], "the nose is in front"


def test_whatever_is_regressed_is_a_rotation_and_no_reflection():
    outputs = jax.random.normal(jax.random.key(0), (200, NUM_OUTPUTS))
    raw = split_outputs(outputs, 10).raw_rotation
    assert 60 < (np.linalg.det(raw) < 0).sum() < 140
    body = split_outputs(proper(outputs), 10)
    np.testing.assert_allclose(
        np.linalg.det(gram_schmidt(body.raw_rotation)), 1, atol=1e-4
    )
    # All else, and what is a rotation already, stays.
    changed = (proper(outputs) != outputs).any(0)
    assert np.flatnonzero(changed).tolist() == [95, 98, 101]
    rotations = dataclasses.replace(body, raw_rotation=gram_schmidt(body.raw_rotation))
    again = join_outputs(rotations)
    np.testing.assert_allclose(proper(again), again, atol=1e-5)


def test_a_network_gives_rotations():
    network = NETWORKS["tiny"]
    images = jax.random.uniform(jax.random.key(0), (8, 32, 32, 3))
    variables = jax.jit(Regressor(network).init)(jax.random.key(0), images)
    # Random layers of the output, in place of ones that say nearly nothing.
    params = variables["params"]
    heads = {
        name: jax.tree.map(lambda x: jax.random.normal(jax.random.key(1), x.shape), p)
        for name, p in params.items()
        if "head" in name
    }
    outputs = jax.jit(Regressor(network).apply)({"params": params | heads}, images)
    rotations = gram_schmidt(split_outputs(outputs, 10).raw_rotation)
    np.testing.assert_allclose(np.linalg.det(rotations), 1, atol=1e-4)


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
