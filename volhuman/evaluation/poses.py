"""Pose metrics: joint errors, alignment, bone lengths, AUC and PCK.

Conventions of every function here: joints are `(..., J, 3)` in millimetres, leading
axes are batch axes. `visible` is `(..., J)` bool, default all; joints that are not
visible in the ground truth are left out. Where nothing is left to measure, and where a
visible joint is not finite, the result is NaN.
"""

import dataclasses
import itertools

import jax
import jax.numpy as jnp

from volhuman.checks import check_option, check_shape
from volhuman.geometry.similarity import fit_similarity

AUC_LIMIT = 150.0
"""Millimetres at which the Pose AUC ends."""

H36M_JOINTS = (
    "pelvis",
    "right_hip",
    "right_knee",
    "right_ankle",
    "left_hip",
    "left_knee",
    "left_ankle",
    "spine",
    "thorax",
    "neck",
    "head",
    "left_shoulder",
    "left_elbow",
    "left_wrist",
    "right_shoulder",
    "right_elbow",
    "right_wrist",
)
"""The 17 joints of Human3.6M that move, right leg first."""

_H36M_BONES = (
    ("pelvis", "right_hip", "right_knee", "right_ankle"),
    ("pelvis", "left_hip", "left_knee", "left_ankle"),
    ("pelvis", "spine", "thorax", "neck", "head"),
    ("thorax", "left_shoulder", "left_elbow", "left_wrist"),
    ("thorax", "right_shoulder", "right_elbow", "right_wrist"),
)
H36M_EDGES = tuple(
    (H36M_JOINTS.index(parent), H36M_JOINTS.index(child))
    for chain in _H36M_BONES
    for parent, child in itertools.pairwise(chain)
)
"""The 16 bones of these joints."""

H36M_BONE_SUM = 4072.3544
"""Millimetres: sum of the bones of the mean training skeleton (Zhou et al. 2017)."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class PoseProtocol:
    """Everything that changes the value of a joint error.

    Attributes:
        name: Name of the variant.
        joints: Numbers of the joints that are averaged over; empty for all.
        root: Number of the joint that is moved to the origin first; None for none.
        align: "none" or "similarity" (Procrustes).
        bone_sum: Sum in mm that the bones of the prediction are scaled to about its
            root first; None leaves the prediction's size.
        edges: The bones, pairs of joint numbers.
    """

    name: str
    joints: tuple[int, ...] = ()
    root: int | None = 0
    align: str = "none"
    bone_sum: float | None = None
    edges: tuple[tuple[int, int], ...] = ()

    def __post_init__(self):
        check_option("align", self.align, ("none", "similarity"))
        if self.bone_sum is not None and not self.edges:
            raise ValueError("bone_sum is given without edges to measure the bones on")


MPJPE = PoseProtocol(name="mpjpe")
"""Mean error over all joints relative to the root, joint 0."""

PA_MPJPE = PoseProtocol(name="pa-mpjpe", root=None, align="similarity")
"""Mean error over all joints after the best similarity, never a reflection."""

H36M_PROTOCOL_1 = PoseProtocol(
    name="h36m-1-17", bone_sum=H36M_BONE_SUM, edges=H36M_EDGES
)
"""Human3.6M Protocol #1 over 17 joints, canonical size: mean of the training set."""

H36M_PROTOCOL_1_14 = dataclasses.replace(
    H36M_PROTOCOL_1,
    name="h36m-1-14",
    joints=tuple(
        number
        for number, name in enumerate(H36M_JOINTS)
        if name not in ("pelvis", "spine", "neck")
    ),
)
"""The same over the 14 joints that related works share."""

POSE_PROTOCOLS = {
    protocol.name: protocol
    for protocol in (MPJPE, PA_MPJPE, H36M_PROTOCOL_1, H36M_PROTOCOL_1_14)
}


def pose_error(
    prediction: jax.Array,
    target: jax.Array,
    protocol: PoseProtocol,
    *,
    visible: jax.Array | None = None,
) -> jax.Array:
    """Returns the mean joint error under a protocol, in mm.

    Args:
        prediction: `(..., J, 3)`.
        target: `(..., J, 3)`.
        protocol: The variant.
        visible: `(..., J)`.

    Returns:
        `(...)`.

    Raises:
        ValueError: If the shapes disagree.
    """
    distances = joint_distances(prediction, target, protocol, visible=visible)
    return _masked_mean(distances, _counted(distances, protocol, visible))


def joint_distances(
    prediction: jax.Array,
    target: jax.Array,
    protocol: PoseProtocol,
    *,
    visible: jax.Array | None = None,
) -> jax.Array:
    """Returns the distance of every joint after the protocol's normalisation.

    Args and errors as `pose_error`.

    Returns:
        `(..., J)` in mm, of all joints. NaN where the root is invisible.
    """
    sizes = check_shape("prediction", prediction, "... J 3")
    check_shape("target", target, "... J 3", **sizes)
    prediction, target = jnp.asarray(prediction), jnp.asarray(target)
    seen = jnp.ones(target.shape[:-1], bool) if visible is None else visible
    check_shape("visible", seen, "... J", **sizes)
    if protocol.bone_sum is not None:
        prediction = rescale_bones(
            prediction,
            protocol.edges,
            protocol.bone_sum,
            root=0 if protocol.root is None else protocol.root,
        )
    if protocol.root is not None:
        hidden = ~jnp.asarray(seen)[..., protocol.root, None, None]
        prediction, target = (
            joints - joints[..., protocol.root, None, :]
            for joints in (prediction, jnp.where(hidden, jnp.nan, target))
        )
    if protocol.align == "similarity":
        prediction = align_similarity(prediction, target, visible=seen)
    return _length(prediction - target)


