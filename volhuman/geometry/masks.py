"""Part masks and joint heat maps on the voxels of the view cube.

Conventions of every function here: a volume is `(H, W, D)` with H = y, W = x, D = z;
points, radii and deviations are in view-cube coordinates x, y, z. Sums over vectors of
3 are written out per axis: vectors on the minor axis are not vectorised.
"""

import jax
import jax.numpy as jnp

from volhuman.checks import check_shape
from volhuman.geometry.sampling import view_from_index


def capsule_masks(
    ends: jax.Array,
    radii: jax.Array,
    shape: tuple[int, int, int],
    *,
    softness: float | None = None,
) -> jax.Array:
    """Fills capsules: all points within a radius of a line segment.

    Differentiable in `ends` and `radii` across the soft rim. A capsule of length zero
    is a ball.

    Source: Knoche et al., "Reposing Humans by Warping 3D Features", section 3.2: part
    masks from capsules around the bones.

    Args:
        ends: `(P, 2, 3)` both ends of each segment.
        radii: `(P,)`.
        shape: Voxels (H, W, D).
        softness: Width of the linear ramp from 1 to 0 across the surface, default one
            voxel of the finest axis; 0 gives a binary mask.

    Returns:
        `(P, H, W, D)` in [0, 1], float32.

    Raises:
        ValueError: If the shapes disagree.
    """
    sizes = check_shape("ends", ends, "P 2 3")
    check_shape("radii", radii, "P", **sizes)
    if softness is None:
        softness = 2 / max(shape)
    y, x, z = _axes(shape)

    def one_capsule(ends, radius):
        start, along = ends[0], ends[1] - ends[0]
        squared = (along * along).sum()
        inverse = jnp.where(squared > 0, 1 / jnp.where(squared > 0, squared, 1), 0)
        dx, dy, dz = x - start[0], y - start[1], z - start[2]
        nearest = (dx * along[0] + dy * along[1] + dz * along[2]) * inverse
        nearest = jnp.clip(nearest, 0, 1)
        dx, dy, dz = (d - nearest * a for d, a in zip((dx, dy, dz), along))
        squared = dx * dx + dy * dy + dz * dz
        if softness == 0:
            return (squared <= radius * radius).astype(jnp.float32)
        # The root has no derivative on the axis of the capsule, where the mask is 1.
        distance = jnp.sqrt(jnp.maximum(squared, 1e-12))
        return jnp.clip((radius - distance) / softness + 0.5, 0, 1)

    return jax.vmap(one_capsule)(ends, radii)


def joint_heatmaps(
    joints: jax.Array, shape: tuple[int, int, int], deviation: jax.Array
) -> jax.Array:
    """Draws an isotropic Gaussian of peak 1 around every joint.

    A product of three one-dimensional exponentials, so no exponential is taken per
    voxel. A joint outside the cube leaves only its tail.

    Source: Knoche et al., "Reposing Humans by Warping 3D Features", section 3.3
    (volumetric heat maps of the target pose).

    Args:
        joints: `(J, 3)` x, y, z.
        shape: Voxels (H, W, D).
        deviation: Standard deviation in view units, one number or one per axis `(3,)`
            in the order x, y, z.

    Returns:
        `(H, W, D, J)` float32.

    Raises:
        ValueError: If `joints` has another shape.
    """
    check_shape("joints", joints, "J 3")
    axes = [axis.reshape(-1, 1) for axis in _axes(shape)]
    deviation = jnp.broadcast_to(jnp.asarray(deviation, jnp.float32), (3,))
    along_y, along_x, along_z = (
        jnp.exp(-0.5 * ((axis - joints[:, component]) / deviation[component]) ** 2)
        for axis, component in zip(axes, (1, 0, 2))
    )
    return along_y[:, None, None] * along_x[None, :, None] * along_z[None, None]


def _axes(shape: tuple[int, int, int]) -> list[jax.Array]:
    """Voxel centres along y, x and z, shaped to broadcast over (H, W, D)."""
    centres = [view_from_index(jnp.arange(n, dtype=jnp.float32), n) for n in shape]
    return [
        centres[0][:, None, None],
        centres[1][None, :, None],
        centres[2][None, None],
    ]
