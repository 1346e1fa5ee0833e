"""Weights in one file: back as they were, and every difference is told."""

import json
import re

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from volhuman.errors import InputError
from volhuman.training.export import export_weights, load_weights

CONFIG = {"width": 4, "name": "größe", "sizes": [1, 2]}


class _Network(nn.Module):
    width: int = 4

    @nn.compact
    def __call__(self, x):
        return nn.Dense(2, name="last")(nn.Dense(self.width, name="first")(x))


def _params(width=4):
    init = lambda key: _Network(width).init(key, jnp.zeros((1, 3)))
    return jax.jit(init)(jax.random.key(0))["params"]


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "weights" / "network.safetensors"
    export_weights(path, _params(), config=CONFIG, step=12, dtype="float32")
    return path


def test_float32_weights_come_back_bit_by_bit(path):
    weights = load_weights(path, jax.eval_shape(_params))
    assert weights.step == 12 and weights.config == CONFIG
    assert jax.tree.structure(weights.params) == jax.tree.structure(_params())
    jax.tree.map(np.testing.assert_array_equal, weights.params, _params())
    assert weights.sha256 == load_weights(path, _params()).sha256


def test_float16_weights_come_back_rounded_in_half_the_bytes(path):
    half = path.with_name("half.safetensors")
    export_weights(half, _params(), config={}, step=1)
    with safe_open(half, framework="numpy") as file:
        names = sorted(file.keys())
        assert {file.get_slice(name).get_dtype() for name in names} == {"F16"}
    assert names == ["first/bias", "first/kernel", "last/bias", "last/kernel"]
    params = load_weights(half, jax.eval_shape(_params)).params
    for found, wanted in zip(jax.tree.leaves(params), jax.tree.leaves(_params())):
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, np.float32(np.float16(wanted)))
    assert not list(half.parent.glob(".*"))


def test_other_arrays_than_floating_keep_their_type(tmp_path):
    path = tmp_path / "a.safetensors"
    params = {
        "count": np.int32(7),
        "flags": np.array([True, False]),
        "half": np.ones(2, jnp.bfloat16),
        "turned": np.arange(6.0, dtype=np.float32).reshape(2, 3).T,
    }
    export_weights(path, params, config={}, step=0)
    found = load_weights(path, params).params
    for name, value in params.items():
        assert found[name].dtype == value.dtype and found[name].shape == value.shape
        np.testing.assert_array_equal(found[name], value)


def test_the_digest_is_of_numbers_and_configuration(tmp_path):
    digests = [
        export_weights(tmp_path / "a.safetensors", params, config=config, step=step)
        for params, config, step in (
            (_params(), {}, 1),
            (_params(), {}, 1),
            (_params(), {}, 2),
            (_params(), {"a": 1}, 1),
            (jax.tree.map(lambda x: x + 1, _params()), {}, 1),
        )
    ]
    assert digests[0] == digests[1] and len(set(digests)) == 4


# -- differences


def test_other_names_and_shapes_are_listed(path):
    other = dict(_params(5))
    other["middle"] = {"bias": jnp.zeros(3)}
    del other["last"]
    with pytest.raises(InputError) as refusal:
        load_weights(path, other)
    message = str(refusal.value)
    for words in (
        "only in the file: last/bias, last/kernel",
        "only in the model: middle/bias",
        "first/kernel ([3, 4] in the file, [3, 5] in the model)",
    ):
        assert words in message
    assert str(path) in message and "\n" not in message


@pytest.mark.parametrize("position", np.linspace(0, 1, 12))
def test_a_flipped_bit_is_noticed_or_harmless(path, position):
    """Harmless is one in the padding of the header or in the version."""
    good = load_weights(path, _params())
    data = bytearray(path.read_bytes())
    data[int(position * (len(data) - 1))] ^= 1
    path.write_bytes(bytes(data))
    try:
        weights = load_weights(path, _params())
    except InputError as error:
        assert str(path) in str(error) and "\n" not in str(error)
        return
    assert weights.sha256 == good.sha256
    jax.tree.map(np.testing.assert_array_equal, weights.params, good.params)


def test_a_flipped_bit_in_the_numbers_is_noticed(path):
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(InputError, match="the weights have changed"):
        load_weights(path, _params())


@pytest.mark.parametrize("content", [b"", b"text", b"\xff" * 64])
def test_what_is_not_a_file_of_weights_is_refused(tmp_path, content):
    path = tmp_path / "a.safetensors"
    path.write_bytes(content)
    with pytest.raises(InputError, match="not weights of volhuman, or damaged"):
        load_weights(path, {})


def test_files_of_others_and_missing_files_are_refused(tmp_path):
    path = tmp_path / "a.safetensors"
    with pytest.raises(InputError, match="there is no such file"):
        load_weights(path, {})
    save_file({"w": np.ones(2, np.float32)}, path)
    with pytest.raises(InputError, match="not weights of volhuman"):
        load_weights(path, {"w": jnp.ones(2)})


# -- what is not written


@pytest.mark.parametrize(
    "value, dtype",
    [(np.nan, "float32"), (np.inf, "float16"), (1e5, "float16")],
)
def test_numbers_that_are_not_finite_in_the_file_are_not_written(
    tmp_path, value, dtype
):
    path = tmp_path / "a.safetensors"
    with pytest.raises(ValueError, match=rf"a/b holds .* not finite in {dtype}"):
        export_weights(
            path, {"a": {"b": np.float32([1, value])}}, config={}, step=1, dtype=dtype
        )
    assert list(tmp_path.iterdir()) == []


def test_unusable_places_and_types_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"written as \.safetensors"):
        export_weights(tmp_path / "a.npz", {}, config={}, step=1)
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" / "a.safetensors"
    with pytest.raises(InputError, match=re.escape(str(path))):
        export_weights(path, {}, config={}, step=1)
    with pytest.raises(ValueError, match="dtype is 'int8'"):
        export_weights(tmp_path / "a.safetensors", {}, config={}, step=1, dtype="int8")


def test_the_metadata_are_readable_without_this_package(path):
    with safe_open(path, framework="numpy") as file:
        metadata = file.metadata()
    assert json.loads(metadata["config"]) == CONFIG and metadata["step"] == "12"
    assert metadata["version"] and len(metadata["sha256"]) == 64
