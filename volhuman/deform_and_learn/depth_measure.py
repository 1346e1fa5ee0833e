"""How good lifted depths are, against the truth of people seen by a camera."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from volhuman.checks import check_shape
from volhuman.data.loader import Source
from volhuman.deform_and_learn.depth_gan import (
    faces_camera,
    lift_depths,
    nose_in_front,
)
from volhuman.deform_and_learn.fitted_people import read_once
from volhuman.deform_and_learn.poses_2d import joints_from_keypoints, normalize_poses
from volhuman.evaluation.poses import MPJPE, PA_MPJPE, pose_error
from volhuman.evaluation.protocol import Protocol, Score, summarize

METRICS = ("MPJPE", "PA-MPJPE", "normalized MPJPE", "flipped", "nose in front")
_MILLIMETRES = 1000.0
_SIGNS = METRICS[3:]
_BATCH = 64


def measure_depths(depths: jax.Array, joints: jax.Array) -> dict[str, jax.Array]:
    """Compares depths with the truth: one number a pose.

    x and y are the true ones, as they are given to the lifter, and the scale is that of
    the picture, so the error of a joint is that of its depth. A pose is flipped where
    its depths correlate negatively with the true ones.

    Source: Kudo et al. 2018: errors relative to the pelvis after scaling by the mean 2D
    distance to it ("normalized MPJPE").

    Args:
        depths: `(B, 17)` metres, relative to the pelvis.
        joints: `(B, 17, 3)` the truth, metres, as a camera sees it.

    Returns:
        By name of `METRICS`, `(B,)` float32: millimetres, 2D distances, and 0 or 1.
        "nose in front" is NaN for people who do not face the camera.
    """
    check_shape("joints", joints, "B 17 3")
    check_shape("depths", depths, "B 17", B=len(joints))
    joints = joints - joints[:, :1]
    found = jnp.concatenate([joints[..., :2], depths[..., None]], axis=-1)
    error = pose_error(_MILLIMETRES * found, _MILLIMETRES * joints, MPJPE)
    aligned = pose_error(_MILLIMETRES * found, _MILLIMETRES * joints, PA_MPJPE)
    sizes = _MILLIMETRES * normalize_poses(joints[..., :2])[1]
    centred = lambda x: x - x.mean(-1, keepdims=True)
    correlation = (centred(depths) * centred(joints[..., 2])).sum(-1)
    front = jnp.where(faces_camera(joints), nose_in_front(found), jnp.nan)
    values = (error, aligned, error / sizes, correlation < 0, front)
    return {name: x.astype(jnp.float32) for name, x in zip(METRICS, values)}


def measure_on_pictures(
    lifter: Mapping[str, Any], people: Source
) -> dict[str, np.ndarray]:
    """Lifts the key points of annotated pictures and compares with the truth.

    Args:
        lifter: Parameters of the depth GAN.
        people: Records of registrations.

    Returns:
        As of `measure_depths`, one number a picture.
    """
    fields = ("true_keypoints", "joints")
    side = people[0]["image"].shape[0]
    batches = list(read_once(people, side, fields, batch_size=_BATCH))
    keypoints, metric = (np.concatenate([b[name] for b in batches]) for name in fields)
    # One scale a picture brings view units to metres.
    reach = lambda x: np.linalg.norm(x - x[:, :1], axis=-1).sum(1)
    metres = reach(metric) / _MILLIMETRES / reach(keypoints[:, : metric.shape[1]])
    joints = joints_from_keypoints(metres[:, None, None] * keypoints)
    measured = jax.jit(measure_depths)(lift_depths(lifter, joints[..., :2]), joints)
    return {name: np.asarray(values) for name, values in measured.items()}


def score_depths(
    depths: np.ndarray, joints: np.ndarray, *, data: str
) -> dict[str, Score]:
    """Means with 95 % intervals, by column of a table.

    Args:
        depths: As for `measure_depths`.
        joints: The same.
        data: Name of the poses, for the columns.
    """
    measured = jax.jit(measure_depths)(depths, joints)
    scores = {}
    for name, values in measured.items():
        values = np.asarray(values, np.float64)
        if name == "nose in front":
            values = values[~np.isnan(values)]
        if len(values):
            scores[f"{name}, {data}"] = summarize(values, _protocol(name, data))
    return scores


def _protocol(name, data):
    who = {"people": "who face the camera"} if name == "nose in front" else {}
    return Protocol(
        metric=name,
        variant="17 joints",
        unit="" if name in _SIGNS else "2D distances" if "norm" in name else "mm",
        higher_is_better=name == "nose in front",
        data=data,
        body_source="true 2D joints",
        alignment="similarity" if name == "PA-MPJPE" else "pelvis",
        extra={"scale": "of the picture", **who},
    )
