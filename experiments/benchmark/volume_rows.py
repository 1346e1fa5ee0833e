"""Rows of the volume functions: the part warp and trilinear sampling."""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
import scipy.ndimage
import torch
from row import Row, close
from scipy.spatial.transform import Rotation

from volhuman.body.template import load_template
from volhuman.geometry.masks import capsule_masks
from volhuman.geometry.sampling import sample_trilinear, view_grid
from volhuman.geometry.warp import warp_parts


def limbs(size, thickness):
    """Ten limbs as capsules with their motions: masks and source_from_target maps."""
    model = load_template()
    joints = np.asarray(model.joints)
    limbs = [(0, 12), (12, 15), (16, 18), (18, 20), (17, 19), (19, 21)]
    limbs += [(1, 4), (4, 7), (2, 5), (5, 8)]
    radii = np.array([0.17, 0.12, 0.07, 0.06, 0.07, 0.06, 0.1, 0.08, 0.1, 0.08])
    ends = jnp.asarray(joints[np.array(limbs)] * [1, -1, 1], jnp.float32)
    masks = capsule_masks(
        ends, jnp.asarray(radii * thickness, jnp.float32), (size,) * 3
    )
    turn = Rotation.from_rotvec(
        np.random.default_rng(0).normal(0, 0.4, (10, 3))
    ).as_matrix()
    pivot = np.asarray(ends[:, 0])
    shift = pivot - (turn @ pivot[..., None])[..., 0]
    return masks, jnp.asarray(np.concatenate([turn, shift[..., None]], -1), jnp.float32)


def warp_rows() -> Iterator[Row]:
    """b: the part warp against masked copies through torch's grid_sample."""
    settings = (
        ("mask 1 %", 16, 1.8, (12, 18)),
        ("mask 1 %", 32, 1.8, (15, 25)),
        ("mask 6 %", 16, 4.5, (7, 9)),
        ("mask 100 %", 16, None, (2, 2.5)),
    )
    size = 64
    generator = np.random.default_rng(0)
    for label, channels, thickness, bars in settings:
        masks, maps = limbs(size, thickness or 1)
        if thickness is None:
            masks = jnp.ones_like(masks)
        share = float((masks > 0).mean())
        volume, cotangent = (
            jnp.asarray(generator.standard_normal((size,) * 3 + (channels,)), "float32")
            for _ in range(2)
        )
        warp = jax.jit(warp_parts)
        gradient = jax.jit(
            lambda v, m, a, g: jax.vjp(lambda v: warp_parts(v, m, a), v)[1](g)[0]
        )
        torch_volume, torch_cotangent = (
            torch.from_numpy(np.array(x)).permute(3, 0, 1, 2)[None].contiguous()
            for x in (volume, cotangent)
        )
        torch_masks = torch.from_numpy(np.array(masks))
        # torch orders axes D, H, W and coordinates x, y, z of the last to the first.
        order = [2, 0, 1]
        matrix = np.array(maps)[:, order][:, :, [*order, 3]]
        grid = torch.nn.functional.affine_grid(
            torch.from_numpy(matrix), (10, 1, size, size, size), align_corners=False
        )

        def forward(volume, masks=torch_masks, grid=grid):
            best = None
            for part in range(10):
                moved = torch.nn.functional.grid_sample(
                    volume * masks[part], grid[part : part + 1], align_corners=False
                )
                best = moved if best is None else torch.maximum(best, moved)
            return best

        def peer(forward=forward, volume=torch_volume):
            with torch.no_grad():
                return forward(volume)

        def peer_gradient(forward=forward, volume=torch_volume, g=torch_cotangent):
            leaf = volume.clone().requires_grad_()
            forward(leaf).backward(g)
            return leaf.grad

        ours = warp(volume, masks, maps)
        close("warp", ours, peer()[0].permute(1, 2, 3, 0), 2e-4)
        name = f"64^3 x {channels}, {label} ({100 * share:.1f} %)"
        yield Row(
            f"b warp {name}",
            "torch",
            bars[0],
            lambda warp=warp, v=volume, m=masks, a=maps: warp(v, m, a),
            peer,
        )
        yield Row(
            f"b warp + gradient {name}",
            "torch",
            bars[1],
            lambda f=gradient, v=volume, m=masks, a=maps, g=cotangent: f(v, m, a, g),
            peer_gradient,
        )


def sampling_rows() -> Iterator[Row]:
    """b: one trilinear resampling of a volume."""
    generator = np.random.default_rng(0)
    turn = Rotation.from_euler("xyz", [0.2, 0.3, 0.1]).as_matrix()
    points = jnp.asarray(view_grid(64, 64, 64).reshape(-1, 3) @ turn.T * 0.9)
    for channels, bars in ((16, (2.5, 5, 10)), (32, (4, None, None))):
        volume = jnp.asarray(generator.standard_normal((64,) * 3 + (channels,)), "f4")
        sample = jax.jit(lambda v, p: sample_trilinear(v, p, "zero"))
        torch_volume = torch.from_numpy(np.array(volume)).permute(3, 2, 0, 1)[None]
        torch_volume = torch_volume.contiguous()
        torch_points = torch.from_numpy(np.array(points))[None, :, None, None]

        def peer(volume=torch_volume, points=torch_points):
            return torch.nn.functional.grid_sample(volume, points, align_corners=False)

        close("sample", sample(volume, points), peer()[0, :, :, 0, 0].T, 1e-5)
        ours = lambda sample=sample, v=volume, p=points: sample(v, p)
        name = f"b trilinear, 262144 points x {channels}"
        yield Row(name, "torch", bars[0], ours, peer)
        if channels == 16:
            index = (0.5 * (64 * (np.asarray(points) + 1) - 1))[:, [1, 0, 2]].T
            index = np.ascontiguousarray(index)
            mapped = jax.jit(
                lambda c, i: jax.scipy.ndimage.map_coordinates(c, list(i), 1)
            )

            def peer_mapped(mapped=mapped, v=volume, index=index):
                return [mapped(v[..., c], index) for c in range(v.shape[-1])]

            yield Row(name, "jax.scipy, per channel", bars[1], ours, peer_mapped)
            host = np.asarray(volume)
            yield Row(
                name,
                "scipy, per channel",
                bars[2],
                ours,
                lambda v=host, i=index: [
                    scipy.ndimage.map_coordinates(v[..., c], i, order=1)
                    for c in range(v.shape[-1])
                ],
            )
