"""Bodies that were fitted to scans: parameters, never the vertices of a mesh file.

A fitted body often comes as a mesh as well. Its vertices are not used: programs that
exported such files have changed the order of the vertices (PaMIR's `smpl_mesh.obj` is
an example), and vertex numbers would then mean other places on the body. The vertices
are computed from the parameters with `fitted_vertices`.
"""

import dataclasses
from pathlib import Path

import jax
import numpy as np

from volhuman.body.model import BodyModel, BodyParams, pose_body
from volhuman.data.sets.files import pickled_array, read_pickle_dict
from volhuman.errors import InputError

_BODY_JOINTS = {72: "smpl", 69: "smpl", 63: "smplx"}


@dataclasses.dataclass(frozen=True, eq=False)
class SmplFit:
    """A body fitted to a scan; vertices are `scale * body(pose, shape) + translation`.

    Attributes:
        body: "smpl" or "smplx". SMPL-X has other shape components; its fingers and face
            are left out.
        pose: `(24, 3)` axis-angle, root first; the last two are 0 for SMPL-X.
        shape: `(10,)`.
        translation: `(3,)` in the unit of the scan.
        scale: Units of the scan for one metre.
    """

    body: str
    pose: np.ndarray
    shape: np.ndarray
    translation: np.ndarray
    scale: float


def read_smpl_fit(path: Path) -> SmplFit:
    """Reads `smpl_param.pkl` of PaMIR's folders or `smplx_param.pkl` of THuman 2.

    Raises:
        InputError: If the file is missing, unsafe, or lacks a parameter.
    """
    content = read_pickle_dict(path)
    flat = {key: np.asarray(value).reshape(-1) for key, value in content.items()}
    body_pose = pickled_array(flat, "body_pose", (None,), path)
    if len(body_pose) not in _BODY_JOINTS:
        raise InputError(
            f"{path}: body_pose has {len(body_pose)} numbers, expected 72 or 69 (SMPL) "
            "or 63 (SMPL-X)"
        )
    # PaMIR's 72 numbers hold the rotation of the root as well.
    if len(body_pose) < 72:
        root = pickled_array(flat, "global_orient", (3,), path)
        body_pose = np.concatenate([root, body_pose])
    pose = np.zeros((24, 3), np.float32)
    pose.reshape(-1)[: len(body_pose)] = body_pose
    shape = pickled_array(flat, "betas", (None,), path)
    if len(shape) < 10:
        raise InputError(f"{path}: betas has {len(shape)} numbers, expected 10")
    scale = 1.0
    for key in ("body_scale", "scale"):
        if key in flat:
            scale = float(pickled_array(flat, key, (1,), path)[0])
    fit = SmplFit(
        body=_BODY_JOINTS[len(flat["body_pose"])],
        pose=pose,
        shape=shape[:10],
        translation=_translation(flat, scale, path),
        scale=scale,
    )
    if not 1e-6 < fit.scale < 1e6:
        raise InputError(f"{path}: the scale of the body is {fit.scale}")
    return fit


def _translation(flat: dict, scale: float, path: Path) -> np.ndarray:
    """The sum of the translations in the file; `transl` comes before the scaling."""
    scales = {"global_body_translation": 1.0, "translation": 1.0, "transl": scale}
    found = [
        factor * pickled_array(flat, key, (3,), path)
        for key, factor in scales.items()
        if key in flat
    ]
    if not found:
        raise InputError(f"{path}: none of {', '.join(scales)} among its keys")
    return np.sum(found, axis=0, dtype=np.float32)


def fitted_vertices(model: BodyModel, fit: SmplFit) -> jax.Array:
    """Computes the vertices of a fitted body.

    Args:
        model: The body of the fit, as `volhuman.body.load_smpl` reads it.
        fit: The fit.

    Returns:
        `(V, 3)` in the unit of the scan and in the order of the model.
    """
    params = BodyParams(
        pose=fit.pose, shape=fit.shape, scales=np.ones(24), translation=np.zeros(3)
    )
    return fit.scale * pose_body(model, params).vertices + fit.translation
