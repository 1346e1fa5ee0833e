"""Rendered channels: ray casting, finite differences and the mesh itself as oracles."""

import dataclasses

import numpy as np
import pytest
import trimesh
from scipy.ndimage import binary_dilation, binary_erosion

from volhuman.body.skeleton import JOINT_INDEX
from volhuman.body.template import load_template
from volhuman.people.cameras import (
    look_at,
    pixel_rays,
    pixels_from_view,
    view_from_body,
)
from volhuman.people.correspondence import dressed_points
from volhuman.people.lighting import sample_light, studio_light
from volhuman.people.materials import label_at
from volhuman.people.recipe import LABEL, LABELS
from volhuman.people.scenes import plain_background, sample_background
from volhuman.people.views import render

BODY_LABELS = ("skin", "trousers", "footwear", "socks", "accessory")


def rays_of(shot):
    """Origins and directions of the rays, and the directions in view axes."""
    origin, direction = pixel_rays(shot.camera, shot.size)
    return origin, direction, direction @ np.asarray(shot.camera.rotation).T


@pytest.fixture(scope="module")
def cast():
    """Casts rays through some seen pixels: `(row, column)`, and all hits of each.

    A hit is its distance, point, face, and whether the face turns to the viewer.
    """

    def run(shot, count=60):
        seen = np.argwhere(shot.view.label > 0)
        chosen = np.random.default_rng(0).choice(len(seen), count, replace=False)
        pixels = seen[chosen]
        origin, direction, _ = rays_of(shot)
        origin = origin[tuple(pixels.T)]
        direction = direction[tuple(pixels.T)]
        mesh = trimesh.Trimesh(shot.posed.vertices, shot.posed.faces, process=False)
        points, ray, face = mesh.ray.intersects_location(
            origin, direction, multiple_hits=True
        )
        hits = [[] for _ in pixels]
        for point, number, hit in zip(points, ray, face):
            distance = (point - origin[number]) @ direction[number]
            turned = mesh.face_normals[hit] @ direction[number] < 0
            hits[number].append((distance, point, hit, turned))
        return pixels, [sorted(found, key=lambda hit: hit[0]) for found in hits]

    return run


def normal_at(shot, point, face):
    """Interpolated vertex normal of the posed mesh in view axes."""
    triangle = shot.posed.vertices[shot.posed.faces[face]]
    weights = trimesh.triangles.points_to_barycentric(triangle[None], point[None])[0]
    normals = np.concatenate([part.normals for part in shot.posed.parts])
    normal = weights @ normals[shot.posed.faces[face]]
    return np.asarray(shot.camera.rotation) @ (normal / np.linalg.norm(normal))


def test_channels_have_the_documented_types(shot):
    view, size = shot.view, shot.size
    for name, shape, dtype in (
        ("rgb", (3,), np.float32),
        ("mask", (), np.float32),
        ("label", (), np.uint8),
        ("depth", (), np.float32),
        ("normal_front", (3,), np.float32),
        ("normal_back", (3,), np.float32),
        ("rest", (3,), np.float32),
        ("face", (), np.int32),
        ("barycentric", (3,), np.float32),
    ):
        channel = getattr(view, name)
        assert channel.shape == (size, size, *shape), name
        assert channel.dtype == dtype, name
    assert view.joints.shape == (24, 3) and view.joints.dtype == np.float32
    assert view.rgb.min() >= 0 and view.rgb.max() <= 1
    assert view.mask.min() >= 0 and view.mask.max() == 1
    seen = view.label > 0
    assert 0.05 < seen.mean() < 0.5
    np.testing.assert_array_equal(np.isfinite(view.depth), seen)
    assert not view.normal_front[~seen].any() and not view.rest[~seen].any()
    assert view.camera is shot.camera


