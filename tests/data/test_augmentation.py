"""Augmentation: the published changes stated in NumPy, and joints stay on the picture.

Hue and saturation are compared with scikit-image's colour space.
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from skimage.color import hsv2rgb, rgb2hsv

from volhuman.body.part_transforms import BODY24, PANOPTIC19
from volhuman.body.skeleton import MIRROR
from volhuman.data.augmentation import (
    Geometry,
    augment_colour,
    augment_image,
    augment_joints,
    augment_pair,
    augment_points,
    mirror_order,
    sample_geometry,
)

SHAPE = (40, 56)  # H, W
ONLY = dict.fromkeys(("brightness", "contrast", "hue", "saturation"), 0.0)


@pytest.fixture
def image():
    """Colours whose smallest and largest channel stay away from 0 and 1."""
    return np.random.default_rng(0).uniform(0.25, 0.75, (*SHAPE, 3)).astype(np.float32)


def _geometry(angle=0.0, shift=(0.0, 0.0), scale=1.0, flip=False):
    return Geometry(
        *map(jnp.asarray, (angle, jnp.array(shift), scale)), flip=jnp.asarray(flip)
    )


# -- colour


def _turn_hue(rgb, degrees):
    hue, saturation, value = np.moveaxis(rgb2hsv(np.clip(rgb, 0, 1)), -1, 0)
    return hsv2rgb(np.stack([(hue + degrees / 360) % 1, saturation, value], -1))


def _saturate(rgb, amount):
    hue, saturation, value = np.moveaxis(rgb2hsv(np.clip(rgb, 0, 1)), -1, 0)
    return hsv2rgb(np.stack([hue, np.minimum(saturation * (1 + amount), 1), value], -1))


COLOUR = {
    "brightness": lambda rgb, amount: rgb + amount,
    "contrast": lambda rgb, amount: (rgb - 0.5) * (1 + amount) + 0.5,
    "hue": _turn_hue,
    "saturation": _saturate,
}


def test_every_order_of_the_published_changes_occurs_and_no_other(monkeypatch):
    """With the amounts held, 200 keys give the 24 results of the NumPy statement."""
    monkeypatch.setattr(jax.random, "uniform", lambda key, shape, **_: jnp.ones(shape))
    amounts = {"brightness": 0.125, "contrast": 0.5, "hue": 72.0, "saturation": 0.5}
    rng = np.random.default_rng(1)
    image = rng.uniform(0, 1, (6, 7, 3)).astype(np.float32)
    wanted = []
    for order in itertools.permutations(amounts):
        x = image.astype(float)
        for name in order:
            x = COLOUR[name](x, amounts[name])
        wanted.append(np.clip(x, 0, 1))
    keys = jax.random.split(jax.random.key(3), 200)
    found = np.asarray(jax.vmap(lambda key: augment_colour(key, image))(keys))
    distance = np.abs(found[:, None] - np.stack(wanted)).max((2, 3, 4))
    assert distance.min(1).max() < 1e-5
    # Some orders commute and so share a result.
    assert set(np.flatnonzero((distance < 1e-5).any(0))) == set(range(24))


@pytest.mark.parametrize("name, reach", [("brightness", 0.1), ("contrast", 0.3)])
def test_brightness_and_contrast_use_one_amount_for_all_pixels(image, name, reach):
    keys = jax.random.split(jax.random.key(0), 50)
    options = ONLY | {name: reach}
    found = np.asarray(jax.vmap(lambda k: augment_colour(k, image, **options))(keys))
    amounts = []
    for changed in found:
        x, y = image.reshape(-1).astype(float), changed.reshape(-1)
        slope, offset = np.polyfit(x, y, 1)
        amount = slope - 1 if name == "contrast" else offset
        np.testing.assert_allclose(y, COLOUR[name](x, amount), atol=1e-5)
        amounts.append(amount)
    assert -reach <= min(amounts) < -0.7 * reach and 0.7 * reach < max(amounts) <= reach


@pytest.mark.parametrize("name, reach", [("hue", 100.0), ("saturation", 0.9)])
def test_hue_and_saturation_use_one_amount_for_all_pixels(image, name, reach):
    keys = jax.random.split(jax.random.key(0), 50)
    options = ONLY | {name: reach}
    found = np.asarray(jax.vmap(lambda k: augment_colour(k, image, **options))(keys))
    before = rgb2hsv(image)
    dull = np.argmin(before[..., 1])  # stays below full saturation
    amounts = []
    for changed in found:
        after = rgb2hsv(changed).reshape(-1, 3)[dull]
        start = before.reshape(-1, 3)[dull]
        amount = (
            (after[0] - start[0] + 0.5) % 1 * 360 - 180
            if name == "hue"
            else after[1] / start[1] - 1
        )
        np.testing.assert_allclose(changed, COLOUR[name](image, amount), atol=1e-4)
        amounts.append(amount)
    slack = 1e-3 * reach
    assert -reach - slack <= min(amounts) < -0.7 * reach
    assert 0.7 * reach < max(amounts) <= reach + slack


def test_colour_stays_in_range_and_keeps_grey_grey(key, variant):
    image = np.linspace(0, 1, 3 * 64, dtype=np.float32).reshape(8, 8, 3)
    grey = np.repeat(image[..., :1], 3, -1)
    for k in jax.random.split(key, 20):
        changed = variant(augment_colour)(k, image)
        assert changed.min() >= 0 and changed.max() <= 1
        changed = variant(augment_colour)(k, grey)
        np.testing.assert_allclose(changed, changed[..., :1].repeat(3, -1), atol=1e-6)


# -- geometry


def test_nothing_moves_without_a_change(image):
    np.testing.assert_allclose(augment_image(_geometry(), image), image, atol=2e-5)
    joints = np.random.default_rng(0).normal(size=(24, 3)) * 20 + 20
    np.testing.assert_allclose(
        augment_joints(_geometry(), joints, SHAPE, MIRROR), joints, rtol=1e-6
    )


def test_a_flip_mirrors_pixels_and_positions_at_the_same_line(image):
    width = SHAPE[1]
    change = _geometry(angle=0.07, shift=(2.0, -1.0), scale=1.05)
    flipped = _geometry(angle=0.07, shift=(2.0, -1.0), scale=1.05, flip=True)
    straight = np.asarray(augment_image(change, image))
    np.testing.assert_array_equal(augment_image(flipped, image), straight[:, ::-1])
    # The centre of pixel j of a row moves to the centre of pixel W - 1 - j.
    centres = np.stack([np.arange(width) + 0.5, np.full(width, 3.5)], 1)
    moved = augment_points(_geometry(flip=True), centres, SHAPE)
    np.testing.assert_allclose(moved, centres[::-1], atol=1e-4)


def _blob(position, shape, sigma=2.0):
    y, x = np.mgrid[: shape[0], : shape[1]] + 0.5
    squared = (x - position[0]) ** 2 + (y - position[1]) ** 2
    return np.exp(-0.5 * squared / sigma**2).astype(np.float32)[..., None]


def _centroid(picture):
    y, x = np.mgrid[: picture.shape[0], : picture.shape[1]] + 0.5
    weight = np.asarray(picture)[..., 0].astype(float)
    return np.array([(x * weight).sum(), (y * weight).sum()]) / weight.sum()


def test_a_joint_painted_into_the_picture_stays_on_its_blob():
    """Over random geometry, each of its parts alone, and both sides of the flip."""
    shape = (72, 64)
    joints = np.array([[25.3, 40.1, 4.0], [41.6, 30.9, -7.5]], np.float32)
    blobs = [_blob(joint, shape) for joint in joints]
    changes = [
        _geometry(angle=0.4),
        _geometry(shift=(6.2, 0.0)),
        _geometry(shift=(0.0, -5.7)),
        _geometry(scale=1.2),
        _geometry(flip=True),
        *(
            sample_geometry(k, angle=0.3, shift=5.0, scale=0.2)
            for k in jax.random.split(jax.random.key(5), 10)
        ),
    ]
    assert {bool(change.flip) for change in changes[5:]} == {True, False}
    image, points = map(jax.jit, (augment_image, augment_points))
    for change in changes:
        moved = points(change, joints, shape)
        for blob, position in zip(blobs, moved, strict=True):
            np.testing.assert_allclose(
                _centroid(image(change, blob)), position[:2], atol=0.02
            )
        np.testing.assert_allclose(moved[:, 2], change.scale * joints[:, 2], rtol=1e-6)


def test_the_border_is_repeated():
    picture = np.tile(np.linspace(0.2, 0.8, 8, dtype=np.float32)[:, None, None], (8, 1))
    moved = np.asarray(augment_image(_geometry(shift=(0.0, 3.0)), picture))
    np.testing.assert_allclose(moved[:4], np.full((4, 8, 1), 0.2), atol=1e-5)


def test_a_flip_exchanges_left_and_right_joints():
    joints = np.random.default_rng(0).uniform(0, 40, (24, 3)).astype(np.float32)
    change = _geometry(flip=True)
    moved = augment_joints(change, joints, SHAPE, MIRROR)
    left, right = BODY24.index("left_knee", "right_knee")
    np.testing.assert_allclose(moved[left, 0], SHAPE[1] - joints[right, 0], rtol=1e-5)
    np.testing.assert_allclose(moved[left, 1:], joints[right, 1:], rtol=1e-6)
    again = augment_joints(change, moved, SHAPE, MIRROR)
    np.testing.assert_allclose(again, joints, atol=1e-5)


def test_mirror_order_exchanges_sides_in_every_joint_format():
    np.testing.assert_array_equal(mirror_order(BODY24), MIRROR)
    order = mirror_order(PANOPTIC19)
    np.testing.assert_array_equal(order[order], np.arange(19))
    moved = [n for n, j in zip(PANOPTIC19.names, order, strict=True) if order[j] != j]
    assert len(moved) == 16 and all(n.startswith(("left_", "right_")) for n in moved)


def test_geometry_is_drawn_within_its_ranges():
    keys = jax.random.split(jax.random.key(0), 2000)
    drawn = jax.vmap(sample_geometry)(keys)
    for values, reach in (
        (drawn.angle, 0.1),
        (drawn.shift[:, 0], 20.0),
        (drawn.shift[:, 1], 20.0),
        (drawn.scale - 1, 0.1),
    ):
        assert reach * 0.99 < np.abs(values).max() <= reach * (1 + 1e-5)
        assert abs(np.mean(values)) < 0.06 * reach
    assert abs(drawn.flip.mean() - 0.5) < 0.05
    correlation = np.corrcoef(
        np.stack([drawn.angle, *drawn.shift.T, drawn.scale, drawn.flip])
    )
    assert np.abs(correlation - np.eye(5)).max() < 0.08


@pytest.mark.parametrize(
    "joints, mirror", [(np.zeros((24, 2)), MIRROR), (np.zeros((19, 3)), MIRROR)]
)
def test_refuses_joints_that_do_not_fit(joints, mirror):
    with pytest.raises(ValueError, match="has shape"):
        augment_joints(_geometry(), joints, SHAPE, mirror)


# -- pairs


@pytest.fixture
def pair():
    rng = np.random.default_rng(0)
    sides = {}
    for side in ("source", "target"):
        sides[f"joints_{side}"] = rng.uniform(17, 27, (24, 3)).astype(np.float32)
        blob = _blob(sides[f"joints_{side}"][0], SHAPE)
        sides[f"image_{side}"] = np.uint8(np.repeat(blob, 3, -1) * 120 + 60)
        sides[f"mask_{side}"] = blob[..., 0] > 0.5
    return sides | {"person": np.int64(7), "pose_target": np.ones((24, 3))}


def test_a_pair_is_changed_in_the_same_way(key, pair, variant):
    """Equal pictures stay equal, and fields without a rule come through."""
    for kind in ("image", "mask", "joints"):
        pair[f"{kind}_target"] = pair[f"{kind}_source"]
    changed = variant(augment_pair)(key, pair)
    assert set(changed) == set(pair)
    for kind in ("image", "mask"):
        np.testing.assert_array_equal(
            changed[f"{kind}_source"], changed[f"{kind}_target"]
        )
    offset = np.asarray(changed["joints_target"] - changed["joints_source"])
    np.testing.assert_array_equal(offset[:, :2], 0)
    assert np.ptp(offset[:, 2]) < 1e-5 and 0 < np.abs(offset[0, 2]) <= 0.5
    assert changed["person"] == 7
    np.testing.assert_array_equal(changed["pose_target"], pair["pose_target"])
    assert {changed[name].dtype for name in changed if "_source" in name} == {
        np.dtype("float32")
    }
    assert changed["mask_source"].shape == SHAPE


def test_images_masks_and_joints_of_a_pair_move_together(pair):
    augment = jax.jit(augment_pair)
    seen = set()
    for k in jax.random.split(jax.random.key(2), 8):
        changed = augment(k, pair)
        for side in ("source", "target"):
            pelvis = changed[f"joints_{side}"][0, :2]
            mask = np.asarray(changed[f"mask_{side}"])[..., None]
            np.testing.assert_allclose(_centroid(mask), pelvis, atol=0.4)
            image = np.asarray(changed[f"image_{side}"])
            bright = np.unravel_index(image.sum(-1).argmax(), SHAPE)
            assert np.abs(np.array(bright[::-1]) + 0.5 - pelvis).max() < 2
        seen.add(float(changed["joints_target"][0, 0]))
    assert len(seen) == 8


def test_masks_mean_the_same_in_every_type(key, pair):
    """bool, uint8 and float; with and without an axis for channels."""
    augment = jax.jit(augment_pair)
    wanted = augment(key, pair)["mask_source"]
    whole = pair["mask_source"]
    for mask in (np.uint8(255) * whole, whole.astype(np.float32), whole[..., None]):
        found = augment(key, pair | {"mask_source": mask})["mask_source"]
        np.testing.assert_allclose(found.reshape(SHAPE), wanted, atol=1e-6)
        assert found.shape == mask.shape and found.dtype == np.float32
    half = augment(key, pair | {"mask_source": np.uint8(51) * whole})["mask_source"]
    np.testing.assert_allclose(half, 0.2 * wanted, atol=1e-6)


def test_shift_is_in_proportion_to_the_width(pair):
    """At 56 pixels the shift stays below 20 * 56 / 256 pixels."""
    pair["joints_source"][:] = [SHAPE[1] / 2, SHAPE[0] / 2, 0]
    augment = jax.jit(augment_pair)
    moved = np.stack(
        [
            augment(k, pair)["joints_source"][0]
            for k in jax.random.split(jax.random.key(0), 60)
        ]
    )
    reach = np.abs(moved[:, :2] - [SHAPE[1] / 2, SHAPE[0] / 2]).max()
    most = 20 * SHAPE[1] / 256
    assert 0.8 * most < reach < 1.1 * 1.1 * most


def test_pairs_in_a_batch_change_differently(key, pair):
    batch = jax.tree.map(lambda x: np.stack([x, x]), pair)
    changed = jax.jit(jax.vmap(augment_pair))(jax.random.split(key), batch)
    single = augment_pair(jax.random.split(key)[1], pair)
    for name in single:
        np.testing.assert_allclose(changed[name][1], single[name], atol=2e-5)
    assert np.abs(changed["image_source"][0] - changed["image_source"][1]).max() > 0.01


def test_a_pair_needs_neither_masks_nor_joints(key, pair):
    images = {name: pair[name] for name in ("image_source", "image_target")}
    assert set(augment_pair(key, images)) == set(images)
