"""Sizes and options of the reposing network and its training."""

import dataclasses

from volhuman.errors import InputError
from volhuman.option_checks import check_ranges

WARPS = ("3d", "2d", "mirrored")
POSES = ("3d", "2d")
SCHEDULES = ("constant", "cosine")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Network:
    """Architecture of generator and discriminator.

    Source: Knoche, Sárándi & Leibe, "Reposing Humans by Warping 3D Features", section 3
    and supplement; the defaults are the published sizes.

    Attributes:
        image_size: Side of the pictures; a multiple of 64.
        depth: Slices D of the feature volume, which is a quarter of the picture wide
            (33 in the published network, where one is padding).
        channels: Channels of the feature volume.
        pose_channels: Channels of the encoded target pose.
        root: Channels of the encoders' root convolutions.
        encoder: Stages of the image encoder (`nn.resnet.ResNetTrunk.stages`).
        volume_units: Residual units in each of the three volume networks.
        decoder: Units of the image decoder: (features, inner, doubles the size).
        background: (kernel size, features) of the inpainter's encoder stages.
        critic: Stages of the discriminator's trunk.
        critic_slices: Slices of the heat maps that the discriminator reads.
        joint_set: "panoptic19" or "body24" (`body.part_transforms`).
        shortcuts: Paths of ours beside the published ones, where depth needs not be
            learnt first: the lift also reads pixels and adds something to all depths
            alike, and the decoder also reads the volume composited front to back.
        warp: "3d"; "2d" for the ablation: parts move by affine maps of the picture;
            "mirrored" for the published fit, which mirrors about half of the limbs.
        pose: "3d", or "2d" for the ablation: heat maps without depth.
        published: Reproduce the published network bit by bit where new training
            should not: statistics a row, grids of 2n - 1 aligned at the corners, masks
            and maps of `repose.published`. The geometry is that of the defaults.
    """

    image_size: int = 256
    depth: int = 33
    channels: int = 64
    pose_channels: int = 32
    root: int = 64
    encoder: tuple[tuple[int, int, int, int, int], ...] = (
        (256, 64, 3, 1, 1),
        (512, 128, 4, 1, 2),
    )
    volume_units: int = 3
    decoder: tuple[tuple[int, int, bool], ...] = (
        (1024, 256, False),
        (1024, 256, False),
        (512, 128, True),
        (512, 128, False),
        (512, 128, False),
        (256, 64, True),
    )
    background: tuple[tuple[int, int], ...] = (
        (7, 64),
        (5, 128),
        (5, 256),
        (3, 512),
        (3, 512),
        (3, 512),
        (3, 512),
    )
    critic: tuple[tuple[int, int, int, int, int], ...] = (
        (256, 64, 3, 2, 1),
        (512, 128, 4, 2, 1),
        (1024, 256, 6, 2, 1),
    )
    critic_slices: int = 32
    joint_set: str = "panoptic19"
    shortcuts: bool = False
    warp: str = "3d"
    pose: str = "3d"
    published: bool = False

    def __post_init__(self):
        if self.published and self.shortcuts:
            raise ValueError(
                "the published network has no shortcuts; leave one of both"
            )
        for name in ("image_size", "depth", "joint_set", "warp", "pose"):
            default, value = getattr(type(self), name), getattr(self, name)
            if self.published and value != default:
                raise ValueError(
                    f"the published network's {name} is {default}, not {value}"
                )

    @property
    def volume_shape(self) -> tuple[int, int, int]:
        """Voxels (H, W, D) of masks and heat maps; published, less the padding."""
        side = self.image_size // 4
        return side, side, self.depth - (1 if self.published else 0)


PAPER = Network()

# Half a million multiplications a voxel less, for one GPU.
MEDIUM = Network(
    depth=32,
    channels=24,
    pose_channels=16,
    root=32,
    encoder=((128, 32, 2, 1, 1), (256, 64, 2, 1, 2)),
    volume_units=2,
    decoder=((384, 96, False), (192, 48, True), (192, 48, False), (96, 24, True)),
    background=((7, 32), (5, 64), (5, 128), (3, 192), (3, 192), (3, 192)),
    critic=((128, 32, 2, 2, 1), (256, 64, 2, 2, 1), (384, 96, 3, 2, 1)),
    critic_slices=16,
    joint_set="body24",
)

