"""Writing a fitted body: overlay, GLB, parameters, turntable, record."""

import dataclasses
import json
import os
import shutil
from importlib import metadata
from pathlib import Path

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
from volhuman.deform_and_learn.config import RegisterConfig
from volhuman.deform_and_learn.registration import Observation, Registration
from volhuman.errors import InputError
from volhuman.geometry.camera import FACING_CAMERA, Crop
from volhuman.geometry.rotation import matrix_to_axis_angle
from volhuman.render.animation import write_animation
from volhuman.render.glb import export_glb
from volhuman.render.shading import overlay, screen_points, turntable

_TURNTABLE_RATE = 18
_FILES = {"overlay.png", "body.glb", "body.json", "turntable.gif", "turntable.mp4"}
_FILES |= {"meta.json"}


def check_replaceable(folder: Path) -> None:
    """Checks that overwriting a folder can destroy nothing but earlier results.

    Raises:
        InputError: If it is no folder, a link, or holds a file that is no result.
    """
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise InputError(f"{folder}: not a folder; choose another --config.output")
    foreign = sorted({p.name for p in folder.glob("*")} - _FILES)
    if foreign:
        raise InputError(
            f"{folder}: holds {foreign[0]!r}, which is no result and would be lost; "
            "choose another --config.output"
        )


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
    posed = jax.tree.map(np.asarray, jax.jit(pose_body)(model, fit.params))
    errors = _errors(observation, fit, crop)
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        part.mkdir()
        picture = overlay(
            photograph.rgb, posed.vertices, np.asarray(model.faces), fit.camera, crop
        )
        write_png(part / "overlay.png", picture)
        export_glb(part / "body.glb", model, upright_params(fit))
        if config.turntable_frames:
            frames = turntable(
                posed.vertices @ _world_rotation(fit).T,
                np.asarray(model.faces),
                size=config.turntable_size,
                num_frames=config.turntable_frames,
            )
            write_animation(part, "turntable", frames, _TURNTABLE_RATE)
        _write_json(part / "body.json", _body_record(model, fit, crop, posed))
        _write_json(part / "meta.json", _meta_record(config, photograph, fit, errors))
        _replace_folder(part, folder)
    except OSError as error:
        raise InputError(
            f"{folder}: {error.strerror or error}; nothing of it was written"
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return errors


def upright_params(fit: Registration) -> BodyParams:
    """Moves the camera's view of the body into the root: y up, the viewer at +z."""
    root = matrix_to_axis_angle(jnp.asarray(_world_rotation(fit)))
    return dataclasses.replace(fit.params, pose=fit.params.pose.at[0].set(root))


def _world_rotation(fit: Registration) -> np.ndarray:
    return FACING_CAMERA @ np.asarray(fit.camera.rotation)


def _errors(observation: Observation, fit: Registration, crop: Crop):
    half = float(crop.size) / 2
    errors = {}
    if observation.dense_points.shape[0]:
        errors["dense"] = float(fit.dense_error) * half
    if float(observation.keypoint_weights.sum()):
        errors["keypoint"] = float(fit.keypoint_error) * half
    return errors


def _body_record(model: BodyModel, fit: Registration, crop: Crop, posed: Posed) -> dict:
    """Everything that is needed to rebuild and project the body."""
    keypoints = body_keypoints(posed, posed.vertices[landmark_vertices(model)])
    pixels = screen_points(np.asarray(keypoints), fit.camera, crop)[:, :2]
    params, camera = fit.params, fit.camera
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
    config: RegisterConfig,
    photograph: Photograph,
    fit: Registration,
    errors: dict[str, float],
) -> dict:
    """How the result came about; equal for equal input."""
    return {
        "volhuman": metadata.version("volhuman"),
        "jax": jax.__version__,
        "photograph": photograph.path.name,
        "height_width": list(photograph.rgb.shape[:2]),
        "warnings": list(photograph.warnings),
        "errors_pixels": _rounded(errors),
        "loss": _rounded(fit.loss),
        "winning_start": int(fit.start),
        "options": {
            name: value
            for name, value in dataclasses.asdict(config).items()
            if name not in ("output", "overwrite")
        },
    }


def _rounded(value):
    """Numbers as JSON with seven digits: what float32 holds."""
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    array = np.asarray(value, np.float64)
    rounded = np.vectorize(lambda x: float(f"{x:.7g}"), otypes=[float])(array)
    return rounded.tolist()


def _write_json(path: Path, content: dict) -> None:
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def _replace_folder(part: Path, folder: Path) -> None:
    """Puts the finished folder in place of an old one."""
    old = folder.with_name(f".{folder.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        os.replace(folder, old)
    os.replace(part, folder)
    shutil.rmtree(old, ignore_errors=True)
