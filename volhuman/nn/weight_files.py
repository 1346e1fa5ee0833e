"""Arrays by name from files of weights that users bring."""

import zipfile
import zlib
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from volhuman.errors import InputError

# A file that ends early or holds wrong bytes fails in one of these ways.
_DAMAGED = (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, zlib.error)


def read_arrays(path: Path, what: str) -> dict[str, np.ndarray]:
    """Reads all arrays of a `.npz`, `.safetensors` or `.h5` file.

    Args:
        path: The file.
        what: What it should hold, for messages: "VGG19 weights".

    Raises:
        InputError: If it is missing, damaged, or of another form.
    """
    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as archive:
                return {name: archive[name] for name in archive.files}
        if path.suffix == ".h5":
            return _read_h5(path)
        with safe_open(path, "np") as archive:
            return {name: archive.get_tensor(name) for name in archive.keys()}  # noqa: SIM118
    except FileNotFoundError as error:
        raise InputError(f"{path}: there is no such file; give {what}") from error
    except (*_DAMAGED, SafetensorError) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"{path}: cannot be read as .npz, .safetensors or .h5 ({reason}); convert "
            "weights of PyTorch with experiments/convert_torch_weights.py"
        ) from error


def _read_h5(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an HDF5 file by their place in it."""
    try:
        import h5py
    except ImportError as error:
        raise InputError(
            f"{path}: reading .h5 needs h5py; install it with pip install -e "
            "'.[datasets]'"
        ) from error
    arrays = {}

    def keep(name, item):
        if isinstance(item, h5py.Dataset):
            arrays[name] = item[()]

    with h5py.File(path, "r") as file:
        file.visititems(keep)
    return arrays
