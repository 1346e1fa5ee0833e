"""Draws the README's pictures: example, poses, people, bodies, reposed pairs.

Command: python -m volhuman.main --config=experiments/register.py && \
    python -m volhuman.main --config=experiments/repose.py --config.mode=evaluate && \
    python experiments/make_pictures.py [--only=reposed,bodies]
Hardware and time: one CPU core, half a minute. Writes experiments/pictures.
"""

import dataclasses
import io
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags
from PIL import Image, ImageSequence

from volhuman.body.model import BodyParams, pose_body
from volhuman.body.pose_sampler import KINDS, sample_pose
from volhuman.body.template import load_template
from volhuman.deform_and_learn.estimate import (
    estimate_body,
    load_estimator,
    refine_bodies,
)
from volhuman.deform_and_learn.fitted_people import make_reader
from volhuman.deform_and_learn.registration import (
    KEYPOINTS_LATER,
    RegistrationOptions,
    body_and_camera,
    empty_observation,
    take_body,
)
from volhuman.geometry.camera import crop_around
from volhuman.people.gallery import channel_sheet, people_sheet
from volhuman.people.records import person_records
from volhuman.render.shading import overlay, turntable

_HERE = Path(__file__).parent
_RESULT = _HERE.parent / "output" / "register" / "example"
_EXAMPLE = _HERE.parent / "volhuman" / "assets" / "example.png"
_PAIRS = _HERE.parent / "output" / "reposed" / "pairs.png"
_SIZE = 320
_ONLY = flags.DEFINE_list("only", [], "Names of pictures to draw; empty for all.")
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


def body_picture() -> np.ndarray:
    """Synthetic people; the estimated body; the body refined with 18 key points."""
    estimator = load_estimator()
    read = make_reader(_SIZE // 2)
    options = RegistrationOptions(
        stages=(KEYPOINTS_LATER,), steps=(300,), learning_rate=0.03
    )
    columns = []
    for seed in PEOPLE:
        record = person_records(seed, variant="registrations", size=_SIZE // 2)[0]
        image = Image.open(io.BytesIO(record["image"])).convert("RGB")
        record["image"] = np.asarray(image)
        marks = read(record, np.random.default_rng(0))
        rgb = np.asarray(image.resize((_SIZE, _SIZE), Image.LANCZOS), np.float32) / 255
        # The marks are in view units of the whole picture.
        crop = crop_around(np.array([[0, 0], [_SIZE, _SIZE]]), margin=1.0)
        found = jax.tree.map(lambda x: x[None], estimate_body(estimator, rgb, crop))
        observation = dataclasses.replace(
            empty_observation(),
            keypoints=jnp.asarray(marks["keypoints"]),
            keypoint_weights=jnp.asarray(marks["keypoint_weights"]),
        )
        refined, _ = refine_bodies(estimator.model, observation, found, options)
        columns.append([rgb])
        for bodies in (found, refined):
            params, camera = body_and_camera(estimator.model, take_body(bodies, 0))
            vertices = pose_body(estimator.model, params).vertices
            faces = np.asarray(estimator.model.faces)
            columns[-1].append(overlay(rgb, np.asarray(vertices), faces, camera, crop))
    small = [[_smaller(picture) for picture in column] for column in columns]
    return np.concatenate([np.concatenate(column) for column in small], axis=1)


def _smaller(picture: np.ndarray) -> np.ndarray:
    side = _SIZE // 2
    return picture.reshape(side, 2, side, 2, 3).mean((1, 3))


def reposed_picture() -> np.ndarray:
    """The first eight measured pairs, in two columns."""
    with Image.open(_PAIRS) as sheet:
        width, height = sheet.width * 160 // 256, 4 * 160
        columns = [
            sheet.crop((0, top, sheet.width, top + 1024)).resize((width, height))
            for top in (0, 1024)
        ]
    gap = np.full((height, 20, 3), 255, np.uint8)
    return np.concatenate([columns[0], gap, columns[1]], axis=1)


# Photographs compress ten times better as JPEG.
PICTURES = {
    "example.png": example_picture,
    "poses.png": pose_picture,
    "people.jpg": lambda: people_sheet(PEOPLE, size=192, columns=2),
    "channels.jpg": lambda: channel_sheet(PEOPLE[:3], size=160),
    "bodies.jpg": body_picture,
    "reposed.jpg": reposed_picture,
}


def main(_):
    for name, draw in PICTURES.items():
        path = _HERE / "pictures" / name
        if _ONLY.value and path.stem not in _ONLY.value:
            continue
        picture = np.asarray(draw())
        if picture.dtype != np.uint8:
            picture = np.round(255 * np.clip(picture, 0, 1)).astype(np.uint8)
        Image.fromarray(picture).save(path, quality=85)
        print(path)


if __name__ == "__main__":
    app.run(main)
