"""Arrays by name from files of weights that users bring."""

from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from volhuman.errors import InputError


def read_arrays(path: Path, what: str) -> dict[str, np.ndarray]:
    """Reads all arrays of a `.npz` or `.safetensors` file.

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
        with safe_open(path, "np") as archive:
            return {name: archive.get_tensor(name) for name in archive.keys()}  # noqa: SIM118
    except FileNotFoundError as error:
        raise InputError(f"{path}: there is no such file; give {what}") from error
    except (OSError, ValueError, SafetensorError) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"{path}: cannot be read as .npz or .safetensors ({reason}); convert the "
            "weights with experiments/convert_torch_weights.py"
        ) from error
