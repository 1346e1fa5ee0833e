"""Terms of the regressor's loss."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from volhuman.deform_and_learn.regressor import rest_outputs, split_outputs
from volhuman.deform_and_learn.regressor_losses import (
    parameter_loss,
    place_loss,
    smooth_l1,
)


def test_smooth_l1_is_half_a_square_and_then_a_line():
    x = jnp.array([-3.0, -1.0, -0.5, 0.0, 0.5, 1.0, 3.0])
    np.testing.assert_allclose(
        smooth_l1(x), [2.5, 0.5, 0.125, 0, 0.125, 0.5, 2.5], atol=1e-6
    )
    slopes = jax.vmap(jax.grad(smooth_l1))(x)
    np.testing.assert_allclose(slopes, np.clip(x, -1, 1), atol=1e-6)


def test_rotations_are_compared_and_not_their_raw_numbers():
    body = split_outputs(jnp.asarray(rest_outputs()), 10)
    longer = dataclasses.replace(body, raw_rotation=3 * body.raw_rotation)
    assert float(parameter_loss(longer, body)) < 1e-10
    turned = dataclasses.replace(body, raw_rotation=-body.raw_rotation)
    assert float(parameter_loss(turned, body)) > 1


def test_every_number_counts_once():
    body = split_outputs(jnp.asarray(rest_outputs()), 10)
    for name, value in (
        ("pose", 23 * 3 * 1.5),
        ("scales", 24 * 1.5),
        ("log_scale", 1.5),
        ("translation", 2 * 1.5),
    ):
        moved = dataclasses.replace(body, **{name: getattr(body, name) + 2})
        np.testing.assert_allclose(parameter_loss(moved, body), value, rtol=1e-6)


def test_places_are_compared_with_the_key_points_that_are_known():
    keypoints = jnp.array([[0.5, 0.0], [0.0, -0.5], [9.0, 9.0]])
    weights = jnp.array([1.0, 3.0, 0.0])
    places = jnp.zeros((5, 2))
    np.testing.assert_allclose(place_loss(places, keypoints, weights), 0.5)
    np.testing.assert_allclose(
        place_loss(places.at[0].set([0.5, 0.4]), keypoints, weights), (0.4 + 1.5) / 4
    )
    gradient = jax.grad(place_loss)(places, keypoints, weights)
    assert (gradient[:2] != 0).any(1).all() and not gradient[2:].any()
    # Fewer maps than key points: the others have none.
    np.testing.assert_allclose(place_loss(places[:1], keypoints, weights), 0.5)
    assert float(place_loss(places, keypoints, jnp.zeros(3))) == 0
