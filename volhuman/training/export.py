"""Weights of one network as one `.safetensors` file, for use without the training."""

import contextlib
import dataclasses
import hashlib
import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from flax import traverse_util
from safetensors import safe_open
from safetensors.numpy import save

from volhuman.checks import check_option
from volhuman.errors import InputError
from volhuman.training.arrays import check_same, first_not_finite
from volhuman.training.manifest import VERSION

_SUFFIX = ".safetensors"


@dataclasses.dataclass(frozen=True)
class Weights:
    """Weights of a network.

    Attributes:
        params: Nested dicts of arrays, as Flax gives them.
        config: Configuration that they were trained with.
        step: Number of steps made.
        sha256: Digest of all of this.
    """

    params: dict[str, Any]
    config: dict[str, Any]
    step: int
    sha256: str


def export_weights(
    path: str | Path,
    params: Mapping[str, Any],
    *,
    config: Mapping[str, Any],
    step: int,
    dtype: str = "float16",
) -> str:
    """Writes the weights of one network and returns their digest.

    Args:
        path: File that ends in `.safetensors`; replaced where it exists.
        params: Nested dicts of arrays: what prediction needs and nothing else.
        config: Stored with the weights as JSON.
        step: Stored with the weights.
        dtype: "float16" or "float32", for the floating arrays.

    Raises:
        InputError: If the file cannot be written.
        ValueError: If a number is not finite, or too large for the type.
    """
    check_option("dtype", dtype, ("float16", "float32"))
    path = Path(path)
    if path.suffix != _SUFFIX:
        raise InputError(f"{path}: weights are written as {_SUFFIX} files")
    with np.errstate(over="ignore"):
        tensors = {
            name: _cast(np.asarray(leaf), dtype) for name, leaf in _flat(params).items()
        }
    name = first_not_finite(tensors)
    if name:
        raise ValueError(f"{name} holds numbers that are not finite in {dtype}")
    text, number = json.dumps(dict(config), sort_keys=True), str(step)
    digest = _digest(tensors, text, number)
    metadata = {"config": text, "step": number, "sha256": digest}
    metadata["version"] = VERSION
    _write(path, save(tensors, metadata))
    return digest


@dataclasses.dataclass(frozen=True)
class WeightsHeader:
    """What a file says of its weights.

    Attributes:
        config: Configuration that they were trained with.
        step: Number of steps made.
        sha256: Digest of names, arrays, configuration and step, as stated.
    """

    config: dict[str, Any]
    step: int
    sha256: str


def read_weights_header(path: str | Path) -> WeightsHeader:
    """Reads what a file says of its weights, without the weights.

    Raises:
        InputError: If the file is missing or damaged.
    """
    metadata = _read_metadata(Path(path))
    config, step = json.loads(metadata["config"]), int(metadata["step"])
    return WeightsHeader(config, step, metadata["sha256"])


def load_weights(path: str | Path, like: Mapping[str, Any]) -> Weights:
    """Reads weights and compares them with a network.

    Args:
        path: File that `export_weights` wrote.
        like: Nested dicts of arrays or `jax.ShapeDtypeStruct`, such as
            `jax.eval_shape(module.init, key, *inputs)["params"]`; the types are taken
            from it.

    Raises:
        InputError: If the file is missing or damaged, or holds other names or shapes;
            the message lists what is only in the file and what only in the model.
    """
    path = Path(path)
    metadata = _read_metadata(path)
    expected = _flat(like)
    with _damage(path), safe_open(path, framework="numpy") as file:
        slices = {name: file.get_slice(name) for name in sorted(file.keys())}
        shapes = {name: str(x.get_shape()) for name, x in slices.items()}
        check_same(
            str(path), shapes, {k: str(list(x.shape)) for k, x in expected.items()}
        )
        tensors = {name: file.get_tensor(name) for name in slices}
    digest = _digest(tensors, metadata["config"], metadata["step"])
    if metadata["sha256"] != digest:
        raise InputError(f"{path}: the weights have changed; copy the file again")
    config, step = json.loads(metadata["config"]), int(metadata["step"])
    typed = {name: tensors[name].astype(x.dtype) for name, x in expected.items()}
    params = traverse_util.unflatten_dict(typed, sep="/")
    return Weights(params, config, step, digest)


def _read_metadata(path: Path) -> dict[str, str]:
    """The texts in the header; the library compares it with the file's size."""
    if not path.is_file():
        raise InputError(f"{path}: there is no such file; give a file of weights")
    with _damage(path):
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
        if not isinstance(json.loads(metadata["config"]), dict):
            raise ValueError("its configuration is no table")
        int(metadata["step"])
        return {name: metadata[name] for name in ("config", "step", "sha256")}


@contextlib.contextmanager
def _damage(path: Path):
    """Names the file in whatever damage leads to."""
    try:
        yield
    except InputError:
        raise
    # SafetensorError, KeyError, ValueError, TypeError, ...
    except Exception as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise InputError(
            f"{path}: not weights of volhuman, or damaged ({reason}); copy or export "
            "them again"
        ) from error


def _flat(params: Mapping[str, Any]) -> dict[str, Any]:
    return traverse_util.flatten_dict(dict(params), sep="/")


def _cast(array: np.ndarray, dtype: str) -> np.ndarray:
    floating = array.dtype.kind == "f" or array.dtype.name == "bfloat16"
    return np.asarray(array, dtype if floating else None, order="C")


def _digest(tensors: Mapping[str, np.ndarray], config: str, step: str) -> str:
    digest = hashlib.sha256(f"{config}\n{step}\n".encode())
    for name, array in sorted(tensors.items()):
        digest.update(f"{name} {array.dtype} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def _write(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(data)
        os.replace(temporary, path)
    except OSError as error:
        raise InputError(
            f"{path}: {error.strerror or error}; choose a place that can be written"
        ) from error
    finally:
        with contextlib.suppress(OSError):  # renamed already, or never created
            temporary.unlink()
