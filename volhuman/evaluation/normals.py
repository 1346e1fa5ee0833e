"""Normal errors: between two maps, and between two meshes seen from several sides.

Maps are `(H, W, 3)`; their vectors are brought to length 1, a zero vector (a hole)
stays zero. Meshes are in body space: y up, z to the front. Rendered normals are in the
axes of the view: x right, y up, z to the viewer.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from scipy.spatial.transform import Rotation

from volhuman.checks import check_option, check_shape
from volhuman.evaluation.meshes import Mesh, mesh_problem
from volhuman.render.rasterize import interpolate, rasterize
from volhuman.render.shading import vertex_normals

# Of the picture's half side: how far the turning truth reaches.
_FILL = 0.9


@dataclasses.dataclass(frozen=True, kw_only=True)
class NormalProtocol:
    """Everything that changes the value of a normal reprojection error.

    Attributes:
        name: Name of the variant.
        num_views: Number of yaw angles, equally spaced, beginning at the front.
        interval: What normals are compared in: "signed" [-1, 1], or "unit" [0, 1] after
            mapping n to (n + 1) / 2. The background is 0 in both.
        distance: "square" of the norm of the difference of two pixels, or "norm".
        pixels: "all" averages over the picture, whose empty part lowers the value;
            "union" over what either mesh covers.
        views: "mean" or "sum" over the views.
        size: Side of the pictures in pixels.
    """

    name: str
    num_views: int = 4
    interval: str = "signed"
    distance: str = "square"
    pixels: str = "all"
    views: str = "mean"
    size: int = 512

    def __post_init__(self):
        check_option("interval", self.interval, ("signed", "unit"))
        check_option("distance", self.distance, ("square", "norm"))
        check_option("pixels", self.pixels, ("all", "union"))
        check_option("views", self.views, ("mean", "sum"))
        if self.num_views < 1 or self.size < 1:
            raise ValueError(
                f"num_views is {self.num_views} and size {self.size}, expected at "
                "least 1"
            )


NORMALS_STANDARD = NormalProtocol(name="standard", distance="norm", pixels="union")
"""Ours: does not depend on how much of the picture the person fills."""

NORMALS_PIFUHD = NormalProtocol(name="pifuhd")
"""PIFu's and PIFuHD's evaluation: mean squared norm over the pictures of 4 views."""

NORMALS_ICON = NormalProtocol(name="icon", interval="unit", views="sum")
"""ICON's evaluation: normals as colours, summed over 4 views."""

NORMALS_PAMIR = NormalProtocol(name="pamir", num_views=8)
"""PaMIR's study of several photographs: 8 views, otherwise as PIFu."""

NORMAL_PROTOCOLS = {
    protocol.name: protocol
    for protocol in (NORMALS_STANDARD, NORMALS_PIFUHD, NORMALS_ICON, NORMALS_PAMIR)
}


def cosine_error(prediction: jax.Array, truth: jax.Array, mask: jax.Array) -> jax.Array:
    """Returns the mean of 1 - cos of the angle between normals over a mask.

    A hole in either map counts as 1. Source: Zheng et al., "DeepHuman".

    Args:
        prediction: `(H, W, 3)`.
        truth: `(H, W, 3)`.
        mask: `(H, W)` bool.

    Returns:
        `()` in [0, 2]; NaN for an empty mask or a NaN inside it.

    Raises:
        ValueError: If the shapes disagree.
    """
    a, b = _unit_maps(prediction, truth, mask)
    return _masked_mean(1 - (a * b).sum(-1), mask)


def l2_error(prediction: jax.Array, truth: jax.Array, mask: jax.Array) -> jax.Array:
    """Returns the mean length of the difference of normals over a mask, in [0, 2].

    Args, errors and source as `cosine_error`.
    """
    a, b = _unit_maps(prediction, truth, mask)
    return _masked_mean(_length(a - b)[..., 0], mask)


