"""Examples for training and testing: one person's pictures as flat records of arrays.

Three variants, one for each kind of system:

* pairs: two poses of one person before one camera, for reposing;
* views: four views of one posed person with its mesh, for surface reconstruction;
* registrations: pictures with dense correspondences and body parameters.

Everything follows from the person's seed.
"""

import dataclasses
import io

import numpy as np
from PIL import Image

from volhuman.body.skeleton import NUM_JOINTS
from volhuman.body.template import load_template
from volhuman.checks import check_option
from volhuman.geometry.camera import Pinhole
from volhuman.people.cameras import (
    look_at,
    pixels_from_view,
    sample_camera,
    view_from_body,
)
from volhuman.people.correspondence import encode_iuv, sample_correspondences
from volhuman.people.lighting import sample_light
from volhuman.people.person import Person, PosedPerson, sample_person, skinned
from volhuman.people.photography import (
    Development,
    develop,
    encode,
    sample_development,
)
from volhuman.people.poses import sample_posed_person
from volhuman.people.scenes import render_background, sample_background
from volhuman.people.views import View, render

# Raised with every change of what is drawn: data sets carry it in their name.
GENERATOR_VERSION = "1.0.0"
VARIANTS = ("pairs", "views", "registrations")
NUM_VIEWS = 4
NUM_CORRESPONDENCES = 400
# Pictures that one person contributes to each variant: all cost four renderings.
PAIRS_A_PERSON = 2
REGISTRATIONS_A_PERSON = 4


@dataclasses.dataclass(frozen=True)
class FieldSpec:
    """One field of a record.

    Attributes:
        kind: "image" for encoded bytes, "tensor" or "text".
        shape: Axes, None where the length varies; of the decoded picture for images.
        dtype: NumPy's name of the element type.
        description: What it holds, with unit and axes.
    """

    kind: str
    shape: tuple[int | None, ...]
    dtype: str
    description: str


def person_records(
    seed: int, *, variant: str, size: int
) -> list[dict[str, np.ndarray | bytes | str]]:
    """Renders the examples of one person.

    Args:
        seed: The person's seed.
        variant: One of `VARIANTS`.
        size: Side of the pictures in pixels.

    Returns:
        Records with the fields of `record_features`.

    Raises:
        ValueError: If the variant is unknown.
    """
    check_option("variant", variant, VARIANTS)
    make = {"pairs": _pairs, "views": _views, "registrations": _registrations}
    generator = np.random.default_rng([20200614, seed, VARIANTS.index(variant), 9])
    return make[variant](seed, generator, size)


def sample_scene_view(
    generator: np.random.Generator,
    person: Person,
    posed: PosedPerson,
    *,
    size: int,
    yaw: float | None = None,
) -> View:
    """Renders a posed person with a camera, a light and a place of its own."""
    camera = sample_camera(generator, posed.vertices[::5], yaw=yaw)
    light, background = sample_light(generator), sample_background(generator)
    return render(person, posed, camera, light, background, size=size)


def record_features(variant: str, size: int) -> dict[str, FieldSpec]:
    """Describes the fields of a variant's records."""
    check_option("variant", variant, VARIANTS)
    if variant == "pairs":
        features = {}
        for end in ("source", "target"):
            for name, spec in _picture_features(size).items():
                features[f"{name}_{end}"] = spec
        features["background"] = _image(size, "the same place without the person")
        return features | _person_features() | _camera_features(())
    if variant == "views":
        many = {
            f"image_{number}": _image(size, f"view {number}")
            for number in range(NUM_VIEWS)
        }
        return many | _view_features(size) | _person_features()
    return (
        _picture_features(size)
        | _correspondence_features(size)
        | _person_features()
        | _camera_features(())
    )


