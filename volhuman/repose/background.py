"""Fills the place of the person in a photograph: a U-Net of partial convolutions."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from volhuman.nn.normalization import GroupNorm
from volhuman.repose.blocks import PartialConv, double
from volhuman.repose.config import Network


class BackgroundInpainter(nn.Module):
    """Paints what is behind the person.

    Source: Knoche et al., "Reposing Humans by Warping 3D Features", section 3.4; Liu et
    al. 2018.

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
            x, mask = PartialConv(features, 3, 1, published, name=f"up{stage}")(
                jnp.concatenate([skip, x], axis=-1),
                jnp.concatenate([skip_mask, mask], axis=-1),
            )
            if stage < len(outputs):
                x = GroupNorm(name=f"up{stage}_norm")(x)
            x = nn.leaky_relu(x, 0.2)
        return jnp.tanh(x)

    def _enlarge(self, x, skip):
        """Doubles the size, cropped to the skip connection where that was odd."""
        height, width = skip.shape[1:3]
        return double(x, aligned=self.network.published)[:, :height, :width]
