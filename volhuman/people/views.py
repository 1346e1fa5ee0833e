"""Renders a posed person with every channel that a network can be trained on.

Channels are sampled at pixel centres; colour and coverage are averaged over four
points a pixel. View coordinates and depth are those of `people.cameras`.
"""

import dataclasses

import numpy as np

from volhuman.geometry.camera import Pinhole, WeakPerspective
from volhuman.people.cameras import (
    metres_per_view,
    pixels_from_view,
    towards_camera,
    view_from_body,
)
from volhuman.people.lighting import Light, ShadowMap, ambient_occlusion, shade
from volhuman.people.materials import label_at, material_at
from volhuman.people.person import Person, PosedPerson, pose_person
from volhuman.people.scenes import Background, paint_background
from volhuman.people.surface import QUARTERS, fine_body
from volhuman.render.rasterize import Fragments, rasterize

_SUPERSAMPLING = 2


@dataclasses.dataclass(frozen=True)
class View:
    """One picture of a person; S is its side in pixels.

    Attributes:
        rgb: `(S, S, 3)` float32 sRGB in [0, 1].
        mask: `(S, S)` float32 share of the pixel that the person covers.
        label: `(S, S)` uint8 garment labels (`recipe.LABELS`), 0 is background.
        depth: `(S, S)` float32 front depth in view units, infinity where empty.
        normal_front: `(S, S, 3)` float32 unit normals in view axes of what is seen, 0
            where empty.
        normal_back: `(S, S, 3)` the same for the surface farthest from the camera.
        rest: `(S, S, 3)` float32 rest coordinates in metres of what is seen; 0 where
            empty.
        face: `(S, S)` int32 face of the embedded body, also under hair and hanging
            fabric; -1 where no body is behind them.
        barycentric: `(S, S, 3)` float32 weights in that face.
        joints: `(24, 3)` float32 joints in pixels: x, y (pixel 0 covers [0, 1]) and
            depth in pixels, 0 at the pelvis.
        camera: The camera.
    """

    rgb: np.ndarray
    mask: np.ndarray
    label: np.ndarray
    depth: np.ndarray
    normal_front: np.ndarray
    normal_back: np.ndarray
    rest: np.ndarray
    face: np.ndarray
    barycentric: np.ndarray
    joints: np.ndarray
    camera: Pinhole | WeakPerspective


def render(
    person: Person,
    pose: np.ndarray | PosedPerson,
    camera: Pinhole | WeakPerspective,
    light: Light,
    background: Background,
    *,
    size: int = 256,
    ground: float | None = None,
) -> View:
    """Renders a person.

    Args:
        person: The person.
        pose: `(24, 3)` axis-angle, or the person already posed.
        camera: Camera of the square picture.
        light: Lighting.
        background: What is behind the person.
        size: Side of the picture in pixels.
        ground: y of the floor in body space; under the person's lowest point where
            None.

    Returns:
        The picture with all channels.
    """
    posed = pose if isinstance(pose, PosedPerson) else pose_person(person, pose)
    scene = _Scene(posed, camera)
    front = scene.draw(size, "front")
    channels = scene.channels(front, size)
    shadow = ShadowMap(scene.vertices, scene.faces, light)
    metres = metres_per_view(camera, posed.joints[0])
    occlusion = ambient_occlusion(channels["depth"] * metres, metres * 2 / size)
    fine = scene.draw(size * _SUPERSAMPLING, "front")
    lit, cover = scene.colour(fine, light, shadow, occlusion)
    floor = posed.ground if ground is None else ground
    behind = paint_background(background, camera, size, light, shadow.visibility, floor)
    rgb = _shrink(lit) + behind * (1 - _shrink(cover))
    label = np.zeros((size, size), np.uint8)
    label[front.mask] = scene.labels(front)
    joints = pixels_from_view(
        view_from_body(camera, posed.joints, posed.joints[0]), size
    )
    return View(
        rgb=(np.clip(rgb, 0, 1) ** (1 / 2.2)).astype(np.float32),
        mask=_shrink(cover)[..., 0].astype(np.float32),
        label=label,
        normal_back=scene.back_normals(size),
        joints=joints.astype(np.float32),
        camera=camera,
        **channels,
    )


