"""Reads the weights of LPIPS: a torchvision backbone and the linear layers on top.

None of them is part of this package. The names are torchvision's (`features.0.weight`)
and those of the `lpips` package (`lin0.model.1.weight`);
`experiments/convert_torch_weights.py` turns their `.pth` files into `.safetensors`.
"""

import dataclasses
import hashlib
import math
import os
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
from safetensors import safe_open

from volhuman.body.smpl_files import check_npy_header
from volhuman.errors import InputError

# VGG16's features take 59 MB.
_MAXIMUM_BYTES = 1 << 28
_CONVERT = "convert the .pth files with experiments/convert_torch_weights.py"


@dataclasses.dataclass(frozen=True)
class Convolution:
    """A convolution of a backbone, followed by a ReLU.

    Attributes:
        index: Its number in torchvision's `features`.
        channels: Output channels.
        side: Side of the kernel.
        stride: Step in pixels.
    """

    index: int
    channels: int
    side: int = 3
    stride: int = 1

    @property
    def padding(self) -> int:
        """Zeros at each border: 2 for AlexNet's first layer, others keep the size."""
        return 2 if self.stride > 1 else self.side // 2


@dataclasses.dataclass(frozen=True)
class Stage:
    """Convolutions up to one of the five compared feature maps.

    Attributes:
        pool: Side of the maximum pooling of stride 2 before them, 0 for none.
        convolutions: In order.
    """

    pool: int
    convolutions: tuple[Convolution, ...]


def _vgg_stage(pool, channels, *indices):
    return Stage(pool, tuple(Convolution(index, channels) for index in indices))


BACKBONES = {
    "alex": (
        Stage(0, (Convolution(0, 64, side=11, stride=4),)),
        Stage(3, (Convolution(3, 192, side=5),)),
        Stage(3, (Convolution(6, 384),)),
        Stage(0, (Convolution(8, 256),)),
        Stage(0, (Convolution(10, 256),)),
    ),
    "vgg16": (
        _vgg_stage(0, 64, 0, 2),
        _vgg_stage(2, 128, 5, 7),
        _vgg_stage(2, 256, 10, 12, 14),
        _vgg_stage(2, 512, 17, 19, 21),
        _vgg_stage(2, 512, 24, 26, 28),
    ),
}
"""The layers of AlexNet and VGG16 that LPIPS uses."""


@dataclasses.dataclass(frozen=True)
class LpipsWeights:
    """Weights of LPIPS v0.1.

    Attributes:
        kernels: `(side, side, inputs, outputs)` of every convolution, in order.
        biases: `(outputs,)` of every convolution.
        linear: `(channels,)` of every stage.
        net: "alex" or "vgg16".
        digest: SHA-256 of all numbers: equal for equal weights in any file format.
    """

    kernels: tuple[np.ndarray, ...]
    biases: tuple[np.ndarray, ...]
    linear: tuple[np.ndarray, ...]
    net: str
    digest: str


jax.tree_util.register_dataclass(
    LpipsWeights,
    data_fields=["kernels", "biases", "linear"],
    meta_fields=["net", "digest"],
)


