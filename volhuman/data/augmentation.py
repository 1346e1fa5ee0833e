"""Random changes of training pictures: colour, and geometry shared by a pair.

Conventions of every function here:

* An image is `(H, W, C)`, float32 in [0, 1]. Functions take one example; batch with
  `jax.vmap`.
* Pixel positions are x (right) and y (down); pixel j covers [j, j + 1], so its centre
  lies at j + 0.5 and the image ends at W. z is in pixels as well, away from the camera,
  0 at the pelvis.
* The geometry moves x, y to `c + scale * R(angle) @ (x - c + shift)` with c the middle
  of the image and a positive angle from x to y (clockwise on the screen), scales z, and
  mirrors last. Mirroring takes pixel j to W - 1 - j and x to W - x, which is one map.

Source: Knoche et al., "Reposing Humans by Warping 3D Features", and the ranges of the
code published with it. That code counts positions from pixel centres when it moves
images and from pixel edges when it mirrors joints, so that its mirrored joints are one
pixel off; here both mirror at the same line.
"""

import dataclasses

import dm_pix
import jax
import jax.numpy as jnp
import numpy as np

from volhuman.body.part_transforms import JointSet
from volhuman.body.skeleton import MIRROR, exchange_sides
from volhuman.checks import check_shape
from volhuman.geometry.sampling import sample_bilinear, view_grid

_PUBLISHED_WIDTH = 256
_PUBLISHED_SHIFT = 20.0


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Geometry:
    """A change of geometry, the same for everything that belongs to a picture.

    Attributes:
        angle: `()` radians.
        shift: `(2,)` pixels x, y.
        scale: `()`, positive.
        flip: `()` bool, whether left and right are exchanged.
    """

    angle: jax.Array
    shift: jax.Array
    scale: jax.Array
    flip: jax.Array


def mirror_order(joint_set: JointSet) -> np.ndarray:
    """Returns the `mirror` of `augment_joints` for a joint format: `(J,)` int32."""
    names = joint_set.names
    return np.array([names.index(exchange_sides(name)) for name in names], np.int32)


def augment_colour(
    key: jax.Array,
    image: jax.Array,
    *,
    brightness: float = 0.125,
    contrast: float = 0.5,
    hue: float = 72.0,
    saturation: float = 0.5,
) -> jax.Array:
    """Changes brightness, contrast, hue and saturation in random order.

    The same key gives the same change, whatever the image.

    Source: Knoche et al., published code. Contrast is about mid grey and not about the
    mean of the image as in dm_pix, so that two images change alike.

    Args:
        key: Random key.
        image: `(H, W, 3)` RGB.
        brightness: Largest value that is added or subtracted.
        contrast: Largest relative change of the distance to 0.5.
        hue: Largest turn of the hue in degrees.
        saturation: Largest relative change of the saturation; it stays at most 1.

    Returns:
        `(H, W, 3)` clipped to [0, 1].
    """
    check_shape("image", image, "H W 3")
    key_order, key_amount = jax.random.split(key)
    reach = jnp.array([brightness, contrast, hue / 360, saturation])
    amounts = reach * jax.random.uniform(key_amount, (4,), minval=-1, maxval=1)
    for change in jax.random.permutation(key_order, 4):
        image = jax.lax.switch(change, _COLOUR_CHANGES, image, amounts[change])
    return jnp.clip(image, 0, 1)


_COLOUR_CHANGES = (
    dm_pix.adjust_brightness,
    lambda image, amount: (image - 0.5) * (1 + amount) + 0.5,
    # Hue and saturation are defined in [0, 1] only, which the two above can leave.
    lambda image, amount: dm_pix.adjust_hue(jnp.clip(image, 0, 1), amount),
    lambda image, amount: dm_pix.adjust_saturation(jnp.clip(image, 0, 1), 1 + amount),
)


def sample_geometry(
    key: jax.Array,
    *,
    angle: float = 0.1,
    shift: float = _PUBLISHED_SHIFT,
    scale: float = 0.1,
    flip: float = 0.5,
) -> Geometry:
    """Draws a change of geometry.

    Source: Knoche et al., published code; its shift belongs to pictures of 256 pixels.

    Args:
        key: Random key.
        angle: Largest angle in radians.
        shift: Largest shift along x and along y in pixels.
        scale: Largest relative change of size, below 1.
        flip: Probability of mirroring.
    """
    key_angle, key_shift, key_scale, key_flip = jax.random.split(key, 4)
    return Geometry(
        angle=angle * jax.random.uniform(key_angle, minval=-1, maxval=1),
        shift=shift * jax.random.uniform(key_shift, (2,), minval=-1, maxval=1),
        scale=1 + scale * jax.random.uniform(key_scale, minval=-1, maxval=1),
        flip=jax.random.bernoulli(key_flip, flip),
    )


