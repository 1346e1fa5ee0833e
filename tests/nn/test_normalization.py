"""Group normalisation: moments, Flax as an oracle, and the published rows."""

import flax.linen as nn
import jax
import numpy as np
import pytest

from volhuman.nn.normalization import GroupNorm


def _normalise(module, x):
    return np.asarray(module.apply(module.init(jax.random.key(0), x), x))


@pytest.mark.parametrize("shape", [(2, 6, 5, 64), (2, 3, 4, 5, 64)])
def test_it_equals_flax(shape):
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32) * 3 + 1
    oracle = nn.GroupNorm(num_groups=32, epsilon=1e-6)
    np.testing.assert_allclose(
        _normalise(GroupNorm(), x), _normalise(oracle, x), atol=2e-5
    )


def test_rows_are_normalised_by_themselves():
    x = np.random.default_rng(0).standard_normal((1, 4, 5, 6, 32)).astype(np.float32)
    x *= np.array([1, 10, 100, 1000], np.float32)[:, None, None, None]
    rows = _normalise(GroupNorm(by_row=True), x)
    for row in range(4):
        alone = _normalise(GroupNorm(), x[:, row : row + 1])
        np.testing.assert_allclose(rows[:, row], alone[:, 0], atol=1e-5)
    assert np.abs(rows - _normalise(GroupNorm(), x)).max() > 0.5


def test_few_channels_make_fewer_groups():
    x = np.random.default_rng(0).standard_normal((1, 8, 8, 24)).astype(np.float32)
    grouped = _normalise(GroupNorm(), x).reshape(1, 64, 8, 3)
    np.testing.assert_allclose(grouped.mean((1, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(grouped.std((1, 3)), 1, atol=1e-4)


def test_the_published_operator(shared):
    golden = np.load(shared / "golden" / "repose" / "small.npz", allow_pickle=False)
    ours = _normalise(GroupNorm(by_row=True, epsilon=1e-6), golden["gn_in"])
    np.testing.assert_allclose(ours, golden["gn_out"], atol=1e-5)
