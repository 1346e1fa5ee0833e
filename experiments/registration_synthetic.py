"""Registration accuracy on sampled poses with exact annotations.

Command: python experiments/registration_synthetic.py
Hardware and time: 2 CPU cores, about two minutes.
Expected: the table in README, section "Registration". The paper reports about 110 mm on
its training images after the first registration.

Every pose is turned by a random yaw, seen by a weak perspective camera, and annotated
with 150 visible vertices; key points are the 17 of COCO. MPJPE is over the 24 joints
after the pelvis is aligned and the sum of bone lengths is made equal; no Procrustes
alignment.
"""

import dataclasses
import time

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags
from scipy.spatial.transform import Rotation

from volhuman.body.correspondence import points_at_vertices
from volhuman.body.keypoints import (
    COCO17,
    KEYPOINT_INDEX,
    body_keypoints,
    landmark_vertices,
)
from volhuman.body.model import pose_body, rest_params
from volhuman.body.pose_sampler import sample_pose
from volhuman.body.skeleton import PARENTS
from volhuman.body.template import load_template
from volhuman.deform_and_learn.registration import (
    PAPER_FIRST,
    PAPER_LATER,
    RegistrationOptions,
    empty_observation,
    register,
)
from volhuman.geometry.camera import (
    FACING_CAMERA,
    Crop,
    WeakPerspective,
    project_weak,
)
from volhuman.render.rasterize import visible_vertices
from volhuman.render.shading import screen_points

_POSES = flags.DEFINE_integer("poses", 64, "Number of poses.")
_SEED = flags.DEFINE_integer("seed", 0, "Seed of poses and yaws.")
_PRIOR = flags.DEFINE_float("prior", 0.0, "Weight of the pose prior in the last stage.")
_POSE_FILE = flags.DEFINE_string(
    "pose_file", "", "npz with `pose` (N, 24, 3) to draw from instead of the sampler."
)
_STARTS = flags.DEFINE_integer("starts", 4, "Starting yaws of the registration.")

_NUM_DENSE = 150
_SCALE = 1.0


def sample_truth(model, num_poses, seed):
    """Poses, posed bodies and cameras."""
    generator = np.random.default_rng(seed)
    rest = np.asarray(model.joints)
    pose_one = jax.jit(
        lambda pose: pose_body(
            model, dataclasses.replace(rest_params(model), pose=pose)
        )
    )
    given = None
    if _POSE_FILE.value:
        with np.load(_POSE_FILE.value, allow_pickle=False) as archive:
            given = archive["pose"].astype(np.float32)
        given[:, 0] = 0
        given = given[generator.permutation(len(given))]
    for number in range(num_poses):
        pose = sample_pose(generator, rest) if given is None else given[number]
        posed = pose_one(pose)
        turn = Rotation.from_euler("y", generator.uniform(0, 360), degrees=True)
        rotation = FACING_CAMERA @ turn.as_matrix().astype(np.float32)
        camera = WeakPerspective(
            jnp.float32(_SCALE), jnp.asarray(rotation), jnp.zeros(2)
        )
        yield generator, posed, camera


def observe(model, generator, posed, camera, *, keypoints, depths):
    """Exact annotations of one person."""
    crop = Crop(np.full(2, 256, np.float32), np.float32(512))
    points = screen_points(np.asarray(posed.vertices), camera, crop)
    seen = visible_vertices(points, np.asarray(model.faces), (512, 512), 0.02)
    dense = generator.choice(np.nonzero(seen)[0], _NUM_DENSE, replace=False)
    positions = body_keypoints(posed, posed.vertices[landmark_vertices(model)])
    view = project_weak(camera, positions)
    annotated = np.zeros(len(view), np.float32)
    annotated[[KEYPOINT_INDEX[name] for name in COCO17]] = keypoints
    with_depth = np.zeros(len(view), np.float32)
    with_depth[:24] = depths
    return dataclasses.replace(
        empty_observation(),
        keypoints=view[:, :2],
        keypoint_weights=jnp.asarray(np.maximum(annotated, with_depth * keypoints)),
        keypoint_depths=view[:, 2] - view[0, 2],
        depth_weights=jnp.asarray(with_depth),
        dense_points=project_weak(camera, posed.vertices[dense])[:, :2],
        dense_surface=points_at_vertices(dense),
        dense_weights=jnp.ones(_NUM_DENSE),
    )


def mpjpe(predicted, truth):
    """Mean joint error `(B,)` in metres of `(B, 24, 3)` joints in view axes."""
    predicted, truth = (joints - joints[:, :1] for joints in (predicted, truth))

    def bones(joints):
        steps = joints[:, 1:] - joints[:, PARENTS[1:]]
        return np.linalg.norm(steps, axis=-1).sum(-1)[:, None, None]

    predicted = predicted * (bones(truth) / bones(predicted))
    return np.linalg.norm(predicted - truth, axis=-1).mean(-1)


def main(_):
    model = load_template()
    settings = {
        "dense": {"keypoints": 0, "depths": 0},
        "dense + key points (the paper)": {"keypoints": 1, "depths": 0},
        "dense + key points + depths": {"keypoints": 1, "depths": 1},
    }
    later = dataclasses.replace(PAPER_LATER, prior=_PRIOR.value)
    options = RegistrationOptions(stages=(PAPER_FIRST, later), num_starts=_STARTS.value)
    fit = jax.jit(jax.vmap(lambda observation: register(model, observation, options)))
    joints_of = jax.jit(jax.vmap(lambda params: pose_body(model, params).joints))
    for name, setting in settings.items():
        truth, observations = [], []
        for generator, posed, camera in sample_truth(model, _POSES.value, _SEED.value):
            truth.append(np.asarray(posed.joints) @ np.asarray(camera.rotation).T)
            observations.append(observe(model, generator, posed, camera, **setting))
        batch = jax.tree.map(lambda *leaves: jnp.stack(leaves), *observations)
        jax.block_until_ready(fit(batch))
        start = time.perf_counter()
        fits = jax.block_until_ready(fit(batch))
        seconds = time.perf_counter() - start
        joints = np.einsum(
            "bij,bkj->bki",
            np.asarray(fits.camera.rotation),
            np.asarray(joints_of(fits.params)),
        )
        error = mpjpe(joints, np.stack(truth)) * 1000
        print(
            f"{name:32s} MPJPE {error.mean():6.1f} mm (median {np.median(error):5.1f}, "
            f"worst {error.max():6.1f})  {_POSES.value / seconds:6.1f} bodies/s",
            flush=True,
        )


if __name__ == "__main__":
    app.run(main)
