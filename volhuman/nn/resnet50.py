"""ResNet-50 as torchvision has it, so that its ImageNet weights can be read."""

from collections.abc import Mapping
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from volhuman.errors import InputError
from volhuman.nn.convolution import PixelConv
from volhuman.nn.weight_files import read_arrays

# Features of the 3x3 convolutions and units of the four stages.
_STAGES = ((64, 3), (128, 4), (256, 6), (512, 3))
_EXPANSION = 4
_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
_STD = np.array([0.229, 0.224, 0.225], np.float32)
_HE = nn.initializers.variance_scaling(2.0, "fan_out", "truncated_normal")


class ResNet50(nn.Module):
    """Residual network of 50 layers with batch normalisation, without its classifier.

    Variables: "params" and, for the normalisation, "batch_stats", which change while
    training (`mutable=["batch_stats"]`).

    Source: He et al., "Deep residual learning for image recognition", 2016; as
    torchvision has it, the 3x3 convolution of a unit has its stride.
    """

    @nn.compact
    def __call__(self, images: jax.Array, train: bool = False) -> jax.Array:
        """Maps pictures to features.

        Args:
            images: `(B, H, W, 3)` in [0, 1].
            train: Whether to normalise by the batch itself and to note its statistics.

        Returns:
            `(B, H / 32, W / 32, 2048)`.
        """
        x = (images - _MEAN) / _STD
        x = _conv(64, 7, "conv1", stride=2)(x)
        x = nn.relu(_norm("bn1", train)(x))
        x = nn.max_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1)))
        for stage, (features, units) in enumerate(_STAGES, 1):
            for unit in range(units):
                stride = 2 if stage > 1 and unit == 0 else 1
                x = _Unit(features, stride, name=f"layer{stage}_{unit}")(x, train)
        return x


class _Unit(nn.Module):
    """1x1, 3x3 and 1x1 convolutions around a shortcut."""

    features: int
    stride: int

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        wide = _EXPANSION * self.features
        y = nn.relu(_norm("bn1", train)(_conv(self.features, 1, "conv1")(x)))
        y = _conv(self.features, 3, "conv2", stride=self.stride)(y)
        y = nn.relu(_norm("bn2", train)(y))
        # A unit begins as its shortcut, which lets deep networks learn from scratch.
        last = _norm("bn3", train, scale_init=nn.initializers.zeros)
        y = last(_conv(wide, 1, "conv3")(y))
        if self.stride > 1 or x.shape[-1] != wide:
            x = _conv(wide, 1, "downsample_0", stride=self.stride)(x)
            x = _norm("downsample_1", train)(x)
        return nn.relu(x + y)


def load_resnet50(path: str | Path) -> dict[str, dict]:
    """Reads weights in torchvision's layout from a `.npz` or `.safetensors` file.

    Args:
        path: The file; names as `layer1.0.conv1.weight`. The classifier is left out.

    Returns:
        "params" and "batch_stats" of `ResNet50`.

    Raises:
        InputError: If the file is missing, damaged, or holds other arrays.
    """
    arrays = read_arrays(Path(path), "ResNet-50 weights")
    pictures = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)
    like = jax.eval_shape(ResNet50().init, jax.random.key(0), pictures)
    found = {}
    for place, leaf in traverse_util.flatten_dict(dict(like)).items():
        name = _torch_name(place)
        array = _take(path, arrays, name)
        if array.ndim == 4:
            array = array.transpose(2, 3, 1, 0)
        if array.shape != leaf.shape:
            raise InputError(
                f"{path}: {name} has the shape {arrays[name].shape}, which is not that "
                "of ResNet-50; give torchvision's weights of resnet50"
            )
        found[place] = jnp.asarray(array)
    return traverse_util.unflatten_dict(found)


_LEAVES = {"kernel": "weight", "scale": "weight", "bias": "bias"}
_LEAVES |= {"mean": "running_mean", "var": "running_var"}


def _torch_name(place: tuple[str, ...]) -> str:
    """`layer1.0.downsample.0.weight` of ("params", "layer1_0", "downsample_0", ...)."""
    _, *modules, leaf = place
    return ".".join(["_".join(modules).replace("_", "."), _LEAVES[leaf]])


def _take(path, arrays: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    if name not in arrays:
        raise InputError(
            f"{path}: holds no array {name!r}; give torchvision's weights of resnet50"
        )
    return np.asarray(arrays[name], np.float32)


def _conv(features: int, size: int, name: str, stride: int = 1) -> nn.Module:
    if size == stride == 1:
        return PixelConv(features, use_bias=False, kernel_init=_HE, name=name)
    margin = (size // 2, size // 2)
    return nn.Conv(
        features,
        (size, size),
        strides=stride,
        padding=(margin, margin),
        use_bias=False,
        kernel_init=_HE,
        name=name,
    )


def _norm(name: str, train: bool, **options) -> nn.BatchNorm:
    return nn.BatchNorm(
        use_running_average=not train, momentum=0.9, epsilon=1e-5, name=name, **options
    )
