"""Training of the reposing network as three pure functions."""

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
from volhuman.repose.parts import find_joint_set
from volhuman.training.optimizer import adam, exponential_moving_average
from volhuman.training.parallel import average
from volhuman.training.task import Task

FIELDS = ("image_source", "image_target", "mask_target", "joints_source")
FIELDS += ("joints_target",)
_DECAY = 1e-4


def make_task(
    config: ReposeConfig, *, vgg: tuple[VggParams, str] | None = None
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

    Returns:
        The task; batches hold `FIELDS` as in the data set of pairs.
    """
    network = network_of(config)
    optimizer = adam(config.learning_rate, b1=0.5)
    is_adversarial = config.adversarial > 0
    mirror = mirror_order(find_joint_set(network.joint_set))

    def init(key):
        generator_key, discriminator_key = jax.random.split(key)
        generator = init_generator(network, generator_key)
        state = {
            "step": jnp.zeros((), jnp.int32),
            "generator": generator,
            "average": jax.tree.map(jnp.copy, generator),
            "generator_optimizer": optimizer.init(generator),
        }
        if is_adversarial:
            discriminator = _init_discriminator(network, discriminator_key)
            state["discriminator"] = discriminator
            state["discriminator_optimizer"] = optimizer.init(discriminator)
        if vgg is not None:
            state["vgg"] = vgg[0]
        return state

    def update(state, batch, key, *, axis_name=None):
        augment_key, noise_key = jax.random.split(key)
        batch = {name: batch[name] for name in FIELDS}
        if config.augment:
            keys = jax.random.split(augment_key, len(batch["image_source"]))
            batch = jax.vmap(lambda k, e: augment_pair(k, e, mirror=mirror))(
                keys, batch
            )
        source, target = _pictures(batch)
        noise = jax.random.normal(noise_key, (*source.shape[:3], 1))
        heatmaps = None
        if is_adversarial:
            heatmaps = picture_heatmaps(network, batch["joints_target"])

        def generator_loss(params):
            painted = _paint(network, params, batch, source, noise)
            distance = _distance(state, painted, target)
            loss = config.perceptual * distance
            loss += _DECAY * kernel_decay(params, ("encoder",))
            metrics = {"distance": distance, "l1": jnp.abs(painted - target).mean()}
            if is_adversarial:
                fake = _judge(state["discriminator"], source, painted, heatmaps)
                metrics["adversarial"] = generator_adversarial_loss(fake)
                loss += config.adversarial * metrics["adversarial"]
            return loss, (painted, metrics | {"loss": loss})

        gradients, (painted, metrics) = jax.grad(generator_loss, has_aux=True)(
            state["generator"]
        )
        state = state | _step(state, "generator", average(gradients, axis_name))
        state["average"] = exponential_moving_average(
            state["average"],
            state["generator"],
            decay=config.average,
            step=state["step"],
        )
        if is_adversarial:

            def critic_loss(params):
                real = _judge(params, source, target, heatmaps)
                fake = _judge(params, source, painted, heatmaps)
                decay = kernel_decay(params, ("trunk",))
                return discriminator_loss(real, fake) + _DECAY * decay

            painted = jax.lax.stop_gradient(painted)
            loss, gradients = jax.value_and_grad(critic_loss)(state["discriminator"])
            metrics["discriminator"] = loss
            gradients = average(gradients, axis_name)
            state = state | _step(state, "discriminator", gradients)
        state["step"] = state["step"] + 1
        return state, average(metrics, axis_name)

    def evaluate(state, batch, key):
        source, target = _pictures(batch)
        noise = jax.random.normal(key, (*source.shape[:3], 1))
        painted = _paint(network, state["average"], batch, source, noise)
        metrics = picture_metrics(painted, target, batch["mask_target"])
        pictures = {
            "source": (source + 1) / 2,
            "painted": (painted + 1) / 2,
            "target": (target + 1) / 2,
        }
        return {name: values.mean() for name, values in metrics.items()}, pictures

    def _step(state, name, gradients):
        updates, optimizer_state = optimizer.update(
            gradients, state[f"{name}_optimizer"], state[name]
        )
        params = optax.apply_updates(state[name], updates)
        return {name: params, f"{name}_optimizer": optimizer_state}

    def _distance(state, painted, target):
        if vgg is None:
            return pyramid_distance(painted, target)
        return vgg_distance(
            state["vgg"], painted, target, layout=vgg[1], published=network.published
        )

    def _judge(params, source, candidate, heatmaps):
        return Discriminator(network).apply(
            {"params": params}, source, candidate, heatmaps
        )

    return Task(init, update, evaluate)


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


def _pictures(batch):
    """Source and target in [-1, 1]; uint8 where nothing was augmented."""

    def scaled(x):
        top = 255.0 if x.dtype == jnp.uint8 else 1.0
        return x.astype(jnp.float32) * (2 / top) - 1

    return scaled(batch["image_source"]), scaled(batch["image_target"])


def _paint(network, params, batch, source, noise):
    return repose(
        network,
        params,
        source[:, None],
        batch["joints_source"][:, None],
        batch["joints_target"],
        noise,
    )["image"]
