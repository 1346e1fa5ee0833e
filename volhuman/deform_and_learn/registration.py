"""Registration: fitting a body to the annotations of an image, by gradient.

This is the "deform" half of deform-and-learn: poses, segment scales, rotation, scale
and translation of the camera are optimised with Adam from several starting yaws at
once.

Source: Yoshiyasu & Gamez, "Learning body shape and pose from dense correspondences",
sections 3, 4 and 6. The number of steps is not published. Deviations: several starts
(the paper has one), the best iterate is kept, and the learning rate decays, because at
the published rate of 0.1 the second stage oscillates.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp

from volhuman.body.correspondence import SurfacePoints
from volhuman.body.keypoints import KEYPOINT_NAMES, body_keypoints, landmark_vertices
from volhuman.body.model import BodyModel, BodyParams, pose_body, take_vertices
from volhuman.body.pose_prior import load_pose_prior, prior_energy
from volhuman.body.skeleton import NUM_JOINTS
from volhuman.deform_and_learn import losses
from volhuman.deform_and_learn.minimise import minimise
from volhuman.geometry.camera import FACING_CAMERA, WeakPerspective, project_weak
from volhuman.geometry.rotation import axis_angle_to_matrix, gram_schmidt

# The body must not collapse or turn inside out while the optimiser overshoots.
_MINIMUM_SCALE = 0.05


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Observation:
    """What an image tells about one person, in view units of its crop.

    Attributes:
        keypoints: `(K, 2)` in the order of `keypoints.KEYPOINT_NAMES`.
        keypoint_weights: `(K,)`, 0 for missing ones.
        keypoint_depths: `(K,)` relative to the pelvis, away from the camera.
        depth_weights: `(K,)`, 0 where the depth is unknown.
        dense_points: `(N, 2)` image positions of surface points; N may be 0.
        dense_surface: The N surface points.
        dense_weights: `(N,)`.
        outside_distance: `(S, S)` distance to the mask, or `(0, 0)` without a mask.
        inside_points: `(P, 2)` points of the mask, or `(0, 2)`.
    """

    keypoints: jax.Array
    keypoint_weights: jax.Array
    keypoint_depths: jax.Array
    depth_weights: jax.Array
    dense_points: jax.Array
    dense_surface: SurfacePoints
    dense_weights: jax.Array
    outside_distance: jax.Array
    inside_points: jax.Array


@dataclasses.dataclass(frozen=True, kw_only=True)
class Weights:
    """Weights of the loss terms of equation 2, and of five terms of ours."""

    dense: float = 1000.0
    keypoint: float = 1.0
    scale: float = 10.0
    joint: float = 0.001
    determinant: float = 1.0
    shape: float = 0.0
    limit: float = 0.0
    upright: float = 0.0
    prior: float = 0.0
    silhouette: float = 0.0


# Section 6: the stiff weights of the first iteration, and those of the later ones.
PAPER_FIRST = Weights(scale=100.0, joint=1.0)
PAPER_LATER = Weights()
# For key points alone, which the paper does not fit. In place of dense evidence stand a
# prior over poses instead of the pull to the T-pose, joint limits, an upright trunk and
# a person's proportions.
KEYPOINTS_FIRST = Weights(
    keypoint=100.0, scale=100.0, joint=0.0, limit=10.0, upright=5.0, prior=2.0
)
KEYPOINTS_LATER = Weights(
    keypoint=300.0, joint=0.0, shape=0.3, limit=10.0, upright=3.0, prior=6.0
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class RegistrationOptions:
    """How a registration runs.

    Attributes:
        stages: Weights of each stage, run one after the other.
        steps: Adam steps of each stage.
        learning_rate: Adam's rate at the start of a stage; it decays to a twentieth.
        num_starts: Starting yaws, evenly spread; the fit with the smallest loss wins.
    """

    stages: tuple[Weights, ...] = (PAPER_FIRST, PAPER_LATER)
    steps: tuple[int, ...] = (100, 500)
    learning_rate: float = 0.1
    num_starts: int = 4


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Unknowns:
    """What the optimiser moves.

    Attributes:
        pose: `(23, 3)` relative rotations, axis-angle, without the root.
        shape: `(S,)` shape components; they move only where their weight is not 0.
        scales: `(24,)` segment scales.
        raw_rotation: `(3, 3)` nine free numbers for the rotation.
        log_scale: `()` logarithm of the camera's scale.
        translation: `(2,)` view units.
    """

    pose: jax.Array
    shape: jax.Array
    scales: jax.Array
    raw_rotation: jax.Array
    log_scale: jax.Array
    translation: jax.Array


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Registration:
    """The result of a registration.

    Attributes:
        params: Body parameters; the orientation is in the camera.
        camera: Weak perspective camera from body to view space.
        loss: `()` loss of the last stage, infinite when every start failed.
        dense_error: `()` mean distance of the dense points in view units, 0 without
            any.
        keypoint_error: `()` weighted mean distance of the key points in view units.
        start: `()` number of the winning start.
    """

    params: BodyParams
    camera: WeakPerspective
    loss: jax.Array
    dense_error: jax.Array
    keypoint_error: jax.Array
    start: jax.Array


def register(
    model: BodyModel,
    observation: Observation,
    options: RegistrationOptions,
    initial: Unknowns | None = None,
) -> Registration:
    """Fits a body to the observation of one person.

    Pure; wrap it in `jax.jit` and `jax.vmap` over observations for a batch.

    Args:
        model: Body model.
        observation: Annotations of one person.
        options: Stages, steps, starts (static).
        initial: Start from these values (a network's prediction) instead of the T-pose;
            the yaw starts then turn about its orientation. With a leading axis of
            several, each is a start as it is and `options.num_starts` does not count.

    Returns:
        The best fit over all starts.
    """
    observation = _without_missing(observation)
    starts = _starts(model, observation, options.num_starts, initial)
    fit = functools.partial(_fit_one_start, model, observation, options)
    unknowns, loss = jax.vmap(fit)(starts)
    # A start that diverged or ended in a reflection must not win.
    rotation = gram_schmidt(unknowns.raw_rotation)
    proper = (jnp.cross(rotation[..., 0], rotation[..., 1]) * rotation[..., 2]).sum(
        -1
    ) > 0
    loss = jnp.where(jnp.isfinite(loss) & proper, loss, jnp.inf)
    best = jnp.argmin(loss)
    unknowns = jax.tree.map(lambda leaf: leaf[best], unknowns)
    params, camera = body_and_camera(model, unknowns)
    dense, keypoints, _ = project_observed(model, observation, unknowns)
    dense_distance = jnp.sqrt(((dense - observation.dense_points) ** 2).sum(-1))
    keypoint_distance = jnp.sqrt(
        ((keypoints[:, :2] - observation.keypoints) ** 2).sum(-1)
    )
    return Registration(
        params=params,
        camera=camera,
        loss=loss[best],
        dense_error=_weighted_mean(dense_distance, observation.dense_weights),
        keypoint_error=_weighted_mean(keypoint_distance, observation.keypoint_weights),
        start=best,
    )


def _without_missing(observation: Observation) -> Observation:
    """Zeros where nothing was observed: what stands there, as NaN, has no part."""
    kept = lambda values, weights: jnp.where(
        (weights > 0).reshape(weights.shape + (1,) * (values.ndim - weights.ndim)),
        values,
        0,
    )
    return dataclasses.replace(
        observation,
        keypoints=kept(observation.keypoints, observation.keypoint_weights),
        keypoint_depths=kept(observation.keypoint_depths, observation.depth_weights),
        dense_points=kept(observation.dense_points, observation.dense_weights),
    )


def body_and_camera(
    model: BodyModel, unknowns: Unknowns
) -> tuple[BodyParams, WeakPerspective]:
    """Turns the optimised numbers into body parameters and a camera."""
    pose = jnp.concatenate([jnp.zeros((1, 3)), unknowns.pose])
    scales = jnp.maximum(unknowns.scales, _MINIMUM_SCALE)
    params = BodyParams(pose, unknowns.shape, scales, jnp.zeros(3))
    camera = WeakPerspective(
        jnp.exp(unknowns.log_scale),
        gram_schmidt(unknowns.raw_rotation),
        unknowns.translation,
    )
    return params, camera


def unknowns_of(found: Registration) -> Unknowns:
    """The numbers of a registration, its rotation as a rotation; any leading axes."""
    return Unknowns(
        pose=found.params.pose[..., 1:, :],
        shape=found.params.shape,
        scales=found.params.scales,
        raw_rotation=found.camera.rotation,
        log_scale=jnp.log(found.camera.scale),
        translation=found.camera.translation,
    )


def take_body(bodies: Unknowns, index: int) -> Unknowns:
    """One of several bodies that are stacked along a leading axis."""
    return jax.tree.map(lambda leaf: leaf[index], bodies)


def registration_loss(
    model: BodyModel, observation: Observation, unknowns: Unknowns, weights: Weights
) -> jax.Array:
    """The weighted sum of all terms (equation 2)."""
    if not weights.shape:
        unknowns = dataclasses.replace(
            unknowns, shape=jax.lax.stop_gradient(unknowns.shape)
        )
    dense, keypoints, vertices = project_observed(model, observation, unknowns)
    total = weights.dense * losses.dense_loss(
        dense, observation.dense_points, observation.dense_weights
    )
    total += weights.keypoint * losses.keypoint_loss(
        keypoints,
        observation.keypoints,
        observation.keypoint_weights,
        observation.keypoint_depths,
        observation.depth_weights,
    )
    total += weights.scale * losses.scale_loss(unknowns.scales)
    total += weights.joint * losses.joint_loss(unknowns.pose)
    total += weights.determinant * losses.determinant_loss(unknowns.raw_rotation)
    if weights.shape:
        total += weights.shape * (unknowns.shape**2).sum()
    if weights.limit:
        total += weights.limit * losses.limit_loss(unknowns.pose)
    if weights.prior:
        total += weights.prior * prior_energy(load_pose_prior(), unknowns.pose)
    if weights.upright:
        total += weights.upright * losses.upright_loss(
            gram_schmidt(unknowns.raw_rotation)
        )
    if weights.silhouette and observation.inside_points.shape[0]:
        total += weights.silhouette * losses.silhouette_loss(
            vertices, observation.outside_distance, observation.inside_points
        )
    return total


def project_observed(
    model: BodyModel, observation: Observation, unknowns: Unknowns
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Projects what an observation names.

    Returns:
        Dense points `(N, 2)`, key points `(K, 3)` with their depths, and vertices
        `(M, 2)` for the silhouette, none without a mask; all in view units.
    """
    params, camera = body_and_camera(model, unknowns)
    num_dense = observation.dense_points.shape[0]
    marks = landmark_vertices(model)
    chosen = jnp.concatenate([observation.dense_surface.vertices.reshape(-1), marks])
    if observation.inside_points.shape[0]:
        # Every fourth vertex outlines the body well enough for a silhouette.
        chosen = jnp.concatenate([chosen, jnp.arange(0, model.num_vertices, 4)])
    posed = pose_body(take_vertices(model, chosen), params)
    corners = posed.vertices[: 3 * num_dense].reshape(num_dense, 3, 3)
    barycentric = observation.dense_surface.barycentric
    dense = (barycentric[..., None] * corners).sum(1)
    rest = posed.vertices[3 * num_dense :]
    keypoints = body_keypoints(posed, rest[: len(marks)])
    return (
        project_weak(camera, dense)[:, :2],
        project_weak(camera, keypoints),
        project_weak(camera, rest[len(marks) :])[:, :2],
    )


def _starts(model, observation, num_starts, initial):
    """Starting values, with the camera fitted to the annotations: one set a yaw."""
    if initial is not None and initial.log_scale.ndim:
        return jax.vmap(lambda start: _aligned(model, observation, start))(initial)
    yaws = jnp.arange(num_starts) * (2 * jnp.pi / num_starts)
    turns = axis_angle_to_matrix(yaws[:, None] * jnp.array([0.0, 1.0, 0.0]))
    if initial is None:
        initial = Unknowns(
            pose=jnp.zeros((NUM_JOINTS - 1, 3)),
            shape=jnp.zeros(model.num_shape),
            scales=jnp.ones(NUM_JOINTS),
            raw_rotation=jnp.asarray(FACING_CAMERA),
            log_scale=jnp.zeros(()),
            translation=jnp.zeros(2),
        )

    def start(turn):
        rotation = jnp.matmul(initial.raw_rotation, turn, precision="highest")
        return _aligned(
            model, observation, dataclasses.replace(initial, raw_rotation=rotation)
        )

    return jax.vmap(start)(turns)


def _aligned(model, observation, unknowns):
    """Sets the camera's scale and translation so that mean and spread agree."""
    unknowns = dataclasses.replace(
        unknowns, log_scale=jnp.zeros(()), translation=jnp.zeros(2)
    )
    dense, keypoints, _ = project_observed(model, observation, unknowns)
    projected = jnp.concatenate([dense, keypoints[:, :2]])
    observed = jnp.concatenate([observation.dense_points, observation.keypoints])
    weights = jnp.concatenate([observation.dense_weights, observation.keypoint_weights])
    weights = (weights / jnp.maximum(weights.sum(), 1e-6))[:, None]
    middle, target = (weights * projected).sum(0), (weights * observed).sum(0)
    # Heights agree better than widths: the arms of the T-pose reach far out.
    spread, target_spread = (
        jnp.sqrt((weights * (points - mean) ** 2).sum(0)[1] + 1e-6)
        for points, mean in ((projected, middle), (observed, target))
    )
    scale = jnp.clip(target_spread / spread, 0.05, 20)
    return dataclasses.replace(
        unknowns, log_scale=jnp.log(scale), translation=target - scale * middle
    )


def _fit_one_start(model, observation, options, unknowns):
    """Runs all stages; returns the best iterate of the last and its loss."""
    best = jnp.inf
    for weights, steps in zip(options.stages, options.steps, strict=True):
        loss = functools.partial(registration_loss, model, observation, weights=weights)
        unknowns, best = minimise(loss, unknowns, steps, options.learning_rate)
    return unknowns, best


def _weighted_mean(values, weights):
    return (weights * values).sum() / jnp.maximum(weights.sum(), 1e-6)


def empty_observation() -> Observation:
    """Returns an observation without any evidence, to be filled with `replace`."""
    num_keypoints = len(KEYPOINT_NAMES)
    return Observation(
        keypoints=jnp.zeros((num_keypoints, 2)),
        keypoint_weights=jnp.zeros(num_keypoints),
        keypoint_depths=jnp.zeros(num_keypoints),
        depth_weights=jnp.zeros(num_keypoints),
        dense_points=jnp.zeros((0, 2)),
        dense_surface=SurfacePoints(jnp.zeros((0, 3), jnp.int32), jnp.zeros((0, 3))),
        dense_weights=jnp.zeros(0),
        outside_distance=jnp.zeros((0, 0)),
        inside_points=jnp.zeros((0, 2)),
    )
