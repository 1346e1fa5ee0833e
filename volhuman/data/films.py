"""Films: video files, frame by frame, and as pictures on disk."""

import contextlib
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from volhuman.data.images import write_png
from volhuman.errors import InputError

VIDEO_SUFFIXES = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".webm")


def is_video(path: str | Path) -> bool:
    """Tells whether a path is a file with the suffix of a video format."""
    path = Path(path)
    return path.suffix.lower() in VIDEO_SUFFIXES and path.is_file()


def read_video(path: Path, step: int) -> Iterator[tuple[int, np.ndarray]]:
    """Reads every `step`-th frame of a video: its number and uint8 `(H, W, 3)`.

    Raises:
        InputError: If imageio is not installed, or the video is damaged.
    """
    with _decoding(path) as imageio:
        for number, frame in enumerate(imageio.imiter(path, plugin="FFMPEG")):
            if number % step == 0:
                yield number, frame


@contextlib.contextmanager
def unpack_video(
    path: str | Path, max_frames: int
) -> Iterator[tuple[list[Path], float]]:
    """Writes the frames of a video as pictures, which vanish at the end.

    So a long film needs no more memory than a frame, but the disk of the folder for
    temporary files.

    Args:
        path: Video file.
        max_frames: A longer video is refused.

    Yields:
        The pictures `frame_00001.png` and so on, and the frames a second.

    Raises:
        InputError: If the video is damaged, empty or too long, or imageio is not
            installed.
    """
    path = Path(path)
    with _decoding(path) as imageio:
        rate = float(imageio.immeta(path, plugin="FFMPEG")["fps"])
    with tempfile.TemporaryDirectory(prefix="volhuman-") as folder:
        frames = []
        for number, frame in read_video(path, 1):
            if number == max_frames:
                raise InputError(
                    f"{path}: has more than {max_frames} frames; cut it, or raise "
                    "--config.max_frames"
                )
            frames.append(Path(folder) / f"frame_{number + 1:05d}.png")
            write_png(frames[-1], frame)
        if not frames:
            raise InputError(f"{path}: has no frames; copy the video again")
        yield frames, rate


@contextlib.contextmanager
def _decoding(path: Path):
    """Gives imageio; what goes wrong in it becomes one sentence."""
    try:
        import imageio.v3

        with warnings.catch_warnings():
            # JAX warns of every fork; this one starts ffmpeg at once.
            warnings.filterwarnings("ignore", "os.fork", RuntimeWarning)
            yield imageio.v3
    except ImportError as error:  # Of imageio, or by it of its decoder.
        raise InputError(
            f"{path} needs imageio; run pip install 'volhuman[video]'"
        ) from error
    except Exception as error:
        reason = str(error).partition("\n")[0]
        raise InputError(
            f"{path} cannot be decoded ({reason}); copy the video again"
        ) from error
