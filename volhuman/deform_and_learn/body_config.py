"""Options of the body estimator: rounds of deforming and learning, and its use."""

import dataclasses

from volhuman.errors import InputError
from volhuman.option_checks import check_ranges, check_words

MODES = ("train", "describe", "evaluate", "predict")
DEPTHS = ("gan", "none")
SCHEDULES = ("cosine", "constant")


@dataclasses.dataclass(frozen=True, kw_only=True)
class BodyNetwork:
    """Sizes of a regressor.

    Attributes:
        trunk: "resnet50" as published, or "small".
        image_size: Side of the pictures in pixels.
        root: Small trunk: channels of the first convolution.
        stages: Small trunk: as of `nn.resnet.ResNetTrunk`.
        slices: Small trunk: depths of the volumes in which points are looked for.
        hidden: Small trunk: features of the layers before the output.
        corrections: Small trunk: times that the body is corrected.
    """

    trunk: str
    image_size: int
    root: int = 0
    stages: tuple[tuple[int, int, int, int, int], ...] = ()
    slices: int = 0
    hidden: int = 0
    corrections: int = 0


NETWORKS = {
    "paper": BodyNetwork(trunk="resnet50", image_size=224),
    "small": BodyNetwork(
        trunk="small",
        image_size=64,
        root=32,
        stages=((96, 32, 2, 2, 1), (192, 64, 4, 1, 1)),
        slices=8,
        hidden=512,
        corrections=1,
    ),
    "tiny": BodyNetwork(
        trunk="small",
        image_size=32,
        root=8,
        stages=((16, 8, 1, 1, 1),),
        slices=4,
        hidden=16,
        corrections=1,
    ),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class UseOptions:
    """Options of what is done with a trained estimator.

    Attributes:
        weights: Weights to measure or use; empty for those of the package.
        human36m: Folder of Human3.6M's pictures, to be measured by Protocol #1 in place
            of the synthetic people.
        input: Photograph, folder of photographs or of the frames of a film, or video,
            whose frames are `frame_00001` and so on in all that follows.
        keypoints: Key point file, or folder with `<stem>.json`: where the person is,
            and what the body is fitted to afterwards.
        dense: Dense annotation file, or folder, likewise.
        mask: Mask picture, or folder with `<stem>.png`: where the person is, and with
            key points or dense annotations what the refined body is to fill.
        box: Where the person is, "x, y, width, height" in pixels.
        bodies: Bodies of another estimator in place of ours: `.npz` of ROMP or
            4D-Humans (`data.smpl_results`), or a folder with `<stem>.npz`.
        person: Which of the people in it, from 0.
        refine: Whether key points and dense annotations (and the mask beside them)
            refine the result.
        hypotheses: Results a photograph, the likeliest first.
        smoothing: Frames (deviation) over which a film's bodies are smoothed; 0 for
            none, and for a folder of photographs that are no film.
        fps: Frames a second of the film; 0 for those of the video, or 25.
        max_frames: Longer videos are refused.
        output: Folder for results.
        overwrite: Replace existing results.
        turntable_frames: Frames of the turntable, 0 for none; the frames of a film have
            none.
        turntable_size: Side of its frames in pixels.
    """

    weights: str = ""
    human36m: str = ""
    input: str = ""
    keypoints: str = ""
    dense: str = ""
    mask: str = ""
    box: str = ""
    bodies: str = ""
    person: int = 0
    refine: bool = True
    hypotheses: int = 1
    smoothing: float = 0.0
    fps: float = 0.0
    max_frames: int = 2000
    output: str = "output/body/results"
    overwrite: bool = False
    turntable_frames: int = 36
    turntable_size: int = 320


@dataclasses.dataclass(frozen=True, kw_only=True)
class BodyConfig(UseOptions):
    """Trains, measures or uses the body estimator.

    Attributes:
        task: "body".
        mode: "train" runs the rounds; "describe" prints the networks; "evaluate"
            measures weights on held-out synthetic people; "predict" finds the bodies in
            photographs.
        workdir: Folder of the rounds; a training that was stopped continues.
        data_dir: Folder of the data sets.
        num_people: People in the data set of registrations; 0 for the only one.
        size: Side of its pictures in pixels; 0 for the only one. They are made smaller
            for the network.
        network: Preset of sizes: "paper", "small", "tiny".
        backbone: ImageNet weights of ResNet-50 in torchvision's layout, `.npz` or
            `.safetensors`, to begin with; empty to begin from random numbers.
        rounds: Rounds of lifting, deforming and learning.
        steps: Steps of the regressor a round.
        batch_size: Pictures of a step; 30 as published.
        learning_rate: Adam's rate; 1e-4 as published.
        schedule: "cosine" to 0 over all rounds, or "constant" as published.
        average: Decay of the average of the parameters that is measured and used.
        parameter_weight: Weight of the smooth L1 distance to the registered parameters.
        dense_weight: Weight of the dense correspondences.
        keypoint_weight: Weight of the key points and their depths.
        point_weight: Weight of the distance between the points of the body and those of
            the fit; not published.
        place_weight: Weight of the places where a small trunk looks for these points;
            not published.
        augment: Whether pictures are turned, scaled, moved, mirrored and recoloured.
        depths: "gan", or "none" to register without depths.
        depth_steps: Steps of the depth GAN a round.
        depth_width: Features of its hidden layers; 1024 as published.
        register_steps: Adam steps of a registration.
        register_starts: Starting yaws of a registration in the first round; later ones
            start at the regressor's result.
        register_batch: Registrations at a time.
        fits: Folder of the fits of a round of another training (`round_3/fits`), from
            which the first round learns in place of own ones; empty for none.
        num_fitted: Training pictures that are registered and learnt from, 0 for all.
        seed: Seed of everything random.
        save_every: Steps between checkpoints.
        log_every: Steps a row of training.csv.
        num_devices: Devices to use, 0 for all.
    """

    task: str = "body"
    mode: str = "train"
    workdir: str = "output/body/run"
    data_dir: str = "data"
    num_people: int = 0
    size: int = 0
    network: str = "small"
    backbone: str = ""
    rounds: int = 3
    steps: int = 3000
    batch_size: int = 32
    learning_rate: float = 2e-3
    schedule: str = "cosine"
    average: float = 0.998
    parameter_weight: float = 1.0
    dense_weight: float = 10.0
    keypoint_weight: float = 1.0
    point_weight: float = 10.0
    place_weight: float = 10.0
    augment: bool = True
    depths: str = "gan"
    depth_steps: int = 6000
    depth_width: int = 256
    register_steps: int = 200
    register_starts: int = 4
    register_batch: int = 64
    fits: str = ""
    num_fitted: int = 0
    seed: int = 0
    save_every: int = 1000
    log_every: int = 100
    num_devices: int = 0


_WORDS = {
    "mode": MODES,
    "network": tuple(NETWORKS),
    "depths": DEPTHS,
    "schedule": SCHEDULES,
}
_SLOWEST = 0.1  # frames a second
_RANGES = {
    "rounds": (1, 100),
    "steps": (1, 10_000_000),
    "batch_size": (1, 100_000),
    "learning_rate": (1e-8, 1.0),
    "average": (0.0, 0.999999),
    "parameter_weight": (0.0, 1e6),
    "dense_weight": (0.0, 1e6),
    "keypoint_weight": (0.0, 1e6),
    "point_weight": (0.0, 1e6),
    "place_weight": (0.0, 1e6),
    "depth_steps": (1, 10_000_000),
    "depth_width": (1, 16_384),
    "register_steps": (1, 100_000),
    "register_starts": (1, 64),
    "register_batch": (1, 100_000),
    "num_fitted": (0, 10_000_000),
    "person": (0, 1000),
    "hypotheses": (1, 64),
    "smoothing": (0.0, 1000.0),
    "fps": (0.0, 1000.0),
    "max_frames": (1, 1_000_000),
    "turntable_frames": (0, 3600),
    "turntable_size": (16, 4096),
}


def training_options(config: BodyConfig) -> dict[str, bool | int | float | str]:
    """The options that a training depends on: what its folder and weights record."""
    use = {field.name for field in dataclasses.fields(UseOptions)}
    options = dataclasses.asdict(config).items()
    return {name: value for name, value in options if name not in use}


def check_config(config: BodyConfig) -> None:
    """Refuses values that no body estimator can use.

    Raises:
        InputError: Naming the option, its value and what is expected.
    """
    check_words(config, _WORDS)
    check_ranges(config, _RANGES)
    if 0 < config.fps < _SLOWEST:
        raise InputError(
            f"--config.fps is {config.fps}, expected 0 or at least {_SLOWEST:g}"
        )
    if config.backbone and NETWORKS[config.network].trunk != "resnet50":
        raise InputError(
            f"--config.backbone is given, but the network {config.network} is no "
            "ResNet-50; add --config.network=paper"
        )
