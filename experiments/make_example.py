"""Makes the bundled example: a rendered person with key points.

Command: python experiments/make_example.py
Writes volhuman/assets/example.png and example.json. Deterministic.
"""

import json
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from absl import app
from scipy.spatial.transform import Rotation

from volhuman.body.keypoints import (
    COCO17,
    KEYPOINT_INDEX,
    body_keypoints,
    landmark_vertices,
)
from volhuman.body.model import BodyParams, pose_body
from volhuman.body.pose_sampler import sample_pose
from volhuman.body.skeleton import JOINT_INDEX
from volhuman.body.template import load_template
from volhuman.data.images import write_png
from volhuman.geometry.camera import FACING_CAMERA, Crop, WeakPerspective
from volhuman.render.shading import SKIN, overlay, screen_points

_SIZE = 512
_SEED = 11
_ASSETS = Path(__file__).parents[1] / "volhuman" / "assets"


def paint(model) -> np.ndarray:
    """Vertex colours `(V, 3)`: shirt, trousers, shoes, hair, skin, by rest position."""
    rest, weights = np.asarray(model.template), np.asarray(model.weights)
    share = lambda *names: weights[[JOINT_INDEX[name] for name in names]].sum(0)
    sides = lambda name: (f"left_{name}", f"right_{name}")
    colours = np.tile(SKIN, (len(rest), 1))
    upper = share("spine1", "spine2", "spine3", *sides("collar"), *sides("shoulder"))
    shirt = (upper > 0.5) & (np.abs(rest[:, 0]) < 0.36) & (rest[:, 1] < 0.52)
    colours[shirt] = [0.16, 0.34, 0.58]
    lower = share("pelvis", *sides("hip"), *sides("knee")) > 0.5
    colours[lower & (rest[:, 1] > -0.78)] = [0.23, 0.22, 0.25]
    colours[share(*sides("ankle"), *sides("foot")) > 0.6] = [0.72, 0.70, 0.66]
    # The hairline falls from the forehead to the nape.
    hair = (share("head") > 0.5) & (rest[:, 1] > 0.70 + 0.55 * (rest[:, 2] - 0.07))
    colours[hair] = [0.17, 0.11, 0.08]
    return colours


def main(_):
    model = load_template()
    generator = np.random.default_rng(_SEED)
    params = BodyParams(
        pose=jnp.asarray(sample_pose(generator, np.asarray(model.joints), "arms")),
        shape=jnp.asarray(generator.standard_normal(10), jnp.float32) * 0.5,
        scales=jnp.ones(24),
        translation=jnp.zeros(3),
    )
    posed = pose_body(model, params)
    turn = Rotation.from_euler("y", 20, degrees=True).as_matrix()
    camera = WeakPerspective(0.92, FACING_CAMERA @ turn, np.array([0.0, 0.05]))
    crop = Crop(np.full(2, _SIZE / 2, np.float32), np.float32(_SIZE))

    y = np.linspace(0, 1, _SIZE)[:, None, None]
    wall, floor = np.array([0.80, 0.83, 0.82]), np.array([0.62, 0.58, 0.53])
    background = np.where(y < 0.86, wall * (1 - 0.12 * y), floor * (0.8 + 0.2 * y))
    background = np.broadcast_to(background, (_SIZE, _SIZE, 3)).astype(np.float32)
    picture = overlay(
        background,
        np.asarray(posed.vertices),
        np.asarray(model.faces),
        camera,
        crop,
        colours=paint(model),
        opacity=1.0,
    )
    write_png(_ASSETS / "example.png", picture)

    positions = body_keypoints(posed, posed.vertices[landmark_vertices(model)])
    pixels = screen_points(np.asarray(positions), camera, crop)[:, :2]
    entries = {name: pixels[KEYPOINT_INDEX[name]].round(1).tolist() for name in COCO17}
    text = ",\n".join(f' "{name}": {point}' for name, point in entries.items())
    (_ASSETS / "example.json").write_text("{\n" + text + "\n}\n", encoding="utf-8")
    assert json.loads("{\n" + text + "\n}\n") == entries


if __name__ == "__main__":
    app.run(main)
