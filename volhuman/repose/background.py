"""Fills the place of the person in a photograph: a U-Net of partial convolutions."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from volhuman.nn.normalization import GroupNorm
from volhuman.repose.blocks import PartialConv, double
from volhuman.repose.config import Network

# A seen colour at the end of its range would need an infinite argument of tanh.
_SEEN = 0.995
_ZEROS = nn.initializers.zeros
_XAVIER = nn.initializers.xavier_uniform()


class BackgroundInpainter(nn.Module):
    """Paints what is behind the person.

    Source: Knoche et al., "Reposing Humans by Warping 3D Features", section 3.4; Liu et
    al. 2018. The published network paints what is seen anew as well; without
    `network.published` it paints the difference to what is seen, continued smoothly
    behind the person, and begins with no difference. So a place needs not be learnt,
    and what the part masks miss of the person can still be removed.

    Attributes:
        network: Sizes.
    """

    network: Network

    @nn.compact
    def __call__(
        self, image: jax.Array, valid: jax.Array, noise: jax.Array
    ) -> jax.Array:
        """Inpaints.

        Args:
            image: `(B, H, W, 3)` in [-1, 1].
            valid: `(B, H, W, 1)` 1 where the background is seen, 0 at the person.
            noise: `(B, H, W, 1)` normal noise, an input of its own.

        Returns:
            `(B, H, W, 3)` in [-1, 1].
        """
        published = self.network.published
        x = jnp.concatenate([image, noise], axis=-1) * valid
        # Pixels in [0, 1], holes above every colour.
        x = x / 2 + 0.5 + (1 - valid)
        mask = jnp.broadcast_to(valid, x.shape)
        skips = [(x, mask)]
        for stage, (size, features) in enumerate(self.network.background, 1):
            x, mask = PartialConv(features, size, 2, published, name=f"down{stage}")(
                x * mask, mask
            )
            if stage > 1:
                x = GroupNorm(name=f"down{stage}_norm")(x)
            x = nn.relu(x)
            skips.append((x, mask))
        outputs = [features for _, features in self.network.background[-2::-1]] + [3]
        for stage, features in enumerate(outputs, 1):
            skip, skip_mask = skips[-1 - stage]
            x, mask = (self._enlarge(y, skip) for y in (x * mask, mask))
            last = stage == len(outputs)
            convolve = PartialConv(
                features,
                3,
                1,
                published,
                kernel_init=_ZEROS if last and not published else _XAVIER,
                name=f"up{stage}",
            )
            x, mask = convolve(
                jnp.concatenate([skip, x], axis=-1),
                jnp.concatenate([skip_mask, mask], axis=-1),
            )
            if not last:
                x = GroupNorm(name=f"up{stage}_norm")(x)
            if published or not last:
                x = nn.leaky_relu(x, 0.2)
        if published:
            return jnp.tanh(x)
        return jnp.tanh(x + jnp.arctanh(_SEEN * fill_holes(image, valid)))

    def _enlarge(self, x, skip):
        """Doubles the size, cropped to the skip connection where that was odd."""
        height, width = skip.shape[1:3]
        return double(x, aligned=self.network.published)[:, :height, :width]


def fill_holes(image: jax.Array, valid: jax.Array) -> jax.Array:
    """Continues what is seen smoothly over what is not.

    Means of halves, quarters and so on of the picture are taken over what is seen; a
    hole gets the finest of them that has seen anything.

    Source: Gortler et al., "The lumigraph", 1996, section 3.5 (pull and push).

    Args:
        image: `(B, H, W, C)`.
        valid: `(B, H, W, 1)` 1 where seen, 0 elsewhere.

    Returns:
        `(B, H, W, C)`, equal to `image` where it is seen; 0 where nothing is.
    """
    if max(image.shape[1:3]) == 1:
        return image * valid
    halve = lambda x: nn.avg_pool(x, (2, 2), (2, 2), padding="SAME")
    seen = halve(valid)
    coarse = fill_holes(halve(image * valid) / jnp.maximum(seen, 1e-6), jnp.sign(seen))
    return jnp.where(valid > 0, image, jax.image.resize(coarse, image.shape, "linear"))
