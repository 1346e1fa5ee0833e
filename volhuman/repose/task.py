"""Training of the reposing network as three pure functions."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from volhuman.data.augmentation import augment_pair, mirror_order
from volhuman.evaluation.images import (
    SSIM_STANDARD,
    mean_absolute_error,
    ssim,
    ssim_foreground,
)
from volhuman.nn.perceptual import VggParams, pyramid_distance, vgg_distance
from volhuman.repose.config import Network, ReposeConfig, network_of
from volhuman.repose.forward import init_generator, picture_heatmaps, repose
from volhuman.repose.losses import (
    discriminator_loss,
    generator_adversarial_loss,
    kernel_decay,
)
from volhuman.repose.model import Discriminator
from volhuman.repose.pairs import FIELDS
from volhuman.repose.parts import find_joint_set
from volhuman.training.optimizer import (
    adam,
    cast_compute,
    exponential_moving_average,
    learning_rate_schedule,
)
from volhuman.training.parallel import average
from volhuman.training.task import Batch, Task

_DECAY = 1e-4
_WARMUP = 100
_PRECISIONS = ("float32", "bfloat16")  # without and with mixed precision


def make_task(
    config: ReposeConfig,
    *,
    vgg: tuple[VggParams, str] | None = None,
    initial: Mapping[str, Any] | None = None,
) -> Task:
    """Makes the task of a configuration.

    Each step updates the generator and then, with an adversarial loss, the
    discriminator on the same batch. (The published code draws another batch for the
    second.)

    Source: Knoche et al., section 3.5 and 4.

    Args:
        config: Options.
        vgg: Parameters and layout of VGG19 (`nn.perceptual.load_vgg19`), or None for
            the pyramid distance.
        initial: Parameters of the generator to begin with, or None for random ones.

    Returns:
        The task; batches hold `pairs.FIELDS`.
    """
    rate = learning_rate_schedule(
        config.schedule,
        config.learning_rate,
        steps=config.steps,
        warmup=0 if config.schedule == "constant" else min(_WARMUP, config.steps - 1),
        accumulate=config.accumulate,
    )
    optimizer = adam(rate, b1=0.5, accumulate=config.accumulate)
    training = _Training(config, network_of(config), vgg, initial, optimizer)
    return Task(training.init, training.update, training.evaluate)


@dataclasses.dataclass(frozen=True)
class _Training:
    """The three functions of the task, with what they share."""

    config: ReposeConfig
    network: Network
    vgg: tuple[VggParams, str] | None
    initial: Mapping[str, Any] | None
    optimizer: optax.GradientTransformation

    def init(self, key):
        generator_key, discriminator_key = jax.random.split(key)
        generator = self.initial or init_generator(self.network, generator_key)
        generator = jax.tree.map(jnp.asarray, generator)
        state = {
            "step": jnp.zeros((), jnp.int32),
            "generator": generator,
            "average": jax.tree.map(jnp.copy, generator),
            "generator_optimizer": self.optimizer.init(generator),
        }
        if self.config.adversarial:
            discriminator = _init_discriminator(self.network, discriminator_key)
            state["discriminator"] = discriminator
            state["discriminator_optimizer"] = self.optimizer.init(discriminator)
        if self.vgg is not None:
            state["vgg"] = self.vgg[0]
        return state

    def update(self, state, batch, key, *, axis_name=None):
        augment_key, noise_key = jax.random.split(key)
        batch = self._augment(augment_key, {name: batch[name] for name in FIELDS})
        source, target = picture_pair(batch)
        noise = jax.random.normal(noise_key, (*source.shape[:3], 1))

        def loss(params):
            painted = self._paint(params, batch, source, noise)
            total, metrics = self._generator_loss(
                state, params, batch, painted, source, target
            )
            return total, (painted, metrics)

        gradients, (painted, metrics) = jax.grad(loss, has_aux=True)(state["generator"])
        state = self._step(state, "generator", average(gradients, axis_name))
        state["average"] = self._average(state)
        if self.config.adversarial:
            painted = jax.lax.stop_gradient(painted)
            metrics["discriminator"], gradients = jax.value_and_grad(self._critic_loss)(
                state["discriminator"], batch, painted, source, target
            )
            state = self._step(state, "discriminator", average(gradients, axis_name))
        state["step"] = state["step"] + 1
        return state, average(metrics, axis_name)

    def evaluate(self, state, batch, key):
        source, target = picture_pair(batch)
        noise = jax.random.normal(key, (*source.shape[:3], 1))
        painted = paint_batch(self.network, state["average"], batch, source, noise)
        metrics = picture_metrics(painted, target, batch["mask_target"])
        pictures = {"source": source, "painted": painted, "target": target}
        return (
            {name: values.mean() for name, values in metrics.items()},
            {name: (picture + 1) / 2 for name, picture in pictures.items()},
        )

    def _paint(self, params, batch, source, noise):
        """The picture, float32; its loss has float32 gradients."""
        params, source, noise = self._cast((params, source, noise))
        painted = paint_batch(
            self.network, params, batch, source, noise, remat=self.config.remat
        )
        return painted.astype(jnp.float32)

    def _cast(self, tree):
        return cast_compute(tree, _PRECISIONS[self.config.mixed_precision])

    def _average(self, state):
        """The average moves when the parameters do."""
        updates, pending = jnp.divmod(state["step"], self.config.accumulate)
        moved = exponential_moving_average(
            state["average"],
            state["generator"],
            decay=self.config.average,
            step=updates,
        )
        complete = pending == self.config.accumulate - 1
        return jax.tree.map(
            lambda new, old: jnp.where(complete, new, old), moved, state["average"]
        )

    def _augment(self, key, batch):
        if not self.config.augment:
            return batch
        mirror = mirror_order(find_joint_set(self.network.joint_set))
        keys = jax.random.split(key, len(batch["image_source"]))
        return jax.vmap(lambda k, e: augment_pair(k, e, mirror=mirror))(keys, batch)

    def _generator_loss(self, state, params, batch, painted, source, target):
        distance = self._distance(state, painted, target)
        loss = self.config.perceptual * distance
        loss += _DECAY * kernel_decay(params, ("encoder",))
        metrics = {"distance": distance, "l1": jnp.abs(painted - target).mean()}
        if self.config.adversarial:
            fake = self._judge(state["discriminator"], batch, source, painted)
            metrics["adversarial"] = generator_adversarial_loss(fake)
            loss += self.config.adversarial * metrics["adversarial"]
        return loss, metrics | {"loss": loss}

    def _critic_loss(self, params, batch, painted, source, target):
        real = self._judge(params, batch, source, target)
        fake = self._judge(params, batch, source, painted)
        decay = kernel_decay(params, ("trunk",))
        return discriminator_loss(real, fake) + _DECAY * decay

    def _distance(self, state, painted, target):
        if self.vgg is None:
            return pyramid_distance(painted, target)
        return vgg_distance(
            state["vgg"],
            painted,
            target,
            layout=self.vgg[1],
            published=self.network.published,
        )

    def _judge(self, params, batch, source, candidate):
        heatmaps = picture_heatmaps(self.network, batch["joints_target"])
        params, *inputs = self._cast((params, source, candidate, heatmaps))
        logits = Discriminator(self.network).apply({"params": params}, *inputs)
        return logits.astype(jnp.float32)

    def _step(self, state, name, gradients):
        updates, optimizer_state = self.optimizer.update(
            gradients, state[f"{name}_optimizer"], state[name]
        )
        params = optax.apply_updates(state[name], updates)
        return state | {name: params, f"{name}_optimizer": optimizer_state}


def picture_metrics(
    painted: jax.Array, target: jax.Array, mask: jax.Array
) -> dict[str, jax.Array]:
    """Compares pictures `(B, H, W, 3)` in [-1, 1]: one number a picture.

    Args:
        painted: Output of the network.
        target: The truth.
        mask: `(B, H, W)` uint8 or float mask of the person in the truth.
    """
    painted, target = (painted + 1) / 2, (target + 1) / 2
    person = mask.astype(jnp.float32) / (255 if mask.dtype == jnp.uint8 else 1)
    return {
        "ssim": jax.vmap(lambda a, b: ssim(a, b, SSIM_STANDARD))(painted, target),
        "ssim_foreground": jax.vmap(
            lambda a, b, m: ssim_foreground(a, b, m, SSIM_STANDARD)
        )(painted, target, person),
        "l1": jax.vmap(mean_absolute_error)(painted, target),
    }


def _init_discriminator(network: Network, key: jax.Array) -> dict:
    side, joints = network.image_size, len(find_joint_set(network.joint_set).names)
    picture = jnp.zeros((1, side, side, 3))
    heatmaps = jnp.zeros((1, side, side, network.critic_slices, joints))
    return Discriminator(network).init(key, picture, picture, heatmaps)["params"]


def picture_pair(batch: Batch) -> tuple[jax.Array, jax.Array]:
    """Source and target pictures `(B, H, W, 3)` of a batch, in [-1, 1].

    Args:
        batch: uint8 pictures, or float in [0, 1] where they were augmented.
    """

    def scaled(x):
        top = 255.0 if x.dtype == jnp.uint8 else 1.0
        return x.astype(jnp.float32) * (2 / top) - 1

    return scaled(batch["image_source"]), scaled(batch["image_target"])


def paint_batch(
    network: Network,
    params: Mapping[str, Any],
    batch: Batch,
    source: jax.Array,
    noise: jax.Array,
    *,
    remat: bool = False,
) -> jax.Array:
    """Reposes the source pictures of a batch to the poses of its targets.

    Args:
        network: Sizes.
        params: Parameters of the generator.
        batch: Holds `joints_source` and `joints_target`.
        source: `(B, H, W, 3)` in [-1, 1].
        noise: `(B, H, W, 1)`.
        remat: As in `Generator`.

    Returns:
        `(B, H, W, 3)` in [-1, 1].
    """
    return repose(
        network,
        params,
        source[:, None],
        batch["joints_source"][:, None],
        batch["joints_target"],
        noise,
        remat=remat,
    )["image"]