def normal_reprojection_error(
    prediction: Mesh, truth: Mesh, protocol: NormalProtocol
) -> float:
    """Compares the rendered normals of two meshes from several sides.

    Both are seen by orthographic cameras that turn around the centre of the truth's
    bounding box; the truth's height or its largest distance from the axis, whichever is
    larger, fills 90 % of half the picture. The papers do not state their framing, so
    variants over all pixels are comparable with each other, not with printed tables.

    Source: Saito et al. 2019, "PIFu"; the variants are those of the
    evaluations that they are named after.

    Args:
        prediction: One that is unusable gives NaN.
        truth: The true surface.
        protocol: The variant.

    Returns:
        The error, dimensionless.

    Raises:
        ValueError: If the truth is unusable.
    """
    problem = mesh_problem(truth)
    if problem:
        raise ValueError(f"the true surface is unusable: {problem}")
    if mesh_problem(prediction):
        return float("nan")
    low, high = truth.corners.min((0, 1)), truth.corners.max((0, 1))
    centre = (low + high) / 2
    offset = truth.corners.reshape(-1, 3) - centre
    reach = max(np.hypot(offset[:, 0], offset[:, 2]).max(), np.abs(offset[:, 1]).max())
    errors = []
    for view in range(protocol.num_views):
        turn = Rotation.from_euler("y", 360 * view / protocol.num_views, degrees=True)
        maps = [
            render_normals(
                Mesh((mesh.vertices - centre) @ turn.as_matrix().T, mesh.faces),
                half_width=reach / _FILL,
                size=protocol.size,
            )
            for mesh in (prediction, truth)
        ]
        errors.append(_view_error(*maps, protocol))
    return float(np.sum(errors) if protocol.views == "sum" else np.mean(errors))


def render_normals(
    mesh: Mesh, *, half_width: float, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Renders interpolated vertex normals, seen along -z by an orthographic camera.

    Args:
        mesh: The mesh; the camera looks at the origin.
        half_width: Half the side of the picture in the mesh's unit.
        size: Side of the picture in pixels.

    Returns:
        Unit normals `(size, size, 3)`, 0 where empty, and the mask `(size, size)`.
    """
    screen = (mesh.vertices * [1, -1, -1] / half_width + 1) * (size / 2)
    fragments = rasterize(screen, mesh.faces, (size, size))
    normals = interpolate(
        fragments, mesh.faces, vertex_normals(mesh.vertices, mesh.faces)
    )
    length = np.linalg.norm(normals, axis=-1, keepdims=True)
    return normals / np.where(length > 0, length, 1), fragments.mask


def _view_error(prediction, truth, protocol):
    (a, mask_a), (b, mask_b) = prediction, truth
    if protocol.interval == "unit":
        a, b = (
            np.where(mask[..., None], (normals + 1) / 2, 0)
            for normals, mask in ((a, mask_a), (b, mask_b))
        )
    error = ((a - b) ** 2).sum(-1)
    if protocol.distance == "norm":
        error = np.sqrt(error)
    if protocol.pixels == "all":
        return error.mean()
    # A sheet seen from its edge covers nothing: no error in that view.
    return error.sum() / max((mask_a | mask_b).sum(), 1)


def _unit_maps(prediction, truth, mask):
    sizes = check_shape("prediction", prediction, "H W 3")
    check_shape("truth", truth, "H W 3", **sizes)
    check_shape("mask", mask, "H W", **sizes)
    inside = jnp.asarray(mask, bool)[..., None]
    maps = [jnp.where(inside, normals, 0) for normals in (prediction, truth)]
    lengths = [_length(normals) for normals in maps]
    return [
        normals / jnp.where(length == 0, 1, length)
        for normals, length in zip(maps, lengths, strict=True)
    ]


def _masked_mean(values, mask):
    mask = jnp.asarray(mask, bool)
    return jnp.where(mask, values, 0).sum() / mask.sum()


def _length(vectors):
    """`(..., 1)`, with gradient 0 at 0, where the norm has none."""
    squared = (vectors * vectors).sum(-1, keepdims=True)
    zero = squared == 0
    return jnp.where(zero, 0, jnp.sqrt(jnp.where(zero, 1, squared)))
