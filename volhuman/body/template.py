"""The embedded licence-free body, and bodies from files that a user holds."""

import functools
from importlib import resources
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from volhuman.body.model import BodyModel
from volhuman.body.skeleton import NUM_JOINTS, PARENTS
from volhuman.body.smpl_files import read_smpl_arrays
from volhuman.errors import InputError

TEMPLATE_NAME = "makehuman-cc0"

# Surface points of SMPL's topology that key points are annotated at.
_SMPL_LANDMARKS = {
    "nose": 332,
    "left_eye": 2800,
    "right_eye": 6260,
    "left_ear": 583,
    "right_ear": 4071,
    "head_top": 411,
    "left_big_toe": 3216,
    "left_small_toe": 3226,
    "left_heel": 3387,
    "right_big_toe": 6617,
    "right_small_toe": 6624,
    "right_heel": 6787,
    "left_hand_tip": 2445,
    "right_hand_tip": 5905,
}


@functools.cache
def load_template() -> BodyModel:
    """Loads the embedded body: CC0, 6890 vertices, 24 joints, 10 shape components.

    Its vertices are not SMPL's, although their number is the same. The provenance
    notice and the converter are in `third_party/makehuman`.
    """
    path = resources.files("volhuman") / "assets" / "template.npz"
    with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    weights = np.zeros((len(arrays["template"]), NUM_JOINTS), np.float32)
    values = arrays["weight_values"].astype(np.float32)
    # Unused slots name joint 0 with weight 0: add, so that they change nothing.
    rows = np.arange(len(weights))[:, None]
    np.add.at(weights, (rows, arrays["weight_joints"].astype(np.int64)), values)
    weights /= weights.sum(1, keepdims=True)
    names, landmarks = (arrays[f"landmark_{kind}"] for kind in ("names", "vertices"))
    # Arrays, and no tracers, also where the first call stands in a function that is
    # being compiled: they are kept.
    with jax.ensure_compile_time_eval():
        return build_body(
            name=str(arrays["name"]),
            template=arrays["template"],
            shape_dirs=arrays["shape_dirs"].astype(np.float32),
            pose_dirs=None,
            weights=weights,
            joints=arrays["joints"],
            joint_dirs=arrays["joint_dirs"],
            faces=arrays["faces"],
            uv=arrays["uv"].astype(np.float32),
            faces_uv=arrays["faces_uv"].astype(np.int32),
            mirror=arrays["mirror"].astype(np.int32),
            landmarks=dict(zip(names.tolist(), landmarks.tolist())),
        )


def load_smpl(path: str | Path, *, num_shape: int = 10) -> BodyModel:
    """Loads an SMPL body that the user holds a licence for.

    Reads `.npz`, `.safetensors` and the original `.pkl`; the pickle goes through an
    allow-list that never runs code.

    Args:
        path: Model file.
        num_shape: Shape components to keep.

    Returns:
        The body, named "smpl". Landmarks are known for SMPL's 6890 vertices only.

    Raises:
        InputError: If the file is missing, damaged, unsafe, or not an SMPL body.
    """
    arrays = read_smpl_arrays(path, num_shape=num_shape)
    if not np.array_equal(arrays["parents"], PARENTS):
        raise InputError(
            f"{path}: the joint tree {arrays['parents'].tolist()} is not SMPL's, "
            f"expected {PARENTS.tolist()}; give a file of the 24-joint SMPL model"
        )
    regressor = arrays["joint_regressor"]
    is_smpl_mesh = len(arrays["template"]) == 6890
    return build_body(
        name="smpl",
        template=arrays["template"],
        shape_dirs=arrays["shape_dirs"],
        pose_dirs=arrays.get("pose_dirs"),
        weights=arrays["weights"],
        joints=regressor @ arrays["template"],
        joint_dirs=np.einsum("jv,vcs->jcs", regressor, arrays["shape_dirs"]),
        faces=arrays["faces"],
        uv=None,
        faces_uv=None,
        mirror=None,
        landmarks=_SMPL_LANDMARKS if is_smpl_mesh else {},
    )


def build_body(
    *,
    name: str,
    template: np.ndarray,
    shape_dirs: np.ndarray,
    pose_dirs: np.ndarray | None,
    weights: np.ndarray,
    joints: np.ndarray,
    joint_dirs: np.ndarray,
    faces: np.ndarray,
    uv: np.ndarray | None = None,
    faces_uv: np.ndarray | None = None,
    mirror: np.ndarray | None = None,
    landmarks: dict[str, int] | None = None,
) -> BodyModel:
    """Builds a body from arrays of any rig with the 24 joints of `body.skeleton`.

    Args:
        name: What the body is.
        template: `(V, 3)` rest vertices, metres, T-pose.
        shape_dirs: `(V, 3, S)`.
        pose_dirs: `(V, 3, 207)` by the 23 relative rotation matrices minus identity, or
            None.
        weights: `(V, 24)`.
        joints: `(24, 3)`.
        joint_dirs: `(24, 3, S)`.
        faces: `(F, 3)`.
        uv: `(T, 2)`.
        faces_uv: `(F, 3)`.
        mirror: `(V,)`.
        landmarks: Vertex number by landmark name.

    Returns:
        The body on the default device.
    """
    landmarks = landmarks or {}
    rows = [template.T[None], shape_dirs.transpose(2, 1, 0)]
    if pose_dirs is not None:
        rows.append(pose_dirs.transpose(2, 1, 0))
    optional = lambda array: None if array is None else jnp.asarray(array)
    return BodyModel(
        name=name,
        basis=jnp.asarray(np.concatenate(rows), jnp.float32),
        weights=jnp.asarray(weights.T, jnp.float32),
        joints=jnp.asarray(joints, jnp.float32),
        joint_dirs=jnp.asarray(joint_dirs, jnp.float32),
        faces=jnp.asarray(faces.astype(np.int32)),
        uv=optional(uv),
        faces_uv=optional(faces_uv),
        mirror=optional(mirror),
        landmark_names=tuple(landmarks),
        landmark_vertices=jnp.asarray(list(landmarks.values()), jnp.int32),
    )
