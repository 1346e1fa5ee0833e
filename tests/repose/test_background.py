"""What is seen stays, and continues over what is not."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from volhuman.repose.background import fill_holes


def picture(size, hole):
    """A slope from left to right, and where it is seen."""
    row = np.linspace(-0.5, 0.5, size, dtype=np.float32)
    image = np.broadcast_to(row[:, None], (1, size, size, 3))
    valid = np.ones((1, size, size, 1), np.float32)
    valid[(slice(None), *hole)] = 0
    return image, valid


@pytest.mark.parametrize("size", [16, 32, 33, 65])
def test_what_is_seen_stays_and_holes_continue_it(size):
    third = slice(size // 3, 2 * size // 3)
    image, valid = picture(size, (third, third))
    damaged = np.where(valid > 0, image, 9)
    filled = np.asarray(fill_holes(jnp.asarray(damaged), jnp.asarray(valid)))
    seen = np.broadcast_to(valid > 0, image.shape)
    np.testing.assert_array_equal(filled[seen], image[seen])
    assert np.abs(filled - image).max() < 0.25


def test_a_constant_is_continued_exactly():
    image, valid = picture(32, (slice(4, 30), slice(0, 20)))
    constant = np.full_like(image, 0.3)
    filled = fill_holes(jnp.asarray(np.where(valid > 0, constant, -5)), valid)
    np.testing.assert_allclose(filled, constant, atol=1e-6)


def test_nothing_seen_is_finite_with_finite_gradients():
    image, valid = picture(16, (slice(None), slice(None)))
    total = lambda x: fill_holes(x, jnp.asarray(valid)).sum()
    value, gradient = jax.value_and_grad(total)(jnp.asarray(image))
    assert float(value) == 0
    assert np.isfinite(gradient).all()
