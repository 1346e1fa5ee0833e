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
from volhuman.nn.soft_argmax import mean_places, surprise

# As of the pose estimator of `evaluation`, which learns in the same way.
_SURPRISE, _SPREAD = 0.3, 0.15


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


def place_targets(
    fitted: jax.Array,
    fit_weight: jax.Array,
    keypoints: jax.Array,
    keypoint_weights: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """Where the points of the body are, by the marks and, for the rest, by the fit.

    Args:
        fitted: `(P, 3)` points of the fitted body, view units.
        fit_weight: `()` 0 where no body could be fitted.
        keypoints: `(K, 2)` marks; the first P are these points.
        keypoint_weights: `(K,)` 0 for missing ones.

    Returns:
        `(P, 3)` places, and the weight of each of their coordinates.
    """
    count = len(fitted)
    is_marked = (keypoint_weights[:count] > 0)[:, None]
    weights = jnp.full(fitted.shape, fit_weight)
    return (
        fitted.at[:, :2].set(jnp.where(is_marked, keypoints[:count], fitted[:, :2])),
        weights.at[:, :2].set(jnp.where(is_marked, 1.0, weights[:, :2])),
    )


def place_loss(
    likelihoods: jax.Array, places: jax.Array, weights: jax.Array
) -> jax.Array:
    """How far from the points of the body they are looked for, and how surprisingly.

    Not in the paper. A network that knows where the joints are learns sooner how the
    body stands.

    Args:
        likelihoods: `(B, H, W, D, P)` of the small trunk.
        places: `(B, P, 3)` and
        weights: `(B, P, 3)` of `place_targets`.

    Returns:
        `(B,)` weighted mean of the absolute differences and a share of the surprise.
    """
    mean = lambda x, w: (w * x).sum((1, 2)) / jnp.maximum(w.sum((1, 2)), 1e-6)
    distance = jnp.abs(mean_places(likelihoods) - places)
    surprises = surprise(likelihoods, places, spread=_SPREAD)
    whole = weights.min(-1)
    return mean(distance, weights) + _SURPRISE * mean(
        surprises[..., None], whole[..., None]
    )


def point_loss(points: jax.Array, fitted: jax.Array) -> jax.Array:
    """Mean distance of the body's points `(P, 3)` to those of the fit, view units.

    Not in the paper: its loss knows of depth what the key points and the angles of the
    fit say, and an angle of the hip counts there like one of the wrist.
    """
    squared = ((points - fitted) ** 2).sum(-1)
    # The distance has no gradient where it is 0.
    return jnp.sqrt(squared + 1e-8).mean()


def annotation_losses(
    model: BodyModel, observation: Observation, predicted: Unknowns
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The terms of the registration for dense correspondences and for key points.

    Args:
        model: Body model.
        observation: Annotations of one picture.
        predicted: The regressor's numbers.

    Returns:
        Both losses, unweighted, and the key points `(K, 3)` of the body in view units.
    """
    dense, keypoints, _ = project_observed(model, observation, predicted)
    in_keypoints = keypoint_loss(
        keypoints,
        observation.keypoints,
        observation.keypoint_weights,
        observation.keypoint_depths,
        observation.depth_weights,
    )
    in_dense = dense_loss(dense, observation.dense_points, observation.dense_weights)
    return in_dense, in_keypoints, keypoints
