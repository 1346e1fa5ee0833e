"""Rows of the whole reposing generator, against the compiler's own convolution.

The peer is the same network with the same parameters, in which each convolution of a
volume is `jax.lax.conv_general_dilated`. Also the memory of the part warp.
"""

import dataclasses
from collections.abc import Iterator

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from row import Row, close
from volume_rows import limbs

from volhuman.body.template import load_template
from volhuman.geometry.warp import warp_parts
from volhuman.nn.convolution import VolumeConv
from volhuman.nn.perceptual import pyramid_distance
from volhuman.repose.config import SMALL
from volhuman.repose.forward import init_generator, repose

_BATCH = 2
# Twice the channels of the volumes, whose convolutions then cost four times as much.
_WIDE = dataclasses.replace(SMALL, channels=32, pose_channels=16)


def network_rows() -> Iterator[Row]:
    """i: the generator forward, and with the gradient of a training step."""
    for label, network, bars in (
        ("small", SMALL, (1.2, 1.2)),
        ("wide", _WIDE, (1.5, 1.5)),
    ):
        inputs, target = _batch(network.image_size)
        params = jax.jit(lambda key, n=network: init_generator(n, key))(
            jax.random.key(0)
        )

        def paint(params, *inputs, network=network):
            return repose(network, params, *inputs)["image"]

        def loss(params, *inputs, paint=paint, target=target):
            return pyramid_distance(paint(params, *inputs), target)

        arguments = (params, *inputs)
        name = f"generator {label}, {_BATCH} x {network.image_size}^2"
        yield _row(f"i {name}", bars[0], paint, arguments, 1e-3)
        yield _row(f"i {name} + gradient", bars[1], jax.grad(loss), arguments, 1e-3)


def _row(name, bar, function, arguments, tolerance):
    ours = jax.jit(lambda *arguments: function(*arguments))

    def with_compilers_convolution(*arguments):
        with nn.intercept_methods(_compilers_convolution):
            return function(*arguments)

    peer = jax.jit(with_compilers_convolution)
    results = (jax.tree.leaves(f(*arguments)) for f in (ours, peer))
    for mine, other in zip(*results, strict=True):
        scale = max(float(jnp.abs(other).max()), 1e-3)
        close(name, mine / scale, other / scale, tolerance)
    return Row(
        name, "lax.conv", bar, lambda: ours(*arguments), lambda: peer(*arguments)
    )


def _compilers_convolution(method, arguments, options, context):
    """Takes the place of `VolumeConv.__call__`."""
    module = context.module
    if not isinstance(module, VolumeConv):
        return method(*arguments, **options)
    (x,) = arguments
    kernel, bias = (module.get_variable("params", name) for name in ("kernel", "bias"))
    dimensions = ("NHWDC", "HWDIO", "NHWDC")
    return bias + jax.lax.conv_general_dilated(
        x, kernel, (1, 1, 1), "SAME", dimension_numbers=dimensions
    )


def _batch(size):
    """Pictures of noise with the T-pose before the camera, shifted in the target."""
    generator = np.random.default_rng(0)
    rest = np.asarray(load_template().joints) * [1, -1, -1] * 0.4 + [0.5, 0.5, 0]
    joints = np.stack([rest * size] * _BATCH).astype(np.float32)
    source, target = generator.uniform(-1, 1, (2, _BATCH, size, size, 3))
    noise = generator.standard_normal((_BATCH, size, size, 1))
    inputs = (
        source[:, None],
        joints[:, None],
        joints + np.float32([0.05 * size, 0, 0]),
        noise,
    )
    return [jnp.asarray(x, jnp.float32) for x in inputs], target.astype(np.float32)


def warp_temporaries() -> dict[str, float]:
    """Megabytes of XLA's temporary buffers of the warp of 64^3 x 16, mask 1 %."""
    masks, maps = limbs(64, 1.8)
    volume = jnp.zeros((64, 64, 64, 16))
    gradient = lambda v, m, a, g: jax.vjp(lambda v: warp_parts(v, m, a), v)[1](g)[0]
    compiled = {
        "warp": jax.jit(warp_parts).lower(volume, masks, maps).compile(),
        "warp + gradient": jax.jit(gradient)
        .lower(volume, masks, maps, volume)
        .compile(),
    }
    return {
        name: program.memory_analysis().temp_size_in_bytes / 1e6
        for name, program in compiled.items()
    }
