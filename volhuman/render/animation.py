"""Writing sequences of pictures: GIF always, MP4 where ffmpeg's wheel is installed."""

import importlib.util
import math
import os
import warnings
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

_GIF_RATE = 50
_GIF_UNITS = 100  # of a second


def write_animation(folder: Path, stem: str, frames: Iterable[np.ndarray], rate: float):
    """Writes frames as GIF, and also as MP4 with the extra `[video]`.

    Args:
        folder: Existing folder.
        stem: File name without suffix.
        frames: Pictures `(H, W, 3)` in [0, 1], all of one size.
        rate: Frames per second; the GIF has 50 at most.

    Returns:
        The files written.
    """
    pictures = [
        np.round(np.clip(frame, 0, 1) * 255).astype(np.uint8) for frame in frames
    ]
    gif = folder / f"{stem}.gif"
    # Shown at a tenth of their speed by browsers, faster ones leave frames out.
    every = math.ceil(rate / _GIF_RATE)
    first, *others = [Image.fromarray(picture) for picture in pictures[::every]]
    # A GIF counts hundredths of a second: frames differ in length for the film to last.
    moments = np.round(np.arange(len(others) + 2) * every / rate * _GIF_UNITS)
    temporary = gif.with_name(f".{stem}.part.gif")
    first.save(
        temporary,
        save_all=True,
        append_images=others,
        duration=(np.diff(moments) * (1000 // _GIF_UNITS)).astype(int).tolist(),
        loop=0,
        optimize=False,
    )
    os.replace(temporary, gif)
    if not importlib.util.find_spec("imageio_ffmpeg"):
        return [gif]
    return [gif, _write_mp4(folder / f"{stem}.mp4", pictures, rate)]


def _write_mp4(path: Path, pictures: list[np.ndarray], rate: float) -> Path:
    import imageio.v3 as imageio

    temporary = path.with_name(f".{path.stem}.part.mp4")
    height, width = pictures[0].shape[:2]
    even = [picture[: height // 2 * 2, : width // 2 * 2] for picture in pictures]
    with warnings.catch_warnings():
        # JAX warns of every fork; this one starts ffmpeg at once.
        warnings.filterwarnings("ignore", "os.fork", RuntimeWarning)
        # The default would resize to multiples of 16; the codec needs even sides only.
        imageio.imwrite(
            temporary,
            np.stack(even),
            fps=rate,
            codec="libx264",
            macro_block_size=2,
        )
    os.replace(temporary, path)
    return path
