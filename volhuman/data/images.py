"""Photographs in, pictures out: every file is checked and brought to one form.

A photograph is float32 sRGB `(H, W, 3)` in [0, 1], upright, alpha composited away. What
cannot be brought to that form is refused with an `InputError`; what is legible but
unlikely to work (tiny, black, a panorama) is read and carries a warning.
"""

import contextlib
import dataclasses
import io
import os
import re
import secrets
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, ImageFile, UnidentifiedImageError, features

from volhuman.errors import InputError

# Other formats that Pillow knows start outside programs (EPS), or are no photographs.
# A phone's two-picture JPEG (MPO) is opened as JPEG.
_FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "PPM")
_SUFFIXES = {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".webp", ".tif", ".tiff"}
_SUFFIXES |= {".bmp", ".gif", ".ppm", ".pgm", ".pbm"}
if features.check("avif"):
    _FORMATS += ("AVIF",)
    _SUFFIXES |= {".avif"}
_FORMATS_TEXT = ", ".join(_FORMATS)

# 8-bit modes that Pillow converts to L, RGB or CMYK without losing range. Wider modes
# are scaled by `_wide_to_grey`, because `convert` saturates them.
_NARROW_MODES = {"1", "L", "LA", "La", "P", "PA", "RGB", "RGBX", "RGBA", "RGBa"}
_NARROW_MODES |= {"CMYK", "YCbCr"}
_MINIMUM_SIDE = 64
_MAXIMUM_ASPECT = 3.0
_BLACK_MEAN = 0.02
# Leaves room for a counter and a suffix below the 255 bytes of common file systems.
_MAXIMUM_STEM_BYTES = 200


@dataclasses.dataclass(frozen=True, eq=False)
class Photograph:
    """A photograph, upright and in sRGB.

    Attributes:
        path: the file it came from.
        rgb: `(H, W, 3)` float32 sRGB in [0, 1].
        mask: `(H, W)` float32 alpha in [0, 1]; None where the file is fully opaque.
        warnings: sentences for the report, empty for an ordinary photograph.
    """

    path: Path
    rgb: np.ndarray
    mask: np.ndarray | None
    warnings: tuple[str, ...]


def read_photograph(
    path: str | Path,
    *,
    background: tuple[float, float, float] = (1.0, 1.0, 1.0),
    max_pixels: int = 50_000_000,
) -> Photograph:
    """Reads one photograph.

    Orientation tags are applied, ICC profiles converted to sRGB, 16-bit values scaled;
    of several pages or a phone's two-picture JPEG the first is taken.

    Args:
        path: the image file.
        background: sRGB colour in [0, 1] put behind transparent pixels.
        max_pixels: larger pictures are refused from their header, before allocation;
            Pillow's own limit (179 million pixels) holds besides.

    Raises:
        InputError: the file is missing, no picture of an allowed format, animated,
            truncated, too large, or holds values that have no defined colour.
        ValueError: `background` is not a colour in [0, 1].
    """
    path = Path(path)
    backdrop = np.asarray(background, np.float32)
    if backdrop.shape != (3,) or not np.all((backdrop >= 0) & (backdrop <= 1)):
        raise ValueError(f"background must be 3 values in [0, 1], got {background}.")
    # `os.path` answers False where `Path.is_file` raises: no permission, name too long.
    if not os.path.isfile(path):
        kind = "is not a regular file" if os.path.exists(path) else "does not exist"
        raise InputError(f"{path} {kind}; give the path of a picture.")
    warnings: list[str] = []
    with _refusing(path, max_pixels), path.open("rb") as file:
        image = _open(path, file, max_pixels, warnings)
        rgb, mask = _to_arrays(path, image, warnings)
        orientation = _orientation(image, warnings)
    rgb = _turn_upright(rgb, orientation)
    if mask is not None:
        mask = _turn_upright(mask, orientation)
        # In place: a photograph at the pixel limit takes 600 MB.
        rgb *= mask[..., None]
        rgb += (1 - mask[..., None]) * backdrop
    warnings += _judge(rgb)
    return Photograph(path, rgb, mask, tuple(warnings))


