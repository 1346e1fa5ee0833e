"""The regressor: from the picture of a person to the parameters of a body.

Source: Yoshiyasu & Gamez, "Learning body shape and pose from dense correspondences",
sections 3 and 5. The numbers are those of the registration: 69 of the pose, 24 segment
scales, 9 of the rotation, the logarithm of the camera's scale (the paper has the scale
itself), 2 of its translation.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from volhuman.body.skeleton import NUM_JOINTS
from volhuman.checks import check_shape
from volhuman.deform_and_learn.body_config import BodyNetwork
from volhuman.deform_and_learn.registration import Unknowns
from volhuman.geometry.camera import FACING_CAMERA
from volhuman.nn.convolution import PixelConv
from volhuman.nn.normalization import GroupNorm
from volhuman.nn.resnet import ResNetTrunk
from volhuman.nn.resnet50 import ResNet50

# Where each kind of number stands in the output.
_POSE = 3 * (NUM_JOINTS - 1)
_ENDS = np.cumsum([_POSE, NUM_JOINTS, 9, 1])
NUM_OUTPUTS = int(_ENDS[-1]) + 2

# A network begins near the mean body that it is given.
_FIRST_OUTPUT = nn.initializers.variance_scaling(1e-4, "fan_in", "truncated_normal")


class Regressor(nn.Module):
    """Regresses the 105 numbers of a body.

    Variables: "params" and, with the trunk "resnet50", "batch_stats". The small trunk
    sows "places", `(B, maps, 2)` mean positions of its maps in view units.

    Attributes:
        network: Sizes.
    """

    network: BodyNetwork

    @nn.compact
    def __call__(self, images: jax.Array, train: bool = False) -> jax.Array:
        """Regresses.

        Args:
            images: `(B, S, S, 3)` in [0, 1].
            train: As of `nn.resnet50.ResNet50`.

        Returns:
            `(B, 105)`; see `split_outputs`.
        """
        side = self.network.image_size
        check_shape("images", images, "B H W 3", H=side, W=side)
        if self.network.trunk == "resnet50":
            features = ResNet50(name="trunk")(images, train).mean((1, 2))
        else:
            features = self._small(images)
        head = nn.Dense(NUM_OUTPUTS, kernel_init=_FIRST_OUTPUT, name="head")
        return head(features)

    def _small(self, images):
        """Mean features, and where in the picture each of some maps is strong."""
        sizes = self.network
        x = ResNetTrunk(sizes.root, sizes.stages, name="trunk")(2 * images - 1)
        x = nn.relu(GroupNorm(name="norm")(x))
        maps = PixelConv(sizes.maps, name="maps")(x)
        places = mean_places(maps)
        self.sow("intermediates", "places", places)
        x = jnp.concatenate([x.mean((1, 2)), places.reshape(len(images), -1)], axis=-1)
        return nn.relu(nn.Dense(sizes.hidden, name="hidden")(x))


def mean_places(maps: jax.Array) -> jax.Array:
    """Mean positions `(B, C, 2)` in [-1, 1] of maps `(B, H, W, C)` of log shares.

    Source: the spatial soft-argmax of Levine et al., "End-to-end training of deep
    visuomotor policies", 2016.
    """
    batch, height, width, channels = maps.shape
    shares = jax.nn.softmax(maps.reshape(batch, -1, channels), axis=1)
    shares = shares.reshape(maps.shape)
    centres = lambda n: (2 * jnp.arange(n) + 1) / n - 1
    x = jnp.einsum("bhwc,w->bc", shares, centres(width))
    y = jnp.einsum("bhwc,h->bc", shares, centres(height))
    return jnp.stack([x, y], axis=-1)


def split_outputs(outputs: jax.Array, num_shape: int) -> Unknowns:
    """Names the numbers `(..., 105)`; the shape components are 0.

    Args:
        outputs: Of the regressor.
        num_shape: Shape components of the body model.
    """
    pose, scales, rotation, log_scale, translation = jnp.split(outputs, _ENDS, axis=-1)
    leading = outputs.shape[:-1]
    return Unknowns(
        pose=pose.reshape(*leading, NUM_JOINTS - 1, 3),
        shape=jnp.zeros((*leading, num_shape)),
        scales=scales,
        raw_rotation=rotation.reshape(*leading, 3, 3),
        log_scale=log_scale[..., 0],
        translation=translation,
    )


def join_outputs(unknowns: Unknowns) -> jax.Array:
    """Inverse of `split_outputs`; what the shape components hold is lost."""
    leading = unknowns.log_scale.shape
    flat = lambda x: jnp.asarray(x).reshape(*leading, -1)
    parts = (
        unknowns.pose,
        unknowns.scales,
        unknowns.raw_rotation,
        unknowns.log_scale,
        unknowns.translation,
    )
    return jnp.concatenate([flat(part) for part in parts], axis=-1)


def rest_outputs() -> np.ndarray:
    """The numbers `(105,)` of a T-posed body that faces the camera."""
    rest = np.zeros(NUM_OUTPUTS, np.float32)
    rest[_ENDS[0] : _ENDS[1]] = 1.0
    rest[_ENDS[1] : _ENDS[2]] = FACING_CAMERA.reshape(-1)
    return rest