def test_depth_and_normals_equal_ray_casting(shot, cast):
    pixels, hits = cast(shot)
    nearest = 0
    for pixel, found in zip(map(tuple, pixels), hits):
        # Only faces that turn to the viewer are drawn; where fabric turns its inside
        # out, something else comes first.
        _, point, face, _ = next(hit for hit in found if hit[3])
        view = view_from_body(shot.camera, point[None], shot.posed.joints[0])[0]
        assert shot.view.depth[pixel] == pytest.approx(view[2], abs=1e-5)
        np.testing.assert_allclose(
            shot.view.normal_front[pixel], normal_at(shot, point, face), atol=1e-4
        )
        nearest += found[0][3]
    assert nearest >= 0.95 * len(pixels)


def test_back_normals_equal_those_of_the_last_hit(shot, cast):
    pixels, hits = cast(shot, 40)
    last = 0
    for pixel, found in zip(map(tuple, pixels), hits):
        _, point, face, _ = [hit for hit in found if not hit[3]][-1]
        np.testing.assert_allclose(
            shot.view.normal_back[pixel], normal_at(shot, point, face), atol=1e-4
        )
        last += not found[-1][3]
    assert last >= 0.95 * len(pixels)


def test_front_normals_face_the_camera_and_back_normals_turn_away(shot):
    _, _, direction = rays_of(shot)
    for channel, sign in ((shot.view.normal_front, -1), (shot.view.normal_back, 1)):
        seen = (channel**2).sum(-1) > 0
        np.testing.assert_array_equal(seen, shot.view.label > 0)
        np.testing.assert_allclose(np.linalg.norm(channel[seen], axis=-1), 1, atol=1e-5)
        facing = sign * (channel * direction).sum(-1)[seen]
        # Smooth normals turn past the border where the surface is sharp: hems, locks.
        assert (facing > 0).mean() > 0.97
        if sign < 0:
            smooth = np.isin(
                shot.view.label, [LABEL[name] for name in ("skin", "trousers", "socks")]
            )
            assert facing[smooth[seen]].min() > -0.35


def test_normals_are_the_slopes_of_the_depth(picture):
    """Weak perspective: dz/dx and dz/dy by central differences, away from borders."""
    shot = picture(8, "standing", focal=None, size=160)
    depth, normal = shot.view.depth, shot.view.normal_front
    inner = binary_erosion(shot.view.label > 0, iterations=3)
    filled = np.where(np.isfinite(depth), depth, 0.0)
    slope_y, slope_x = np.gradient(filled, 2 / shot.size)
    expected = np.stack([slope_x, slope_y, -np.ones_like(slope_x)], axis=-1)
    expected /= np.linalg.norm(expected, axis=-1, keepdims=True)
    smooth = inner & (np.abs(slope_x) < 1.5) & (np.abs(slope_y) < 1.5)
    angle = np.degrees(np.arccos(np.clip((expected * normal).sum(-1)[smooth], -1, 1)))
    assert smooth.sum() > 1000
    assert np.median(angle) < 4 and np.quantile(angle, 0.9) < 15


def test_the_mask_is_the_silhouette_up_to_its_border(shot):
    seen, mask = shot.view.label > 0, shot.view.mask
    inner, outer = binary_erosion(seen), binary_dilation(seen, iterations=2)
    assert mask[inner].min() > 0 and (mask[inner] == 1).mean() > 0.98
    assert mask[~outer].max() == 0
    border = outer & ~inner
    share = mask[border]
    assert {0.25, 0.5, 0.75} <= set(share.tolist())
    assert share.sum() == pytest.approx(seen[border].sum(), rel=0.15)


def test_labels_are_those_of_the_seen_rest_coordinates(shot):
    """Where the body itself is seen; hanging fabric has one label for all."""
    view, recipe = shot.view, shot.posed.person.recipe
    seen = view.label > 0
    expected = np.zeros(view.label.shape, np.uint8)
    expected[seen] = label_at(recipe, "body", 0, view.rest[seen].astype(float))
    for name in BODY_LABELS:
        own = view.label == LABEL[name]
        assert (expected[own] != LABEL[name]).sum() <= 0.005 * own.sum(), name
    found = {LABELS[number] for number in np.unique(view.label)}
    assert {"background", "skin", "top", "outerwear", "trousers", "hair"} <= found


