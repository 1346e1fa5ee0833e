"""A pose estimator that reads pictures: is the wanted pose to be seen in them?

It scores pictures that a network has painted. It was trained on the synthetic people,
and is no estimator for photographs.
"""

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from volhuman.body.skeleton import NUM_JOINTS, PARENTS
from volhuman.checks import check_shape
from volhuman.nn.convolution import PixelConv
from volhuman.nn.normalization import GroupNorm
from volhuman.nn.resnet import ResNetTrunk
from volhuman.nn.soft_argmax import log_likelihoods, mean_places
from volhuman.training.export import load_weights

SIZE = 64
SHIPPED = "pose_estimator.safetensors"
_STAGES = ((96, 32, 2, 2, 1), (192, 64, 4, 1, 1))


class PoseEstimator(nn.Module):
    """Finds the 24 joints in a picture: means of one volume of likelihood a joint.

    Source: the volumetric soft-argmax of Sun et al., "Integral human pose regression",
    2018.

    Attributes:
        slices: Depths of the volume.
    """

    slices: int = 16

    def setup(self):
        self.trunk = ResNetTrunk(32, _STAGES)
        self.norm = GroupNorm()
        self.head = PixelConv(self.slices * NUM_JOINTS)

    def __call__(self, images: jax.Array) -> jax.Array:
        """Estimates.

        Args:
            images: `(B, 64, 64, 3)` in [0, 1].

        Returns:
            `(B, 24, 3)` in the view cube: x and y over the picture, z away from the
            camera, 0 at the pelvis.
        """
        return mean_places(self.likelihoods(images))

    def likelihoods(self, images: jax.Array) -> jax.Array:
        """Logarithms of the likelihood `(B, H, W, D, 24)` of each joint's place."""
        check_shape("images", images, "B H W 3", H=SIZE, W=SIZE)
        x = nn.relu(self.norm(self.trunk(2 * images - 1)))
        return log_likelihoods(self.head(x), self.slices)


def load_pose_estimator(path: str | Path = "") -> tuple[dict[str, Any], str]:
    """Reads the estimator's parameters.

    Args:
        path: File that experiments/pose_estimator.py wrote; empty for the weights of
            the package.

    Returns:
        Parameters, and the first digits of their digest, which name them in protocols.

    Raises:
        InputError: If the file is missing, damaged or of another network.
    """
    if not path:
        with resources.as_file(resources.files("volhuman") / "assets") as assets:
            return load_pose_estimator(assets / SHIPPED)
    pictures = jax.ShapeDtypeStruct((1, SIZE, SIZE, 3), jnp.float32)
    like = jax.eval_shape(PoseEstimator().init, jax.random.key(0), pictures)["params"]
    weights = load_weights(path, like)
    return weights.params, weights.sha256[:12]


def estimate_joints(params: Mapping[str, Any], images: jax.Array) -> jax.Array:
    """Estimates the joints in pictures of any size.

    Args:
        params: Parameters.
        images: `(B, H, H, 3)` in [0, 1].

    Returns:
        `(B, 24, 3)` in the view cube.
    """
    small = jax.image.resize(images, (len(images), SIZE, SIZE, 3), "linear")
    return PoseEstimator().apply({"params": params}, jnp.clip(small, 0, 1))


def pose_distances(
    joints: jax.Array, expected: jax.Array, bone_sum: jax.Array
) -> jax.Array:
    """Distances of joints relative to the pelvis, in millimetres.

    Args:
        joints: `(..., 24, 3)` view cube.
        expected: `(..., 24, 3)`.
        bone_sum: `(...)` millimetres: sum of the lengths of the person's bones, which
            says how long a unit of the view cube is in `expected`.

    Returns:
        `(..., 24)`.
    """
    unit = bone_sum / bone_lengths(expected).sum(-1)
    relative = lambda x: x - x[..., :1, :]
    error = relative(joints) - relative(expected)
    return jnp.linalg.norm(error, axis=-1) * unit[..., None]


def bone_lengths(joints: jax.Array) -> jax.Array:
    """Lengths `(..., 23)` of the bones between joints `(..., 24, 3)`."""
    children = jnp.arange(1, NUM_JOINTS)
    parents = jnp.array(PARENTS)[children]
    bones = joints[..., children, :] - joints[..., parents, :]
    return jnp.linalg.norm(bones, axis=-1)
