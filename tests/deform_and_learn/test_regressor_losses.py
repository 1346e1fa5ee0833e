"""Terms of the regressor's loss."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from volhuman.deform_and_learn.regressor import rest_outputs, split_outputs
from volhuman.deform_and_learn.regressor_losses import (
    parameter_loss,
    place_loss,
    place_targets,
    point_loss,
    smooth_l1,
)
from volhuman.nn.soft_argmax import log_likelihoods


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


def test_marks_say_where_a_point_is_and_the_fit_says_the_rest():
    fitted = jnp.array([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]])
    keypoints = jnp.array([[0.9, 0.8], [7.0, 7.0], [7.0, 7.0]])
    marked = jnp.array([1.0, 0.0, 1.0])
    places, weights = place_targets(fitted, jnp.float32(1), keypoints, marked)
    np.testing.assert_allclose(places, [[0.9, 0.8, 0.3], [0.4, 0.5, 0.6]])
    assert (weights == 1).all()
    _, weights = place_targets(fitted, jnp.float32(0), keypoints, marked)
    np.testing.assert_array_equal(weights, [[1, 1, 0], [0, 0, 0]])


def test_places_are_compared_in_the_coordinates_that_are_known():
    likelihoods = log_likelihoods(jnp.zeros((2, 4, 4, 8)), 4)  # everywhere alike
    places = jnp.array([[[0.5, 0.0, 0.0], [9.0, 9.0, 9.0]]] * 2)
    known = jnp.array([[[1.0, 1.0, 1.0], [0.0, 0.0, 0.0]]])
    half = known.at[0, 0, 2].set(0)
    loss = place_loss(likelihoods, places, jnp.concatenate([known, half]))
    # All voxels are equally surprising; without the depth no voxel is true.
    np.testing.assert_allclose(
        loss, [0.5 / 3 + 0.3 * 3 * np.log(4), 0.5 / 2], rtol=1e-5
    )
    assert not place_loss(likelihoods, places, jnp.zeros((2, 2, 3))).any()


def test_points_are_compared_by_distance_and_equal_ones_have_a_gradient():
    points = jnp.zeros((2, 3))
    moved = points.at[0].set(jnp.array([3.0, 0.0, 4.0]))
    np.testing.assert_allclose(point_loss(points, moved), 2.5, atol=1e-3)
    assert np.isfinite(jax.grad(point_loss)(points, points)).all()
