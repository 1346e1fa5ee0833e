"""Writing a fitted body: overlay, GLB, parameters, turntable, record."""

import dataclasses
import json
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from volhuman.body.keypoints import (
    KEYPOINT_NAMES,
    body_keypoints,
    landmark_vertices,
)
from volhuman.body.model import BodyModel, BodyParams, Posed, pose_body
from volhuman.body.skeleton import JOINT_NAMES
from volhuman.data.images import Photograph, write_png
from volhuman.data.result_folders import new_folder
from volhuman.deform_and_learn.body_config import BodyConfig
from volhuman.deform_and_learn.config import RegisterConfig
from volhuman.deform_and_learn.registration import Observation, Registration
from volhuman.geometry.camera import FACING_CAMERA, Crop, WeakPerspective
from volhuman.geometry.rotation import matrix_to_axis_angle
from volhuman.render.animation import write_animation
from volhuman.render.glb import export_glb
from volhuman.render.shading import overlay, screen_points, turntable

_TURNTABLE_RATE = 18
FILES = {"overlay.png", "body.glb", "body.json", "turntable.gif", "turntable.mp4"}
FILES |= {"meta.json"}


def write_results(
    folder: Path,
    config: RegisterConfig,
    model: BodyModel,
    photograph: Photograph,
    crop: Crop,
    observation: Observation,
    fit: Registration,
) -> dict[str, float]:
    """Writes all files of one photograph, or none of them.

    They are written into a hidden folder that is renamed at the end.

    Args:
        folder: Result folder; an existing one is replaced.
        config: Options.
        model: Body model.
        photograph: The photograph.
        crop: The working crop.
        observation: What was fitted.
        fit: The fit.

    Returns:
        Mean errors in pixels of the photograph: "dense" and "keypoint" where given.

    Raises:
        InputError: If the files cannot be written.
    """
    errors = _errors(observation, fit, crop)
    meta = _meta_record(photograph, fit, errors)
    write_body(folder, config, model, photograph, crop, (fit.params, fit.camera), meta)
    return errors


def write_body(
    folder: Path,
    config: RegisterConfig | BodyConfig,
    model: BodyModel,
    photograph: Photograph,
    crop: Crop,
    body: tuple[BodyParams, WeakPerspective],
    meta: Mapping[str, Any],
    *,
    extra: Mapping[str, dict] | None = None,
) -> None:
    """Writes all files of a body in a photograph, or none of them.

    Args:
        folder: Result folder; an existing one is replaced.
        config: Options; the turntable's, and all of them for the record.
        model: Body model.
        photograph: The photograph.
        crop: The part of it that the camera looks at.
        body: Parameters and camera.
        meta: What else is to be recorded.
        extra: Further records by file name.

    Raises:
        InputError: If the files cannot be written.
    """
    params, camera = body
    posed = jax.tree.map(np.asarray, jax.jit(pose_body)(model, params))
    faces = np.asarray(model.faces)
    with new_folder(folder) as part:
        picture = overlay(photograph.rgb, posed.vertices, faces, camera, crop)
        write_png(part / "overlay.png", picture)
        export_glb(part / "body.glb", model, upright_params(params, camera))
        if config.turntable_frames:
            frames = turntable(
                posed.vertices @ _world_rotation(camera).T,
                faces,
                size=config.turntable_size,
                num_frames=config.turntable_frames,
            )
            write_animation(part, "turntable", frames, _TURNTABLE_RATE)
        record = body_record(model, params, camera, crop, posed)
        write_json(part / "body.json", record)
        write_json(part / "meta.json", {**meta, "options": _options(config)})
        for name, content in (extra or {}).items():
            write_json(part / name, content)


def upright_params(params: BodyParams, camera: WeakPerspective) -> BodyParams:
    """Moves the camera's view of the body into the root: y up, the viewer at +z."""
    root = matrix_to_axis_angle(jnp.asarray(_world_rotation(camera)))
    return dataclasses.replace(params, pose=params.pose.at[0].set(root))


def _world_rotation(camera: WeakPerspective) -> np.ndarray:
    return FACING_CAMERA @ np.asarray(camera.rotation)


def _errors(observation: Observation, fit: Registration, crop: Crop):
    half = float(crop.size) / 2
    errors = {}
    if observation.dense_points.shape[0]:
        errors["dense"] = float(fit.dense_error) * half
    if float(observation.keypoint_weights.sum()):
        errors["keypoint"] = float(fit.keypoint_error) * half
    return errors


def body_record(
    model: BodyModel,
    params: BodyParams,
    camera: WeakPerspective,
    crop: Crop,
    posed: Posed,
) -> dict:
    """Everything that is needed to rebuild and project the body, as JSON.

    Args:
        model: Body model.
        params: Its parameters.
        camera: The camera, which looks at the crop.
        crop: The crop.
        posed: The posed body, as arrays of NumPy.
    """
    keypoints = body_keypoints(posed, posed.vertices[landmark_vertices(model)])
    pixels = screen_points(np.asarray(keypoints), camera, crop)[:, :2]
    return {
        "body": model.name,
        "axes": "metres, x to the subject's left, y up, z to the front",
        "pose_axis_angle": dict(zip(JOINT_NAMES, _rounded(params.pose))),
        "shape": _rounded(params.shape),
        "segment_scales": dict(zip(JOINT_NAMES, _rounded(params.scales))),
        "translation": _rounded(params.translation),
        "camera": {
            "model": "weak perspective: view = scale * rotation @ body + translation",
            "scale": _rounded(camera.scale),
            "rotation": _rounded(camera.rotation),
            "translation": _rounded(camera.translation),
        },
        "crop": {
            "meaning": "pixel = view_xy * size / 2 + centre",
            "centre": _rounded(crop.centre),
            "size": _rounded(crop.size),
        },
        "joints": dict(zip(JOINT_NAMES, _rounded(posed.joints))),
        "keypoints_pixels": dict(zip(KEYPOINT_NAMES, _rounded(pixels))),
    }


def _meta_record(
    photograph: Photograph, fit: Registration, errors: dict[str, float]
) -> dict:
    """How the result came about; equal for equal input."""
    return photograph_record(photograph) | {
        "errors_pixels": _rounded(errors),
        "loss": _rounded(fit.loss),
        "winning_start": int(fit.start),
    }


def photograph_record(photograph: Photograph) -> dict:
    """Where a result came from and what made it."""
    return {
        "volhuman": metadata.version("volhuman"),
        "jax": jax.__version__,
        "photograph": photograph.path.name,
        "height_width": list(photograph.rgb.shape[:2]),
        "warnings": list(photograph.warnings),
    }


def _options(config) -> dict:
    return {
        name: value
        for name, value in dataclasses.asdict(config).items()
        if name not in ("output", "overwrite")
    }


def _rounded(value):
    """Numbers as JSON with seven digits: what float32 holds."""
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    array = np.asarray(value, np.float64)
    rounded = np.vectorize(lambda x: float(f"{x:.7g}"), otypes=[float])(array)
    return rounded.tolist()


def write_json(path: Path, content: dict) -> None:
    """Writes a record; equal records give equal bytes."""
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")