def _pairs(seed, generator, size):
    """Two pairs of poses in one place, the camera standing still."""
    person = sample_person(seed)
    frames = []
    for _ in range(2 * PAIRS_A_PERSON):
        turn = np.clip(1.1 * generator.standard_normal(), -np.pi, np.pi)
        frames.append(sample_posed_person(generator, person, turn=turn))
    points = np.concatenate([frame.vertices[::7] for frame in frames])
    camera = sample_camera(generator, points, yaw=0.0)
    light, background = sample_light(generator), sample_background(generator)
    # What stands on the floor does so in every frame.
    ground = min(frame.ground for frame in frames)
    development = sample_development(generator)
    pictures = [
        _picture(
            render(person, frame, camera, light, background, size=size, ground=ground),
            frame,
            dataclasses.replace(development, seed=development.seed + number),
        )
        for number, frame in enumerate(frames)
    ]
    empty = render_background(background, camera, size, light, ground)
    common = _person(seed, frames[0]) | _camera(camera)
    common["background"] = encode(develop(empty, development), development)
    records = []
    for number in range(PAIRS_A_PERSON):
        record = dict(common)
        for end, picture in zip(("source", "target"), pictures[2 * number :][:2]):
            record |= {f"{name}_{end}": value for name, value in picture.items()}
        records.append(record)
    return records


def _views(seed, generator, size):
    """Four views of one pose, a quarter turn apart, each in a place of its own."""
    person = sample_person(seed)
    posed = sample_posed_person(generator, person)
    first = generator.uniform(-np.pi, np.pi)
    record = _person(seed, posed)
    views = []
    for number in range(NUM_VIEWS):
        camera = _scan_camera(posed, first + number * np.pi / 2)
        light, background = sample_light(generator), sample_background(generator)
        view = render(person, posed, camera, light, background, size=size)
        development = sample_development(generator)
        record[f"image_{number}"] = encode(develop(view.rgb, development), development)
        views.append(view)
    stack = lambda values, dtype: np.stack(list(values)).astype(dtype)
    record |= {
        "mask": stack((np.round(view.mask * 255) for view in views), np.uint8),
        "label": stack((view.label for view in views), np.uint8),
        "depth": stack((view.depth for view in views), np.float16),
        "normal_front": stack((view.normal_front for view in views), np.float16),
        "normal_back": stack((view.normal_back for view in views), np.float16),
        "joints": stack((view.joints for view in views), np.float32),
        "pose": posed.pose.astype(np.float32),
        "vertices": posed.vertices.astype(np.float32),
        "faces": posed.faces.astype(np.int32),
    }
    cameras = [_camera(view.camera) for view in views]
    return [
        record | {name: np.stack([c[name] for c in cameras]) for name in cameras[0]}
    ]


def _registrations(seed, generator, size):
    """Single pictures with everything that a fit or a regressor learns from."""
    person = sample_person(seed)
    records = []
    for _ in range(REGISTRATIONS_A_PERSON):
        posed = sample_posed_person(generator, person)
        yaw = np.clip(1.2 * generator.standard_normal(), -np.pi, np.pi)
        view = sample_scene_view(generator, person, posed, size=size, yaw=yaw)
        record = _picture(view, posed, sample_development(generator))
        record |= sample_correspondences(generator, view, NUM_CORRESPONDENCES)
        record["iuv"] = _png(encode_iuv(view))
        record["landmarks"] = _landmarks(posed, view.camera, size)
        records.append(record | _person(seed, posed) | _camera(view.camera))
    return records


def _scan_camera(posed: PosedPerson, yaw: float) -> Pinhole:
    """A distant camera at the height of the person, the whole person in the picture."""
    points = posed.vertices
    centre = (points.min(0) + points.max(0)) / 2
    reach = np.abs(points - centre).max() * 1.25
    return look_at(yaw, 0.0, 0.0, centre=centre, reach=reach, focal=6.0)


def _picture(view: View, posed: PosedPerson, development: Development):
    return {
        "image": encode(develop(view.rgb, development), development),
        "mask": np.round(view.mask * 255).astype(np.uint8),
        "label": view.label,
        "joints": view.joints,
        "pose": posed.pose.astype(np.float32),
    }


def _person(seed: int, posed: PosedPerson):
    return {
        "person": str(seed),
        "shape": posed.person.shape.astype(np.float32),
        "joints_body": posed.joints.astype(np.float32),
    }