# Trains on two CPU cores.
SMALL = Network(
    image_size=64,
    depth=16,
    channels=16,
    pose_channels=8,
    root=24,
    encoder=((64, 16, 1, 1, 1), (96, 24, 2, 1, 2)),
    volume_units=1,
    decoder=((160, 40, False), (96, 24, True), (48, 12, True)),
    background=((5, 16), (3, 32), (3, 48), (3, 64), (3, 64)),
    critic=((48, 12, 1, 2, 1), (96, 24, 1, 2, 1)),
    critic_slices=8,
    joint_set="body24",
    shortcuts=True,
)

# Trains in minutes on one CPU core: for comparisons of many trainings.
TINY = Network(
    image_size=64,
    depth=16,
    channels=8,
    pose_channels=8,
    root=16,
    encoder=((32, 8, 1, 1, 1), (64, 16, 1, 1, 2)),
    volume_units=1,
    decoder=((96, 24, False), (64, 16, True), (32, 8, True)),
    background=((5, 16), (3, 24), (3, 32), (3, 48)),
    critic=((32, 8, 1, 2, 1), (64, 16, 1, 2, 1)),
    critic_slices=8,
    joint_set="body24",
    shortcuts=True,
)

NETWORKS = {"paper": PAPER, "medium": MEDIUM, "small": SMALL, "tiny": TINY}


def find_network(name: str) -> Network:
    """Returns a preset by name.

    Raises:
        InputError: If there is none of that name.
    """
    if name not in NETWORKS:
        raise InputError(
            f"the configuration's network is {name!r}, expected one of "
            f"{', '.join(NETWORKS)}"
        )
    return NETWORKS[name]


