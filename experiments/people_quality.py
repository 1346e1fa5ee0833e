"""Checks the synthetic people: closed meshes, intersections, channels, volumes, speed.

Command: python experiments/people_quality.py [--num_people=200]
Hardware and time: one CPU core, about 8 minutes for 200 people.
Expected: no open mesh; at most 2 % of the people intersect themselves by more than
20 mm; correspondences within 0.5 px; occupancy within 0.5 % of the mesh; 3 pictures of
256 pixels a second.
"""

import time

import jax
import numpy as np
import trimesh
from absl import app, flags
from tqdm import tqdm

from volhuman.geometry.voxelize import voxelize
from volhuman.people.cameras import pixel_rays, pixels_from_view, view_from_body
from volhuman.people.correspondence import dressed_points
from volhuman.people.person import Person, PosedPerson, pose_person, sample_person
from volhuman.people.poses import intersection_depth, sample_posed_person
from volhuman.people.records import person_records, sample_scene_view
from volhuman.people.views import View

NUM_PEOPLE = flags.DEFINE_integer("num_people", 200, "People to check.")
FIRST_SEED = flags.DEFINE_integer("first_seed", 10_000, "Seed of the first.")
SIZE = flags.DEFINE_integer("size", 256, "Side of the pictures in pixels.")
NUM_RAYS = 100
SHAPE = (192, 192, 192)


def open_parts(posed: PosedPerson) -> int:
    """Counts parts with an edge that has not exactly two faces."""
    meshes = [trimesh.Trimesh(p.vertices, p.faces, process=False) for p in posed.parts]
    return sum(not (m.is_watertight and m.is_winding_consistent) for m in meshes)


def correspondence_errors(posed: PosedPerson, view: View) -> np.ndarray:
    """Pixels between where points of the body are seen and where they project."""
    row, column = np.nonzero(view.face >= 0)
    points = dressed_points(
        posed, view.face[row, column], view.barycentric[row, column].astype(np.float64)
    )
    projected = view_from_body(view.camera, points, posed.joints[0])
    pixels = pixels_from_view(projected, len(view.face))
    seen = np.stack([column + 0.5, row + 0.5], axis=1)
    return np.linalg.norm(pixels[:, :2] - seen, axis=1)


def ray_errors(posed: PosedPerson, view: View, generator) -> tuple[float, float]:
    """Largest depth error in pixels and median normal error in degrees, by ray casting.

    The rays start at the camera and meet the triangles themselves; pixels at creases
    are seen by one method and missed by the other, so the 98th percentile counts.
    """
    row, column = np.nonzero(view.label > 0)
    chosen = generator.choice(len(row), NUM_RAYS)
    row, column = row[chosen], column[chosen]
    origin, direction = (
        rays[row, column] for rays in pixel_rays(view.camera, len(view.label))
    )
    mesh = trimesh.Trimesh(posed.vertices, posed.faces, process=False)
    points, ray, face = mesh.ray.intersects_location(
        origin, direction, multiple_hits=False
    )
    z = view_from_body(view.camera, points, posed.joints[0])[:, 2]
    depth = np.abs(z - view.depth[row, column][ray]) * len(view.label) / 2
    flat = mesh.face_normals[face] @ np.asarray(view.camera.rotation).T
    cosine = (flat * view.normal_front[row, column][ray]).sum(1)
    angle = np.rad2deg(np.arccos(np.clip(cosine, -1, 1)))
    return float(np.percentile(depth, 98)), float(np.median(angle))


def volume_error(person: Person) -> float:
    """Largest relative difference of occupancy and mesh volume over the parts."""
    posed = pose_person(person, np.zeros((24, 3)))
    worst = 0.0
    for part in posed.parts:
        if part.name == "hair":  # locks overlap: their volumes do not add up
            continue
        low, high = part.vertices.min(0) - 0.01, part.vertices.max(0) + 0.01
        cells = _VOXELIZE(part.vertices, part.faces, low, high)
        volume = float(cells.sum()) * np.prod((high - low) / np.array(SHAPE))
        exact = trimesh.Trimesh(part.vertices, part.faces, process=False).volume
        worst = max(worst, abs(volume / exact - 1))
    return worst


_VOXELIZE = jax.jit(
    lambda vertices, faces, low, high: voxelize(
        vertices.astype(np.float32), faces, SHAPE, box=(low, high)
    )
)


def joints_inside(view: View) -> float:
    """Share of the joints of trunk and legs that project into the mask."""
    inner = view.joints[[0, 1, 2, 3, 4, 5, 6, 9, 12, 15]]
    column, row = np.floor(inner[:, :2]).astype(int).T
    return float((view.mask[row, column] > 0.5).mean())


def main(_):
    results = []
    for seed in tqdm(range(FIRST_SEED.value, FIRST_SEED.value + NUM_PEOPLE.value)):
        generator = np.random.default_rng(seed)
        person = sample_person(seed)
        posed = sample_posed_person(generator, person)
        view = sample_scene_view(generator, person, posed, size=SIZE.value)
        depth, angle = ray_errors(posed, view, generator)
        results.append(
            {
                "open parts": open_parts(posed),
                "intersection in mm": 1000 * intersection_depth(posed),
                "correspondence error in pixels, largest": correspondence_errors(
                    posed, view
                ).max(),
                "depth error in pixels, 98th percentile of rays": depth,
                "normals against flat faces in degrees, median": angle,
                "joints of trunk and legs in the mask": joints_inside(view),
                "occupancy against mesh volume, relative": volume_error(person),
            }
        )
    for name in results[0]:
        values = np.array([result[name] for result in results])
        print(
            f"{name}: mean {values.mean():.4g}, largest {values.max():.4g}, "
            f"least {values.min():.4g}"
        )
    deep = np.array([result["intersection in mm"] > 20 for result in results])
    print(f"people who intersect themselves by more than 20 mm: {deep.mean():.2%}")
    for variant in ("pairs", "views", "registrations"):
        start = time.process_time()
        for seed in range(5):
            person_records(seed, variant=variant, size=SIZE.value)
        print(f"{variant}: {20 / (time.process_time() - start):.2f} pictures a second")


if __name__ == "__main__":
    app.run(main)
