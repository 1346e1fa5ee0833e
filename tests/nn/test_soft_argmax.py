"""Reading places from volumes of likelihood, and scoring them against true places."""

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import log_softmax

from volhuman.nn.soft_argmax import log_likelihoods, mean_places, surprise


def test_a_strong_voxel_is_where_it_is():
    features = np.zeros((1, 6, 8, 4 * 2), np.float32)
    features[0, 1, 6, 2 * 3 + 0] = 50  # slice 3 of the first point
    places = mean_places(log_likelihoods(jnp.asarray(features), 4))
    assert places.shape == (1, 2, 3)
    expected = [2 * 6.5 / 8 - 1, 2 * 1.5 / 6 - 1, 2 * 3.5 / 4 - 1]
    np.testing.assert_allclose(places[0, 0], expected, atol=1e-5)
    np.testing.assert_allclose(places[0, 1], 0, atol=1e-6)


def test_likelihoods_of_a_point_are_a_softmax_over_its_voxels():
    features = np.random.default_rng(0).standard_normal((2, 3, 4, 5 * 3))
    found = log_likelihoods(jnp.asarray(features, jnp.float32), 5)
    expected = log_softmax(features.reshape(2, 3, 4, 5, 3), axis=(1, 2, 3))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_the_surprise_is_least_where_the_point_is():
    places = jnp.array([[[0.1, -0.3, 0.2]]])
    start = jnp.zeros((1, 8, 8, 8))

    @jax.jit
    def step(features):
        loss = lambda f: surprise(log_likelihoods(f, 8), places, spread=0.2).sum()
        return features - 3 * jax.grad(loss)(features)

    features = start
    for _ in range(300):
        features = step(features)
    likelihoods = log_likelihoods(features, 8)
    np.testing.assert_allclose(mean_places(likelihoods), places, atol=0.03)
    before = surprise(log_likelihoods(start, 8), places, spread=0.2)
    np.testing.assert_allclose(before, 3 * np.log(8), rtol=1e-5)
    assert surprise(likelihoods, places, spread=0.2) < before - 1


def test_a_point_far_outside_teaches_nothing():
    likelihoods = log_likelihoods(jnp.zeros((1, 4, 4, 4)), 4)
    away = jnp.full((1, 1, 3), 40.0)
    loss = lambda places: surprise(likelihoods, places, spread=0.1).sum()
    assert float(loss(away)) == 0
    assert np.isfinite(jax.grad(loss)(away)).all()
