"""The rows of the geometry benchmark: our function, its peer, and the bar to hold.

Every row first checks that both give the same result.
"""

import contextlib
import io
from collections.abc import Iterator

import igl
import jax
import jax.numpy as jnp
import numpy as np
import roma
import scipy.spatial
import smplx
import torch
import trimesh
from row import Row, close
from scipy.spatial.transform import Rotation
from smplx.utils import Struct
from volume_rows import sampling_rows, warp_rows

from volhuman.body.model import BodyParams, pose_body
from volhuman.body.skeleton import PARENTS
from volhuman.body.template import build_body, load_template
from volhuman.geometry.masks import capsule_masks, joint_heatmaps
from volhuman.geometry.mesh import closest_point, nearest_vertices
from volhuman.geometry.sampling import view_grid
from volhuman.geometry.similarity import fit_similarity
from volhuman.geometry.voxelize import voxelize


def similarity_rows() -> Iterator[Row]:
    """a: 640 similarity fits against roma."""
    generator = np.random.default_rng(0)
    for count, bars in ((8, (3, 4)), (200, (2, 2))):
        shape = np.array([0.05, 0.3, 0.05])
        source = generator.standard_normal((640, count, 3)) * shape
        turn = Rotation.random(640, random_state=1).as_matrix()
        target = generator.uniform(0.7, 1.4, (640, 1, 1)) * (
            source @ turn.swapaxes(1, 2)
        )
        target += 0.005 * generator.standard_normal(source.shape)
        source, target = (jnp.asarray(x, jnp.float32) for x in (source, target))
        pair = [torch.from_numpy(np.array(x)) for x in (source, target)]
        fit = jax.jit(fit_similarity)

        def peer(pair=pair):
            return roma.rigid_points_registration(*pair, compute_scaling=True)

        close("similarity", fit(source, target).rotation, peer()[0], 2e-5)
        yield Row(
            f"a similarity fit, 640 x {count} points",
            "roma",
            bars[0],
            lambda fit=fit, x=source, y=target: fit(x, y),
            peer,
        )

        def loss(x, y):
            return sum(
                (leaf**2).sum() for leaf in jax.tree.leaves(fit_similarity(x, y))
            )

        gradient = jax.jit(jax.grad(loss, (0, 1)))

        def peer_gradient(pair=pair):
            leaves = [x.clone().requires_grad_() for x in pair]
            fitted = roma.rigid_points_registration(*leaves, compute_scaling=True)
            sum((part**2).sum() for part in fitted).backward()
            return leaves[0].grad

        yield Row(
            f"a similarity fit + gradient, 640 x {count}",
            "roma",
            bars[1],
            lambda gradient=gradient, x=source, y=target: gradient(x, y),
            peer_gradient,
        )


