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

from volhuman.body.keypoints import LANDMARK_NAMES, body_keypoints, landmark_vertices
from volhuman.body.model import pose_body, take_vertices
from volhuman.body.skeleton import NUM_JOINTS
from volhuman.body.template import load_template
from volhuman.checks import check_shape
from volhuman.deform_and_learn.body_config import BodyNetwork
from volhuman.deform_and_learn.registration import Unknowns, body_and_camera
from volhuman.geometry.camera import FACING_CAMERA, project_weak
from volhuman.nn.convolution import PixelConv
from volhuman.nn.normalization import GroupNorm
from volhuman.nn.resnet import ResNetTrunk
from volhuman.nn.resnet50 import ResNet50
from volhuman.nn.soft_argmax import log_likelihoods, mean_places

# Where each kind of number stands in the output.
_POSE = 3 * (NUM_JOINTS - 1)
_ENDS = np.cumsum([_POSE, NUM_JOINTS, 9, 1])
NUM_OUTPUTS = int(_ENDS[-1]) + 2
# The small network looks for the joints and landmarks, the first of `KEYPOINT_NAMES`.
NUM_PLACES = NUM_JOINTS + len(LANDMARK_NAMES)

# A network begins near the mean body that it is given.
_FIRST_OUTPUT = nn.initializers.variance_scaling(1e-4, "fan_in", "truncated_normal")


class Regressor(nn.Module):
    """Regresses the 105 numbers of a body.

    Variables: "params" and, with the trunk "resnet50", "batch_stats". The small trunk
    sows "likelihoods", `(B, H, W, D, P)` logarithms of where its `NUM_PLACES` points
    of the body are, as of `nn.soft_argmax`.

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
            return proper(self._head("head")(features))
        return self._small(images)

    def _small(self, images):
        """Numbers from mean features and the places of points of the body.

        The places are found first, in the picture and in depth; then a body is put
        there, and corrected by how far its points are from the places.
        """
        sizes = self.network
        dense = lambda name: nn.Dense(sizes.hidden, name=name)
        x = ResNetTrunk(sizes.root, sizes.stages, name="trunk")(2 * images - 1)
        x = nn.relu(GroupNorm(name="norm")(x))
        volumes = PixelConv(sizes.slices * NUM_PLACES, name="volumes")(x)
        likelihoods = log_likelihoods(volumes, sizes.slices)
        self.sow("intermediates", "likelihoods", likelihoods)
        places = mean_places(likelihoods)
        flat = lambda points: points.reshape(len(images), -1)
        x = nn.relu(
            dense("hidden")(jnp.concatenate([x.mean((1, 2)), flat(places)], -1))
        )
        outputs = proper(self._head("head")(nn.relu(dense("hidden2")(x))))
        for number in range(1, sizes.corrections + 1):
            gaps = flat(places - jax.vmap(body_places)(outputs))
            seen = jnp.concatenate([x, outputs, gaps], -1)
            seen = nn.relu(dense(f"correction{number}")(seen))
            outputs = proper(outputs + self._head(f"correction{number}_head")(seen))
        return outputs

    def _head(self, name):
        return nn.Dense(NUM_OUTPUTS, kernel_init=_FIRST_OUTPUT, name=name)


def proper(outputs: jax.Array) -> jax.Array:
    """Makes the nine numbers of the rotation, in `(..., 105)`, those of a rotation.

    Gram-Schmidt takes nothing but a sign from the third column, and with the wrong one
    the body is mirrored. The registration's term for the determinant is not in the
    regressor's loss, so the column is the cross product of the others here.
    """
    before, rotation, after = jnp.split(outputs, _ENDS[1:3], axis=-1)
    columns = rotation.reshape(*outputs.shape[:-1], 3, 3)
    first, second = columns[..., 0], columns[..., 1]
    columns = jnp.stack([first, second, jnp.cross(first, second)], axis=-1)
    return jnp.concatenate([before, columns.reshape(rotation.shape), after], axis=-1)


def body_places(outputs: jax.Array) -> jax.Array:
    """The points `(P, 3)` in view units, relative to the pelvis in depth, of a body."""
    model = load_template()
    marks = take_vertices(model, landmark_vertices(model))
    params, camera = body_and_camera(marks, split_outputs(outputs, model.num_shape))
    posed = pose_body(marks, params)
    points = body_keypoints(posed, posed.vertices)[:NUM_PLACES]
    return project_weak(camera, points)


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
