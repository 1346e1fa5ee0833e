"""A body as a GLB file (binary glTF 2.0): mesh, skeleton, skin and animation.

Conventions of every function here: body space, whose axes are those of glTF (metres, y
up, z to the front). Arrays are on the host. "Corners" are the vertices of the file: a
vertex of the body once for every texture coordinate that it has.

Every joint becomes two nodes. `<joint>` carries the rotation and the offset from its
parent; below it the leaf `<joint>_segment` carries the scale of the segment, and the
skin refers to that leaf. So a scale acts on its own segment and not, as scales of glTF
nodes do, on everything below.

Source: Khronos Group, "glTF 2.0 Specification", sections 3.7.3 (skins) and 3.11
(animations).
"""

import contextlib
import os
import secrets
from collections.abc import MutableMapping
from pathlib import Path

import numpy as np
import trimesh
from scipy.spatial.transform import Rotation
from trimesh.visual import TextureVisuals
from trimesh.visual.material import PBRMaterial

from volhuman.body.model import BodyModel, BodyParams, rest_joints
from volhuman.body.skeleton import JOINT_NAMES, NUM_JOINTS, PARENTS
from volhuman.checks import check_shape
from volhuman.errors import InputError
from volhuman.render.shading import SKIN, vertex_normals

_NUM_INFLUENCES = 4
_ROUGHNESS = 0.9
_COMPONENT_TYPES = {"|u1": 5121, "<f4": 5126}
_ELEMENT_TYPES = {(): "SCALAR", (3,): "VEC3", (4,): "VEC4", (4, 4): "MAT4"}
# Node 2j is joint j, node 2j + 1 its segment; the mesh comes last.
_MESH_NODE = 2 * NUM_JOINTS


def export_glb(
    path: str | Path,
    model: BodyModel,
    params: BodyParams,
    *,
    colours: np.ndarray | None = None,
    motion: np.ndarray | None = None,
    rate: float = 30.0,
) -> None:
    """Writes a posed body that viewers and animation programs can open and move.

    The mesh is the T-posed body of the given shape; pose, segment scales and
    translation are in the nodes of the skeleton, so a viewer shows what `pose_body`
    computes. What cannot be expressed is left out: pose blend shapes, which SMPL has
    and the template has not, and all but the four largest skinning weights of a vertex.
    Vertices of no face are left out, too.

    The same input gives the same bytes, and the file appears at once or not at all.

    Args:
        path: File to write, in an existing folder.
        model: Body model, with texture coordinates or without.
        params: Parameters of one person.
        colours: `(V, 3)` sRGB in [0, 1], as in pictures; default one skin tone.
        motion: `(T, 24, 3)` axis-angle poses of an animation, radians. The translation
            stays that of `params`.
        rate: Frames per second of `motion`.

    Raises:
        ValueError: If an array has another shape, or the model has no faces.
        InputError: If the folder is missing, the file cannot be written, or a value is
            not finite or out of range.
    """
    path = Path(path)
    _check_path(path)
    _check_values(model, params, colours, motion, rate)

    vertex_of_corner, uv_of_corner, faces = _split_seams(model)
    mesh = _build_mesh(model, params, vertex_of_corner, uv_of_corner, faces)
    if colours is None:
        mesh.visual.material.baseColorFactor = [*_linear_from_srgb(SKIN), 1.0]

    def add_rig(buffers: MutableMapping, tree: dict) -> None:
        attributes = tree["meshes"][0]["primitives"][0]["attributes"]
        influences, weights = _strongest_influences(model, vertex_of_corner)
        attributes["JOINTS_0"] = _add_accessor(tree, buffers, influences)
        attributes["WEIGHTS_0"] = _add_accessor(tree, buffers, weights)
        if colours is not None:
            linear = _linear_from_srgb(colours)[vertex_of_corner].astype("<f4")
            attributes["COLOR_0"] = _add_accessor(tree, buffers, linear)
        _add_skeleton(tree, buffers, model, params)
        if motion is not None:
            tree["animations"] = [_animation(tree, buffers, motion, rate)]

    scene = trimesh.Scene()
    scene.add_geometry(mesh, geom_name=model.name)
    content = trimesh.exchange.gltf.export_glb(
        scene, include_normals=True, buffer_postprocessor=add_rig
    )
    _write_atomically(path, content)


def _check_path(path: Path) -> None:
    if path.is_dir():
        raise InputError(f"{path} is a folder; give the path of a GLB file.")
    if not path.parent.is_dir():
        raise InputError(f"{path.parent} is not a folder; create it first.")