def skinning_rows() -> Iterator[Row]:
    """c: skinning with pose blend shapes against smplx, on random SMPL-sized arrays."""
    generator = np.random.default_rng(0)
    count = 6890
    template = generator.uniform(-1, 1, (count, 3))
    shape_dirs = generator.standard_normal((count, 3, 10)) * 0.02
    pose_dirs = generator.standard_normal((count, 3, 207)) * 0.002
    weights = np.zeros((count, 24))
    chosen = generator.integers(0, 24, (count, 4))
    np.put_along_axis(weights, chosen, generator.uniform(0.1, 1, (count, 4)), 1)
    weights /= weights.sum(1, keepdims=True)
    regressor = np.zeros((24, count))
    for row in regressor:
        row[generator.choice(count, 40, replace=False)] = 1 / 40
    faces = generator.integers(0, count, (13776, 3))
    model = build_body(
        name="random",
        template=template,
        shape_dirs=shape_dirs,
        pose_dirs=pose_dirs,
        weights=weights,
        joints=regressor @ template,
        joint_dirs=np.einsum("jv,vcs->jcs", regressor, shape_dirs),
        faces=faces,
    )
    arrays = Struct(
        v_template=template,
        shapedirs=shape_dirs,
        posedirs=pose_dirs,
        J_regressor=regressor,
        weights=weights,
        kintree_table=np.stack([PARENTS, np.arange(24)]).astype(np.int64),
        f=faces,
    )

    def one(shape, pose):
        params = BodyParams(pose, shape, jnp.ones(24), jnp.zeros(3))
        return pose_body(model, params).vertices

    for batch, bars in ((1, (3, 1.8)), (16, (1.7, 1.7)), (64, (1.7, 1.2))):
        shapes = jnp.asarray(generator.standard_normal((batch, 10)), jnp.float32)
        poses = jnp.asarray(generator.normal(0, 0.3, (batch, 24, 3)), jnp.float32)
        # A single body is posed without a batch axis.
        skin = one if batch == 1 else jax.vmap(one)
        given = (shapes[0], poses[0]) if batch == 1 else (shapes, poses)
        forward = jax.jit(skin)
        gradient = jax.jit(jax.grad(lambda s, p, f=skin: (f(s, p) ** 2).sum(), (0, 1)))
        with contextlib.redirect_stdout(io.StringIO()):
            body = smplx.SMPL(
                model_path="",
                data_struct=arrays,
                batch_size=batch,
                create_global_orient=False,
                create_body_pose=False,
                create_betas=False,
                create_transl=False,
            )
        torch_shapes = torch.from_numpy(np.array(shapes))
        torch_poses = torch.from_numpy(np.array(poses)).reshape(batch, 72)

        def run(shapes, poses, body=body):
            return body(
                betas=shapes, global_orient=poses[:, :3], body_pose=poses[:, 3:]
            ).vertices

        def peer(run=run, shapes=torch_shapes, poses=torch_poses):
            with torch.no_grad():
                return run(shapes, poses)

        def peer_gradient(run=run, shapes=torch_shapes, poses=torch_poses):
            leaves = [x.clone().requires_grad_() for x in (shapes, poses)]
            (run(*leaves) ** 2).sum().backward()
            return leaves[0].grad

        close("skinning", forward(*given), peer()[0] if batch == 1 else peer(), 1e-5)
        name = f"c skinning, {batch} bodies"
        yield Row(name, "smplx", bars[0], lambda f=forward, g=given: f(*g), peer)
        yield Row(
            f"{name} + gradient",
            "smplx",
            bars[1],
            lambda f=gradient, g=given: f(*g),
            peer_gradient,
        )


def voxel_rows() -> Iterator[Row]:
    """d: occupancy of the body, equal to the winding number at every voxel."""
    model = load_template()
    vertices = np.asarray(model.template) * np.float32(0.95)
    faces = np.asarray(model.faces)
    for shape, bars in (((128, 128, 128), (25, 12)), ((192, 128, 128), (30, None))):
        fill = jax.jit(lambda v, f, shape=shape: voxelize(v, f, shape))
        given = (jnp.asarray(vertices), jnp.asarray(faces))
        centres = np.asarray(view_grid(*shape)).reshape(-1, 3)
        winding = igl.fast_winding_number(
            vertices.astype(float), faces.astype(np.int64), centres.astype(float)
        )
        different = np.asarray(fill(*given)).reshape(-1) != (np.abs(winding) > 0.5)
        if different.any():
            raise AssertionError(f"occupancy differs at {different.sum()} voxels")
        height, width, depth = shape
        scaled = trimesh.Trimesh(
            (vertices + 1) * (np.array([width, height, depth]) / 2),
            faces,
            process=False,
        )
        name = f"d occupancy {'x'.join(map(str, shape))}"
        ours = lambda fill=fill, given=given: fill(*given)
        yield Row(
            name,
            "trimesh",
            bars[0],
            ours,
            lambda mesh=scaled: mesh.voxelized(1.0).fill().matrix,
        )
        if bars[1]:
            # Imported here: open3d needs system libraries that not every machine has.
            import open3d

            def peer(centres=centres, open3d=open3d):
                scene = open3d.t.geometry.RaycastingScene(nthreads=1)
                scene.add_triangles(
                    open3d.core.Tensor(vertices),
                    open3d.core.Tensor(faces.astype(np.uint32)),
                )
                return scene.compute_occupancy(open3d.core.Tensor(centres)).numpy()

            yield Row(name, "open3d", bars[1], ours, peer)


