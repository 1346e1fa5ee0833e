"""Perceptual distances: VGG19 against naive convolutions, and the pyramid."""

import h5py
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.signal import correlate

from volhuman.errors import InputError
from volhuman.nn import perceptual
from volhuman.nn.perceptual import load_vgg19, pyramid_distance, vgg_distance

# The convolutions of VGG19 with fewer channels.
BLOCKS = ((3, 2), (4, 2), (4, 4), (5, 4), (6, 4))
INDICES = (0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(perceptual, "_BLOCKS", BLOCKS)


@pytest.fixture(scope="module")
def layers():
    """Name, kernel HWIO and bias of every convolution."""
    generator, channels, found = np.random.default_rng(0), 3, []
    for block, (features, count) in enumerate(BLOCKS, 1):
        for conv in range(1, count + 1):
            kernel = generator.normal(0, 0.4, (3, 3, channels, features))
            bias = generator.normal(0, 0.1, features)
            name = f"block{block}_conv{conv}"
            found.append((name, np.float32(kernel), np.float32(bias)))
            channels = features
    return found


@pytest.fixture(scope="module")
def pictures():
    return np.random.default_rng(1).uniform(-1, 1, (2, 1, 32, 32, 3)).astype("f4")


def _save(path, layers, layout):
    arrays = {}
    for index, (name, kernel, bias) in zip(INDICES, layers, strict=True):
        if layout == "torchvision":
            arrays[f"features.{index}.weight"] = kernel.transpose(3, 2, 0, 1)
            arrays[f"features.{index}.bias"] = bias
        else:
            kernel_name, bias_name = {
                "keras": ("/kernel", "/bias"),
                "keras 2": ("/kernel:0", "/bias:0"),
                "keras 1": ("_W_1:0", "_b_1:0"),
            }[layout]
            arrays[name + kernel_name], arrays[name + bias_name] = kernel, bias
    np.savez(path, **arrays)
    return path


@pytest.mark.parametrize("layout", ["torchvision", "keras", "keras 2", "keras 1"])
def test_every_layout_holds_the_same_convolutions(tmp_path, layers, layout):
    params, found = load_vgg19(_save(tmp_path / "vgg.npz", layers, layout))
    assert found == layout.split()[0]
    assert list(params) == [name for name, _, _ in layers]
    for name, kernel, bias in layers:
        np.testing.assert_array_equal(params[name]["kernel"], kernel)
        np.testing.assert_array_equal(params[name]["bias"], bias)


def test_files_of_keras_are_read(tmp_path, layers):
    with h5py.File(tmp_path / "vgg19_weights.h5", "w") as file:
        for name, kernel, bias in layers:
            file[f"{name}/{name}_W_1:0"] = kernel
            file[f"{name}/{name}_b_1:0"] = bias
    params, layout = load_vgg19(tmp_path / "vgg19_weights.h5")
    assert layout == "keras"
    for name, kernel, _ in layers:
        np.testing.assert_array_equal(params[name]["kernel"], kernel)


def _naive_distance(layers, normalised):
    """Features after the second ReLU of each block, by SciPy, weighted and compared."""
    total, maps = 0.0, [np.float64(picture[0]) for picture in normalised]
    for name, kernel, bias in layers:
        block, conv = int(name[5]), int(name[-1])
        if conv == 1 and block > 1:
            side = len(maps[0]) // 2
            maps = [m.reshape(side, 2, side, 2, -1).max((1, 3)) for m in maps]
        padded = [np.pad(m, ((1, 1), (1, 1), (0, 0))) for m in maps]
        maps = [
            np.stack(
                [
                    correlate(m, np.float64(kernel[..., f]), mode="valid")[..., 0]
                    for f in range(kernel.shape[-1])
                ],
                axis=-1,
            )
            for m in padded
        ]
        maps = [np.maximum(m + bias, 0) for m in maps]
        if conv == 2:
            total += np.abs(maps[0] - maps[1]).mean() / 2 ** (6 - block)
            if block == 5:
                # The last weight is 1, not one half.
                return total + np.abs(maps[0] - maps[1]).mean() / 2
    raise AssertionError


def test_the_distance_is_that_of_naive_convolutions(tmp_path, layers, pictures):
    share = (pictures + 1) / 2
    mean, deviation = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    blue_first = (255 * share - [123.68, 116.779, 103.939])[..., ::-1]
    for layout, normalised in (
        ("torchvision", (share - mean) / deviation),
        ("keras", blue_first),
    ):
        params, found = load_vgg19(_save(tmp_path / f"{layout}.npz", layers, layout))
        distance = vgg_distance(params, *map(jnp.asarray, pictures), layout=found)
        expected = _naive_distance(layers, normalised)
        np.testing.assert_allclose(distance, expected, rtol=1e-4)
        same = vgg_distance(params, pictures[0], pictures[0], layout=found)
        assert same < 1e-6 * expected


def test_what_is_no_vgg19_is_refused(tmp_path, layers):
    path = _save(tmp_path / "vgg.npz", layers[:-1] + layers[:1], "keras")
    with pytest.raises(InputError, match="holds no array 'block5_conv4/kernel'"):
        load_vgg19(path)
    whole = _save(tmp_path / "vgg.npz", layers, "keras").read_bytes()
    for damaged in (whole[: len(whole) // 2], b""):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match=r"vgg\.npz: cannot be read"):
            load_vgg19(path)


def test_the_pyramid_is_a_distance_that_knows_all_scales():
    generator = np.random.default_rng(0)
    a, b = generator.uniform(-1, 1, (2, 1, 32, 32, 3)).astype("f4")
    assert pyramid_distance(a, a) == 0
    np.testing.assert_allclose(pyramid_distance(a, b), pyramid_distance(b, a))
    # A shift of all colours is seen at the coarsest level alone.
    np.testing.assert_allclose(pyramid_distance(a, a + 0.25), 0.25, rtol=1e-5)
    edge = np.zeros((1, 32, 32, 3), "f4")
    edge[:, :, 16:] = 1
    blurred = (edge + np.roll(edge, 1, 2) + np.roll(edge, -1, 2)) / 3
    assert 0 < pyramid_distance(edge, blurred) < pyramid_distance(edge, 1 - edge)
