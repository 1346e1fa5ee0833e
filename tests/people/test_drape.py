"""Hanging fabric: clear of what it hangs around, as long as it is cut, closed."""

import dataclasses

import numpy as np
import pytest
import trimesh
from scipy.spatial import ConvexHull

from volhuman.people.drape import NUM_MERIDIANS, close_tube, drape, tube_faces
from volhuman.people.recipe import Hanging, Pattern

TOP = 0.1
EMERGED = 0.06  # below this depth the fabric has left the garment above
PATTERN = Pattern("plain", ((0.5, 0.5, 0.5),) * 3, 20.0, 0.5, 0)
SKIRT = Hanging(
    label="skirt",
    top=TOP,
    length=0.6,
    clearance=0.006,
    flare=0.0,
    pleats=9,
    pleat_depth=0.0,
    phase=0.3,
    pattern=PATTERN,
)


def column(radius, low, high, *, x=0.0, z=0.0):
    """Points of a vertical cylinder `(N, 3)`."""
    angle, y = np.meshgrid(
        np.linspace(0, 2 * np.pi, 120, endpoint=False),
        np.linspace(low, high, max(3, round((high - low) / 0.006))),
    )
    points = x + radius * np.sin(angle), y, z + radius * np.cos(angle)
    return np.stack(points, axis=-1).reshape(-1, 3)


def leg(x, spread):
    """A leg that leans outwards, `(N, 3)`."""
    points = column(0.08, -0.85, 0.02)
    points[:, 0] += x + np.sign(x) * spread * (0.02 - points[:, 1])
    return points


WAIST = column(0.15, 0.085, 0.12)
OBSTACLES = {
    "nothing": WAIST,
    "cylinder": column(0.15, -0.9, 0.12),
    "legs together": np.concatenate([WAIST, leg(-0.09, 0), leg(0.09, 0)]),
    "legs spread": np.concatenate([WAIST, leg(-0.1, 0.5), leg(0.1, 0.5)]),
    "one leg in front": np.concatenate(
        [WAIST, leg(-0.1, 0), leg(0.1, 0) + np.array([0, 0, 0.1])]
    ),
}
CUTS = {
    "straight": SKIRT,
    "short": dataclasses.replace(SKIRT, length=0.3),
    "flared": dataclasses.replace(SKIRT, flare=0.4),
    "pleated": dataclasses.replace(SKIRT, flare=0.2, pleat_depth=0.02),
}


def lengths(rings):
    """Length of each meridian."""
    return np.linalg.norm(np.diff(rings, axis=0), axis=-1).sum(0)


def radii(rings):
    return np.hypot(rings[..., 0], rings[..., 2])


def clearances(rings, obstacle):
    """Signed distance of the fabric to the hull of the obstacle at its height."""
    found = []
    for ring in rings[::2]:
        for point in ring[::8]:
            near = obstacle[np.abs(obstacle[:, 1] - point[1]) < 0.006][:, [0, 2]]
            if point[1] < TOP - EMERGED and len(near) > 3:
                planes = ConvexHull(near).equations
                found.append((planes[:, :2] @ point[[0, 2]] + planes[:, 2]).max())
    return np.array(found)


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("obstacle", [name for name in OBSTACLES if name != "nothing"])
def test_fabric_clears_what_it_hangs_around(cut, obstacle):
    rings = drape(CUTS[cut], WAIST, OBSTACLES[obstacle])
    assert rings.shape[1:] == (NUM_MERIDIANS, 3) and np.isfinite(rings).all()
    found = clearances(rings, OBSTACLES[obstacle])
    assert len(found) > 25 and found.min() > 0


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("obstacle", OBSTACLES)
def test_a_tube_is_closed_and_turned_outwards(cut, obstacle):
    rings = drape(CUTS[cut], WAIST, OBSTACLES[obstacle])
    vertices, faces = close_tube(rings)
    mesh = trimesh.Trimesh(vertices, faces, process=False)
    assert mesh.is_watertight and mesh.is_winding_consistent
    assert mesh.euler_number == 2 and mesh.volume > 0.004
    np.testing.assert_array_equal(vertices[: rings[..., 0].size], rings.reshape(-1, 3))


def test_free_fabric_without_flare_hangs_straight_down():
    rings = drape(SKIRT, WAIST, WAIST)
    free = rings[:, 0, 1] < TOP - EMERGED
    assert free.sum() > 20
    below = radii(rings)[free]
    np.testing.assert_allclose(below, below[0, 0], atol=1e-3)
    assert abs(below[0, 0] - 0.15) < 0.02
    angle = np.arctan2(rings[..., 0], rings[..., 2])
    np.testing.assert_allclose(angle, np.broadcast_to(angle[0], angle.shape), atol=1e-9)


def test_free_fabric_widens_by_its_flare():
    flared = drape(dataclasses.replace(SKIRT, flare=0.4), WAIST, WAIST)
    free = flared[:, 0, 1] < TOP - EMERGED
    slope = np.diff(radii(flared)[free], axis=0) / -np.diff(
        flared[free][..., 1], axis=0
    )
    np.testing.assert_allclose(slope, 0.4, atol=0.02)


