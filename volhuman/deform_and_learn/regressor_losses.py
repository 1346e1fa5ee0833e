"""Loss of the regressor: registered parameters, dense correspondences, key points.

Source: Yoshiyasu & Gamez, "Learning body shape and pose from dense correspondences",
section 5.
"""

import jax
import jax.numpy as jnp

from volhuman.body.model import BodyModel
from volhuman.deform_and_learn.losses import dense_loss, keypoint_loss
from volhuman.deform_and_learn.registration import (
    Observation,
    Unknowns,
    project_observed,
)
from volhuman.geometry.rotation import gram_schmidt


def smooth_l1(difference: jax.Array) -> jax.Array:
    """Half the square up to 1, the distance minus one half beyond; elementwise."""
    distance = jnp.abs(difference)
    return jnp.where(distance < 1, 0.5 * difference**2, distance - 0.5)


def parameter_loss(predicted: Unknowns, registered: Unknowns) -> jax.Array:
    """Smooth L1 distance to the registered numbers, summed.

    Rotations are compared as rotations: different raw numbers can mean the same one.

    Args:
        predicted: Of one picture.
        registered: The fit; its shape components are not learnt.
    """
    rotations = [gram_schmidt(body.raw_rotation) for body in (predicted, registered)]
    return (
        smooth_l1(predicted.pose - registered.pose).sum()
        + smooth_l1(predicted.scales - registered.scales).sum()
        + smooth_l1(rotations[0] - rotations[1]).sum()
        + smooth_l1(predicted.log_scale - registered.log_scale)
        + smooth_l1(predicted.translation - registered.translation).sum()
    )


def place_loss(
    places: jax.Array, keypoints: jax.Array, weights: jax.Array
) -> jax.Array:
    """Distance of the first maps' mean places to the key points, one a map.

    Not in the paper. A network that knows where the joints are seen learns sooner how
    the body stands.

    Args:
        places: `(M, 2)` of one picture; those beyond the K-th are left alone.
        keypoints: `(K, 2)`, view units as `places`; those beyond the M-th have no map.
        weights: `(K,)`, 0 for missing ones.

    Returns:
        Weighted mean of the absolute differences in x plus those in y.
    """
    count = min(len(places), len(keypoints))
    weights = weights[:count]
    distance = jnp.abs(places[:count] - keypoints[:count]).sum(-1)
    return (weights * distance).sum() / jnp.maximum(weights.sum(), 1e-6)


def annotation_losses(
    model: BodyModel, observation: Observation, predicted: Unknowns
) -> tuple[jax.Array, jax.Array]:
    """The terms of the registration for dense correspondences and for key points.

    Args:
        model: Body model.
        observation: Annotations of one picture.
        predicted: The regressor's numbers.

    Returns:
        Both losses, unweighted.
    """
    dense, keypoints, _ = project_observed(model, observation, predicted)
    return (
        dense_loss(dense, observation.dense_points, observation.dense_weights),
        keypoint_loss(
            keypoints,
            observation.keypoints,
            observation.keypoint_weights,
            observation.keypoint_depths,
            observation.depth_weights,
        ),
    )
