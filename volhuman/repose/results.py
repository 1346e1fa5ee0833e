"""Writing a reposed person: the picture or animation, a comparison, a record."""

import json
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from volhuman.data.images import write_png
from volhuman.render.animation import write_animation
from volhuman.repose.figure import POINT_INDEX, POINT_NAMES, POINT_PARENTS

FILES = {"reposed.png", "reposed.gif", "reposed.mp4", "comparison.png", "meta.json"}
_SIDE = 256
_STRIP = 6
_FINE = 3
_FADED = 0.3
_COLOURS = {"left": (222, 98, 38), "right": (38, 104, 214), "middle": (40, 40, 48)}
# The nose shows where a head looks; eyes and ears would hide it.
_DRAWN = [n for n, name in enumerate(POINT_NAMES) if name[-3:] not in ("eye", "ear")]


def write_result(
    folder: Path,
    frames: list[np.ndarray],
    comparison: np.ndarray,
    record: dict,
    *,
    rate: float,
) -> list[str]:
    """Writes the files of one person.

    Args:
        folder: Existing folder.
        frames: Pictures `(N, N, 3)` uint8; one gives a PNG, several an animation.
        comparison: `(H, W, 3)`, for `comparison.png`.
        record: For `meta.json`.
        rate: Frames a second.

    Returns:
        Names of the files that hold the result.
    """
    if len(frames) == 1:
        write_png(folder / "reposed.png", frames[0])
        names = ["reposed.png"]
    else:
        # One frame at a time: as float they would take four times the memory.
        pictures = (frame / np.float32(255) for frame in frames)
        written = write_animation(folder, "reposed", pictures, rate)
        names = [path.name for path in written]
    write_png(folder / "comparison.png", comparison)
    text = json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False)
    (folder / "meta.json").write_text(text + "\n", encoding="utf-8")
    return names


def compare(
    photograph: np.ndarray,
    source: np.ndarray,
    targets: np.ndarray,
    frames: list[np.ndarray],
) -> np.ndarray:
    """Puts photograph, wanted poses and results side by side.

    Args:
        photograph: `(N, N, 3)` in [0, 1], what the network saw.
        source: `(29, 3)` the figure in it, pixels.
        targets: `(T, 29, 3)` the wanted figures.
        frames: T results `(N, N, 3)` uint8.

    Returns:
        One row of photograph with figure, wanted figure, result; for several frames
        two rows, figures over results, six of them. At least 256 pixels high.
    """
    faded = 1 - _FADED * (1 - photograph)
    first = draw_figure(photograph, source)
    if len(frames) == 1:
        drawn = draw_figure(faded, targets[0])
        return np.concatenate([first, drawn, enlarge(frames[0] / 255)], axis=1)
    chosen = np.linspace(0, len(frames) - 1, min(_STRIP, len(frames))).round()
    columns = [np.concatenate([first, enlarge(photograph)])]
    for number in chosen.astype(int):
        drawn = draw_figure(faded, targets[number])
        columns.append(np.concatenate([drawn, enlarge(frames[number] / 255)]))
    return np.concatenate(columns, axis=1)


def draw_figure(picture: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Draws a figure over an enlarged picture: left orange, right blue, near over far.

    Args:
        picture: `(N, N, 3)` in [0, 1].
        points: `(29, 3)` in its pixels.

    Returns:
        `(M, M, 3)` in [0, 1], M at least 256.
    """
    large = enlarge(picture)
    side = len(large) * _FINE
    canvas = Image.fromarray(np.round(large * 255).astype(np.uint8)).resize(
        (side, side)
    )
    draw = ImageDraw.Draw(canvas)
    # What leaves the picture by far would overflow the drawing.
    places = np.clip(points[:, :2] * (side / len(picture)), -side, 2 * side)
    width = side // 85
    for end in sorted(_DRAWN[1:], key=lambda n: -points[n, 2]):
        start = POINT_PARENTS[end]
        half = POINT_NAMES[end].split("_")[0]
        colour = _COLOURS.get(half, _COLOURS["middle"])
        draw.line([*places[start], *places[end]], fill=colour, width=width)
        reach = width * (1 if end == POINT_INDEX["nose"] else 0.75)
        draw.ellipse([*(places[end] - reach), *(places[end] + reach)], fill=colour)
    small = canvas.resize((len(large), len(large)), Image.Resampling.BOX)
    return np.asarray(small, np.float32) / 255


def enlarge(picture: np.ndarray) -> np.ndarray:
    """Enlarges a picture `(N, N, 3)` to at least 256 pixels, by a whole factor."""
    factor = -(-_SIDE // len(picture))
    if factor == 1:
        return np.asarray(picture, np.float32)
    image = Image.fromarray(np.round(picture * 255).astype(np.uint8))
    side = len(picture) * factor
    image = image.resize((side, side), Image.Resampling.BICUBIC)
    return np.asarray(image, np.float32) / 255
