"""Reads body models in SMPL's file formats into plain arrays.

The official files come as `.npz` and `.pkl`; `.safetensors` holds the same names. None
is part of this package: a user who has accepted their licence passes a path. Whatever
the format, the result has one set of names, and every array has been checked against
the others, so that no later step meets a wrong shape or a non-finite number.

Letters in shapes: V vertices, F faces, J joints, S shape coefficients.
"""

import math
import os
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from safetensors import safe_open

from volhuman.errors import InputError
from volhuman.safe_pickle import load_pickle
from volhuman.safe_pickle_values import chumpy_array

NUM_JOINTS = 24
# Official names of each array, by its name here.
_NAMES = {
    "template": ("v_template",),
    "faces": ("f", "faces"),
    "shape_dirs": ("shapedirs",),
    "pose_dirs": ("posedirs",),
    "joint_regressor": ("J_regressor",),
    "weights": ("weights",),
    "parents": ("kintree_table", "parents"),
}
_OPTIONAL = {"pose_dirs"}
# SMPL takes 40 MB, SMPL-X with all its coefficients 300 MB.
_MAX_BYTES = 1 << 29
_WEIGHT_TOLERANCE = 1e-3
_REGRESSOR_TOLERANCE = 1e-2


def read_smpl_arrays(path: str | Path, *, num_shape: int = 10) -> dict[str, np.ndarray]:
    """Reads an SMPL body model.

    Args:
        path: an `.npz`, `.pkl` or `.safetensors` file with SMPL's official names.
        num_shape: how many shape directions to keep.

    Returns:
        float32 `template` `(V, 3)` in metres, `shape_dirs` `(V, 3, num_shape)`,
        `joint_regressor` `(24, V)`, `weights` `(V, 24)` and, where the file has them,
        `pose_dirs` `(V, 3, 207)`; int32 `faces` `(F, 3)` and `parents` `(24,)`, in
        which the root has -1 and every other joint follows its parent.

    Raises:
        InputError: the file cannot be read safely, holds another kind of body, or its
            arrays contradict each other.
        ValueError: `num_shape` is not positive.
    """
    path = Path(path)
    if num_shape < 1:
        raise ValueError(f"num_shape must be positive, got {num_shape}.")
    readers: dict[str, Callable[[Path], dict[str, np.ndarray]]] = {
        ".npz": _read_npz,
        ".pkl": _read_pickle,
        ".safetensors": _read_safetensors,
    }
    if path.suffix.lower() not in readers:
        raise InputError(f"{path} is no body model; give one of {', '.join(readers)}.")
    if not os.path.isfile(path):
        raise InputError(f"{path} is not a file; give the path of a body model.")
    try:
        arrays = readers[path.suffix.lower()](path)
        return _checked(arrays, num_shape)
    except InputError:
        raise
    except ValueError as error:
        raise InputError(f"{path} is not usable: {error}.") from error
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror or error}); check its permissions."
        ) from error
    # Damaged files fail with BadZipFile, zlib.error, RuntimeError (a password),
    # NotImplementedError (a compression), SafetensorError and more.
    except Exception as error:
        cause = str(error).partition("\n")[0] or type(error).__name__
        raise InputError(f"{path} is damaged ({cause}); copy it again.") from error


# -- the formats: each returns the arrays under the names used here


def _select(keys: Mapping | set, read: Callable[[str], np.ndarray]) -> dict:
    """Reads the arrays of `_NAMES`, and nothing else that the file may hold."""
    arrays = {}
    for name, official_names in _NAMES.items():
        present = [official for official in official_names if official in keys]
        if present:
            arrays[name] = read(present[0])
        elif name not in _OPTIONAL:
            raise ValueError(f"it has no {' or '.join(official_names)}")
    return arrays


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(path) as archive:
        sizes = {item.filename: item.file_size for item in archive.infolist()}
        wanted = [f"{key}.npy" for keys in _NAMES.values() for key in keys]
        total = sum(sizes.get(member, 0) for member in wanted)
        if total > _MAX_BYTES:
            raise ValueError(f"its arrays take {total} bytes, more than {_MAX_BYTES}")

        def read(key: str) -> np.ndarray:
            member = f"{key}.npy"
            check_npy_header(archive, member, sizes[member])
            with archive.open(member) as stream:
                return np.lib.format.read_array(stream, allow_pickle=False)

        names = {name.removesuffix(".npy") for name in sizes if name.endswith(".npy")}
        return _select(names, read)


def check_npy_header(archive: zipfile.ZipFile, member: str, size: int) -> None:
    """Compares what an array claims with the size of its member, before allocation."""
    with archive.open(member) as stream:
        version = np.lib.format.read_magic(stream)
        if version == (1, 0):
            header = np.lib.format.read_array_header_1_0(stream)
        else:
            header = np.lib.format.read_array_header_2_0(stream)
        shape, _, dtype = header
        if dtype.hasobject:
            raise ValueError(
                f"{member} holds Python objects, which may run code; convert the file "
                "once, where you trust it, to plain arrays"
            )
        claimed = math.prod(shape) * dtype.itemsize + stream.tell()
    if claimed != size:
        raise ValueError(f"{member} claims {claimed} bytes and has {size}")


