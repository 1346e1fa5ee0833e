"""The command that builds or shows synthetic people."""

import os
from pathlib import Path

from volhuman.data.config import PeopleOptions
from volhuman.data.people import build_people
from volhuman.data.people_build import person_seed
from volhuman.errors import InputError

MODES = ("gallery", "build")
_CHANNEL_ROWS = 8
_RANGES = {"num_people": (1, 1_000_000), "seed": (0, 2**32 - 1), "size": (16, 4096)}

LIMITATIONS = """\
- The people are computed: faces are painted on one head whose shape varies little,
  hands are open, and nobody is a child.
- Clothes lie on the body or hang from the waist; there are no open coats, scarves,
  bags, veils or layered skirts, and fabric does not swing.
- Who sits has no chair, and nobody touches things or other people.
- Pictures hold exactly one whole person; limbs are hidden only by the person itself.
- Skin tones, body shapes and clothes are drawn evenly from lists in the code, not from
  the statistics of any population; do not measure fairness with them.
- A model trained on these pictures alone sees photographs as something new: measure on
  real pictures before relying on it."""


def run_people(options: PeopleOptions) -> int:
    """Runs the command; returns the exit code.

    Raises:
        InputError: If an option is out of its range or a sheet exists already.
    """
    if options.mode not in MODES:
        raise InputError(
            f"the configuration's mode is {options.mode!r}, expected one of "
            f"{', '.join(MODES)}"
        )
    if options.mode == "build":
        _build(options)
    else:
        _gallery(options)
    return 0


def _build(options: PeopleOptions) -> None:
    # Imported here, as below: reading data needs no renderer.
    from volhuman.people.records import GENERATOR_VERSION

    builder = build_people(
        data_dir=options.data_dir,
        variant=options.variant,
        num_people=options.num_people,
        seed=options.seed,
        size=options.size,
        num_workers=options.num_workers or os.cpu_count() or 1,
        version=GENERATOR_VERSION,
        limitations=LIMITATIONS,
    )
    counts = {name: split.num_examples for name, split in builder.info.splits.items()}
    print(f"{builder.data_dir}: {counts}")


def _gallery(options: PeopleOptions) -> None:
    from volhuman.people.gallery import channel_sheet, people_sheet, write_sheet

    for name, (low, high) in (_RANGES | {"columns": (1, 64)}).items():
        value = getattr(options, name)
        if not low <= value <= high:
            raise InputError(
                f"the configuration's {name} is {value}, expected {low} to {high}"
            )
    paths = [Path(options.output) / name for name in ("people.png", "channels.png")]
    for path in paths:
        if path.exists() and not options.overwrite:
            raise InputError(
                f"{path} exists already; give another --config.output or "
                "--config.overwrite=True"
            )
    seeds = [person_seed(options.seed, index) for index in range(options.num_people)]
    sheets = (
        people_sheet(seeds, size=options.size, columns=options.columns),
        channel_sheet(seeds[:_CHANNEL_ROWS], size=options.size),
    )
    for path, sheet in zip(paths, sheets, strict=True):
        write_sheet(path, sheet)
        print(path)
