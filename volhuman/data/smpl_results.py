"""Results of other body estimators: SMPL parameters with a camera, as `.npz`.

Two layouts are known:

* ROMP's: one object `results` with `smpl_thetas` (N, 72), and `joints` (N, J, 3) with
  their pixels `pj2d_org` (N, J, 2), from which the camera follows;
* of 4D-Humans and its kin (HMR 2.0): arrays `global_orient`, `body_pose` (axis-angle
  or matrices) and `pred_cam_t_full` or `cam_t` (N, 3) metres, with `focal_length` in
  pixels and optionally `centre` (2,), else the middle of the photograph.

Their bodies stand in camera axes: x right, y down, z away.
"""

import dataclasses
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from volhuman.body.skeleton import NUM_JOINTS
from volhuman.data.sets.files import read_npz_array, read_npz_object
from volhuman.errors import InputError

# Where SMPL's mean neutral body has its pelvis, about which it turns; metres.
_PELVIS = np.array([-0.0018, -0.2233, 0.0282])
_TRANSLATIONS = ("pred_cam_t_full", "cam_t")
_NEAREST = 0.05


@dataclasses.dataclass(frozen=True, eq=False)
class EstimatedPerson:
    """A person that another estimator found.

    Attributes:
        pose: `(23, 3)` axis-angle relative to the parent, without the root.
        rotation: `(3, 3)` from body to camera axes.
        pixels_a_metre: Scale at the pelvis.
        pelvis: `(2,)` its place in pixels of the photograph.
    """

    pose: np.ndarray
    rotation: np.ndarray
    pixels_a_metre: float
    pelvis: np.ndarray


