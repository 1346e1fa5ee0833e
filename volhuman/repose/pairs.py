"""Pairs of synthetic people as a network reads them."""

from collections.abc import Callable

import numpy as np

from volhuman.body.skeleton import JOINT_NAMES
from volhuman.data.loader import Loader, Source, make_loader, open_people
from volhuman.repose.completion import complete_figure
from volhuman.repose.config import Network, ReposeConfig
from volhuman.repose.figure import select_joints
from volhuman.repose.parts import find_joint_set

FIELDS = ("image_source", "image_target", "mask_target", "joints_source")
FIELDS += ("joints_target",)

_Transform = Callable[[dict, np.random.Generator], dict]


def open_pairs(config: ReposeConfig, network: Network, split: str) -> Source:
    """Opens the pairs of synthetic people in the size of a network.

    Raises:
        InputError: If they are not built.
    """
    return open_people(
        config.data_dir,
        "pairs",
        split,
        size=network.image_size,
        num_people=config.num_people or None,
    )


def read_in_order(source: Source, network: Network, batch_size: int) -> Loader:
    """Reads every pair once, in order."""
    return make_loader(
        source,
        batch_size=batch_size,
        seed=0,
        num_epochs=1,
        shuffle=False,
        transform=make_reader(network),
    )


def make_reader(network: Network, *, keep: tuple[str, ...] = ()) -> _Transform:
    """Makes the transform of a loader of pairs.

    The people have the joints of the body; a network with another joint set gets
    those, completed where the body has none (a face) by its proportions.

    Args:
        network: Whose joint set is wanted.
        keep: Fields to keep beside `FIELDS`.

    Returns:
        Function of a record and a generator; `joints_source` and `joints_target` are
        `(J, 3)` pixels in the order of the joint set.
    """

    def read(record: dict, generator: np.random.Generator) -> dict:
        kept = {name: record[name] for name in (*FIELDS, *keep)}
        for end in ("joints_source", "joints_target"):
            kept[end] = joints_of(network, record[end])
        return kept

    return read


def joints_of(network: Network, joints: np.ndarray) -> np.ndarray:
    """Joints `(24, 3)` of the body as a network's joint set has them, `(J, 3)`."""
    joint_set = find_joint_set(network.joint_set)
    if joint_set.names == JOINT_NAMES:
        return joints
    named = dict(zip(JOINT_NAMES, joints[:, None], strict=True))
    return select_joints(complete_figure(named)[0], joint_set).astype(np.float32)
