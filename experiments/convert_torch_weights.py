"""Converts weights of PyTorch to the `.safetensors` that the package reads.

Command: python experiments/convert_torch_weights.py SOURCE.pth TARGET.safetensors
Needs the extra [convert]. For LPIPS convert two files: torchvision's weights of AlexNet
or VGG16, and `weights/v0.1/alex.pth` or `vgg.pth` of the `lpips` package.
Hardware and time: one CPU core, seconds.
"""

import os
import secrets
import sys
from pathlib import Path

from absl import app
from safetensors import SafetensorError
from safetensors.numpy import save_file

from volhuman.errors import InputError


def convert(source: str | Path, target: str | Path) -> list[str]:
    """Copies every tensor of a state dictionary under its own name.

    Args:
        source: `.pth` file with a dictionary of tensors. PyTorch's restricted reader is
            used: a file that holds more than numbers is refused, never run.
        target: `.safetensors` file to write; it must not exist.

    Returns:
        The names, sorted.

    Raises:
        InputError: If the source is no such file or the target cannot be written.
    """
    import torch

    source, target = Path(source), Path(target)
    if target.suffix != ".safetensors" or target.exists():
        raise InputError(f"{target}: give a new file that ends in .safetensors")
    try:
        content = torch.load(source, map_location="cpu", weights_only=True)
    # Damaged and unsafe files fail with UnpicklingError, RuntimeError, EOFError, ...
    except Exception as error:
        cause = str(error).partition("\n")[0] or type(error).__name__
        raise InputError(f"{source}: cannot be read safely ({cause})") from error
    if not isinstance(content, dict) or not content:
        raise InputError(f"{source}: holds no dictionary of tensors")
    for name, value in content.items():
        if not isinstance(value, torch.Tensor):
            raise InputError(
                f"{source}: {name!r} is a {type(value).__name__}, expected a tensor; "
                "give a state dictionary"
            )
    tensors = {str(k): v.detach().contiguous().numpy() for k, v in content.items()}
    temporary = target.parent / f".{secrets.token_hex(8)}.tmp"
    try:
        save_file(tensors, temporary)
        os.replace(temporary, target)
    except (OSError, SafetensorError) as error:
        raise InputError(f"{target}: cannot be written ({error})") from error
    finally:
        temporary.unlink(missing_ok=True)
    return sorted(tensors)


def main(arguments):
    if len(arguments) != 3:
        sys.exit(__doc__)
    try:
        names = convert(*arguments[1:])
    except InputError as error:
        sys.exit(f"convert_torch_weights: {error}")
    print(f"{arguments[2]}: {len(names)} tensors")


if __name__ == "__main__":
    app.run(main)