def read_lpips_weights(
    backbone: str | Path, linear: str | Path | None = None
) -> LpipsWeights:
    """Reads the weights of LPIPS; the backbone is recognised by its layers.

    Args:
        backbone: `.safetensors` or `.npz` with torchvision's `features`; other tensors
            in it are not read.
        linear: `.safetensors` or `.npz` with the linear layers; default: they are in
            the file of the backbone.

    Returns:
        The weights, float32.

    Raises:
        InputError: If a file cannot be read safely, or holds another network.
    """
    backbone = Path(backbone)
    linear = backbone if linear is None else Path(linear)
    tensors = _read(backbone, lambda name: name.startswith("features."))
    net = _recognize(backbone, tensors)
    kernels, biases, inputs = [], [], 3
    for stage in BACKBONES[net]:
        for layer in stage.convolutions:
            shape = (layer.channels, inputs, layer.side, layer.side)
            name = f"features.{layer.index}"
            kernel = _take(backbone, tensors, f"{name}.weight", shape)
            kernels.append(np.ascontiguousarray(kernel.transpose(2, 3, 1, 0)))
            biases.append(_take(backbone, tensors, f"{name}.bias", (layer.channels,)))
            inputs = layer.channels
    names = [f"lin{number}.model.1.weight" for number in range(len(BACKBONES[net]))]
    tensors = _read(linear, set(names).__contains__)
    lines = []
    for name, stage in zip(names, BACKBONES[net], strict=True):
        shape = (1, stage.convolutions[-1].channels, 1, 1)
        lines.append(_take(linear, tensors, name, shape).reshape(-1))
    digest = hashlib.sha256()
    for array in (*kernels, *biases, *lines):
        digest.update(np.ascontiguousarray(array, "<f4").tobytes())
    return LpipsWeights(
        tuple(kernels), tuple(biases), tuple(lines), net, digest.hexdigest()
    )


def _recognize(path, tensors):
    """The backbone whose layers the file holds, no more and no fewer."""
    found = {
        int(m[1]) for m in map(re.compile(r"features\.(\d+)\.").match, tensors) if m
    }
    for net, stages in BACKBONES.items():
        if found == {c.index for stage in stages for c in stage.convolutions}:
            return net
    raise InputError(
        f"{path}: the layers of features are {sorted(found)}, which is neither AlexNet "
        f"nor VGG16; give torchvision's weights, {_CONVERT}"
    )


def _take(path, tensors, name, shape):
    if name not in tensors:
        raise InputError(f"{path}: it has no {name}; {_CONVERT}")
    array = tensors[name]
    if array.shape != shape or array.dtype.kind != "f":
        raise InputError(
            f"{path}: {name} is {array.dtype} {array.shape}, expected floats {shape}; "
            "give the weights of one network"
        )
    array = np.asarray(array, np.float32)
    if not np.isfinite(array).all():
        raise InputError(f"{path}: {name} holds numbers that are not finite")
    return array


def _read(path: Path, wanted: Callable[[str], bool]) -> dict[str, np.ndarray]:
    """Reads the wanted tensors of a file and nothing else."""
    readers = {".safetensors": _read_safetensors, ".npz": _read_npz}
    if path.suffix.lower() not in readers:
        raise InputError(f"{path}: weights are .safetensors or .npz files; {_CONVERT}")
    if not os.path.isfile(path):
        raise InputError(f"{path}: there is no such file; give a file of weights")
    try:
        return readers[path.suffix.lower()](path, wanted)
    # Damaged files fail with BadZipFile, zlib.error, SafetensorError, ValueError,
    # NotImplementedError (a compression) and more.
    except Exception as error:
        cause = str(error).partition("\n")[0] or type(error).__name__
        raise InputError(f"{path}: cannot be read ({cause}); copy it again") from error


def _read_safetensors(path, wanted):
    # The library compares the header with the size of the file.
    with safe_open(path, framework="numpy") as tensors:
        names = [name for name in set(tensors.keys()) if wanted(name)]
        shapes = [tensors.get_slice(name).get_shape() for name in names]
        _check_total(8 * sum(math.prod(shape) for shape in shapes))
        return {name: tensors.get_tensor(name) for name in names}


def _read_npz(path, wanted):
    with zipfile.ZipFile(path) as archive:
        sizes = {
            item.filename: item.file_size
            for item in archive.infolist()
            if item.filename.endswith(".npy")
            and wanted(item.filename.removesuffix(".npy"))
        }
        _check_total(sum(sizes.values()))
        tensors = {}
        for member, size in sizes.items():
            check_npy_header(archive, member, size)
            with archive.open(member) as stream:
                array = np.lib.format.read_array(stream, allow_pickle=False)
            tensors[member.removesuffix(".npy")] = array
        return tensors


def _check_total(size):
    if size > _MAXIMUM_BYTES:
        raise ValueError(f"its features take more than {_MAXIMUM_BYTES} bytes")