def align_similarity(
    prediction: jax.Array, target: jax.Array, *, visible: jax.Array | None = None
) -> jax.Array:
    """Moves a prediction onto its target by rotation, scale and translation.

    The rotation is never a reflection: a mirrored prediction keeps a large error.

    Args:
        prediction: `(..., J, 3)`.
        target: `(..., J, 3)`.
        visible: `(..., J)`, joints that take part in the fit.

    Returns:
        `(..., J, 3)`, all joints moved.
    """
    weights = jnp.ones(jnp.shape(target)[:-1])
    if visible is not None:
        weights = jnp.asarray(visible, weights.dtype)
        # A weight of 0 does not silence NaN.
        hidden = ~jnp.asarray(visible, bool)[..., None]
        source, goal = (jnp.where(hidden, 0, x) for x in (prediction, target))
    else:
        source, goal = prediction, target
    return fit_similarity(source, goal, weights).apply(jnp.asarray(prediction))


def rescale_bones(
    joints: jax.Array,
    edges: tuple[tuple[int, int], ...],
    bone_sum: float,
    *,
    root: int = 0,
) -> jax.Array:
    """Scales joints about the root so that their bones have a given sum.

    Source: Zhou et al. 2017, "Towards 3D human pose estimation in the wild", evaluation
    on Human3.6M.

    Args:
        joints: `(..., J, 3)`.
        edges: Pairs of joint numbers.
        bone_sum: Sum of the lengths of the edges afterwards, in the joints' unit.
        root: Number of the joint that stays in place.

    Returns:
        `(..., J, 3)`; NaN where all bones have length 0.
    """
    joints = jnp.asarray(joints)
    parents, children = jnp.array(edges).T
    lengths = _length(joints[..., parents, :] - joints[..., children, :])
    total = lengths.sum(-1)[..., None, None]
    origin = joints[..., root, None, :]
    scale = jnp.where(total > 0, bone_sum / total, jnp.nan)
    return (joints - origin) * scale + origin


def auc_continuous(
    distances: jax.Array, *, limit: float = AUC_LIMIT, visible: jax.Array | None = None
) -> jax.Array:
    """Returns the area under the PCK curve up to a limit, in closed form.

    The mean of max(0, 1 - distance / limit): exact for every distance.

    Args:
        distances: `(..., J)` in mm.
        limit: End of the curve in mm.
        visible: `(..., J)`.

    Returns:
        `(...)` in [0, 1].
    """
    distances = jnp.asarray(distances)
    share = jnp.where(jnp.isfinite(distances), 1 - distances / limit, jnp.nan)
    return _masked_mean(jnp.maximum(share, 0), visible)


def auc_discrete(
    distances: jax.Array,
    *,
    limit: float = AUC_LIMIT,
    step: float = 5.0,
    visible: jax.Array | None = None,
) -> jax.Array:
    """Returns the mean PCK over the thresholds 0, step, ..., limit.

    With the default 31 thresholds this is the definition of MPI-INF-3DHP. The threshold
    0, which nothing meets, keeps it below 30/31.

    Args:
        distances: `(..., J)` in mm.
        limit: Largest threshold in mm.
        step: Distance of the thresholds in mm.
        visible: `(..., J)`.

    Returns:
        `(...)` in [0, 1].
    """
    thresholds = jnp.arange(round(limit / step) + 1) * step
    distances = jnp.asarray(distances)
    below = (distances[..., None] < thresholds).mean(-1)
    return _masked_mean(jnp.where(jnp.isfinite(distances), below, jnp.nan), visible)


def pck(
    distances: jax.Array, threshold: float, *, visible: jax.Array | None = None
) -> jax.Array:
    """Returns the share of joints closer than a threshold, `(...)` in [0, 1].

    Args:
        distances: `(..., J)` in mm.
        threshold: In mm; a joint at exactly this distance does not count.
        visible: `(..., J)`.
    """
    distances = jnp.asarray(distances)
    below = jnp.where(jnp.isfinite(distances), distances < threshold, jnp.nan)
    return _masked_mean(below, visible)


def _counted(distances, protocol, visible):
    """Joints that are averaged over: visible ones of the protocol's subset."""
    counted = jnp.ones(distances.shape, bool) if visible is None else visible
    if protocol.joints:
        chosen = jnp.zeros(distances.shape[-1], bool)
        counted = counted & chosen.at[jnp.array(protocol.joints)].set(True)
    return counted


def _masked_mean(values: jax.Array, mask: jax.Array | None) -> jax.Array:
    """Mean over the last axis where the mask holds, NaN where it holds nowhere."""
    if mask is None:
        mask = jnp.ones(values.shape, bool)
    check_shape("visible", mask, "... J", J=values.shape[-1])
    return jnp.where(mask, values, 0).sum(-1) / jnp.asarray(mask).sum(-1)


def _length(vectors: jax.Array) -> jax.Array:
    """Euclidean length with gradient 0 at 0, where the norm has none."""
    squared = (vectors * vectors).sum(-1)
    positive = squared != 0  # also NaN, which must survive
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, squared, 1)), 0)