def _camera(camera: Pinhole):
    return {
        "camera_focal": np.float32(camera.focal),
        "camera_principal": np.asarray(camera.principal, np.float32),
        "camera_rotation": np.asarray(camera.rotation, np.float32),
        "camera_position": np.asarray(camera.position, np.float32),
    }


def _landmarks(posed: PosedPerson, camera: Pinhole, size: int):
    """Surface landmarks of the bare body in pixels, `(L, 3)`."""
    points = skinned(posed, np.asarray(load_template().landmark_vertices))
    pixels = pixels_from_view(view_from_body(camera, points, posed.joints[0]), size)
    return pixels.astype(np.float32)


def _png(picture: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG", compress_level=3)
    return buffer.getvalue()


# -- what the fields hold


def _image(size, description):
    return FieldSpec("image", (size, size, 3), "uint8", description)


_PIXELS = "x right, y down (pixel 0 covers [0, 1]), z away from the camera with 0 at "
_PIXELS += "the pelvis, all in pixels"


def _picture_features(size):
    return {
        "image": _image(size, "the picture, as photographed (JPEG)"),
        "mask": FieldSpec(
            "tensor", (size, size), "uint8", "share that the person covers, 255 is all"
        ),
        "label": FieldSpec(
            "tensor", (size, size), "uint8", "garment labels, 0 is background"
        ),
        "joints": FieldSpec("tensor", (NUM_JOINTS, 3), "float32", f"joints: {_PIXELS}"),
        "pose": FieldSpec(
            "tensor", (NUM_JOINTS, 3), "float32", "axis-angle relative to the parent"
        ),
    }


def _view_features(size):
    tensor = lambda shape, dtype, text: FieldSpec("tensor", shape, dtype, text)
    views = (NUM_VIEWS, size, size)
    return {
        "mask": tensor(views, "uint8", "share that the person covers, 255 is all"),
        "label": tensor(views, "uint8", "garment labels, 0 is background"),
        "depth": tensor(
            views, "float16", "front depth in view units, infinity where empty"
        ),
        "normal_front": tensor(
            (*views, 3), "float16", "unit normals in view axes, 0 where empty"
        ),
        "normal_back": tensor(
            (*views, 3), "float16", "unit normals of the farthest surface"
        ),
        "joints": tensor((NUM_VIEWS, NUM_JOINTS, 3), "float32", f"joints: {_PIXELS}"),
        "pose": tensor((NUM_JOINTS, 3), "float32", "axis-angle relative to the parent"),
        "vertices": tensor((None, 3), "float32", "dressed person, body space, metres"),
        "faces": tensor((None, 3), "int32", "closed parts, normals outwards"),
    } | _camera_features((NUM_VIEWS,))


def _correspondence_features(size):
    tensor = lambda shape, dtype, text: FieldSpec("tensor", shape, dtype, text)
    count = NUM_CORRESPONDENCES
    return {
        "dense_pixels": tensor((count, 2), "float32", "x, y in pixels of seen points"),
        "dense_face": tensor((count,), "int32", "their face of the embedded body"),
        "dense_barycentric": tensor((count, 3), "float32", "their weights in the face"),
        "dense_rest": tensor((count, 3), "float32", "rest coordinates, metres"),
        "iuv": _image(size, "part I (1 + joint), U and V of the texture, 0 to 255"),
        "landmarks": tensor(
            (len(load_template().landmark_names), 3),
            "float32",
            f"surface landmarks of the bare body: {_PIXELS}",
        ),
    }


def _person_features():
    return {
        "person": FieldSpec("text", (), "str", "the person's seed"),
        "shape": FieldSpec(
            "tensor", (10,), "float32", "shape components of the embedded body"
        ),
        "joints_body": FieldSpec(
            "tensor", (NUM_JOINTS, 3), "float32", "joints in body space, metres"
        ),
    }


def _camera_features(leading):
    tensor = lambda shape, text: FieldSpec("tensor", shape, "float32", text)
    return {
        "camera_focal": tensor(leading, "pinhole focal length, view units"),
        "camera_principal": tensor((*leading, 2), "principal point, view units"),
        "camera_rotation": tensor((*leading, 3, 3), "from body to camera axes"),
        "camera_position": tensor((*leading, 3), "body origin in camera axes, metres"),
    }
