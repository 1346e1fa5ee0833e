"""Surface metrics: point-to-surface distance and Chamfer distance in named variants.

Published numbers differ in which surface is sampled, how often, and how the two
directions are joined; a protocol states all of it. Meshes are in metres, x to the
subject's left, y up, z to the front.

The floor: a mesh against itself scores below 1e-6 cm (measured on a body of 13,776 to
220,416 faces: 3e-7 cm), which is float32 rounding of the place on a face. A surface
shifted along its normal scores the shift to double precision.
"""

import dataclasses

import numpy as np

from volhuman.checks import check_option
from volhuman.evaluation.alignment import ALIGNMENTS, align_surface
from volhuman.evaluation.meshes import (
    Mesh,
    distance_to_surface,
    mesh_problem,
    sample_surface,
)

_TO_TRUTH = "prediction to truth"
_TO_PREDICTION = "truth to prediction"


@dataclasses.dataclass(frozen=True, kw_only=True)
class SurfaceProtocol:
    """Everything that changes the value of a surface distance.

    Attributes:
        name: Name of the variant.
        p2s: Direction of P2S: "prediction to truth" samples the prediction and misses
            what it lacks, "truth to prediction" samples the truth and misses what the
            prediction has too much.
        chamfer: "mean" or "sum" of the two directed values.
        reduction: "mean" of the distances of the samples, or "mean square".
        samples: Samples a surface, uniform in area.
        unit: Unit of the result.
        scale: How many units a metre has; squared for mean squares.
        alignment: "none", "z shift", "rigid" or "similarity", of the prediction.
    """

    name: str
    p2s: str = _TO_TRUTH
    chamfer: str = "mean"
    reduction: str = "mean"
    samples: int = 10_000
    unit: str = "cm"
    scale: float = 100.0
    alignment: str = "none"

    def __post_init__(self):
        check_option("p2s", self.p2s, (_TO_TRUTH, _TO_PREDICTION))
        check_option("chamfer", self.chamfer, ("mean", "sum"))
        check_option("reduction", self.reduction, ("mean", "mean square"))
        check_option("alignment", self.alignment, ALIGNMENTS)
        if self.samples < 1:
            raise ValueError(f"samples is {self.samples}, expected at least 1")


SURFACE_STANDARD = SurfaceProtocol(name="standard")
"""Ours: both directions are reported, P2S starts at the prediction."""

SURFACE_PIFUHD = SurfaceProtocol(name="pifuhd")
"""PIFuHD's evaluation: 10,000 samples of the prediction; equal to ours by value."""

SURFACE_ICON = SurfaceProtocol(name="icon", p2s=_TO_PREDICTION, samples=1000)
"""ICON's evaluation: 1,000 samples of the truth; Chamfer is half the sum."""

SURFACE_PROTOCOLS = {
    protocol.name: protocol
    for protocol in (SURFACE_STANDARD, SURFACE_PIFUHD, SURFACE_ICON)
}


@dataclasses.dataclass(frozen=True)
class SurfaceErrors:
    """Distances of two surfaces in the protocol's unit; NaN where there are none.

    Attributes:
        prediction_to_truth: From samples of the prediction to the truth.
        truth_to_prediction: From samples of the truth to the prediction.
        p2s: The one of the two that the protocol calls P2S.
        chamfer: The two joined.
        failure: Why the prediction has no distance, None where it has.
    """

    prediction_to_truth: float
    truth_to_prediction: float
    p2s: float
    chamfer: float
    failure: str | None = None


def surface_errors(
    prediction: Mesh, truth: Mesh, protocol: SurfaceProtocol, *, seed: int = 0
) -> SurfaceErrors:
    """Measures a predicted surface.

    Distances from the samples of one surface to the other are exact; only the samples
    are random.

    Source: Zheng et al., "PaMIR" (P2S and Chamfer, undefined there); the
    definitions are those of the evaluations that the variants are named after.

    Args:
        prediction: In metres. One without faces, without area or with vertices that are
            not finite is a failure, whose distances are NaN.
        truth: In metres.
        protocol: The variant.
        seed: Seed of the samples.

    Returns:
        The distances.

    Raises:
        ValueError: If the truth is unusable.
    """
    problem = mesh_problem(truth)
    if problem:
        raise ValueError(f"the true surface is unusable: {problem}")
    problem = mesh_problem(prediction)
    if problem:
        nan = float("nan")
        return SurfaceErrors(nan, nan, nan, nan, failure=problem)
    prediction = align_surface(prediction, truth, protocol.alignment, seed=seed)
    directed = []
    for number, pair in enumerate([(prediction, truth), (truth, prediction)]):
        generator = np.random.default_rng([seed, number])
        points = sample_surface(generator, pair[0], protocol.samples)
        distances = distance_to_surface(points, pair[1]) * protocol.scale
        if protocol.reduction == "mean square":
            distances = distances**2
        directed.append(float(distances.mean()))
    both = sum(directed) if protocol.chamfer == "sum" else sum(directed) / 2
    p2s = directed[0] if protocol.p2s == _TO_TRUTH else directed[1]
    return SurfaceErrors(*directed, p2s=p2s, chamfer=both)
