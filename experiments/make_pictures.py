"""Draws the README's pictures: the fitted example, sampled poses, synthetic people.

Command: python -m volhuman.main --config=experiments/register.py && \
    python experiments/make_pictures.py
Hardware and time: one CPU core, half a minute. Writes experiments/pictures.
"""

from pathlib import Path

import jax
import numpy as np
from absl import app
from PIL import Image, ImageSequence

from volhuman.body.model import BodyParams, pose_body
from volhuman.body.pose_sampler import KINDS, sample_pose
from volhuman.body.template import load_template
from volhuman.data.images import write_png
from volhuman.people.gallery import channel_sheet, people_sheet
from volhuman.render.shading import turntable

_HERE = Path(__file__).parent
_RESULT = _HERE.parent / "output" / "register" / "example"
_EXAMPLE = _HERE.parent / "volhuman" / "assets" / "example.png"
_SIZE = 320
PEOPLE = [1002, 1004, 1014, 1021, 1026, 1043]


def example_picture() -> np.ndarray:
    """The photograph, the overlay, and three frames of the turntable."""
    pictures = [Image.open(_EXAMPLE), Image.open(_RESULT / "overlay.png")]
    with Image.open(_RESULT / "turntable.gif") as gif:
        frames = [frame.convert("RGB") for frame in ImageSequence.Iterator(gif)]
    pictures += [frames[0], frames[len(frames) // 4], frames[len(frames) // 2]]
    small = [
        np.asarray(picture.convert("RGB").resize((_SIZE, _SIZE), Image.LANCZOS))
        for picture in pictures
    ]
    return np.concatenate(small, axis=1)


def pose_picture() -> np.ndarray:
    """Six people of random shape for each kind of pose."""
    model = load_template()
    generator = np.random.default_rng(3)
    pose = jax.jit(
        lambda pose, shape: (
            pose_body(
                model, BodyParams(pose, shape, np.ones(24, "f4"), np.zeros(3, "f4"))
            ).vertices
        )
    )
    rows = []
    for kind in KINDS:
        row = []
        for _ in range(6):
            shape = generator.standard_normal(model.num_shape).astype(np.float32)
            vertices = pose(
                sample_pose(generator, np.asarray(model.joints), kind), shape
            )
            row += turntable(vertices, model.faces, size=180, num_frames=1)
        rows.append(np.concatenate(row, axis=1))
    return np.concatenate(rows)


def main(_):
    write_png(_HERE / "pictures" / "example.png", example_picture())
    write_png(_HERE / "pictures" / "poses.png", pose_picture())
    # Photographs compress ten times better as JPEG.
    people = people_sheet(PEOPLE, size=192, columns=2)
    Image.fromarray(people).save(_HERE / "pictures" / "people.jpg", quality=85)
    channels = channel_sheet(PEOPLE[:3], size=160)
    Image.fromarray(channels).save(_HERE / "pictures" / "channels.jpg", quality=85)


if __name__ == "__main__":
    app.run(main)
