"""Weights of a generator bring their sizes along."""

import jax
import numpy as np
import pytest

from volhuman.errors import InputError
from volhuman.repose.paint import paint_frames
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


def test_shipped_weights_paint_a_person_elsewhere_and_leave_the_rest(joints):
    network, params = load_generator()
    assert network.image_size == 64
    picture = np.full((64, 64, 3), 0.5, np.float32)
    view = 2 * joints
    picture[10:56, 26:38] = [0.8, 0.1, 0.1]  # someone in red, where the joints are
    target = view[:1] + np.float32([16, 0, 0])
    painted = next(paint_frames(network, params, picture[None], view[:1], target))
    change = np.abs(painted.astype(int) - np.round(255 * picture)).max(-1)
    reddish = lambda columns: (
        painted[14:50, columns, 0].astype(int) - painted[14:50, columns, 1]
    ).mean()
    assert reddish(slice(42, 54)) > 20 > reddish(slice(0, 12))
    assert change[:, :8].max() < 20
