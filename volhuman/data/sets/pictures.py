"""Pictures of a data set: checked, and stored as the bytes of their files.

A picture is decoded once while the set is built, so that a cut file is found then and
not in the middle of a training. What is stored are the original bytes, unless the file
is not in colour or in another format: TensorFlow Datasets, without TensorFlow, decodes
a grey file into a grey array. Such files become PNG.
"""

import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageFile

from volhuman.data.sets.files import read_bytes
from volhuman.errors import InputError

_FORMATS = ("JPEG", "PNG")
_MAX_BYTES = 1 << 28
_MAX_PIXELS = 300_000_000


def read_picture(path: Path, *, size: tuple[int, int] | None = None) -> bytes:
    """Reads a colour picture to be stored.

    Args:
        path: JPEG or PNG file.
        size: Width and height that the annotations say, or None.

    Returns:
        A JPEG or PNG file in RGB.

    Raises:
        InputError: If the file is missing, cut, no such picture, or of another size.
    """
    data = read_bytes(path, max_bytes=_MAX_BYTES)
    image = _decode(data, path)
    if size is not None and image.size != tuple(size):
        raise InputError(
            f"{path} has {image.width} x {image.height} pixels, but the annotation "
            f"says {size[0]} x {size[1]}; take the pictures of the same release"
        )
    return data if image.mode == "RGB" else encode_png(np.asarray(image.convert("RGB")))


def read_mask(path: Path) -> np.ndarray:
    """Reads a mask: uint8 `(H, W)` of 0 and 1.

    Files hold 0 and 255, with steps between where they were scaled, or 0 and 1.

    Raises:
        InputError: If the file is missing or broken.
    """
    image = _decode(read_bytes(path, max_bytes=_MAX_BYTES), path)
    values = np.asarray(image.convert("L"))
    return (values > (127 if values.max() > 1 else 0)).astype(np.uint8)


def read_depth(path: Path) -> np.ndarray:
    """Reads a 16-bit grey picture as uint16 `(H, W)`.

    Raises:
        InputError: If the file is missing, broken, or has 8 bits.
    """
    image = _decode(read_bytes(path, max_bytes=_MAX_BYTES), path)
    if not image.mode.startswith("I"):
        raise InputError(
            f"{path} has pixels of mode {image.mode}, expected 16-bit grey; copy it "
            "again without converting it"
        )
    return np.asarray(image).astype(np.uint16)


def encode_png(pixels: np.ndarray) -> bytes:
    """Encodes uint8 `(H, W)` or `(H, W, 3)` as PNG."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


def _decode(data: bytes, path: Path) -> Image.Image:
    """Decodes all of a file."""
    # The switch is global, and another library may have set it: cut files would come
    # out with a grey lower half.
    lenient = ImageFile.LOAD_TRUNCATED_IMAGES
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    try:
        image = Image.open(io.BytesIO(data), formats=_FORMATS)
        width, height = image.size
        if width * height > _MAX_PIXELS:
            raise ValueError(f"{width} x {height} pixels are too many")
        image.load()
        return image
    # Decoders fail with OSError, SyntaxError, struct.error, zlib.error and more.
    except Exception as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise InputError(
            f"{path} is no JPEG or PNG picture, or a cut one ({reason}); copy it again"
        ) from error
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = lenient
