"""From a photograph, its joints and a target to the person in another pose, on disk."""

import dataclasses
import hashlib
import os
import sys
from importlib import metadata, resources
from pathlib import Path

import jax
import numpy as np
from tqdm import tqdm

from volhuman.body.skeleton import NUM_JOINTS
from volhuman.data.images import output_names
from volhuman.data.result_folders import check_replaceable, new_folder
from volhuman.errors import InputError
from volhuman.option_checks import check_ranges, check_words
from volhuman.repose.config import ReposeConfig
from volhuman.repose.crops import crop_joints
from volhuman.repose.figure import POINT_NAMES, figure_size, select_joints
from volhuman.repose.joint_files import EstimateBody
from volhuman.repose.paint import paint_frames
from volhuman.repose.parts import find_joint_set
from volhuman.repose.results import FILES, compare, write_result
from volhuman.repose.retarget import FACINGS, PROPORTIONS, Placement, place_target
from volhuman.repose.sources import Source, are_inside, read_sources
from volhuman.repose.targets import Sampling, Target, read_target
from volhuman.repose.weights import SHIPPED, load_generator

_OPTIONS = (
    "facing",
    "travel",
    "proportions",
    "smoothing",
    "fps",
    "start",
    "duration",
    "max_frames",
    "seed",
)
# Frames are held as pictures of the network, of the GIF and of the video.
_BYTES_A_PIXEL = 20


def repose_photographs(
    config: ReposeConfig, estimate: EstimateBody | None = None
) -> int:
    """Paints a photographed person as the target shows and writes `output/<stem>/`.

    A folder of photographs shows one person: all are used for every picture, the first
    gives place and background.

    Args:
        config: Options.
        estimate: Gives the body in a photograph of which no joints are given.

    Returns:
        Exit code 0.

    Raises:
        InputError: If an option or a file cannot be used; nothing is written then.
    """
    check_config(config, can_estimate=estimate is not None)
    folder = Path(config.output) / output_names([Path(config.input).absolute()])[0]
    check_replaceable(folder, FILES, overwrite=config.overwrite)
    network, params = load_generator(config.weights)
    first, *others = read_sources(config.input, config.keypoints, estimate)
    target = _read_target(config, estimate)
    targets = _place(config, first, target)
    first = first.make_room(targets[:, :NUM_JOINTS, :2])
    targets = crop_joints(targets, first.crop, network.image_size)
    _check_memory(len(targets), network.image_size)
    warnings = [f"{Path(config.target).name}: {text}" for text in target.warnings]
    warnings += _judge(config, [first, *others], targets, network.image_size)
    for warning in warnings:
        print(f"volhuman: warning: {warning}", file=sys.stderr)
    frames = _paint(config, network, params, [first, *others], targets)
    comparison = compare(
        first.picture(network.image_size),
        first.crop_joints(network.image_size),
        targets,
        frames,
    )
    record = _record(config, network, [first, *others], len(frames), warnings)
    with new_folder(folder) as part:
        names = write_result(part, frames, comparison, record, rate=config.fps)
    count = f", {len(frames)} frames" if len(frames) > 1 else ""
    print(f"{folder}: {', '.join(names)}{count}")
    return 0


def check_config(config: ReposeConfig, *, can_estimate: bool = False) -> None:
    """Refuses options that no prediction can use.

    Args:
        config: Options.
        can_estimate: Whether joints that are not given can be estimated.

    Raises:
        InputError: Naming the option, its value and what is expected.
    """
    needed = ("input", "target") if can_estimate else ("input", "keypoints", "target")
    missing = [name for name in needed if not getattr(config, name)]
    if missing:
        raise InputError(
            f"reposing needs {', '.join(f'--config.{name}' for name in missing)}: "
            "--config.input=PHOTO --config.keypoints=JOINTS (3D, such as body.json of "
            "the registration) --config.target=PHOTO, JOINTS, POSE or MOTION"
        )
    ranges = {
        "fps": (1, 120),
        "start": (0, 1e6),
        "duration": (0, 1e6),
        "max_frames": (1, 100_000),
        "smoothing": (0, 1000),
    }
    check_ranges(config, ranges)
    check_words(config, {"facing": FACINGS, "proportions": PROPORTIONS})


def _read_target(config: ReposeConfig, estimate: EstimateBody | None) -> Target:
    """What the person shall do."""
    sampling = {f.name: getattr(config, f.name) for f in dataclasses.fields(Sampling)}
    target = read_target(config.target, Sampling(**sampling), estimate)
    if config.travel and target.path is None:
        raise InputError(
            f"{config.target}: does not tell where the pelvis is; --config.travel=True "
            "needs a motion, or joints in mm with 'focal' and 'centre'"
        )
    if not figure_size(target.points).any():
        raise InputError(f"{config.target}: all joints are at one place; give others")
    return target


def _place(config: ReposeConfig, source: Source, target: Target) -> np.ndarray:
    """The joints `(T, 29, 3)` that the target asks for, in the photograph."""
    options = {f.name: getattr(config, f.name) for f in dataclasses.fields(Placement)}
    return place_target(source.seen, target, Placement(**options))


def _check_memory(num_frames: int, side: int) -> None:
    """Refuses animations that this machine cannot hold while it writes them."""
    needed = num_frames * side**2 * _BYTES_A_PIXEL
    installed = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > installed / 2:
        raise InputError(
            f"{num_frames} frames of {side} x {side} pixels take about "
            f"{needed / 1e9:.0f} GB of memory, more than half of this machine's "
            f"{installed / 1e9:.0f}; take a part with --config.duration=SECONDS"
        )


def _judge(config, sources: list[Source], targets: np.ndarray, side: int) -> list[str]:
    """Sentences about what is cut off or unlikely to work."""
    warnings = [text for source in sources for text in source.warnings()]
    outside = ~are_inside(targets[:, :NUM_JOINTS], (side, side))
    if outside.any():
        name = POINT_NAMES[int(np.argmax(outside.sum(0)))]
        warnings.append(
            f"{Path(config.target).name}: leaves the picture in {outside.any(1).sum()} "
            f"of {len(targets)} frames ({name}); that part is cut off."
        )
    return warnings


def _paint(config, network, params, sources, targets) -> list[np.ndarray]:
    """The frames as uint8."""
    joint_set = find_joint_set(network.joint_set)
    side = network.image_size
    painted = paint_frames(
        network,
        params,
        np.stack([source.picture(side) for source in sources]),
        select_joints(np.stack([s.crop_joints(side) for s in sources]), joint_set),
        select_joints(targets, joint_set),
        seed=config.seed,
    )
    progress = tqdm(painted, total=len(targets), unit="frame", disable=None)
    return list(progress if len(targets) > 1 else painted)


def _record(config, network, sources, num_frames, warnings) -> dict:
    """How the result came about; equal for equal input."""
    with resources.as_file(resources.files("volhuman") / "assets") as assets:
        weights = Path(config.weights or assets / SHIPPED)
        digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    return {
        "volhuman": metadata.version("volhuman"),
        "jax": jax.__version__,
        "photographs": [source.photograph.path.name for source in sources],
        "joints": [source.file.name for source in sources],
        "target": Path(config.target).name,
        "weights": {"file": weights.name, "sha256": digest},
        "network": {"joint_set": network.joint_set, "image_size": network.image_size},
        "crops": [
            {"centre": s.crop.centre.tolist(), "size": float(s.crop.size)}
            for s in sources
        ],
        "frames": num_frames,
        "warnings": warnings,
        "options": {name: getattr(config, name) for name in _OPTIONS},
    }