@dataclasses.dataclass(frozen=True, kw_only=True)
class UseOptions:
    """Options of what is done with a trained network.

    Attributes:
        weights: Weights of a generator; empty for those of the package.
        output: Folder for the results, made where missing.
        overwrite: Replace existing results.
        estimator: Weights of the pose estimator of `evaluate`
            (experiments/pose_estimator.py); empty for those of the package.
        input: Photograph to repose, or a folder of photographs of one person (all are
            used, the first gives place and background).
        keypoints: Its joints in 3D (`repose.joint_files`), or a folder with
            `<photograph's stem>.json`, `.npz` or `<stem>/body.json`; empty to have them
            estimated.
        target: What the person shall do: another photograph, its joints, a pose, a
            motion (BVH, AMASS), or a folder of joint files (`repose.targets`).
        fps: Frames a second of an animation.
        start: Seconds of a motion that are left out at its beginning.
        duration: Seconds of a motion that are taken, 0 for all.
        max_frames: Longer animations are refused.
        smoothing: Standard deviation, in frames, of a Gaussian over the target's
            joints; 0 for none.
        facing: "source" turns poses so that the first faces as the photographed person,
            "recorded" turns nothing, "auto" turns what no camera has seen.
        travel: Follow the target's path over the ground.
        proportions: "source" keeps the photographed person's bone lengths, "target"
            takes over the target's.
    """

    weights: str = ""
    output: str = "output/reposed"
    overwrite: bool = False
    estimator: str = ""
    input: str = ""
    keypoints: str = ""
    target: str = ""
    fps: float = 25.0
    start: float = 0.0
    duration: float = 0.0
    max_frames: int = 500
    smoothing: float = 0.0
    facing: str = "auto"
    travel: bool = False
    proportions: str = "source"


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReposeConfig(UseOptions):
    """Trains, measures, describes or uses the reposing network.

    Attributes:
        task: "repose".
        mode: "train"; "export" writes the weights of the newest checkpoint; "describe";
            "evaluate" measures weights on the test people; "predict".
        network: Preset of sizes: paper, medium, small or tiny.
        warp: "3d"; "2d" or "mirrored" for ablations.
        pose: "3d"; "2d" for the ablation.
        published: Network with the quirks of the published one, for imported weights:
            network "paper" with the warp and pose "3d" alone.
        workdir: Folder of the training run.
        data_dir: Folder of the data sets.
        num_people: People in the data set; 0 for the only one that is built.
        steps: Training steps.
        batch_size: Pairs a step.
        seed: Seed of parameters, data order and augmentation.
        initial: Weights of a generator of the same sizes to begin with; empty for
            random ones.
        learning_rate: Adam's rate for both networks.
        schedule: "constant", or "cosine": after a warm-up it falls to 0 at the last
            step.
        perceptual: Weight of the perceptual distance.
        adversarial: Weight of the adversarial loss, 0 to train without discriminator.
        vgg: VGG19 weights (`.npz`, `.safetensors` or Keras's `.h5`); empty for the
            pyramid distance.
        average: Decay of the average of the generator's parameters that is evaluated.
        augment: Random colour and geometry.
        save_every: Steps between checkpoints.
        evaluate_every: Steps between evaluations, 0 for none.
        log_every: Steps a row of metrics.
        mixed_precision: Compute the networks in bfloat16; parameters, geometry and
            losses stay float32.
        accumulate: Steps whose gradients are averaged into one update: `accumulate`
            batches of `batch_size` act as one large batch.
        remat: Compute activations again for the gradient: less memory, more time.
        num_devices: Devices of every host to train on, 0 for all.
        coordinator: Address host:port of the first process when several train together;
            empty for one process.
        num_processes: Number of processes; read with `coordinator` only.
        process_id: Number of this process, from 0; read with `coordinator` only.
    """

    task: str = "repose"
    mode: str = "train"
    network: str = "small"
    warp: str = "3d"
    pose: str = "3d"
    published: bool = False
    workdir: str = "output/repose/run"
    data_dir: str = "data"
    num_people: int = 0
    steps: int = 20_000
    batch_size: int = 8
    seed: int = 0
    initial: str = ""
    learning_rate: float = 2e-4
    schedule: str = "constant"
    perceptual: float = 3.0
    adversarial: float = 1.0
    vgg: str = ""
    average: float = 0.999
    augment: bool = True
    save_every: int = 1000
    evaluate_every: int = 1000
    log_every: int = 100
    mixed_precision: bool = False
    accumulate: int = 1
    remat: bool = False
    num_devices: int = 0
    coordinator: str = ""
    num_processes: int = 1
    process_id: int = 0


_RANGES = {
    "steps": (1, 10**9),
    "batch_size": (1, 10**6),
    "seed": (0, 2**32 - 1),
    "learning_rate": (1e-9, 1.0),
    "perceptual": (0.0, 1e6),
    "adversarial": (0.0, 1e6),
    "average": (0.0, 0.999999),
    "accumulate": (1, 10**6),
}


def check_numbers(config: ReposeConfig) -> None:
    """Refuses numbers that no training can use.

    Raises:
        InputError: Naming the option, its value and what is expected.
    """
    check_ranges(config, _RANGES)


def training_options(config: ReposeConfig) -> dict[str, bool | int | float | str]:
    """The options that a training depends on: what its folder and weights record."""
    use = {field.name for field in dataclasses.fields(UseOptions)}
    options = dataclasses.asdict(config).items()
    return {name: value for name, value in options if name not in use}


def network_of(config: ReposeConfig) -> Network:
    """Returns the architecture that a configuration names.

    Raises:
        InputError: If an option is unknown.
    """
    options = {"warp": WARPS, "pose": POSES, "schedule": SCHEDULES}
    for name, allowed in options.items():
        value = getattr(config, name)
        if value not in allowed:
            raise InputError(
                f"the configuration's {name} is {value!r}, expected one of "
                f"{', '.join(allowed)}"
            )
    network = find_network(config.network)
    try:
        return dataclasses.replace(
            network,
            warp=config.warp,
            pose=config.pose,
            published=config.published,
        )
    except ValueError as error:
        raise InputError(
            f"{error}; with --config.published=True give --config.network=paper and "
            "leave warp and pose"
        ) from error