def augment_image(geometry: Geometry, image: jax.Array) -> jax.Array:
    """Moves an image or a mask: bilinear, with the border repeated outside.

    Args:
        geometry: Change of geometry.
        image: `(H, W, C)`.

    Returns:
        `(H, W, C)` in the dtype of `image`.
    """
    check_shape("image", image, "H W C")
    height, width = image.shape[:2]
    middle = 0.5 * jnp.array([width, height], jnp.float32)
    offset = view_grid(height, width) * middle  # pixel centres, from the middle
    view = (offset @ _rotation(geometry) / geometry.scale - geometry.shift) / middle
    moved = sample_bilinear(image, view, "edge")
    return jnp.where(geometry.flip, moved[:, ::-1], moved)


def augment_points(
    geometry: Geometry, points: jax.Array, image_size: tuple[int, int]
) -> jax.Array:
    """Moves points with the image; their order stays.

    Args:
        geometry: Change of geometry.
        points: `(..., 2)` or `(..., 3)` pixels.
        image_size: (H, W) of the image.

    Returns:
        The moved points; z is scaled only.
    """
    height, width = image_size
    middle = 0.5 * jnp.array([width, height], jnp.float32)
    offset = points[..., :2] - middle + geometry.shift
    moved = geometry.scale * offset @ _rotation(geometry).T
    moved = moved * jnp.where(geometry.flip, jnp.array([-1, 1]), 1) + middle
    return jnp.concatenate([moved, geometry.scale * points[..., 2:]], -1)


def augment_joints(
    geometry: Geometry,
    joints: jax.Array,
    image_size: tuple[int, int],
    mirror: np.ndarray,
) -> jax.Array:
    """Moves joints with the image; a mirrored left knee becomes the right knee.

    Args:
        geometry: Change of geometry.
        joints: `(J, 3)` pixels.
        image_size: (H, W) of the image.
        mirror: `(J,)`; joint j of the mirrored person is joint `mirror[j]`
            (`skeleton.MIRROR`, or `mirror_order` of another format).

    Returns:
        `(J, 3)`.
    """
    num_joints = check_shape("joints", joints, "J 3")["J"]
    check_shape("mirror", mirror, "J", J=num_joints)
    moved = augment_points(geometry, joints, image_size)
    return jnp.where(geometry.flip, moved[mirror], moved)


def augment_pair(
    key: jax.Array,
    example: dict[str, jax.Array],
    *,
    mirror: np.ndarray = MIRROR,
    depth: float = 0.5,
) -> dict[str, jax.Array]:
    """Changes a pair of pictures of one person: both in the same way.

    Source: Knoche et al., published code. The shift is in proportion to the width: 20
    pixels at 256.

    Args:
        key: Random key.
        example: `image_source`, `image_target` `(H, W, 3)` and, where present,
            `mask_source`, `mask_target` `(H, W)` or `(H, W, 1)`, `joints_source`,
            `joints_target` `(J, 3)` pixels. Images and masks are float in [0, 1] or
            uint8, where 255 is 1; masks may be bool. All other fields are passed
            through as they are, and so describe the picture before the change.
        mirror: `(J,)` as in `augment_joints`.
        depth: Largest value added to z of all target joints, pixels.

    Returns:
        The example with the fields above in float32.
    """
    key_geometry, key_colour, key_depth = jax.random.split(key, 3)
    height, width = example["image_source"].shape[:2]
    geometry = sample_geometry(
        key_geometry, shift=_PUBLISHED_SHIFT * width / _PUBLISHED_WIDTH
    )
    changed = dict(example)
    for side in ("source", "target"):
        image = augment_colour(key_colour, _unit(example[f"image_{side}"]))
        changed[f"image_{side}"] = augment_image(geometry, image)
        if (mask := example.get(f"mask_{side}")) is not None:
            moved = augment_image(geometry, _unit(mask).reshape(height, width, 1))
            changed[f"mask_{side}"] = moved.reshape(mask.shape)
        if (joints := example.get(f"joints_{side}")) is not None:
            changed[f"joints_{side}"] = augment_joints(
                geometry, joints, (height, width), mirror
            )
    if "joints_target" in changed:
        offset = jax.random.uniform(key_depth, minval=-depth, maxval=depth)
        changed["joints_target"] = changed["joints_target"].at[:, 2].add(offset)
    return changed


def _unit(values: jax.Array) -> jax.Array:
    """Float32 in [0, 1] of uint8, bool or float."""
    largest = 255 if values.dtype == jnp.uint8 else 1
    return values.astype(jnp.float32) / largest


def _rotation(geometry: Geometry) -> jax.Array:
    """`(2, 2)` R; `rows @ R.T` turns points, `rows @ R` turns them back."""
    sine, cosine = jnp.sin(geometry.angle), jnp.cos(geometry.angle)
    return jnp.stack([jnp.stack([cosine, -sine]), jnp.stack([sine, cosine])])