def test_joints_are_the_projected_skeleton_in_pixels(shot):
    posed = shot.posed
    view = view_from_body(shot.camera, posed.joints, posed.joints[0])
    joints = shot.view.joints
    np.testing.assert_allclose(
        joints[:, :2], (view[:, :2] + 1) * shot.size / 2, atol=1e-3
    )
    # The same unit along all axes.
    np.testing.assert_allclose(joints[:, 2], view[:, 2] * shot.size / 2, atol=1e-3)
    for name in ("pelvis", "spine1", "spine2", "spine3", "neck"):
        x, y, _ = joints[JOINT_INDEX[name]]
        assert shot.view.label[int(y), int(x)] > 0, name


def test_correspondences_lead_back_to_their_pixels(shot):
    view, posed = shot.view, shot.posed
    row, column = np.nonzero(view.face >= 0)
    assert len(row) > 500
    weights = view.barycentric[row, column].astype(float)
    assert weights.min() > -1e-6
    np.testing.assert_allclose(weights.sum(1), 1, atol=1e-5)
    points = dressed_points(posed, view.face[row, column], weights)
    pixels = pixels_from_view(
        view_from_body(shot.camera, points, posed.joints[0]), shot.size
    )
    expected = np.stack([column + 0.5, row + 0.5], axis=1)
    assert np.abs(pixels[:, :2] - expected).max() < 0.01
    # They lie on the surface that is seen, or behind hair and hanging fabric.
    depth = pixels[:, 2] * 2 / shot.size
    assert (depth > view.depth[row, column] - 1e-5).all()
    bare = np.isin(view.label[row, column], [LABEL[name] for name in BODY_LABELS])
    np.testing.assert_allclose(depth[bare], view.depth[row, column][bare], atol=1e-4)


def test_rest_coordinates_are_the_template_under_what_lies_on_the_body(shot):
    view, body = shot.view, load_template()
    on_body = np.isin(view.label, [LABEL[name] for name in BODY_LABELS])
    on_body &= view.face >= 0
    assert on_body.sum() > 200
    corners = np.asarray(body.template)[np.asarray(body.faces)[view.face[on_body]]]
    expected = (view.barycentric[on_body][..., None] * corners).sum(1)
    distance = np.linalg.norm(view.rest[on_body] - expected, axis=1)
    assert np.median(distance) < 1e-3 and np.quantile(distance, 0.99) < 6e-3


def test_the_body_behind_the_silhouette_is_inside_it(shot):
    assert (shot.view.label[shot.view.face >= 0] > 0).all()
    assert not shot.view.barycentric[shot.view.face < 0].any()


def test_weak_perspective_is_the_limit_of_a_long_pinhole(picture):
    weak = picture(0, "bent", focal=None).view
    long = picture(0, "bent", focal=2000.0).view
    differs = weak.label != long.label
    assert differs.mean() < 0.003
    both = (weak.label > 0) & (long.label > 0)
    close = np.abs(weak.depth[both] - long.depth[both]) < 2e-3
    assert close.mean() > 0.99
    assert np.abs(weak.rgb - long.rgb).mean() < 0.003
    np.testing.assert_allclose(weak.joints[:, :2], long.joints[:, :2], atol=0.05)


def test_sizes_agree_after_shrinking(picture):
    small, large = (picture(0, "bent", size=size).view for size in (64, 128))
    shrink = lambda channel: channel.reshape(64, 2, 64, 2, -1).mean((1, 3))
    assert np.abs(shrink(large.mask)[..., 0] - small.mask).mean() < 0.012
    assert np.abs(shrink(large.rgb) - small.rgb).mean() < 0.015
    np.testing.assert_allclose(small.joints[:, :2] * 2, large.joints[:, :2], atol=1e-3)
    inner = binary_erosion(small.label > 0, iterations=2)
    again = large.label[1::2, 1::2]
    assert (again == small.label)[inner].mean() > 0.85