def mask_rows() -> Iterator[Row]:
    """g: capsule masks and heat maps."""
    generator = np.random.default_rng(0)
    size = 64
    ends = generator.uniform(-0.8, 0.8, (10, 2, 3)).astype(np.float32)
    radii = generator.uniform(0.05, 0.2, 10).astype(np.float32)
    joints = generator.uniform(-0.9, 0.9, (24, 3)).astype(np.float32)
    fill = jax.jit(lambda e, r: capsule_masks(e, r, (size,) * 3))
    draw = jax.jit(lambda j: joint_heatmaps(j, (size,) * 3, 1 / 16))
    grid = torch.from_numpy(np.array(view_grid(size, size, size)))
    axis = torch.linspace(-1 + 1 / size, 1 - 1 / size, size)

    def torch_capsules():
        masks = []
        for (start, end), radius in zip(
            torch.from_numpy(ends), torch.from_numpy(radii), strict=True
        ):
            along = end - start
            nearest = ((grid - start) @ along / (along @ along)).clamp(0, 1)
            distance = (grid - start - nearest[..., None] * along).norm(dim=-1)
            masks.append(((radius - distance) * (size / 2) + 0.5).clamp(0, 1))
        return torch.stack(masks)

    def torch_heatmaps():
        centre = torch.from_numpy(joints)
        line = torch.exp(-((axis[None, :, None] - centre[:, None]) ** 2) * 128)
        x, y, z = line.unbind(-1)
        return y[:, :, None, None] * x[:, None, :, None] * z[:, None, None, :]

    close("capsules", fill(ends, radii), torch_capsules(), 1e-4)
    close("heat maps", draw(joints), torch_heatmaps().permute(1, 2, 3, 0), 1e-5)
    yield Row(
        "g 10 capsule masks 64^3",
        "torch",
        12,
        lambda: fill(ends, radii),
        torch_capsules,
    )
    yield Row(
        "g 24 heat maps 64^3",
        "torch separable",
        2.5,
        lambda: draw(joints),
        torch_heatmaps,
    )


def nearest_rows() -> Iterator[Row]:
    """h: nearest vertices and closest points, for points spread over the body's box."""
    model = load_template()
    vertices, faces = np.asarray(model.template), np.asarray(model.faces)
    points = np.random.default_rng(0).uniform(
        vertices.min(0), vertices.max(0), (5000, 3)
    )
    points = points.astype(np.float32)
    find = jax.jit(lambda p, v: nearest_vertices(p, v, 4))
    given = (jnp.asarray(points), jnp.asarray(vertices))

    def tree():
        return scipy.spatial.cKDTree(vertices).query(points, k=4)

    def brute():
        return torch.cdist(
            torch.from_numpy(points), torch.from_numpy(np.array(vertices))
        ).topk(4, dim=1, largest=False)

    close("nearest", find(*given)[0], tree()[0], 1e-6)
    ours = lambda: find(*given)
    yield Row("h 4 nearest of 5000 x 6890", "cKDTree", 0.45, ours, tree)
    yield Row("h 4 nearest of 5000 x 6890", "torch", 3.5, ours, brute)

    mesh = trimesh.Trimesh(vertices, faces, process=False)
    closest = jax.jit(closest_point)
    surface = (*given, jnp.asarray(faces))
    _, distance, _ = trimesh.proximity.closest_point(mesh, points)
    ours_distance = np.linalg.norm(np.asarray(closest(*surface)[0]) - points, axis=1)
    close("closest point", ours_distance, distance, 1e-5)
    yield Row(
        "h closest point, 5000 x 13776 faces",
        "trimesh",
        2.2,
        lambda: closest(*surface),
        lambda: trimesh.proximity.closest_point(mesh, points),
    )


ALL_ROWS = (
    similarity_rows,
    warp_rows,
    sampling_rows,
    skinning_rows,
    voxel_rows,
    mask_rows,
    nearest_rows,
)