def _check_values(
    model: BodyModel,
    params: BodyParams,
    colours: np.ndarray | None,
    motion: np.ndarray | None,
    rate: float,
) -> None:
    check_shape("pose", params.pose, f"{NUM_JOINTS} 3")
    check_shape("shape", params.shape, str(model.num_shape))
    check_shape("scales", params.scales, str(NUM_JOINTS))
    check_shape("translation", params.translation, "3")
    if not len(model.faces):
        raise ValueError(f"body {model.name!r} has no faces, expected a whole body")
    for name in ("pose", "shape", "scales", "translation"):
        if not np.isfinite(np.asarray(getattr(params, name))).all():
            raise InputError(f"{name} has values that are not finite; repeat the fit.")
    if colours is not None:
        check_shape("colours", colours, f"{model.num_vertices} 3")
        # Interpolation may leave the range by rounding.
        if not ((colours >= -1e-3) & (colours <= 1 + 1e-3)).all():
            raise InputError("colours have values outside [0, 1]; divide bytes by 255.")
    if motion is not None:
        num_frames = check_shape("motion", motion, f"T {NUM_JOINTS} 3")["T"]
        if not num_frames or not np.isfinite(motion).all():
            raise InputError("motion must have one frame or more, all values finite.")
        if not 0 < rate < np.inf:
            raise InputError(f"rate is {rate}; give frames per second above 0.")


def _split_seams(model: BodyModel) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Makes one corner of every pair of vertex and texture coordinate in the faces.

    Returns:
        Vertex numbers `(C,)`, ascending, texture coordinate numbers `(C,)` (the vertex
        numbers where the model has none), and faces `(F, 3)` into the corners.
    """
    faces = np.asarray(model.faces, np.int64)
    faces_uv = faces if model.uv is None else np.asarray(model.faces_uv, np.int64)
    num_uv = faces_uv.max() + 1
    pairs, corners = np.unique(faces * num_uv + faces_uv, return_inverse=True)
    return pairs // num_uv, pairs % num_uv, corners.reshape(faces.shape)


def _build_mesh(
    model: BodyModel,
    params: BodyParams,
    vertex_of_corner: np.ndarray,
    uv_of_corner: np.ndarray,
    faces: np.ndarray,
) -> trimesh.Trimesh:
    """Builds the T-posed body of the given shape with normals and a white material."""
    coefficients = np.concatenate([[1.0], np.asarray(params.shape)])
    basis = np.asarray(model.basis[: len(coefficients)], np.float64)
    vertices = np.tensordot(coefficients, basis, axes=1).T
    # Over the faces of the body, so that the shading does not show the seams.
    normals = vertex_normals(vertices, np.asarray(model.faces))
    # A vertex of faces without area has none, but glTF demands unit length.
    normals[~normals.any(axis=1)] = (0, 0, 1)
    # v points up here as in trimesh, which turns it over for glTF.
    uv = None if model.uv is None else np.asarray(model.uv, np.float64)[uv_of_corner]
    material = PBRMaterial(
        name=model.name,
        baseColorFactor=[1.0, 1.0, 1.0, 1.0],
        metallicFactor=0.0,
        roughnessFactor=_ROUGHNESS,
    )
    return trimesh.Trimesh(
        vertices=vertices[vertex_of_corner],
        faces=faces,
        vertex_normals=normals[vertex_of_corner],
        visual=TextureVisuals(uv=uv, material=material),
        process=False,
    )


def _strongest_influences(
    model: BodyModel, vertex_of_corner: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the joints `(C, 4)` uint8 of the largest weights, and the weights."""
    all_weights = np.asarray(model.weights, np.float64).T
    joints = np.argsort(-all_weights, axis=1, kind="stable")[:, :_NUM_INFLUENCES]
    weights = np.take_along_axis(all_weights, joints, axis=1)
    weights /= weights.sum(axis=1, keepdims=True)
    # glTF wants unused slots to name joint 0.
    joints[weights == 0] = 0
    return (
        joints.astype(np.uint8)[vertex_of_corner],
        weights.astype("<f4")[vertex_of_corner],
    )


def _add_skeleton(
    tree: dict, buffers: MutableMapping, model: BodyModel, params: BodyParams
) -> None:
    """Adds the skin, and replaces the nodes by skeleton and mesh."""
    joints = np.asarray(rest_joints(model, params.shape), np.float64)
    # Translations of the rest joints to the origin. glTF stores columns first, so the
    # translation is the last row in memory.
    inverse_bind = np.tile(np.eye(4, dtype="<f4"), (NUM_JOINTS, 1, 1))
    inverse_bind[:, 3, :3] = -joints
    tree["skins"] = [
        {
            "inverseBindMatrices": _add_accessor(tree, buffers, inverse_bind),
            "joints": [2 * joint + 1 for joint in range(NUM_JOINTS)],
            "skeleton": 0,
        }
    ]
    mesh_node = {"name": model.name, "mesh": 0, "skin": 0}
    tree["nodes"] = [*_joint_nodes(joints, params), mesh_node]
    # A skinned mesh ignores the transforms above it, so it is a root of its own.
    tree["scenes"][0]["nodes"] = [0, _MESH_NODE]


