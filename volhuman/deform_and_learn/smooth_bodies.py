"""Bodies of the frames of a film: smoothed over time, and written as a motion."""

from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from scipy.ndimage import gaussian_filter1d

from volhuman.body.model import BodyModel
from volhuman.data.npz_files import write_npz
from volhuman.deform_and_learn.registration import Unknowns, body_and_camera, take_body
from volhuman.geometry.camera import FACING_CAMERA, Crop
from volhuman.geometry.rotation import (
    axis_angle_to_matrix,
    gram_schmidt,
    matrix_to_axis_angle,
)
from volhuman.geometry.similarity import closest_rotation

# AMASS stands on the floor of a room whose z points up.
_Z_UP_FROM_Y_UP = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]], np.float32)


_closest, _to_matrix, _from_matrix, _orthonormal = map(
    jax.jit,
    (closest_rotation, axis_angle_to_matrix, matrix_to_axis_angle, gram_schmidt),
)


def smooth_film(
    bodies: Sequence[Unknowns], crops: Sequence[Crop], deviation: float
) -> list[Unknowns]:
    """Smooths bodies over the frames of a film with a Gaussian.

    Rotations are averaged as matrices and brought back to rotations; the place in the
    picture is smoothed in pixels, so that crops may jump.

    Args:
        bodies: One a frame, in view units of its crop.
        crops: The crops.
        deviation: Standard deviation in frames.

    Returns:
        The bodies in view units of the same crops.
    """
    film = jax.tree.map(lambda *leaves: np.stack(leaves), *bodies)
    half = np.array([float(crop.size) / 2 for crop in crops])
    centres = np.array([crop.centre for crop in crops])
    smooth = lambda x: gaussian_filter1d(x, deviation, axis=0, mode="nearest")
    turns = lambda x: _closest(jnp.asarray(smooth(np.asarray(x))))
    pixels = smooth(half[:, None] * film.translation + centres)
    log_pixels = smooth(film.log_scale + np.log(half))
    smoothed = Unknowns(
        pose=_from_matrix(turns(_to_matrix(film.pose))),
        shape=jnp.asarray(smooth(film.shape)),
        scales=jnp.asarray(smooth(film.scales)),
        raw_rotation=turns(_orthonormal(jnp.asarray(film.raw_rotation))),
        log_scale=jnp.asarray(log_pixels - np.log(half), jnp.float32),
        translation=jnp.asarray((pixels - centres) / half[:, None], jnp.float32),
    )
    return [take_body(smoothed, n) for n in range(len(bodies))]


def write_motion(
    path: Path,
    model: BodyModel,
    bodies: Sequence[Unknowns],
    crops: Sequence[Crop],
    *,
    centres: Sequence[np.ndarray],
    rate: float,
) -> None:
    """Writes bodies as a motion in the layout of AMASS, z up.

    The camera stands level before the scene and looks along the middle of the pictures.
    How far away a person is cannot be seen in weak perspective: the motion has none
    towards the camera.

    Args:
        path: `.npz` file; replaced where it exists.
        model: Body model.
        bodies: One a frame, in view units of its crop.
        crops: The crops.
        centres: `(2,)` pixels, the middle of each picture.
        rate: Frames a second.

    Raises:
        InputError: If the file cannot be written.
    """
    poses, places = [], []
    for body, crop, centre in zip(bodies, crops, centres, strict=True):
        params, camera = body_and_camera(model, body)
        half = float(crop.size) / 2
        root = _Z_UP_FROM_Y_UP @ FACING_CAMERA @ np.asarray(camera.rotation)
        pose = np.array(params.pose)
        pose[0] = matrix_to_axis_angle(jnp.asarray(root))
        poses.append(pose)
        # From where the camera looks, so that who comes nearer does not seem to move.
        pixels = half * np.asarray(camera.translation) + crop.centre - centre
        places.append(np.append(pixels / (half * float(camera.scale)), 0))
    # From pixels downwards to metres upwards, from where the film begins.
    metres = (np.array(places) - places[0]) * [1, -1, 1]
    write_npz(
        path,
        {
            "poses": np.stack(poses).reshape(len(poses), -1).astype(np.float32),
            "trans": (metres @ _Z_UP_FROM_Y_UP.T).astype(np.float32),
            "betas": np.zeros(model.num_shape, np.float32),
            "mocap_framerate": np.float32(rate),
        },
    )
