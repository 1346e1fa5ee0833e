"""Joints of a folder: joint errors, PCK and Pose AUC."""

import dataclasses
import functools
from pathlib import Path

import jax
import numpy as np

from volhuman.errors import InputError
from volhuman.evaluation.config import EvaluateConfig
from volhuman.evaluation.files import JOINT_SUFFIXES, Joints, list_items, read_joints
from volhuman.evaluation.kinds import METRES, Kind, chosen_variants, protocol_for
from volhuman.evaluation.poses import (
    AUC_LIMIT,
    H36M_JOINTS,
    H36M_PROTOCOL_1,
    H36M_PROTOCOL_1_14,
    MPJPE,
    PA_MPJPE,
    auc_continuous,
    auc_discrete,
    joint_distances,
    pck,
    pose_error,
)

_ROOT = "pelvis"
_H36M = {protocol.name: protocol for protocol in (H36M_PROTOCOL_1, H36M_PROTOCOL_1_14)}


def joint_kind(config: EvaluateConfig) -> Kind:
    """Returns how joints are read and measured.

    Raises:
        InputError: If an option has a value that joints do not have.
    """
    if config.mask or config.alignment != "none":
        option = "mask" if config.mask else "alignment"
        raise InputError(
            f"--config.{option} is given, but joints have none; choose metrics with "
            "--config.variant"
        )
    variants = chosen_variants(config, ["standard", *_H36M])
    # A mean over other joints is another metric: the first file says which they are.
    first = next(iter(list_items(config.truth, JOINT_SUFFIXES).values()))
    names = read_joints(first).names
    return Kind(
        list_items=functools.partial(list_items, suffixes=JOINT_SUFFIXES),
        read=functools.partial(_read, millimetres=1000 * METRES[config.unit]),
        check_truth=functools.partial(_check_truth, names=names, variants=variants),
        measure=functools.partial(_measure, variants=variants),
        protocols=[
            p for name in variants for p in _protocols(config, name, len(names))
        ],
    )


def _protocols(config, name, num_joints):
    """Protocols in the order of the values of `_measure`."""
    length = functools.partial(protocol_for, config, variant=name, unit="mm")
    if name in _H36M:
        joints = len(_H36M[name].joints) or len(H36M_JOINTS)
        extra = {"joints": joints, "bone_sum_mm": _H36M[name].bone_sum, "root": _ROOT}
        return [length("MPJPE", extra=extra)]
    every = {"joints": num_joints}
    rooted = {**every, "root": _ROOT}
    limited = {**rooted, "limit_mm": AUC_LIMIT}
    ratio = functools.partial(protocol_for, config, higher_is_better=True)
    return [
        length("MPJPE", extra=rooted),
        length("PA-MPJPE", extra=every, alignment="similarity"),
        ratio("PCK", f"{AUC_LIMIT:g} mm", extra=limited),
        ratio("AUC", "continuous", extra=limited),
        ratio("AUC", "discrete", extra={**limited, "thresholds": 31}),
    ]


def _read(path: Path, *, millimetres: float) -> Joints:
    joints = read_joints(path)
    return dataclasses.replace(joints, positions=joints.positions * millimetres)


def _check_truth(path: Path, joints: Joints, mask: None, *, names, variants) -> None:
    if set(joints.names) != set(names):
        other = min(set(joints.names) ^ set(names))
        raise InputError(
            f"{path}: joint {other} is not in every file of ground truth; write null "
            "for a joint that is missing"
        )
    if not joints.visible[_root(joints.names)]:
        raise InputError(
            f"{path}: the root joint ({_ROOT}, or else the first) is missing; errors "
            "are measured relative to it"
        )
    if set(variants) & set(_H36M):
        named = set(joints.names) == set(H36M_JOINTS)
        numbered = joints.names == tuple(map(str, range(len(H36M_JOINTS))))
        if not (named or numbered) or not joints.visible.all():
            raise InputError(
                f"{path}: Human3.6M's protocol needs all of its 17 joints in the "
                f"order, or with the names, {', '.join(H36M_JOINTS)}"
            )


def _root(names: tuple[str, ...]) -> int:
    return names.index(_ROOT) if _ROOT in names else 0


def _measure(prediction, truth, mask, *, variants):
    present = _present(prediction)
    lacking = [name for name in truth.names if name in _present(truth) - present]
    if lacking:
        raise InputError(f"joint {lacking[0]} is missing")
    names = H36M_JOINTS if set(truth.names) == set(H36M_JOINTS) else truth.names
    own, true = (_in_order(joints, names) for joints in (prediction, truth))
    visible = np.array([name in _present(truth) for name in names])
    values = []
    for name in variants:
        if name in _H36M:
            values.append(_error(own, true, visible, _H36M[name]))
        else:
            values += _standard(own, true, visible, _root(names))
    return [float(value) for value in values]


def _present(joints: Joints) -> set[str]:
    return {name for name, seen in zip(joints.names, joints.visible) if seen}


def _in_order(joints: Joints, names: tuple[str, ...]) -> np.ndarray:
    """Positions `(J, 3)` by name, 0 where a joint is not in the file."""
    place = dict(zip(joints.names, joints.positions, strict=True))
    return np.stack([place.get(name, np.zeros(3)) for name in names])


@functools.partial(jax.jit, static_argnums=3)
def _error(prediction, truth, visible, protocol):
    return pose_error(prediction, truth, protocol, visible=visible)


@functools.partial(jax.jit, static_argnums=3)
def _standard(prediction, truth, visible, root):
    rooted = dataclasses.replace(MPJPE, root=root)
    distances = joint_distances(prediction, truth, rooted, visible=visible)
    return [
        pose_error(prediction, truth, rooted, visible=visible),
        pose_error(prediction, truth, PA_MPJPE, visible=visible),
        pck(distances, AUC_LIMIT, visible=visible),
        auc_continuous(distances, visible=visible),
        auc_discrete(distances, visible=visible),
    ]