class _Scene:
    """All parts of a posed person in one mesh, with what the passes share."""

    def __init__(self, posed: PosedPerson, camera):
        self.recipe, self.parts, self.camera = posed.person.recipe, posed.parts, camera
        self.vertices, self.faces = posed.vertices, posed.faces
        self.view = view_from_body(camera, self.vertices, posed.joints[0])
        self.normals = np.concatenate([part.normals for part in posed.parts])
        self.rest = np.concatenate([part.rest for part in posed.parts])
        self.shade = np.concatenate([part.shade for part in posed.parts])
        sizes = [len(part.faces) for part in posed.parts]
        self.part = np.repeat(np.arange(len(sizes)), sizes)
        self.rotation = np.asarray(camera.rotation, np.float64)
        if isinstance(camera, Pinhole):
            moved = self.vertices @ self.rotation[2] + float(camera.position[2])
            self.depth = np.maximum(moved, 1e-3)

    def draw(self, size: int, keep: str) -> Fragments:
        """Rasterises the faces turned to the camera, or away from it the farthest."""
        pixels = pixels_from_view(self.view, size)
        if keep == "back":
            pixels[:, 2] *= -1
        return rasterize(pixels, self.faces, (size, size), keep=keep)

    def interpolate(self, fragments, values):
        """Values `(V, C)` at the seen pixels, `(N, C)`, in float64."""
        weights = self._weights(fragments)
        faces = self.faces[fragments.face[fragments.mask]]
        return sum(weights[:, k, None] * values[faces[:, k]] for k in range(3))

    def _weights(self, fragments):
        """Barycentric weights on the mesh itself, `(N, 3)`."""
        weights = fragments.barycentric[fragments.mask].astype(np.float64)
        if isinstance(self.camera, Pinhole):
            # What is even in the picture is not even in depth.
            faces = self.faces[fragments.face[fragments.mask]]
            weights = weights / self.depth[faces]
            total = weights[:, 0] + weights[:, 1] + weights[:, 2]
            weights = weights / total[:, None]
        return weights

    def channels(self, front: Fragments, size: int) -> dict[str, np.ndarray]:
        """Depth, normals, rest coordinates and template faces at the pixel centres."""
        seen = front.mask
        spread = lambda values: _spread(seen, values)
        depth = np.full((size, size), np.inf, np.float32)
        depth[seen] = self.interpolate(front, self.view[:, 2:])[:, 0]
        return self._template_faces(size) | {
            "depth": depth,
            "normal_front": spread(self._view_normals(front)),
            "rest": spread(self.interpolate(front, self.rest)),
        }

    def _view_normals(self, fragments):
        return _unit(self.interpolate(fragments, self.normals)) @ self.rotation.T

    def _template_faces(self, size: int) -> dict[str, np.ndarray]:
        """Face of the template and weights in it, through hair and hanging fabric."""
        num_coarse = fine_body().num_coarse
        pixels = pixels_from_view(self.view, size)
        # The body is the first part.
        body = rasterize(pixels, self.parts[0].faces, (size, size), keep="front")
        quarter, number = np.divmod(body.face[body.mask], num_coarse)
        weights = self._weights(body)[..., None] * QUARTERS[quarter]
        face = np.full((size, size), -1, np.int32)
        face[body.mask] = number
        weights = weights[:, 0] + weights[:, 1] + weights[:, 2]
        return {"face": face, "barycentric": _spread(body.mask, weights)}

    def back_normals(self, size: int) -> np.ndarray:
        """Normals of the farthest surface, `(size, size, 3)`."""
        back = self.draw(size, "back")
        return _spread(back.mask, self._view_normals(back))

    def materials(self, fragments):
        """Colour, gloss and label at the seen pixels."""
        rest = self.interpolate(fragments, self.rest)
        part = self.part[fragments.face[fragments.mask]]
        colour, gloss = np.zeros((len(rest), 3)), np.zeros(len(rest))
        label = np.zeros(len(rest), np.int64)
        for number, one in enumerate(self.parts):
            seen = part == number
            if seen.any():
                found = material_at(self.recipe, one.name, one.number, rest[seen])
                colour[seen], gloss[seen] = found.colour, found.gloss
                label[seen] = found.label
        colour *= self.interpolate(fragments, self.shade[:, None])
        return colour, gloss, label

    def labels(self, fragments) -> np.ndarray:
        """Garment labels at the seen pixels."""
        rest = self.interpolate(fragments, self.rest)
        part = self.part[fragments.face[fragments.mask]]
        label = np.zeros(len(rest), np.uint8)
        for number, one in enumerate(self.parts):
            seen = part == number
            label[seen] = label_at(self.recipe, one.name, one.number, rest[seen])
        return label

    def colour(self, fine: Fragments, light, shadow, occlusion):
        """Linear RGB and coverage of the supersampled picture, 0 where empty."""
        colour, gloss, label = self.materials(fine)
        points = self.interpolate(fine, self.vertices)
        normal = _unit(self.interpolate(fine, self.normals))
        rows, columns = (index // _SUPERSAMPLING for index in np.nonzero(fine.mask))
        lit = shade(
            light,
            colour,
            gloss,
            label,
            normal,
            towards_camera(self.camera, points),
            shadow.visibility(points),
            occlusion[rows, columns],
        )
        cover = fine.mask[..., None].astype(np.float64)
        return _spread(fine.mask, lit, np.float64), cover


def _spread(seen, values, dtype=np.float32):
    """Puts values `(N, C)` of seen pixels into a picture, 0 elsewhere."""
    picture = np.zeros((*seen.shape, values.shape[1]), dtype)
    picture[seen] = values
    return picture


def _shrink(picture):
    """Averages blocks of samples."""
    size = picture.shape[0] // _SUPERSAMPLING
    blocks = picture.reshape(size, _SUPERSAMPLING, size, _SUPERSAMPLING, -1)
    return blocks.mean((1, 3))


def _unit(vectors):
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