def _joint_nodes(joints: np.ndarray, params: BodyParams) -> list[dict]:
    """Returns the posed nodes of the rest joints `(24, 3)` and of their segments."""
    scales = np.asarray(params.scales, np.float64)
    offsets = (joints - joints[PARENTS]) * scales[PARENTS, None]
    offsets[0] = joints[0] + np.asarray(params.translation, np.float64)
    rotations = _quaternions(np.asarray(params.pose))
    nodes = []
    for joint, name in enumerate(JOINT_NAMES):
        children = [2 * child for child in np.flatnonzero(joint == PARENTS).tolist()]
        node = {
            "name": name,
            "translation": offsets[joint].tolist(),
            "rotation": rotations[joint].tolist(),
            "children": [2 * joint + 1, *children],
        }
        segment = {"name": f"{name}_segment", "scale": [scales[joint].item()] * 3}
        nodes += [node, segment]
    return nodes


def _animation(
    tree: dict, buffers: MutableMapping, motion: np.ndarray, rate: float
) -> dict:
    """Returns the animation of all joint rotations `(T, 24, 3)`, its data added."""
    rotations = _quaternions(np.asarray(motion))
    # q and -q are one rotation, but between them viewers would turn the long way round.
    turned = (rotations[1:] * rotations[:-1]).sum(axis=-1, keepdims=True) < 0
    rotations[1:] *= np.cumprod(np.where(turned, -1, 1), axis=0)
    times = (np.arange(len(rotations)) / rate).astype("<f4")
    time_accessor = _add_accessor(tree, buffers, times)
    samplers, channels = [], []
    for joint in range(NUM_JOINTS):
        output = _add_accessor(tree, buffers, rotations[:, joint].astype("<f4"))
        samplers.append(
            {"input": time_accessor, "interpolation": "LINEAR", "output": output}
        )
        target = {"node": 2 * joint, "path": "rotation"}
        channels.append({"sampler": joint, "target": target})
    return {"name": "motion", "samplers": samplers, "channels": channels}


def _add_accessor(tree: dict, buffers: MutableMapping, array: np.ndarray) -> int:
    """Appends an array to the file under construction and returns its accessor."""
    index = len(tree["accessors"])
    # The key only has to differ from trimesh's, which are hashes of the contents. All
    # elements here are multiples of 4 bytes long, so glTF's alignment needs no padding.
    key = f"rig {index}"
    buffers[key] = array.tobytes()
    tree["accessors"][key] = {
        "bufferView": len(buffers) - 1,
        "byteOffset": 0,
        "componentType": _COMPONENT_TYPES[array.dtype.str],
        "type": _ELEMENT_TYPES[array.shape[1:]],
        "count": len(array),
    }
    if array.ndim == 1:  # glTF demands the bounds of key frame times.
        bounds = {"min": [array.min().item()], "max": [array.max().item()]}
        tree["accessors"][key].update(bounds)
    return index


def _quaternions(axis_angle: np.ndarray) -> np.ndarray:
    """Unit quaternions `(..., 4)` in glTF's order x, y, z, w of `(..., 3)`, radians."""
    flat = Rotation.from_rotvec(axis_angle.reshape(-1, 3).astype(np.float64)).as_quat()
    return flat.reshape(*axis_angle.shape[:-1], 4)


def _linear_from_srgb(colours: np.ndarray) -> np.ndarray:
    """Linear light, which glTF's colours are in, of sRGB colours of any shape.

    Source: IEC 61966-2-1.
    """
    colours = np.clip(np.asarray(colours, np.float64), 0, 1)
    bright = ((colours + 0.055) / 1.055) ** 2.4
    return np.where(colours <= 0.04045, colours / 12.92, bright)


def _write_atomically(path: Path, content: bytes) -> None:
    # In the same folder, because a rename is atomic only within one file system.
    temporary = path.parent / f".{secrets.token_hex(8)}.tmp"
    try:
        with temporary.open("xb") as file:
            file.write(content)
        os.replace(temporary, path)
    except OSError as error:
        raise InputError(
            f"{path} cannot be written ({error.strerror}): check folder and disk."
        ) from error
    finally:
        with contextlib.suppress(OSError):  # Renamed already, or never created.
            temporary.unlink()