def list_photographs(folder: str | Path) -> list[Path]:
    """Lists the picture files directly in a folder, sorted by name.

    Hidden files, sub-folders and symbolic links to outside of the folder are left out.

    Args:
        folder: a folder, or one file, which is returned as it is.

    Raises:
        InputError: the folder is missing, cannot be read, or holds no picture.
    """
    folder = Path(folder)
    if os.path.isfile(folder):
        return [folder]
    try:
        entries = sorted(folder.iterdir(), key=lambda entry: entry.name)
    except (OSError, ValueError) as error:
        raise InputError(
            f"{folder} cannot be listed ({_cause(error)}); give a folder of pictures."
        ) from error
    photographs = [entry for entry in entries if _is_own_picture(entry, folder)]
    if not photographs:
        raise InputError(
            f"{folder} holds no picture; put {_FORMATS_TEXT} files directly into it."
        )
    return photographs


def is_picture(path: str | Path) -> bool:
    """Tells whether a path is a file with the suffix of a picture format."""
    return os.path.isfile(path) and Path(path).suffix.lower() in _SUFFIXES


def safe_stem(path: str | Path) -> str:
    """Turns a file name into the name of an output folder that stays where it is put.

    Spaces and letters of any script are kept; separators, control characters and what
    other systems forbid become `_`; leading dashes and dots go.
    """
    stem = unicodedata.normalize("NFC", Path(path).stem)
    # Cs: bytes of a file name that are no UTF-8; they cannot be printed or encoded.
    stem = "".join("_" if unicodedata.category(c) in ("Cc", "Cs") else c for c in stem)
    stem = re.sub(r'[/\\:*?"<>|\u2028\u2029]', "_", stem)
    stem = re.sub(r"\.{2,}", ".", stem).lstrip("-. ")
    stem = stem.encode()[:_MAXIMUM_STEM_BYTES].decode(errors="ignore")
    return stem.rstrip(". ") or "photograph"


def output_names(paths: Iterable[str | Path]) -> list[str]:
    """Gives each path a folder name, unique also where upper and lower case are one."""
    names: list[str] = []
    taken: set[str] = set()
    for path in paths:
        name = stem = safe_stem(path)
        count = 1
        while name.casefold() in taken:
            count += 1
            name = f"{stem}-{count}"
        taken.add(name.casefold())
        names.append(name)
    return names


def write_png(path: str | Path, rgb: np.ndarray) -> None:
    """Writes a PNG so that a complete file or none stands under `path`.

    Args:
        path: the file to write; an existing one is replaced.
        rgb: `(H, W, 3)`, uint8 or float in [0, 1].

    Raises:
        ValueError: another shape, or values that are not in [0, 1].
        InputError: the file cannot be written.
    """
    path = Path(path)
    rgb = np.asarray(rgb)
    if rgb.ndim != 3 or rgb.shape[-1] != 3 or rgb.size == 0:
        raise ValueError(f"a picture is (H, W, 3), got shape {rgb.shape}.")
    if rgb.dtype != np.uint8:
        # The slack admits rounding in a renderer; NaN and values in [0, 255] fail.
        if rgb.dtype.kind != "f" or not np.all((rgb >= -1e-3) & (rgb <= 1 + 1e-3)):
            raise ValueError("a picture is uint8, or finite floats in [0, 1].")
        rgb = np.round(np.clip(rgb, 0, 1) * 255).astype(np.uint8)
    # In the same folder, because a rename is atomic only within one file system.
    temporary = path.parent / f".{secrets.token_hex(8)}.tmp"
    try:
        with temporary.open("xb") as file:
            Image.fromarray(rgb).save(file, format="PNG")
        os.replace(temporary, path)
    except OSError as error:
        raise InputError(
            f"{path} cannot be written ({_cause(error)}): check folder and disk."
        ) from error
    finally:
        with contextlib.suppress(OSError):  # Renamed already, or never created.
            temporary.unlink()


