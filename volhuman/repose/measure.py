"""How well a network reposes: pictures compared with the truth on held-out people.

Source: Knoche et al., section 4.1: SSIM over the picture and over the person, and the
pose score: poses that an estimator finds in the painted and in the true picture, as
area under the curve of correct joints up to 150 mm.
"""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from volhuman.data.loader import Source, make_loader, source_name
from volhuman.evaluation.images import SSIM_STANDARD
from volhuman.evaluation.pose_estimator import (
    bone_lengths,
    estimate_joints,
    pose_distances,
)
from volhuman.evaluation.poses import AUC_LIMIT, auc_continuous
from volhuman.evaluation.protocol import NotAvailable, Protocol, Score, summarize
from volhuman.repose.config import Network
from volhuman.repose.paint import paint_pairs
from volhuman.repose.pairs import make_reader
from volhuman.repose.parts import view_from_pixels
from volhuman.repose.task import picture_metrics, picture_pair

METRICS = ("SSIM", "SSIM foreground", "pose AUC", "L1")
_KEPT = ("joints_body", "person")
_NO_ESTIMATOR = NotAvailable(
    "not computed",
    "the pose score needs an estimator: train one with experiments/pose_estimator.py "
    "and give --config.estimator=FILE",
)


@dataclasses.dataclass(frozen=True)
class Measured:
    """Numbers and pictures of pairs of one split.

    Attributes:
        values: `(N,)` by metric, one number a pair; without "pose AUC" where there was
            no estimator.
        people: `(N,)` the person of each pair.
        data: Name of data set and split.
        pictures: The first pairs' "source", "painted", "target" `(K, H, W, 3)` in
            [0, 1], and "joints" `(K, 24, 3)` of the target in pixels.
    """

    values: dict[str, np.ndarray]
    people: np.ndarray
    data: str
    pictures: dict[str, np.ndarray]


def measure_pairs(
    network: Network,
    params: Mapping[str, Any] | None,
    pairs: Source,
    estimator: Mapping[str, Any] | None,
    *,
    batch_size: int = 8,
    seed: int = 0,
    num_pictures: int = 8,
) -> Measured:
    """Reposes every pair and compares with the truth.

    Args:
        network: Sizes.
        params: Parameters of the generator; None measures the source picture as it is,
            what a network must at least surpass.
        pairs: Records of pairs in the network's size.
        estimator: Parameters of the pose estimator; None leaves the pose score out.
        batch_size: Pairs at a time.
        seed: Of the noise of the background.
        num_pictures: Pairs whose pictures are kept.
    """

    measure = jax.jit(functools.partial(_measure_batch, network.image_size, estimator))
    loader = make_loader(
        pairs,
        batch_size=batch_size,
        seed=0,
        num_epochs=1,
        shuffle=False,
        transform=functools.partial(_read, make_reader(network, keep=_KEPT)),
    )
    rows, kept, people = [], [], []
    for number, batch in enumerate(loader):
        people.extend(batch.pop("person"))
        count = len(batch["joints_target"])
        batch, painted = _full(batch, batch_size), None
        if params is not None:
            key = jax.random.fold_in(jax.random.key(seed), number)
            painted = paint_pairs(network, params, batch, key)
        values, pictures = measure(batch, painted)
        rows.append({name: np.asarray(v)[:count] for name, v in values.items()})
        if number * batch_size < num_pictures:
            pictures["joints"] = batch["figure"]
            kept.append({n: np.asarray(p)[:count] for n, p in pictures.items()})
    join = lambda parts: {n: np.concatenate([p[n] for p in parts]) for n in parts[0]}
    shown = {name: pictures[:num_pictures] for name, pictures in join(kept).items()}
    return Measured(join(rows), np.array(people), source_name(pairs), shown)


def _read(read, record: dict, generator: np.random.Generator) -> dict:
    """Adds the 24 joints of the target, whatever joints the network reads."""
    return read(record, generator) | {"figure": record["joints_target"]}


def _measure_batch(side, estimator, batch, painted):
    """Numbers and pictures of one batch; the source is measured where none is given."""
    source, target = picture_pair(batch)
    painted = source if painted is None else painted
    compared = picture_metrics(painted, target, batch["mask_target"])
    numbers = {
        "SSIM": compared["ssim"],
        "SSIM foreground": compared["ssim_foreground"],
        "L1": compared["l1"],
    }
    if estimator is not None:
        distances = _estimated_distances(side, estimator, batch, painted, target)
        numbers["pose AUC"] = auc_continuous(distances)
    pictures = {"source": source, "painted": painted, "target": target}
    return numbers, {name: (p + 1) / 2 for name, p in pictures.items()}


def _estimated_distances(side, estimator, batch, painted, target):
    """Millimetres between the poses found in the painted and in the true picture."""
    found = estimate_joints(estimator, (painted + 1) / 2)
    wanted = estimate_joints(estimator, (target + 1) / 2)
    # The true joints say how many millimetres a pixel has.
    true = view_from_pixels(batch["figure"], side)
    millimetres = 1000 * bone_lengths(batch["joints_body"]).sum(-1)
    unit = millimetres / bone_lengths(true).sum(-1)
    return pose_distances(found, wanted, unit * bone_lengths(wanted).sum(-1))


def score_cells(
    measured: Measured, *, estimator: str = "none"
) -> dict[str, Score | NotAvailable]:
    """Means with intervals, clustered by person, by column of a table.

    Args:
        measured: The numbers.
        estimator: What found the poses, for the protocol.
    """
    scores = {}
    for name, protocol in _protocols(measured.data, estimator).items():
        scores[protocol.label] = _NO_ESTIMATOR
        if name in measured.values:
            scores[protocol.label] = summarize(
                measured.values[name], protocol, groups=measured.people
            )
    return scores


def _protocols(data, estimator):
    window = {"window": f"{SSIM_STANDARD.window} {SSIM_STANDARD.window_size}"}
    poses = {
        "limit": f"{AUC_LIMIT:g} mm",
        "estimator": estimator,
        "against": "the estimate in the true picture",
    }
    make = lambda metric, variant, better, extra, alignment="none": Protocol(
        metric=metric,
        variant=variant,
        unit="",
        higher_is_better=better,
        data=data,
        body_source="true joints of both pictures",
        alignment=alignment,
        extra=extra,
    )
    name = SSIM_STANDARD.name
    return {
        "SSIM": make("SSIM", name, True, window),
        "SSIM foreground": make("SSIM foreground", name, True, window),
        "pose AUC": make("pose AUC", "continuous", True, poses, "pelvis"),
        "L1": make("L1", "rgb", False, {}),
    }


def _full(batch, size):
    """Fills the last batch up, so that one program serves all."""
    missing = size - len(batch["joints_target"])
    if not missing:
        return batch
    return {
        name: np.concatenate([value, np.repeat(value[-1:], missing, axis=0)])
        for name, value in batch.items()
    }
