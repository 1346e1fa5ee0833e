"""Training of the depth GAN as three pure functions."""

import dataclasses

import jax
import jax.numpy as jnp
import optax

from volhuman.deform_and_learn.depth_config import DepthGanConfig
from volhuman.deform_and_learn.depth_gan import (
    Critic,
    Lifter,
    anatomy_loss,
    critic_accuracy,
    critic_loss,
    lift_depths,
    lift_normalized,
    lifter_loss,
    published_direction_loss,
    rotate_vertical,
    update_gates,
)
from volhuman.deform_and_learn.depth_measure import measure_depths
from volhuman.deform_and_learn.poses_2d import NUM_JOINTS_17, normalize_poses
from volhuman.training.optimizer import (
    adam,
    exponential_moving_average,
    learning_rate_schedule,
)
from volhuman.training.parallel import average
from volhuman.training.task import Task

_DECAY = 1e-5
_AVERAGE = 0.998
# Metrics that every pose has; the rest is for `depth_run`.
_MEASURED = ("MPJPE", "PA-MPJPE", "flipped")


def make_task(config: DepthGanConfig) -> Task:
    """Makes the task of a configuration.

    Each step updates the lifter and the critic on the same poses, as far as the gates
    of the critic's accuracy let them.

    Source: Kudo et al. 2018, published code: losses, gates, optimiser. The average of
    the lifter's parameters, which is what is measured and exported, is ours.

    Args:
        config: Options.

    Returns:
        The task. Batches of training hold "poses" `(B, 17, 2)` in any unit; those of
        the evaluation hold "joints" `(B, 17, 3)` as a camera sees them, in metres.
    """
    rate = learning_rate_schedule(
        config.schedule, config.learning_rate, steps=config.steps
    )
    # Decay is added to the gradient, as published, not decoupled from it.
    optimizer = optax.chain(
        optax.add_decayed_weights(_DECAY), adam(rate, b1=0.5, b2=0.999)
    )
    training = _Training(config, optimizer)
    return Task(training.init, training.update, training.evaluate)


@dataclasses.dataclass(frozen=True)
class _Training:
    """The three functions of the task, with what they share."""

    config: DepthGanConfig
    optimizer: optax.GradientTransformation

    def init(self, key):
        poses = jnp.zeros((1, NUM_JOINTS_17, 2))
        lifter_key, critic_key = jax.random.split(key)
        lifter = Lifter(self.config.width).init(lifter_key, poses)["params"]
        critic = Critic(self.config.width).init(critic_key, poses)["params"]
        return {
            "step": jnp.zeros((), jnp.int32),
            "lifter": lifter,
            "average": jax.tree.map(jnp.copy, lifter),
            "lifter_optimizer": self.optimizer.init(lifter),
            "critic": critic,
            "critic_optimizer": self.optimizer.init(critic),
        }

    def update(self, state, batch, key, *, axis_name=None):
        real, _ = normalize_poses(batch["poses"])
        angles = jax.random.uniform(key, real.shape[:1], maxval=2 * jnp.pi)

        def loss_of_lifter(params):
            lifted = lift_normalized(params, real)
            fake = self._turn(lifted, angles)
            metrics = {
                "lifter": lifter_loss(self._judge(state["critic"], fake)),
                "direction": self._direction_loss(lifted),
            }
            weight = self.config.direction_weight
            return metrics["lifter"] + weight * metrics["direction"], (fake, metrics)

        def loss_of_critic(params):
            logits = self._judge(params, real), self._judge(params, fake)
            return critic_loss(*logits), critic_accuracy(*logits)

        gradients, (fake, metrics) = jax.grad(loss_of_lifter, has_aux=True)(
            state["lifter"]
        )
        (metrics["critic"], metrics["accuracy"]), critic_gradients = jax.value_and_grad(
            loss_of_critic, has_aux=True
        )(state["critic"])
        gradients, critic_gradients, metrics = average(
            (gradients, critic_gradients, metrics), axis_name
        )
        lifter_learns, critic_learns = update_gates(metrics["accuracy"])
        stepped = self._step(state, "lifter", gradients, lifter_learns)
        stepped = self._step(stepped, "critic", critic_gradients, critic_learns)
        moved = exponential_moving_average(
            state["average"], stepped["lifter"], decay=_AVERAGE, step=state["step"]
        )
        return stepped | {"average": moved, "step": state["step"] + 1}, metrics

    def evaluate(self, state, batch, key):
        joints = batch["joints"]
        depths = lift_depths(state["average"], joints[..., :2])
        measured = measure_depths(depths, joints)
        return {name: measured[name].mean() for name in _MEASURED}, {}

    def _turn(self, lifted, angles):
        """What a camera sees of lifted poses after a turn."""
        turned = rotate_vertical(lifted, angles)[..., :2]
        return normalize_poses(turned)[0] if self.config.renormalize else turned

    def _judge(self, params, poses):
        return Critic(self.config.width).apply({"params": params}, poses)

    def _direction_loss(self, lifted):
        if self.config.direction == "published":
            return published_direction_loss(lifted)
        if self.config.direction == "anatomy":
            return anatomy_loss(lifted, layout=self.config.layout)
        return jnp.zeros(())

    def _step(self, state, name, gradients, learns):
        """Optimiser step of a network, or none where it does not learn."""
        updates, optimizer_state = self.optimizer.update(
            gradients, state[f"{name}_optimizer"], state[name]
        )
        params = optax.apply_updates(state[name], updates)
        new = {name: params, f"{name}_optimizer": optimizer_state}
        old = {key: state[key] for key in new}
        return state | jax.tree.map(lambda a, b: jnp.where(learns, a, b), new, old)