@contextlib.contextmanager
def _refusing(path: Path, max_pixels: int) -> Iterator[None]:
    """Decodes strictly, and turns whatever Pillow raises into an `InputError`."""
    # The switch is global, and another library may have set it: truncated files would
    # come out with a grey lower half.
    lenient = ImageFile.LOAD_TRUNCATED_IMAGES
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    try:
        yield
    except InputError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise InputError(
            f"{path} is larger than the limit of {max_pixels} pixels "
            f"({_cause(error)}); scale it down."
        ) from error
    except UnidentifiedImageError as error:
        raise InputError(
            f"{path} is not a picture in a known format; give {_FORMATS_TEXT}."
        ) from error
    # Decoders fail with OSError, SyntaxError, ValueError, struct.error, zlib.error,
    # EOFError, MemoryError and more, and the list changes with Pillow's version.
    except Exception as error:
        raise InputError(
            f"{path} cannot be read ({_cause(error)}); the file is damaged or "
            "not readable: save it again."
        ) from error
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = lenient


def _open(
    path: Path, file: io.BufferedReader, max_pixels: int, warnings: list[str]
) -> Image.Image:
    """Opens and decodes; the size is checked between the two."""
    if not file.peek(1):
        raise InputError(f"{path} is empty; copy or download the picture again.")
    image = Image.open(file, formats=_FORMATS)
    width, height = image.size
    if width < 1 or height < 1:
        raise InputError(f"{path} has size {width} x {height}; a picture has pixels.")
    if width * height > max_pixels:
        raise InputError(
            f"{path} has {width} x {height} pixels, more than the limit of "
            f"{max_pixels}; scale it down."
        )
    if getattr(image, "is_animated", False):
        if image.format == "TIFF":
            warnings.append("The file has several pages; the first was used.")
        # The second picture of a phone's MPO is a preview or a depth map.
        elif image.format != "MPO":
            raise InputError(
                f"{path} is an animation; save one of its frames as a picture."
            )
    image.load()
    return image


def _to_arrays(
    path: Path, image: Image.Image, warnings: list[str]
) -> tuple[np.ndarray, np.ndarray | None]:
    """Converts a decoded image of any mode to float `(H, W, 3)` and alpha `(H, W)`."""
    profile = image.info.get("icc_profile")
    if image.mode in _NARROW_MODES:
        colour, alpha = _split_alpha(image)
        colour = _to_srgb(colour, profile, warnings)
        rgb = _unit(np.asarray(colour))
        mask = None if alpha is None else _unit(np.asarray(alpha))
    else:
        if profile:
            warnings.append("The colour profile of a 16-bit picture is ignored.")
        grey, mask = _wide_to_grey(path, image)
        rgb = np.repeat(grey[..., None], 3, axis=-1)
    if mask is not None and mask.min() == 1:
        mask = None
    return rgb, mask


