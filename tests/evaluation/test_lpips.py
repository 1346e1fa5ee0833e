"""LPIPS: a NumPy network as the oracle, the `lpips` package, files that are refused."""

import importlib.util
import io
import os
import pathlib
import sys
import types
import zipfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from volhuman.errors import InputError
from volhuman.evaluation.lpips import lpips
from volhuman.evaluation.lpips_weights import BACKBONES, read_lpips_weights

LPIPS = jax.jit(lpips)
REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
CONVERT = REPOSITORY / "experiments" / "convert_torch_weights.py"

# torchvision's layers: "M" pools, numbers are (outputs, side, stride, padding).
ALEX = [(64, 11, 4, 2), "M", (192, 5, 1, 2), "M", (384, 3, 1, 1), (256, 3, 1, 1)]
ALEX += [(256, 3, 1, 1), "M"]
VGG = [64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M"]
VGG = [x if x == "M" else (x, 3, 1, 1) for x in [*VGG, 512, 512, 512, "M"]]
LISTS = {"alex": ALEX, "vgg16": VGG}
# Position among the ReLUs of the five that are compared.
COMPARED = {"alex": [0, 1, 2, 3, 4], "vgg16": [1, 3, 6, 9, 12]}


def _tensors(net, seed=0):
    """Random weights under the official names; scaled so that signals survive."""
    generator = np.random.default_rng(seed)
    tensors, index, inputs, outputs = {}, 0, 3, []
    for layer in LISTS[net]:
        if layer == "M":
            index += 1
            continue
        channels, side = layer[:2]
        scale = np.sqrt(2 / (inputs * side * side))
        weight = generator.standard_normal((channels, inputs, side, side), np.float32)
        tensors[f"features.{index}.weight"] = weight * np.float32(scale)
        bias = generator.standard_normal(channels, np.float32) * np.float32(0.1)
        tensors[f"features.{index}.bias"] = bias
        outputs.append(channels)
        inputs, index = channels, index + 2
    for number, position in enumerate(COMPARED[net]):
        shape = (1, outputs[position], 1, 1)
        linear = generator.random(shape, np.float32)
        tensors[f"lin{number}.model.1.weight"] = linear
    return tensors


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """One file a network."""
    folder = tmp_path_factory.mktemp("weights")
    paths = {}
    for net in BACKBONES:
        paths[net] = folder / f"{net}.safetensors"
        save_file(_tensors(net), paths[net])
    return paths


def _convolve(image, weight, bias, stride, padding):
    """`(C, H, W)`, as a sum over the offsets of the kernel."""
    image = np.pad(image, [(0, 0), (padding, padding), (padding, padding)])
    side = weight.shape[-1]
    height, width = ((size - side) // stride + 1 for size in image.shape[1:])
    result = np.zeros((len(weight), height, width)) + bias[:, None, None]
    for y, x in np.ndindex(side, side):
        rows = slice(y, y + stride * (height - 1) + 1, stride)
        columns = slice(x, x + stride * (width - 1) + 1, stride)
        result += np.einsum("oc,chw->ohw", weight[..., y, x], image[:, rows, columns])
    return result


def _pool(image, side):
    height, width = ((size - side) // 2 + 1 for size in image.shape[1:])
    pieces = [
        image[:, y : y + 2 * height - 1 : 2, x : x + 2 * width - 1 : 2]
        for y, x in np.ndindex(side, side)
    ]
    return np.max(pieces, axis=0)


def _numpy_lpips(net, tensors, prediction, target):
    """The definition in float64, image by image, channels first."""
    features = []
    for image in (prediction, target):
        image = 2 * np.float64(image).transpose(2, 0, 1) - 1
        shift, scale = [-0.030, -0.088, -0.188], [0.458, 0.448, 0.450]
        image = (image - np.reshape(shift, (3, 1, 1))) / np.reshape(scale, (3, 1, 1))
        maps, index = [], 0
        for layer in LISTS[net]:
            if len(maps) == len(COMPARED[net]) and net == "alex":
                break
            if layer == "M":
                if min(image.shape[1:]) > 1:
                    image = _pool(image, 3 if net == "alex" else 2)
                index += 1
                continue
            weight, bias = (
                tensors[f"features.{index}.{n}"] for n in ("weight", "bias")
            )
            image = np.maximum(_convolve(image, weight, bias, *layer[2:]), 0)
            maps.append(image)
            index += 2
        features.append([maps[position] for position in COMPARED[net]])
    total = 0
    for number, (a, b) in enumerate(zip(*features)):
        a, b = (x / (np.linalg.norm(x, axis=0) + 1e-10) for x in (a, b))
        linear = tensors[f"lin{number}.model.1.weight"][0]
        total += ((a - b) ** 2 * linear).sum(0).mean()
    return total


def _images(height, width, seed=0):
    generator = np.random.default_rng(seed)
    return generator.random((2, height, width, 3), np.float32)


@pytest.mark.parametrize("net, size", [("alex", (47, 63)), ("vgg16", (16, 37))])
def test_equals_the_definition_in_numpy(files, net, size):
    weights = read_lpips_weights(files[net])
    assert weights.net == net
    images = _images(*size)
    expected = _numpy_lpips(net, _tensors(net), *images)
    assert expected > 0.1
    np.testing.assert_allclose(LPIPS(*images, weights), expected, rtol=2e-5)


def test_is_zero_for_equal_images_symmetric_and_grows_with_noise(files):
    weights = read_lpips_weights(files["alex"])
    image, noise = _images(40, 40)
    assert 0 <= LPIPS(image, image, weights) < 1e-12
    little, more = (image * (1 - a) + noise * a for a in (0.1, 0.5))
    assert 0 < LPIPS(little, image, weights) < LPIPS(more, image, weights)
    np.testing.assert_allclose(
        LPIPS(image, more, weights), LPIPS(more, image, weights), rtol=1e-5
    )


def test_vmap_and_gradient(files):
    weights = read_lpips_weights(files["alex"])
    a, b = _images(36, 36), _images(36, 36, seed=1)
    mapped = jax.jit(jax.vmap(lpips, in_axes=(0, 0, None)))(a, b, weights)
    single = [LPIPS(x, y, weights) for x, y in zip(a, b)]
    np.testing.assert_allclose(mapped, single, rtol=1e-4)
    gradient = jax.jit(jax.grad(lpips))(jnp.asarray(a[0]), b[0], weights)
    assert np.isfinite(gradient).all() and np.abs(gradient).max() > 0
    same = jax.jit(jax.grad(lpips))(
        jnp.zeros((36, 36, 3)), np.zeros((36, 36, 3)), weights
    )
    assert np.isfinite(same).all()


def test_nan_gives_nan(files):
    image = _images(40, 40)[0]
    broken = image.copy()
    broken[20, 20, 0] = np.nan
    assert np.isnan(LPIPS(broken, image, read_lpips_weights(files["alex"])))


@pytest.mark.parametrize("net, least", [("alex", 31), ("vgg16", 16)])
def test_the_smallest_image_works_and_a_smaller_one_is_refused(files, net, least):
    weights = read_lpips_weights(files[net])
    assert np.isfinite(LPIPS(*_images(least, least), weights))
    with pytest.raises(ValueError, match=f"at least {least} x {least}"):
        lpips(*_images(least - 1, 64), weights)


def test_refuses_images_of_different_sizes(files):
    weights = read_lpips_weights(files["alex"])
    with pytest.raises(ValueError, match="target"):
        lpips(np.zeros((40, 40, 3)), np.zeros((40, 41, 3)), weights)


# -- the `lpips` package


def _official():
    """The package, with torchvision's layers written out where it does not import."""
    torch = pytest.importorskip("torch")

    def features(layers, pool):
        modules, inputs = [], 3
        for layer in layers:
            if layer == "M":
                modules.append(torch.nn.MaxPool2d(pool, 2))
            else:
                modules += [torch.nn.Conv2d(inputs, *layer), torch.nn.ReLU()]
                inputs = layer[0]
        return types.SimpleNamespace(features=torch.nn.Sequential(*modules))

    missing = "torchvision" not in sys.modules
    if missing and importlib.util.find_spec("torchvision") is None:
        models = types.ModuleType("torchvision.models")
        models.alexnet = lambda pretrained: features(ALEX, 3)
        models.vgg16 = lambda pretrained: features(VGG, 2)
        package = types.ModuleType("torchvision")
        package.models = models
        sys.modules |= {"torchvision": package, "torchvision.models": models}
    return torch, pytest.importorskip("lpips")


@pytest.mark.slow
@pytest.mark.parametrize("net, theirs", [("alex", "alex"), ("vgg16", "vgg")])
def test_equals_the_lpips_package(tmp_path, net, theirs):
    """Its own linear weights, converted from its file, over a random backbone."""
    torch, package = _official()
    torch.manual_seed(0)
    model = package.LPIPS(net=theirs, pnet_rand=True, verbose=False)
    linear = pathlib.Path(package.__file__).parent / f"weights/v0.1/{theirs}.pth"
    _convert(linear, tmp_path / "linear.safetensors")
    # slice2.3.weight of the package is features.3.weight of torchvision.
    backbone = {
        f"features.{name.split('.', 2)[2]}": value
        for name, value in model.state_dict().items()
        if name.startswith("net.slice")
    }
    torch.save(backbone, tmp_path / "backbone.pth")
    _convert(tmp_path / "backbone.pth", tmp_path / "backbone.safetensors")
    weights = read_lpips_weights(
        tmp_path / "backbone.safetensors", tmp_path / "linear.safetensors"
    )
    for size in ((64, 64), (67, 91)):
        images = _images(*size)
        images[0, :20] = images[1, :20]
        with torch.no_grad():
            tensors = [torch.tensor(x.transpose(2, 0, 1))[None] for x in images]
            expected = model(*tensors, normalize=True).item()
        assert expected > 0
        np.testing.assert_allclose(LPIPS(*images, weights), expected, rtol=1e-5)


# -- the converter


def _convert(source, target):
    specification = importlib.util.spec_from_file_location("convert", CONVERT)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module.convert(source, target)


@pytest.mark.slow
def test_the_converter_copies_tensors_and_runs_nothing(tmp_path):
    torch = pytest.importorskip("torch")
    content = {"a": torch.arange(6.0).reshape(2, 3).T, "b": torch.ones(2)}
    torch.save(content, tmp_path / "good.pth")
    assert _convert(tmp_path / "good.pth", tmp_path / "a.safetensors") == ["a", "b"]
    arrays = load_file(tmp_path / "a.safetensors")
    np.testing.assert_array_equal(arrays["a"], content["a"])

    class Attack:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "marker"),)

    torch.save({"a": Attack()}, tmp_path / "bad.pth")
    (tmp_path / "empty.pth").write_bytes(b"")
    torch.save([torch.ones(2)], tmp_path / "list.pth")
    torch.save({"a": {"b": torch.ones(2)}}, tmp_path / "nested.pth")
    for name in ("bad", "empty", "list", "nested", "missing"):
        with pytest.raises(InputError, match=f"{name}.pth"):
            _convert(tmp_path / f"{name}.pth", tmp_path / "b.safetensors")
    assert not (tmp_path / "marker").exists()
    with pytest.raises(InputError, match="new file"):
        _convert(tmp_path / "good.pth", tmp_path / "a.safetensors")
    with pytest.raises(InputError, match="cannot be written"):
        _convert(tmp_path / "good.pth", tmp_path / "no" / "a.safetensors")
    assert not list(tmp_path.glob(".*")) and not list(tmp_path.glob("b.*"))


# -- files


@pytest.fixture
def alex():
    return _tensors("alex")


def test_npz_two_files_and_half_precision_are_read_alike(files, alex, tmp_path):
    expected = read_lpips_weights(files["alex"])
    linear = {name: x for name, x in alex.items() if name.startswith("lin")}
    rest = {name: x for name, x in alex.items() if name.startswith("features")}
    np.savez(tmp_path / "linear.npz", **linear)
    np.savez_compressed(tmp_path / "backbone.npz", classifier=np.zeros(5), **rest)
    read = read_lpips_weights(tmp_path / "backbone.npz", tmp_path / "linear.npz")
    assert read.digest == expected.digest
    jax.tree.map(np.testing.assert_array_equal, read, expected)
    half = {name: x.astype(np.float16) for name, x in alex.items()}
    save_file(half, tmp_path / "half.safetensors")
    read = read_lpips_weights(tmp_path / "half.safetensors")
    assert read.kernels[0].dtype == np.float32 and read.digest != expected.digest


@pytest.mark.parametrize(
    "change, words",
    [
        ({"features.3.weight": None}, "features.3.weight"),
        ({"features.10.bias": None}, "features.10.bias"),
        ({"lin2.model.1.weight": None}, "lin2.model.1.weight"),
        ({"features.0.weight": np.zeros((64, 3, 7, 7), np.float32)}, "(64, 3, 11, 11)"),
        ({"features.0.bias": np.zeros(64, np.int64)}, "floats"),
        ({"features.12.weight": np.zeros(3, np.float32)}, "neither AlexNet nor VGG16"),
        ({"features.0.bias": np.full(64, np.nan, np.float32)}, "not finite"),
        (
            {"lin1.model.1.weight": np.zeros((1, 128, 1, 1), np.float32)},
            "(1, 192, 1, 1)",
        ),
    ],
)
def test_refuses_another_network(alex, tmp_path, change, words):
    alex = {name: x for name, x in (alex | change).items() if x is not None}
    path = tmp_path / "weights.safetensors"
    save_file(alex, path)
    with pytest.raises(InputError) as refusal:
        read_lpips_weights(path)
    assert str(path) in str(refusal.value) and words in str(refusal.value)


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
@pytest.mark.parametrize(
    "raw", [b"", b"hello", b"PK\x03\x04" + b"\0" * 60, b"\xff" * 99]
)
def test_refuses_damaged_files(tmp_path, suffix, raw):
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(raw)
    with pytest.raises(InputError, match="cannot be read"):
        read_lpips_weights(path)


def test_refuses_missing_files_and_other_formats(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_lpips_weights(tmp_path / "weights.npz")
    with pytest.raises(InputError, match="convert_torch_weights"):
        read_lpips_weights(tmp_path / "alexnet.pth")


def _npy(array):
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=array.dtype.hasobject)
    return stream.getvalue()


def test_refuses_objects_lies_and_bombs(tmp_path):
    path = tmp_path / "weights.npz"
    lie = _npy(np.zeros(4)).replace(b"(4,), ", b"(9999999999,), ")
    objects = _npy(np.array([{}], dtype=object))
    for raw, reason in ((objects, "objects"), (lie, "claims|header|cannot be read")):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("features.0.weight.npy", raw)
        with pytest.raises(InputError, match=reason):
            read_lpips_weights(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("features.0.weight.npy", bytes(300 << 20))
    with pytest.raises(InputError, match="more than"):
        read_lpips_weights(path)
