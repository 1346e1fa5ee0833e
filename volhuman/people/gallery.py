"""Contact sheets: people side by side, or every channel of a few."""

import io
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from volhuman.people.correspondence import encode_iuv
from volhuman.people.person import sample_person
from volhuman.people.photography import develop, encode, sample_development
from volhuman.people.poses import sample_posed_person
from volhuman.people.recipe import LABELS
from volhuman.people.records import sample_scene_view
from volhuman.people.views import View

_LABEL_COLOURS = {
    "background": (20, 20, 24),
    "skin": (236, 188, 160),
    "hair": (110, 72, 40),
    "top": (205, 60, 60),
    "outerwear": (230, 150, 40),
    "trousers": (60, 90, 200),
    "skirt": (150, 80, 190),
    "footwear": (60, 190, 90),
    "socks": (120, 210, 210),
    "accessory": (240, 230, 90),
}
# Box of the rest coordinates that the pictures show, metres.
_REST_LOW, _REST_SIZE = np.array([-0.85, -0.92, -0.2]), np.array([1.7, 1.75, 0.4])
CHANNELS = (
    "picture",
    "mask",
    "label",
    "depth",
    "normal front",
    "normal back",
    "rest coordinates",
    "I, U, V",
)
VIEWS_A_PERSON = 4


def people_sheet(seeds: list[int], *, size: int = 256, columns: int = 4) -> np.ndarray:
    """Renders four views of each person: front, oblique, back, and another pose.

    Args:
        seeds: One a person.
        size: Side of a picture in pixels.
        columns: People side by side.

    Returns:
        `(H, W, 3)` uint8.
    """
    people = [_four_views(seed, size) for seed in tqdm(seeds, desc="people")]
    return _tile(people, columns)


def channel_sheet(seeds: list[int], *, size: int = 256) -> np.ndarray:
    """Renders every channel (`CHANNELS`) of each person, one person a row.

    Args:
        seeds: One a person.
        size: Side of a picture in pixels.

    Returns:
        `(H, W, 3)` uint8.
    """
    rows = []
    for seed in tqdm(seeds, desc="channels"):
        generator = np.random.default_rng([20200614, seed, 77])
        person = sample_person(seed)
        posed = sample_posed_person(generator, person)
        view = sample_scene_view(generator, person, posed, size=size)
        rows.append(np.concatenate(channel_pictures(view), axis=1))
    return np.concatenate(rows)


def channel_pictures(view: View) -> list[np.ndarray]:
    """Draws the channels of a view as `(S, S, 3)` uint8 pictures, as in `CHANNELS`."""
    seen = view.face >= 0
    grey = lambda values: np.repeat(_bytes(values)[..., None], 3, axis=-1)
    inside = view.label > 0
    depth = np.where(inside, view.depth, 0)
    low, high = (depth[inside].min(), depth[inside].max()) if inside.any() else (0, 1)
    near = np.where(inside, 1 - 0.8 * (depth - low) / max(high - low, 1e-6), 0)
    # Normals as customary: x to the right, y up, z towards the viewer.
    customary = np.array([0.5, -0.5, -0.5])
    normals = lambda field: _bytes(
        np.where((field**2).sum(-1, keepdims=True) > 0, 0.5 + field * customary, 0)
    )
    rest = np.where(inside[..., None], (view.rest - _REST_LOW) / _REST_SIZE, 0)
    colours = np.array([_LABEL_COLOURS[name] for name in LABELS], np.uint8)
    iuv = encode_iuv(view)
    iuv[..., 0] = np.where(seen, 40 + iuv[..., 0] * 8, 0)
    return [
        _bytes(view.rgb),
        grey(view.mask),
        colours[view.label],
        grey(near),
        normals(view.normal_front),
        normals(view.normal_back),
        _bytes(rest),
        iuv,
    ]


def write_sheet(path: Path, sheet: np.ndarray) -> None:
    """Writes a sheet as PNG, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    Image.fromarray(sheet).save(part, "PNG")
    part.replace(path)


def _four_views(seed, size):
    """Four pictures of a person: two poses, seen from in front and from elsewhere."""
    generator = np.random.default_rng([20200614, seed, 78])
    person = sample_person(seed)
    pictures = []
    for kind, yaws in (("stand", (0.0, 2.6)), (None, (0.6, None))):
        posed = sample_posed_person(generator, person, kind=kind)
        for yaw in yaws:
            view = sample_scene_view(generator, person, posed, size=size, yaw=yaw)
            development = sample_development(generator)
            encoded = encode(develop(view.rgb, development), development)
            pictures.append(np.asarray(Image.open(io.BytesIO(encoded))))
    return np.concatenate(pictures, axis=1)


def _tile(pictures, columns):
    """Pictures of one size in rows; the last row is filled with black."""
    rows = []
    for start in range(0, len(pictures), columns):
        row = pictures[start : start + columns]
        row = row + [np.zeros_like(pictures[0])] * (columns - len(row))
        rows.append(np.concatenate(row, axis=1))
    return np.concatenate(rows)


def _bytes(values):
    return np.round(np.clip(values, 0, 1) * 255).astype(np.uint8)