@pytest.mark.parametrize("flare", [0.0, 0.3, 0.6])
@pytest.mark.parametrize("length", [0.2, 0.5, 0.95])
def test_free_meridians_are_as_long_as_the_fabric(flare, length):
    cut = dataclasses.replace(SKIRT, flare=flare, length=length)
    for obstacle in ("nothing", "cylinder"):
        found = lengths(drape(cut, WAIST, OBSTACLES[obstacle]))
        np.testing.assert_allclose(found, length, rtol=0.035)


def test_spread_legs_use_up_the_fabric_and_do_not_stretch_it():
    rings = drape(SKIRT, WAIST, OBSTACLES["legs spread"])
    assert lengths(rings).max() < 1.03 * SKIRT.length
    assert lengths(rings).min() > 0.7 * SKIRT.length
    hem = rings[-1]
    side, front = hem[np.abs(hem[:, 0]).argmax()], hem[np.abs(hem[:, 2]).argmax()]
    assert side[1] > front[1] + 0.02, "the hem rises over the knees"


def test_a_skirt_lies_on_the_thighs_of_who_sits():
    thighs = [column(0.08, 0, 0.45, x=x)[:, [0, 2, 1]] * [1, 1, 1] for x in (-0.1, 0.1)]
    rings = drape(SKIRT, WAIST, np.concatenate([WAIST, *thighs]))
    front = rings[:, 0]
    assert front[-1, 2] > 0.3, "along the lap"
    assert front[-1, 1] > rings[-1, NUM_MERIDIANS // 2, 1] + 0.2, "and down behind"


def test_what_stands_above_the_waist_does_not_matter():
    above = column(0.5, TOP + 0.001, 0.6)
    both = np.concatenate([OBSTACLES["legs spread"], above])
    np.testing.assert_array_equal(
        drape(SKIRT, WAIST, both), drape(SKIRT, WAIST, OBSTACLES["legs spread"])
    )


def test_height_of_the_waist_only_moves_the_fabric():
    """By one whole slice of the outline, so that the slices hold the same points."""
    up = np.array([0, 0.02, 0])
    rings = drape(SKIRT, WAIST, OBSTACLES["legs together"])
    raised = drape(
        dataclasses.replace(SKIRT, top=TOP + 0.02),
        WAIST + up,
        OBSTACLES["legs together"] + up,
    )
    np.testing.assert_allclose(raised, rings + up, atol=2e-3)


def test_a_quarter_turn_of_everything_turns_the_fabric():
    turn = np.array([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]])
    quarter = NUM_MERIDIANS // 4
    rings = drape(SKIRT, WAIST, OBSTACLES["legs spread"])
    turned = drape(SKIRT, WAIST @ turn.T, OBSTACLES["legs spread"] @ turn.T)
    expected = np.roll(rings @ turn.T, quarter, axis=1)
    np.testing.assert_allclose(turned, expected, atol=1e-9)


def test_pleats_wave_at_the_hem_and_not_at_the_waist():
    pleated = dataclasses.replace(SKIRT, flare=0.3, pleat_depth=0.03)
    rings = radii(drape(pleated, WAIST, WAIST))
    assert np.ptp(rings[0]) < 1e-4 and 0.03 < np.ptp(rings[-1]) < 0.07
    crests = (rings[-1] > np.roll(rings[-1], 1)) & (rings[-1] >= np.roll(rings[-1], -1))
    assert crests.sum() == pleated.pleats


def test_the_first_ring_starts_inside_the_waist():
    for obstacle in OBSTACLES.values():
        ring = radii(drape(SKIRT, WAIST, obstacle))[0]
        assert (ring < 0.15).all() and (ring > 0.12).all()


@pytest.mark.parametrize("num_rings", [2, 3, 4, 20])
def test_few_rings_make_a_closed_tube_as_well(num_rings):
    rings = drape(SKIRT, WAIST, WAIST)[:num_rings]
    vertices, faces = close_tube(rings)
    assert len(vertices) == (num_rings + 1) * NUM_MERIDIANS + 2
    mesh = trimesh.Trimesh(vertices, faces, process=False)
    assert mesh.is_watertight and mesh.is_winding_consistent and mesh.volume > 0


@pytest.mark.parametrize("num_rings, count", [(1, 3), (2, 3), (5, 8)])
def test_faces_of_a_tube_close_it_at_both_ends(num_rings, count):
    angle = np.arange(count) * 2 * np.pi / count
    y = np.repeat(-np.arange(num_rings), count)
    x, z = np.tile(np.sin(angle), num_rings), np.tile(np.cos(angle), num_rings)
    ends = [[0, 1, 0], [0, -num_rings, 0]]
    vertices = np.concatenate([np.stack([x, y, z], axis=1), ends])
    faces = tube_faces(num_rings, count)
    assert len(faces) == 2 * count * num_rings
    mesh = trimesh.Trimesh(vertices, faces, process=False)
    assert mesh.is_watertight and mesh.is_winding_consistent and mesh.volume > 0
