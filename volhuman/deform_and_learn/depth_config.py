"""Options of the depth GAN."""

import dataclasses

from volhuman.option_checks import check_ranges, check_words

MODES = ("train", "describe", "evaluate")
DIRECTIONS = ("anatomy", "published", "none")
SCHEDULES = ("cosine", "constant")
LAYOUTS = ("human36m", "mpii")


@dataclasses.dataclass(frozen=True, kw_only=True)
class DepthGanConfig:
    """Trains, describes or measures the network that lifts 2D poses.

    Attributes:
        task: "depth_gan".
        mode: "train"; "describe" prints the networks; "evaluate" measures weights.
        workdir: Folder of the training; one that was stopped continues.
        poses: File of 2D poses to train on (`poses_2d.read_poses_2d`); empty for
            synthetic people.
        layout: What the 17 joints of the poses are: "human36m", or "mpii" for MPII's
            joints in the same order.
        num_poses: Synthetic people in training, each seen from ever new sides.
        width: Features of the hidden layers; 1024 as published.
        steps: Training steps.
        batch_size: Poses of a step; 16 as published.
        learning_rate: Adam's rate; 2e-4 as published.
        schedule: "cosine" to 0, or "constant" as published.
        direction: What tells depths from mirrored depths: "anatomy" (nose and knees, in
            three dimensions), "published" (nose, seen from above; an option of the
            published code), "none" (its default: the sign stays open).
        direction_weight: Weight of that loss.
        renormalize: Whether turned poses are scaled like real ones before the critic
            sees them; not as published.
        seed: Seed of networks, people and views.
        save_every: Steps between checkpoints.
        evaluate_every: Steps between evaluations on held-out synthetic people, 0 for
            none.
        log_every: Steps a row of training.csv.
        num_devices: Devices to use, 0 for all.
        weights: Weights to evaluate; empty for those of the package.
        body_poses: To evaluate on besides synthetic people: `.npz` with the array
            pose `(N, 24, 3)`, axis-angle, as the body's joints.
        output: Folder for the table of the evaluation.
        overwrite: Replace an existing table.
    """

    task: str = "depth_gan"
    mode: str = "train"
    workdir: str = "output/depth_gan/run"
    poses: str = ""
    layout: str = "human36m"
    num_poses: int = 10_000
    width: int = 1024
    steps: int = 4000
    batch_size: int = 128
    learning_rate: float = 5e-4
    schedule: str = "cosine"
    direction: str = "anatomy"
    direction_weight: float = 1.0
    renormalize: bool = True
    seed: int = 0
    save_every: int = 1000
    evaluate_every: int = 1000
    log_every: int = 100
    num_devices: int = 0
    weights: str = ""
    body_poses: str = ""
    output: str = "output/depth_gan/evaluation"
    overwrite: bool = False


def check_config(config: DepthGanConfig) -> None:
    """Refuses values that no depth GAN can use.

    Raises:
        InputError: Naming the option, its value and what is expected.
    """
    words = {
        "mode": MODES,
        "direction": DIRECTIONS,
        "schedule": SCHEDULES,
        "layout": LAYOUTS,
    }
    check_words(config, words)
    ranges = {
        "width": (1, 16_384),
        "num_poses": (1, 10_000_000),
        "learning_rate": (1e-8, 1.0),
        "direction_weight": (0.0, 1e3),
    }
    check_ranges(config, ranges)
