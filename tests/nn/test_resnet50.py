"""ResNet-50 against its definition in torchvision's layout, read from such a file."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from volhuman.errors import InputError
from volhuman.nn.resnet50 import ResNet50, load_resnet50
from volhuman.training.describe import count_parameters

MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


def _arrays():
    """Random weights under torchvision's names."""
    generator = np.random.default_rng(0)
    arrays = {}

    def conv(name, features, channels, size):
        shape = (features, channels, size, size)
        fan = channels * size * size
        arrays[f"{name}.weight"] = generator.normal(0, (2 / fan) ** 0.5, shape)

    def norm(name, features):
        for leaf in ("weight", "running_var"):
            arrays[f"{name}.{leaf}"] = generator.uniform(0.5, 1.5, features)
        for leaf in ("bias", "running_mean"):
            arrays[f"{name}.{leaf}"] = generator.normal(0, 0.2, features)

    conv("conv1", 64, 3, 7)
    norm("bn1", 64)
    channels = 64
    for stage, (features, units) in enumerate(
        [(64, 3), (128, 4), (256, 6), (512, 3)], 1
    ):
        for unit in range(units):
            name = f"layer{stage}.{unit}"
            for number, (out, into, size) in enumerate(
                [
                    (features, channels, 1),
                    (features, features, 3),
                    (4 * features, features, 1),
                ],
                1,
            ):
                conv(f"{name}.conv{number}", out, into, size)
                norm(f"{name}.bn{number}", out)
            if unit == 0:
                conv(f"{name}.downsample.0", 4 * features, channels, 1)
                norm(f"{name}.downsample.1", 4 * features)
            channels = 4 * features
    return {name: array.astype(np.float32) for name, array in arrays.items()}


@pytest.fixture(scope="module")
def arrays():
    return _arrays()


@pytest.fixture(scope="module")
def file(arrays, tmp_path_factory):
    path = tmp_path_factory.mktemp("resnet") / "resnet50.npz"
    np.savez(path, **arrays, **{"fc.weight": np.zeros((1000, 2048), np.float32)})
    return path


def _reference(arrays, images):
    """Torchvision's forward pass, channels first, with its strides and margins."""
    dims = ("NCHW", "OIHW", "NCHW")

    def conv(x, name, stride, margin):
        kernel = arrays[f"{name}.weight"]
        pads = [(margin, margin)] * 2
        return lax.conv_general_dilated(
            x, kernel, (stride, stride), pads, dimension_numbers=dims
        )

    def norm(x, name):
        of = lambda leaf: arrays[f"{name}.{leaf}"][:, None, None]
        scaled = (x - of("running_mean")) / jnp.sqrt(of("running_var") + 1e-5)
        return scaled * of("weight") + of("bias")

    x = ((images - MEAN) / STD).transpose(0, 3, 1, 2).astype(np.float32)
    x = jax.nn.relu(norm(conv(x, "conv1", 2, 3), "bn1"))
    window = ((1, 1, 3, 3), (1, 1, 2, 2), ((0, 0), (0, 0), (1, 1), (1, 1)))
    x = lax.reduce_window(x, -jnp.inf, lax.max, *window)
    for stage, units in enumerate((3, 4, 6, 3), 1):
        for unit in range(units):
            name, stride = f"layer{stage}.{unit}", 2 if stage > 1 and unit == 0 else 1
            y = jax.nn.relu(norm(conv(x, f"{name}.conv1", 1, 0), f"{name}.bn1"))
            y = jax.nn.relu(norm(conv(y, f"{name}.conv2", stride, 1), f"{name}.bn2"))
            y = norm(conv(y, f"{name}.conv3", 1, 0), f"{name}.bn3")
            if unit == 0:
                x = conv(x, f"{name}.downsample.0", stride, 0)
                x = norm(x, f"{name}.downsample.1")
            x = jax.nn.relu(x + y)
    return x.transpose(0, 2, 3, 1)


def test_weights_of_torchvision_compute_what_its_network_computes(arrays, file):
    images = np.random.default_rng(1).uniform(size=(1, 64, 64, 3)).astype(np.float32)
    ours = jax.jit(ResNet50().apply)(load_resnet50(file), images)
    theirs = jax.jit(_reference)(arrays, images)
    assert ours.shape == (1, 2, 2, 2048)
    np.testing.assert_allclose(
        ours, theirs, rtol=2e-3, atol=2e-3 * np.abs(theirs).max()
    )


def test_it_has_the_published_number_of_parameters():
    pictures = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)
    variables = jax.eval_shape(ResNet50().init, jax.random.key(0), pictures)
    # 25,557,032 of torchvision without the classifier of 2,049,000.
    assert count_parameters(variables["params"]) == 23_508_032


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"conv1.weight": None}, "holds no array 'conv1.weight'"),
        ({"layer1.0.bn1.weight": np.zeros(7)}, r"layer1.0.bn1.weight has the shape"),
    ],
)
def test_other_files_are_refused(arrays, tmp_path, change, message):
    wrong = {n: a for n, a in (arrays | change).items() if a is not None}
    np.savez(tmp_path / "w.npz", **wrong)
    with pytest.raises(InputError, match=message):
        load_resnet50(tmp_path / "w.npz")
    with pytest.raises(InputError, match="no such file"):
        load_resnet50(tmp_path / "absent.npz")
