"""Weights of a generator bring their sizes along."""

import jax
import numpy as np
import pytest

from volhuman.errors import InputError
from volhuman.repose.weights import load_generator, save_generator
from volhuman.training.export import export_weights


def test_a_file_restores_sizes_and_parameters(network, params, tmp_path):
    path = tmp_path / "generator.safetensors"
    save_generator(path, network, params, config={"seed": 3}, step=7, dtype="float32")
    found, loaded = load_generator(path)
    assert found == network
    jax.tree.map(np.testing.assert_array_equal, loaded, dict(params))


def test_half_precision_comes_back_as_float32(network, params, tmp_path):
    path = tmp_path / "generator.safetensors"
    save_generator(path, network, params, config={}, step=7)
    _, loaded = load_generator(path)
    for a, b in zip(jax.tree.leaves(loaded), jax.tree.leaves(params), strict=True):
        assert a.dtype == np.float32
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-6)


def test_weights_of_something_else_are_refused(tmp_path):
    path = tmp_path / "other.safetensors"
    export_weights(path, {"a": np.zeros(3)}, config={"network": {"width": 3}}, step=1)
    with pytest.raises(InputError, match="not the weights of a reposing network"):
        load_generator(path)


def test_shipped_weights_paint_a_person_in_range():
    network, params = load_generator()
    assert network.image_size == 64
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params))