def _read_pickle(path: Path) -> dict[str, np.ndarray]:
    content = load_pickle(path, max_bytes=_MAX_BYTES)
    if not isinstance(content, dict):
        raise ValueError(f"it holds a {type(content).__name__}, expected a dict")

    def read(key: str) -> np.ndarray:
        try:
            return chumpy_array(content[key])
        except ValueError as error:
            raise ValueError(f"{key} cannot be read ({error})") from error

    return _select(content, read)


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    size = path.stat().st_size
    if size > _MAX_BYTES:
        raise ValueError(f"it has {size} bytes, more than {_MAX_BYTES}")
    # The library compares the header with the size of the file.
    with safe_open(path, framework="numpy") as tensors:
        return _select(set(tensors.keys()), tensors.get_tensor)


# -- the checks


def _checked(arrays: dict[str, np.ndarray], num_shape: int) -> dict[str, np.ndarray]:
    """Converts and checks the arrays against each other."""
    parents = _parents(arrays["parents"])
    checked = {
        name: _finite(name, array)
        for name, array in arrays.items()
        if name not in ("faces", "parents")
    }
    num_vertices = len(checked["template"])
    shape_dirs = checked["shape_dirs"]
    if shape_dirs.ndim == 3 and shape_dirs.shape[-1] < num_shape:
        raise ValueError(
            f"it has {shape_dirs.shape[-1]} shape directions, fewer than the "
            f"{num_shape} asked for"
        )
    checked["shape_dirs"] = shape_dirs[..., :num_shape].copy()
    expected = {
        "template": (num_vertices, 3),
        "shape_dirs": (num_vertices, 3, num_shape),
        "pose_dirs": (num_vertices, 3, 9 * (NUM_JOINTS - 1)),
        "joint_regressor": (NUM_JOINTS, num_vertices),
        "weights": (num_vertices, NUM_JOINTS),
    }
    for name, array in checked.items():
        if array.shape != expected[name]:
            raise ValueError(
                f"{_NAMES[name][0]} has shape {array.shape}, expected {expected[name]}"
            )
    _check_row_sums("weights", checked["weights"], _WEIGHT_TOLERANCE)
    _check_row_sums("J_regressor", checked["joint_regressor"], _REGRESSOR_TOLERANCE)
    checked["faces"] = _faces(arrays["faces"], num_vertices)
    checked["parents"] = parents
    return checked


def _finite(name: str, array: np.ndarray) -> np.ndarray:
    """Converts to float32, in the machine's byte order and C order."""
    if array.dtype.kind not in "iuf" or array.ndim == 0:
        raise ValueError(f"{_NAMES[name][0]} is not an array of numbers")
    # Signalling NaN, and what overflows float32, is refused below.
    with np.errstate(over="ignore", invalid="ignore"):
        array = np.array(array, np.float32, order="C")
    if not np.isfinite(array).all():
        raise ValueError(f"{_NAMES[name][0]} holds numbers that are not finite")
    return array


def _faces(faces: np.ndarray, num_vertices: int) -> np.ndarray:
    if faces.dtype.kind not in "iu" or faces.ndim != 2 or faces.shape[-1] != 3:
        raise ValueError(
            f"the faces are {faces.dtype} {faces.shape}, expected integers (F, 3)"
        )
    if faces.size == 0 or np.any((faces < 0) | (faces >= num_vertices)):
        raise ValueError(f"the faces are not indices of its {num_vertices} vertices")
    return np.array(faces, np.int32, order="C")


def _parents(table: np.ndarray) -> np.ndarray:
    """Returns `(J,)` from a table `(2, J)` of parents and joints, or from `(J,)`."""
    if table.dtype.kind not in "iu" or table.ndim not in (1, 2):
        raise ValueError(f"the kinematic tree is {table.dtype} {table.shape}")
    if table.shape[-1] != NUM_JOINTS:
        raise ValueError(
            f"it has {table.shape[-1]} joints, SMPL has {NUM_JOINTS}: SMPL-H (52) and "
            "SMPL-X (55) are other models"
        )
    # The root's -1 stands as 4294967295 in files that were written unsigned.
    table = table.astype(np.int64)
    if table.ndim == 2:
        if len(table) != 2 or np.any(table[1] != np.arange(table.shape[1])):
            raise ValueError("kintree_table is not (parent, joint) in joint order")
        table = table[0]
    if table[0] == 2**32 - 1:
        table[0] = -1
    is_tree = np.all((table[1:] >= 0) & (table[1:] < np.arange(1, NUM_JOINTS)))
    if table[0] != -1 or not is_tree:
        raise ValueError("the parents form no tree in which joints follow their parent")
    return table.astype(np.int32)


def _check_row_sums(name: str, rows: np.ndarray, tolerance: float) -> None:
    error = np.abs(rows.sum(axis=1, dtype=np.float64) - 1).max(initial=0)
    if error > tolerance:
        raise ValueError(f"the rows of {name} sum to 1 only within {error:.2g}")