def _split_alpha(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Splits an 8-bit image into L, RGB or CMYK colour and its alpha channel."""
    key = image.info.get("transparency")
    if image.mode == "RGB" and isinstance(key, tuple) and max(key) > 255:
        # The transparent colour of a 16-bit file, of which Pillow keeps the high bytes.
        image.info["transparency"] = tuple(value >> 8 for value in key)
    if image.mode in ("La", "RGBa"):
        image = image.convert({"La": "LA", "RGBa": "RGBA"}[image.mode])
    if image.has_transparency_data:
        image = image.convert("LA" if image.mode in ("1", "L", "LA") else "RGBA")
        # Not `convert`, which for some pairs of modes composites over black.
        *bands, alpha = image.split()
        return bands[0] if len(bands) == 1 else Image.merge("RGB", bands), alpha
    if image.mode in ("L", "CMYK"):
        return image, None
    return image.convert("L" if image.mode == "1" else "RGB"), None


def _to_srgb(
    colour: Image.Image, profile: bytes | None, warnings: list[str]
) -> Image.Image:
    """Converts L, RGB or CMYK to RGB, through the ICC profile where one is given."""
    if not profile:
        return colour.convert("RGB")
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        # Grey pictures often carry the profile of the program's RGB working space.
        if colour.mode == "L" and source.profile.xcolor_space.strip() == "RGB":
            colour = colour.convert("RGB")
        target = ImageCms.createProfile("sRGB")
        return ImageCms.profileToProfile(colour, source, target, outputMode="RGB")
    except (ImageCms.PyCMSError, ImportError, OSError, ValueError, TypeError) as error:
        warnings.append(f"The colour profile could not be applied ({_cause(error)}).")
        return colour.convert("RGB")


def _wide_to_grey(
    path: Path, image: Image.Image
) -> tuple[np.ndarray, np.ndarray | None]:
    """Scales 16-bit, integer and float greyscale to [0, 1], and finds its alpha."""
    if not image.mode.startswith(("I", "F")):
        raise InputError(
            f"{path} has pixels of mode {image.mode}, which has no defined conversion; "
            "save it as an RGB picture."
        )
    values = np.asarray(image)
    # Mode I holds 16-bit data of TIFF and PGM; wider integers have no agreed white.
    white = 1.0 if image.mode == "F" else 65535.0
    if not np.all((values >= 0) & (values <= white)):
        raise InputError(
            f"{path} holds values that are not in [0, {white:g}]; scale them, or save "
            "an 8-bit picture."
        )
    key = image.info.get("transparency")
    mask = (values != key).astype(np.float32) if isinstance(key, int) else None
    return (values / white).astype(np.float32), mask


def _orientation(image: Image.Image, warnings: list[str]) -> int:
    """Reads the EXIF orientation, 1 where there is none."""
    try:
        orientation = image.getexif().get(0x0112, 1)
    except Exception as error:  # Damaged EXIF data fails in as many ways as pixels do.
        warnings.append(f"The EXIF data cannot be read ({_cause(error)}).")
        return 1
    return orientation if orientation in range(1, 9) else 1


def _turn_upright(array: np.ndarray, orientation: int) -> np.ndarray:
    """Undoes an EXIF orientation on `(H, W, ...)`."""
    if orientation >= 5:  # Stored with rows and columns exchanged.
        array = np.swapaxes(array, 0, 1)
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    return np.ascontiguousarray(array)


def _judge(rgb: np.ndarray) -> list[str]:
    """Returns the warnings that the picture itself gives rise to."""
    height, width = rgb.shape[:2]
    warnings = []
    if min(height, width) < _MINIMUM_SIDE:
        warnings.append(f"The picture has only {width} x {height} pixels.")
    if max(height, width) >= _MAXIMUM_ASPECT * min(height, width):
        warnings.append(f"A picture of {width} x {height} is unlikely to fit a person.")
    if rgb.mean() < _BLACK_MEAN:
        warnings.append("The picture is nearly black.")
    return warnings


def _is_own_picture(entry: Path, folder: Path) -> bool:
    """True for a visible picture file that does not lead out of the folder."""
    if entry.name.startswith(".") or entry.suffix.lower() not in _SUFFIXES:
        return False
    return os.path.isfile(entry) and entry.resolve().is_relative_to(folder.resolve())


def _unit(values: np.ndarray) -> np.ndarray:
    """Scales uint8 to float32 in [0, 1]."""
    return values.astype(np.float32) / np.float32(255)


def _cause(error: BaseException) -> str:
    """The first line of an error's text, or its type where it has none."""
    text = (isinstance(error, OSError) and error.strerror) or str(error)
    return (text.strip().splitlines() or [type(error).__name__])[0].rstrip(".")