def test_white_is_seen_where_nobody_stands(shot):
    empty = shot.view.mask == 0
    np.testing.assert_allclose(shot.view.rgb[empty], 1, atol=1e-6)
    full = shot.view.mask == 1
    assert shot.view.rgb[full].mean() < 0.8 and shot.view.rgb[full].std() > 0.1


@pytest.mark.parametrize("focal", [3.0, None], ids=["pinhole", "weak"])
def test_a_person_outside_the_picture_gives_empty_channels(posed_of, focal):
    posed = posed_of(0, "standing")
    camera = look_at(0.2, 0, 0, centre=np.array([30.0, 0, 0]), reach=1, focal=focal)
    view = render(
        posed.person, posed, camera, studio_light(), plain_background(0.5), size=32
    )
    for name in ("mask", "label", "normal_front", "normal_back", "rest", "barycentric"):
        assert not getattr(view, name).any(), name
    assert (view.face == -1).all() and np.isinf(view.depth).all()
    np.testing.assert_allclose(view.rgb, 0.5, atol=1e-6)
    assert np.isfinite(view.joints).all()


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_a_person_cut_by_the_border_is_drawn_as_far_as_it_is_seen(posed_of, side):
    posed = posed_of(0, "standing")
    middle = posed.joints[0] + [0.5 * side, 0, 0]
    whole, part = (
        render(
            posed.person,
            posed,
            look_at(0, 0, 0, centre=middle, reach=reach),
            studio_light(),
            plain_background(),
            size=size,
        )
        for reach, size in ((1.2, 96), (0.4, 32))
    )
    inner = slice(32, 64)
    np.testing.assert_array_equal(part.label, whole.label[inner, inner])
    np.testing.assert_allclose(part.mask, whole.mask[inner, inner])
    seen = part.label > 0
    assert 0.02 < seen.mean() < 0.98
    np.testing.assert_allclose(
        part.depth[seen] * 0.4, whole.depth[inner, inner][seen] * 1.2, atol=1e-5
    )


def test_geometry_does_not_depend_on_light_and_place(shot, poses):
    generator = np.random.default_rng(0)
    person = shot.posed.person
    other = render(
        person,
        poses["bent"],  # posed again from the angles
        shot.camera,
        sample_light(generator),
        dataclasses.replace(sample_background(generator), kind="room"),
        size=shot.size,
    )
    for name in ("mask", "label", "depth", "normal_front", "rest", "face", "joints"):
        np.testing.assert_array_equal(getattr(other, name), getattr(shot.view, name))
    assert np.abs(other.rgb - shot.view.rgb).mean() > 0.05


@pytest.mark.parametrize("side", [1, -1])
def test_a_person_throws_its_shadow_on_the_floor_away_from_the_light(
    posed_of, camera_at, side
):
    posed = posed_of(1, "standing")
    camera = camera_at(posed, pitch=0.0, yaw=0.0, roll=0.0)
    light = dataclasses.replace(
        studio_light(), direction=np.array([0.8 * side, 0.6, 0.0]), softness=0.004
    )
    place = dataclasses.replace(
        sample_background(np.random.default_rng(0)),
        kind="studio", distance=4.0, angle=0.0, blur=0.0,
    )  # fmt: skip
    view = render(posed.person, posed, camera, light, place, size=96)
    feet = int(view.joints[[7, 8, 10, 11], 1].max())
    rows = view.rgb.mean(-1)[feet - 4 : feet + 4]
    # The person's left is at the right of the picture.
    lit, shaded = (rows[:, 72:], rows[:, :24])[::side]
    assert shaded.min() < 0.8 * lit.min()
    aloft = render(
        posed.person, posed, camera, light, place, size=96, ground=posed.ground - 9
    )
    np.testing.assert_array_equal(aloft.label, view.label)
    assert not np.array_equal(aloft.rgb, view.rgb), "the floor is where it is told"
