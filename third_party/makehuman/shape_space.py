"""The linear space of body shapes: sampled bodies, principal components, joints.

A shape is `template + shape_dirs @ beta`; over the sampled adults the components of
beta have mean 0 and standard deviation 1. The letters: s samples, n vertices, k
components.
"""

import dataclasses

import numpy as np
from assets import Assets
from phenotypes import Phenotype, sample_adults, target_strengths, with_stature_change
from skeleton import MIRROR_JOINTS, anchor_matrix
from skinning import to_t_pose
from symmetry import symmetrise_points


@dataclasses.dataclass(frozen=True)
class LinearModel:
    """Points that depend linearly on the shape.

    Attributes:
        mean: Points of the mean shape, `(n, 3)` float64, metres.
        directions: Displacement by one unit of each component, `(n, 3, k)` float64.
        errors: Distances of the model from the samples, `(s, n)` float64, metres.
    """

    mean: np.ndarray
    directions: np.ndarray
    errors: np.ndarray


def sample_bodies(
    assets: Assets,
    vertices: np.ndarray,
    weights: np.ndarray,
    mirror: np.ndarray,
    *,
    num_samples: int,
    seed: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Draws random adults in the T-pose.

    Args:
        assets: The base mesh.
        vertices: Vertices of the body that are wanted, `(n,)` int.
        weights: Joint weights of these vertices, `(n, 24)`.
        mirror: Mirror of each of these vertices among them, `(n,)` int.
        num_samples: Number of bodies s.
        seed: Seed of the random generator.

    Returns:
        Bodies `(s, n, 3)` and joints `(s, 24, 3)`, float64, metres; symmetric.
    """
    matrix = anchor_matrix(assets)
    base = np.concatenate([assets.vertices[vertices], matrix @ assets.vertices])
    offsets = np.concatenate(
        [assets.target_offsets[:, vertices], matrix @ assets.target_offsets], axis=1
    )
    is_skin = np.arange(len(base)) < len(vertices)

    def strengths_of(people: list[Phenotype]) -> np.ndarray:
        return np.stack([target_strengths(assets.target_tokens, p) for p in people])

    people, statures = sample_adults(num_samples, np.random.default_rng(seed))
    heights = base[is_skin, 1] + strengths_of(people) @ offsets[:, is_skin, 1]
    changes = statures - np.ptp(heights, axis=1)
    people = [with_stature_change(*pair) for pair in zip(people, changes)]

    bodies, joints = [], []
    for points in base + np.tensordot(strengths_of(people), offsets, 1):
        body, body_joints = to_t_pose(points[is_skin], points[~is_skin], weights)
        bodies.append(symmetrise_points(body, mirror))
        joints.append(symmetrise_points(body_joints, MIRROR_JOINTS))
    return np.stack(bodies), np.stack(joints)


def fit_shapes(
    bodies: np.ndarray, mirror: np.ndarray, num_components: int
) -> tuple[LinearModel, np.ndarray, np.ndarray]:
    """Computes the principal components of the bodies.

    The sign of a component is chosen so that a positive coefficient means bigger.

    Args:
        bodies: `(s, n, 3)`.
        mirror: `(n,)` int.
        num_components: Number of components k.

    Returns:
        The model; the samples' coefficients `(s, k)`; the share of the variance that
        the first 1, 2, ... components hold, `(s,)`.
    """
    num_samples, num_vertices, _ = bodies.shape
    flat = bodies.reshape(num_samples, -1)
    mean = flat.mean(axis=0)
    _, singular, components = np.linalg.svd(flat - mean, full_matrices=False)
    variance = singular**2
    components = components[:num_components]
    components *= np.sign(components @ np.sign(mean))[:, None]
    deviation = singular[:num_components] / np.sqrt(num_samples - 1)
    coefficients = (flat - mean) @ components.T / deviation
    directions = (components * deviation[:, None]).reshape(-1, num_vertices, 3)
    model = _symmetric_model(
        mean.reshape(-1, 3), directions, mirror, coefficients, bodies
    )
    return model, coefficients, variance.cumsum() / variance.sum()


def fit_joints(joints: np.ndarray, coefficients: np.ndarray) -> LinearModel:
    """Fits the joints as linear functions of the shape by least squares.

    Args:
        joints: Joints of the samples, `(s, 24, 3)`.
        coefficients: Shape coefficients of the samples, `(s, k)`.
    """
    num_samples = len(joints)
    design = np.concatenate([np.ones((num_samples, 1)), coefficients], axis=1)
    solution, *_ = np.linalg.lstsq(design, joints.reshape(num_samples, -1))
    mean, *directions = solution.reshape(-1, *joints.shape[1:])
    return _symmetric_model(
        mean, np.stack(directions), MIRROR_JOINTS, coefficients, joints
    )


def _symmetric_model(
    mean: np.ndarray,
    directions: np.ndarray,
    mirror: np.ndarray,
    coefficients: np.ndarray,
    samples: np.ndarray,
) -> LinearModel:
    """Makes symmetry exact, which solvers leave to rounding; measures the errors."""
    mean = symmetrise_points(mean, mirror)
    directions = symmetrise_points(directions, mirror)
    predicted = mean + np.tensordot(coefficients, directions, 1)
    errors = np.linalg.norm(predicted - samples, axis=-1)
    return LinearModel(mean, np.moveaxis(directions, 0, -1), errors)
