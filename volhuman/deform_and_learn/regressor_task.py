"""Training of the regressor as three pure functions."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from volhuman.body.correspondence import SurfacePoints
from volhuman.body.model import BodyModel, pose_body, take_vertices
from volhuman.body.skeleton import PARENTS
from volhuman.body.template import load_template
from volhuman.deform_and_learn.body_config import NETWORKS, BodyConfig, BodyNetwork
from volhuman.deform_and_learn.fitted_people import FIELDS, FIT_FIELDS
from volhuman.deform_and_learn.registration import (
    Observation,
    body_and_camera,
    empty_observation,
)
from volhuman.deform_and_learn.regressor import (
    Regressor,
    body_places,
    rest_outputs,
    split_outputs,
)
from volhuman.deform_and_learn.regressor_augmentation import augment_example
from volhuman.deform_and_learn.regressor_losses import (
    annotation_losses,
    parameter_loss,
    place_loss,
    place_targets,
    point_loss,
)
from volhuman.evaluation.poses import MPJPE, PA_MPJPE, pose_error
from volhuman.training.optimizer import (
    adam,
    exponential_moving_average,
    learning_rate_schedule,
)
from volhuman.training.parallel import average
from volhuman.training.task import Task

TRAINED = tuple(
    name for name in FIELDS if name not in ("joints", "true_keypoints", "person")
)
TRAINED += (*FIT_FIELDS, "keypoint_depths", "depth_weights")
_WARMUP = 100
_CLIP = 5.0
_BONES = tuple((int(parent), joint) for joint, parent in enumerate(PARENTS) if joint)


def make_task(
    config: BodyConfig,
    *,
    steps: int,
    mean: jax.Array | None = None,
    backbone: Mapping[str, Any] | None = None,
) -> Task:
    """Makes the task of a configuration.

    Source: Yoshiyasu & Gamez, section 5 and 6. The average of the parameters, which is
    what is measured and used, is ours, as are the augmentation, the clipping and the
    term of the maps' places.

    Args:
        config: Options.
        steps: Steps of all rounds together.
        mean: `(105,)` the mean fit, at which the network begins; the T-pose without.
        backbone: Variables of ResNet-50 (`nn.resnet50.load_resnet50`) to begin with.

    Returns:
        The task. Batches of training hold `TRAINED`, those of the evaluation "image"
        and "joints".
    """
    rate = learning_rate_schedule(
        config.schedule,
        config.learning_rate,
        steps=steps,
        warmup=0 if config.schedule == "constant" else min(_WARMUP, steps - 1),
    )
    optimizer = adam(rate, clip_norm=_CLIP)
    mean = rest_outputs() if mean is None else mean
    training = _Training(config, optimizer, mean, backbone)
    return Task(training.init, training.update, training.evaluate)


@dataclasses.dataclass(frozen=True)
class _Training:
    """The three functions of the task, with what they share."""

    config: BodyConfig
    optimizer: optax.GradientTransformation
    mean: Any
    backbone: Mapping[str, Any] | None

    @property
    def network(self) -> BodyNetwork:
        return NETWORKS[self.config.network]

    def init(self, key):
        variables = init_regressor(self.network, key)
        params, stats = variables["params"], variables.get("batch_stats", {})
        params["head"]["bias"] = jnp.asarray(self.mean)
        if self.backbone is not None:
            params["trunk"] = self.backbone["params"]
            stats = {"trunk": self.backbone["batch_stats"]}
        return {
            "step": jnp.zeros((), jnp.int32),
            "params": params,
            "batch_stats": stats,
            "average": jax.tree.map(jnp.copy, params),
            "optimizer": self.optimizer.init(params),
        }

    def update(self, state, batch, key, *, axis_name=None):
        model = load_template()
        batch = self._augment(key, {name: batch[name] for name in TRAINED}, model)

        def loss(params):
            variables = {"params": params, "batch_stats": state["batch_stats"]}
            outputs, changed = Regressor(self.network).apply(
                variables,
                batch["image"],
                train=True,
                mutable=["batch_stats", "intermediates"],
            )
            found = changed.get("intermediates", {}).get("likelihoods", ())
            metrics = self._losses(model, outputs, batch, found)
            return metrics["loss"], (metrics, changed)

        gradients, (metrics, changed) = jax.grad(loss, has_aux=True)(state["params"])
        stats = changed.get("batch_stats", {})
        gradients, metrics, stats = average((gradients, metrics, stats), axis_name)
        updates, optimizer_state = self.optimizer.update(
            gradients, state["optimizer"], state["params"]
        )
        params = optax.apply_updates(state["params"], updates)
        moved = exponential_moving_average(
            state["average"], params, decay=self.config.average, step=state["step"]
        )
        return {
            "step": state["step"] + 1,
            "params": params,
            "batch_stats": stats,
            "average": moved,
            "optimizer": optimizer_state,
        }, metrics

    def evaluate(self, state, batch, key):
        variables = {"params": state["average"], "batch_stats": state["batch_stats"]}
        images = batch["image"].astype(jnp.float32) / 255
        outputs = Regressor(self.network).apply(variables, images)
        joints = jax.vmap(seen_joints)(outputs)
        errors = joint_errors(joints, batch["joints"])
        return {name: values.mean() for name, values in errors.items()}, {}

    def _augment(self, key, batch, model):
        if not self.config.augment:
            return batch | {"image": batch["image"].astype(jnp.float32) / 255}
        keys = jax.random.split(key, len(batch["image"]))
        return jax.vmap(lambda k, e: augment_example(k, e, model))(keys, batch)

    def _losses(self, model, outputs, batch, found):
        """Means over the batch, by name; `found` are the likelihoods of places."""

        def of_one(outputs, example):
            predicted = split_outputs(outputs, model.num_shape)
            fit = split_outputs(example["fit"], model.num_shape)
            dense, keypoints, points = annotation_losses(
                model, observe(example), predicted
            )
            fitted = body_places(example["fit"])
            distance = point_loss(points[: len(fitted)], fitted)
            terms = {
                "parameters": example["fit_weight"] * parameter_loss(predicted, fit),
                "dense": dense,
                "keypoints": keypoints,
                "points": example["fit_weight"] * distance,
            }
            marks = example["keypoints"], example["keypoint_weights"]
            return terms, place_targets(fitted, example["fit_weight"], *marks)

        terms, targets = jax.vmap(of_one)(outputs, batch)
        for likelihoods in found:
            terms["places"] = place_loss(likelihoods, *targets)
        terms = jax.tree.map(jnp.mean, terms)
        weight_of = {
            "parameters": self.config.parameter_weight,
            "dense": self.config.dense_weight,
            "keypoints": self.config.keypoint_weight,
            "points": self.config.point_weight,
            "places": self.config.place_weight,
        }
        return {"loss": sum(weight_of[name] * terms[name] for name in terms)} | terms


def init_regressor(network: BodyNetwork, key: jax.Array) -> dict[str, Any]:
    """Makes random variables of a regressor."""
    side = network.image_size
    return dict(Regressor(network).init(key, jnp.zeros((1, side, side, 3))))


def observe(example: Mapping[str, jax.Array]) -> Observation:
    """The annotations of one example of `fitted_people`."""
    return dataclasses.replace(
        empty_observation(),
        keypoints=example["keypoints"],
        keypoint_weights=example["keypoint_weights"],
        keypoint_depths=example["keypoint_depths"],
        depth_weights=example["depth_weights"],
        dense_points=example["dense_points"],
        dense_surface=SurfacePoints(
            example["dense_vertices"], example["dense_barycentric"]
        ),
        dense_weights=jnp.ones(len(example["dense_points"])),
    )


def seen_joints(outputs: jax.Array, model: BodyModel | None = None) -> jax.Array:
    """Joints `(24, 3)` in millimetres and camera axes of the numbers `(105,)`."""
    model = load_template() if model is None else model
    small = take_vertices(model, jnp.zeros(1, jnp.int32))
    params, camera = body_and_camera(small, split_outputs(outputs, model.num_shape))
    joints = pose_body(small, params).joints
    return 1000 * jnp.matmul(joints, camera.rotation.T, precision="highest")


def joint_errors(found: jax.Array, joints: jax.Array) -> dict[str, jax.Array]:
    """Compares joints `(..., 24, 3)` in millimetres and camera axes: one number each.

    "MPJPE" is measured from the pelvis, after the found bones were scaled to the sum of
    the true ones: the size of a person cannot be seen. "flipped" tells whether the
    joints mirrored at the picture plane are nearer to the truth.

    Source: Yoshiyasu & Gamez, section 6.2.
    """
    lengths = lambda x: jnp.linalg.norm(
        x[..., [b for _, b in _BONES], :] - x[..., [a for a, _ in _BONES], :], axis=-1
    ).sum(-1)
    unit = (lengths(joints) / lengths(found))[..., None, None]
    centred = unit * (found - found[..., :1, :])
    error = pose_error(centred, joints, MPJPE)
    mirrored = pose_error(centred * jnp.array([1.0, 1.0, -1.0]), joints, MPJPE)
    return {
        "MPJPE": error,
        "PA-MPJPE": pose_error(found, joints, PA_MPJPE),
        "flipped": (mirrored < error).astype(jnp.float32),
    }
