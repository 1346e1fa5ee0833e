"""Generator and discriminator of the reposing system.

The generator lifts a photograph to a feature volume, moves the ten body parts to the
target pose, paints the person from the moved volume and an encoding of the pose, and
blends it over an inpainted background.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from volhuman.geometry.warp import warp_parts
from volhuman.nn.convolution import PixelConv, VolumeConv
from volhuman.nn.normalization import GroupNorm
from volhuman.nn.parallel import map_examples
from volhuman.nn.resnet import ResNetTrunk
from volhuman.repose.background import BackgroundInpainter
from volhuman.repose.blocks import DecoderUnit, VolumeUnit
from volhuman.repose.config import Network

# Sides of the picture over the rim around the person that is painted anew.
_RIM = 32
# Logit of the coverage before training: a person fills about an eighth of a picture.
_COVERAGE = -2.0
# Logit of the opacity of a voxel before training: all depths are seen.
_DENSITY = -3.0


class Generator(nn.Module):
    """Paints a photographed person in another pose.

    Source: Knoche, Sárándi & Leibe, "Reposing Humans by Warping 3D Features", section
    3, figure 2.

    Attributes:
        network: Sizes.
        remat: Compute the volume and decoder units again for the gradient rather than
            keep what they computed: less memory, more time, the same parameters.
    """

    network: Network
    remat: bool = False

    def setup(self):
        network = self.network
        volume_unit, decoder_unit = VolumeUnit, DecoderUnit
        if self.remat:
            volume_unit, decoder_unit = nn.remat(VolumeUnit), nn.remat(DecoderUnit)
        units = lambda: [
            volume_unit(by_row=network.published) for _ in range(network.volume_units)
        ]
        self.encoder = ResNetTrunk(network.root, network.encoder)
        self.lift_norm = GroupNorm()
        self.lift = nn.Conv(network.depth * network.channels, (3, 3))
        if network.shortcuts:
            self.lift_everywhere = PixelConv(network.channels)
            self.density = nn.Dense(1, bias_init=nn.initializers.constant(_DENSITY))
        self.volume_units = units()
        self.pose_root = VolumeConv(network.pose_channels)
        self.pose_units = units()
        self.merge_units = units()
        self.decoder = [
            decoder_unit(features, inner, doubles, network.published)
            for features, inner, doubles in network.decoder
        ]
        self.head_norm = GroupNorm()
        self.head = nn.Conv(4, (3, 3), bias_init=self._head_bias)
        self.background = BackgroundInpainter(network)

    def __call__(
        self,
        images: jax.Array,
        masks: jax.Array,
        maps: jax.Array,
        heatmaps: jax.Array,
        noise: jax.Array,
    ) -> dict[str, jax.Array]:
        """Reposes.

        The networks compute in the type of the pictures and parameters, the warp in
        that of the masks and maps.

        Args:
            images: `(B, S, H, W, 3)` in [-1, 1], S photographs of one person; the
                background is that of the first.
            masks: `(B, S, P, h, w, d)` part masks in each photograph.
            maps: `(B, S, P, 3, 4)` where each part of the target pose reads there.
            heatmaps: `(B, h, w, d, J)` the target pose.
            noise: `(B, H, W, 1)` normal noise for the background.

        Returns:
            "image" `(B, H, W, 3)` in [-1, 1], and what it is made of: "foreground",
            "background", "mask" `(B, H, W, 1)`, "volume", "warped", "merged".
        """
        person = self.observe(images, masks, noise)
        return person | self.perform(person, masks, maps, heatmaps)

    def observe(
        self, images: jax.Array, masks: jax.Array, noise: jax.Array
    ) -> dict[str, jax.Array]:
        """Does what does not depend on the target pose; arguments as of `__call__`.

        Returns:
            "lifted" and "volume", `(B S, h, w, d, C)`, and "background".
        """
        images, noise = self._pad(images, 2, 3), self._pad(noise, 1, 2)
        lifted = self.lift_images(images)
        volume = lifted
        for unit in self.volume_units:
            volume = unit(volume)
        valid = self._background_mask(self._pad(masks, 3, 4, 5)[:, 0], images.shape[2])
        background = self.background(images[:, 0], valid.astype(images.dtype), noise)
        return {"lifted": lifted, "volume": volume, "background": background}

    def perform(
        self,
        person: dict[str, jax.Array],
        masks: jax.Array,
        maps: jax.Array,
        heatmaps: jax.Array,
    ) -> dict[str, jax.Array]:
        """Paints an observed person in the target pose.

        Args:
            person: From `observe`.
            masks: As of `__call__`, like the others.
            maps: Maps.
            heatmaps: Target pose.

        Returns:
            What `__call__` returns besides.
        """
        volume, background = person["volume"], person["background"]
        batch, sources = masks.shape[:2]
        masks, heatmaps = self._pad(masks, 3, 4, 5), self._pad(heatmaps, 1, 2, 3)
        warped = map_examples(
            warp_parts,
            volume.astype(masks.dtype),
            masks.reshape(-1, *masks.shape[2:]),
            maps.reshape(-1, *maps.shape[2:]),
        ).astype(volume.dtype)
        # Parts seen in several photographs are merged as parts of one are.
        warped = warped.reshape(batch, sources, *warped.shape[1:]).max(1)
        pose = self.encode_pose(heatmaps.astype(volume.dtype))
        merged = jnp.concatenate([warped, pose], axis=-1)
        for unit in self.merge_units:
            merged = unit(merged)
        foreground, mask = self.paint(merged)
        image = mask * foreground + (1 - mask) * background
        if self.network.published:
            image = image[:, 1:, 1:]
        return {
            "image": image,
            "foreground": foreground,
            "mask": mask,
            "warped": warped,
            "merged": merged,
        }

    def lift_images(self, images: jax.Array) -> jax.Array:
        """Lifts `(B, S, H, W, 3)` to feature volumes `(B S, h, w, d, C)`."""
        images = images.reshape(-1, *images.shape[2:])
        y = nn.relu(self.lift_norm(self.encoder(images)))
        if self.network.shortcuts:
            y = jnp.concatenate([y, _cells(images, y.shape[1])], axis=-1)
        volume = self.lift(y)
        volume = volume.reshape(*y.shape[:3], -1, self.network.channels)
        if self.network.shortcuts:
            volume += self.lift_everywhere(y)[..., None, :]
        return volume

    def encode_pose(self, heatmaps: jax.Array) -> jax.Array:
        """Encodes the target pose `(B, h, w, d, J)` as `(B, h, w, d, C')`."""
        y = self.pose_root(heatmaps)
        for unit in self.pose_units:
            y = unit(y)
        return y

    def paint(self, volume: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Projects `(B, h, w, d, C)` to colour in [-1, 1] and coverage in [0, 1]."""
        y = volume.reshape(*volume.shape[:3], -1)
        if self.network.shortcuts:
            front = composite(volume, self.density(volume)[..., 0])
            y = jnp.concatenate([y, front], axis=-1)
        for unit in self.decoder:
            y = unit(y)
        y = self.head(nn.relu(self.head_norm(y)))
        return jnp.tanh(y[..., :3]), nn.sigmoid(y[..., 3:])

    def _head_bias(self, key, shape, dtype=jnp.float32):
        """Zeros, and a coverage that leaves most of the background as it is."""
        bias = jnp.zeros(shape, dtype)
        return bias if self.network.published else bias.at[3].set(_COVERAGE)

    def _pad(self, x, *axes):
        """The published network adds a row of zeros at the end of every axis."""
        if not self.network.published:
            return x
        return jnp.pad(x, [(0, int(axis in axes)) for axis in range(x.ndim)])

    def _background_mask(self, masks, size):
        """Pixels `(B, H, W, 1)` without a part in front."""
        hole = masks.max((1, 4))
        if self.network.published:
            hole = hole[:, :-1, :-1]
        hole = jnp.repeat(jnp.repeat(hole, 4, axis=1), 4, axis=2)[..., None]
        missing = size - hole.shape[1]
        margin = ((0, 0), (0, missing), (0, missing), (0, 0))
        hole = jnp.pad(hole, margin, constant_values=1)
        if not self.network.published:
            # Clothes are wider than limbs, and their rims would bleed into the hole.
            reach = 2 * (self.network.image_size // _RIM) + 1
            hole = nn.max_pool(hole, (reach, reach), padding="SAME")
        # A hole is a hole: partial convolution needs no gradient by the joints.
        return jax.lax.stop_gradient(hole < 0.5)


def composite(volume: jax.Array, density: jax.Array) -> jax.Array:
    """Looks at a volume from the front: what is near hides what is behind it.

    Source: Max, "Optical models for direct volume rendering", 1995, section 4; the
    opacity of a voxel is the sigmoid of its density.

    Args:
        volume: `(..., D, C)`, D from the front to the back.
        density: `(..., D)` logits of the opacity.

    Returns:
        `(..., C)` the sum over D of what each voxel shows through those before it.
    """
    # What comes through all voxels before, in float32: a product of many factors.
    passed = -nn.softplus(density.astype(jnp.float32))
    before = jnp.exp(jnp.cumsum(passed, axis=-1) - passed)
    weights = (before * nn.sigmoid(density)).astype(volume.dtype)
    return (weights[..., None] * volume).sum(-2)


def _cells(images, side):
    """Cuts `(B, H, W, C)` into side x side cells: `(B, side, side, pixels * C)`."""
    batch, height, width, _ = images.shape
    cells = images.reshape(batch, side, height // side, side, width // side, -1)
    return jnp.moveaxis(cells, 3, 2).reshape(batch, side, side, -1)


class Discriminator(nn.Module):
    """Judges whether a picture shows the person of another picture in a pose.

    Source: Knoche et al., section 3.5; the logit is the mean over positions. The
    published code also averages over the batch.

    Attributes:
        network: Sizes.
    """

    network: Network

    @nn.compact
    def __call__(
        self, source: jax.Array, candidate: jax.Array, heatmaps: jax.Array
    ) -> jax.Array:
        """Judges.

        Args:
            source: `(B, H, W, 3)` in [-1, 1].
            candidate: `(B, H, W, 3)`.
            heatmaps: `(B, H, W, D, J)` target pose at the size of the picture.

        Returns:
            `(B,)` logits.
        """
        flat = heatmaps.reshape(*heatmaps.shape[:3], -1)
        x = jnp.concatenate([source, candidate, flat], axis=-1)
        if self.network.published:
            x = jnp.pad(x, ((0, 0), (0, 1), (0, 1), (0, 0)))
        x = ResNetTrunk(self.network.root, self.network.critic, name="trunk")(x)
        x = nn.relu(GroupNorm(name="norm")(x))
        return nn.Conv(1, (3, 3), name="head")(x).mean((1, 2, 3))