def read_smpl_results(
    path: str | Path, shape: tuple[int, int]
) -> list[EstimatedPerson]:
    """Reads everybody in a file.

    Shape components are left out: they mean something else for another body.

    Args:
        path: `.npz` file.
        shape: Height and width of the photograph.

    Raises:
        InputError: If the file is missing, unsafe, or of another layout, or a number in
            it is not finite.
    """
    path = Path(path)
    try:
        with zipfile.ZipFile(path) as archive:
            names = {name.removesuffix(".npy") for name in archive.namelist()}
    except FileNotFoundError as error:
        raise InputError(
            f"{path}: there is no such file; give a body estimator's .npz"
        ) from error
    except (OSError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: not an npz file ({error}); save it again") from error
    if "results" in names:
        return _from_romp(read_npz_object(path, "results"), path)
    wanted = ("global_orient", "body_pose", "focal_length")
    translation = next((name for name in _TRANSLATIONS if name in names), None)
    missing = [name for name in wanted if name not in names]
    if missing or translation is None:
        raise InputError(
            f"{path}: no {missing[0] if missing else _TRANSLATIONS[0]!r} among its "
            f"arrays {sorted(names)[:8]}; give ROMP's results or arrays global_orient, "
            "body_pose, pred_cam_t_full and focal_length"
        )
    arrays = {name: read_npz_array(path, name) for name in (*wanted, translation)}
    if "centre" in names:
        arrays["centre"] = read_npz_array(path, "centre")
    return _from_hmr(arrays, arrays[translation], shape, path)


def _from_romp(content: Any, path: Path) -> list[EstimatedPerson]:
    if not isinstance(content, Mapping):
        raise InputError(f"{path}: 'results' is no table of ROMP's results")
    thetas = _numbers(content.get("smpl_thetas"), (None, 72), path, "smpl_thetas")
    count = len(thetas)
    joints = _numbers(content.get("joints"), (count, None, 3), path, "joints")
    pixels = _numbers(
        content.get("pj2d_org"), (count, joints.shape[1], 2), path, "pj2d_org"
    )
    people = []
    for theta, body, seen in zip(thetas, joints, pixels, strict=True):
        middle, target = body[:, :2].mean(0), seen.mean(0)
        spread = ((body[:, :2] - middle) ** 2).sum()
        scale = ((body[:, :2] - middle) * (seen - target)).sum() / max(spread, 1e-12)
        if not scale > 0:
            raise InputError(
                f"{path}: joints and pj2d_org are not of one person; save them again"
            )
        # Joint 0 is SMPL's pelvis.
        pelvis = target + scale * (body[0, :2] - middle)
        rotations = Rotation.from_rotvec(theta.reshape(NUM_JOINTS, 3))
        people.append(_person(rotations, scale, pelvis))
    return people


def _from_hmr(arrays, translations, shape, path) -> list[EstimatedPerson]:
    if np.shape(translations) == (3,):
        translations = np.asarray(translations)[None]
    places = _numbers(translations, (None, 3), path, "the camera's translation")
    count = len(places)
    roots = _rotations(arrays["global_orient"], count, 1, path, "global_orient")
    bodies = _rotations(arrays["body_pose"], count, NUM_JOINTS - 1, path, "body_pose")
    focal = np.ravel(_numbers(arrays["focal_length"], None, path, "focal_length"))
    if not (len(focal) in (1, count) and (focal > 0).all()):
        raise InputError(
            f"{path}: focal_length is {focal[:3].tolist()}, expected one number of "
            f"pixels above 0, or one for each of {count} people"
        )
    height, width = shape
    centre = np.array([width / 2, height / 2])
    if "centre" in arrays:
        centre = _numbers(arrays["centre"], (2,), path, "centre")
    people = []
    for number in range(count):
        pelvis = places[number] + _PELVIS
        if pelvis[2] < _NEAREST:
            raise InputError(
                f"{path}: person {number} stands {pelvis[2]:.3g} m before the camera, "
                f"expected at least {_NEAREST}"
            )
        scale = focal[number % len(focal)] / pelvis[2]
        joints = Rotation.concatenate([roots[number], bodies[number]])
        people.append(_person(joints, scale, centre + scale * pelvis[:2]))
    return people


def _person(joints: Rotation, scale: float, pelvis: np.ndarray) -> EstimatedPerson:
    return EstimatedPerson(
        pose=joints[1:].as_rotvec().astype(np.float32),
        rotation=joints[0].as_matrix().astype(np.float32),
        pixels_a_metre=float(scale),
        pelvis=pelvis.astype(np.float32),
    )


def _rotations(value, count, joints, path, place) -> list[Rotation]:
    """Rotations of each person, of matrices or axis-angle."""
    array = _numbers(value, None, path, place)
    if array.size == count * joints * 9:
        matrices = array.reshape(-1, 3, 3)
        apart = np.abs(matrices @ matrices.transpose(0, 2, 1) - np.eye(3)).max()
        if apart > 1e-2 or (np.linalg.det(matrices) < 0).any():
            raise InputError(f"{path}: {place} holds matrices that are no rotations")
        turns = Rotation.from_matrix(matrices)
    elif array.size == count * joints * 3:
        turns = Rotation.from_rotvec(array.reshape(-1, 3))
    else:
        raise InputError(
            f"{path}: {place} has the shape {array.shape}, expected {joints} rotations "
            f"for each of {count} people"
        )
    return [turns[n * joints : (n + 1) * joints] for n in range(count)]


def _numbers(value, shape, path, place) -> np.ndarray:
    array = np.asarray(value) if value is not None else np.empty(0, object)
    fits = shape is None or (
        array.ndim == len(shape)
        and all(want in (None, has) for want, has in zip(shape, array.shape))
    )
    if value is not None and array.shape[:1] == (0,):
        raise InputError(
            f"{path}: {place} holds nobody; the estimator found no one in the picture"
        )
    if array.dtype.kind not in "iuf" or not fits or not array.size:
        wanted = " x ".join("N" if n is None else str(n) for n in shape or ())
        raise InputError(
            f"{path}: {place} is {array.dtype} {array.shape}, expected numbers"
            + (f" {wanted}" if shape else "")
        )
    if not np.isfinite(array).all():
        raise InputError(f"{path}: {place} holds numbers that are not finite")
    return array.astype(np.float64)
