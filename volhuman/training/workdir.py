"""The folder of a run: one run at a time, and always of the same configuration."""

import contextlib
import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from volhuman.data.json_files import read_json
from volhuman.data.people_build import hold_lock
from volhuman.errors import InputError
from volhuman.training.config import CHANGEABLE
from volhuman.training.manifest import write_text

CONFIG = "config.json"


@contextlib.contextmanager
def hold_workdir(workdir: str | Path) -> Iterator[None]:
    """Holds a folder against a second run.

    The hold belongs to the process: that of a run that was killed is free.

    Raises:
        InputError: If another run holds it, or it cannot be written.
    """
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(hold_lock(Path(workdir) / "training.lock"))
        except InputError as error:
            cause = error.__cause__
            if isinstance(cause, BlockingIOError):
                raise InputError(
                    f"{workdir}: another training runs in this folder; wait for it, "
                    "stop it, or choose another workdir"
                ) from error
            raise InputError(
                f"{workdir}: {getattr(cause, 'strerror', None) or error}; choose a "
                "workdir that can be written"
            ) from error
        yield


def keep_config(
    workdir: str | Path,
    config: Mapping[str, Any],
    *,
    changeable: Collection[str],
    continues: bool,
) -> None:
    """Writes the configuration of a run, and compares it with an earlier one.

    Args:
        workdir: Folder of the run.
        config: All options; JSON must be able to hold them.
        changeable: Keys that may differ, beside those of `CHANGEABLE`.
        continues: Whether the folder holds checkpoints, which the earlier configuration
            belongs to.

    Raises:
        InputError: If a key that makes the model differs, or the file cannot be read or
            written.
    """
    path = Path(workdir) / CONFIG
    text = json.dumps(dict(config), indent=2, sort_keys=True) + "\n"
    if continues:
        check_config(workdir, config, changeable=changeable)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, text)
    except OSError as error:
        raise InputError(
            f"{path}: {error.strerror or error}; choose a workdir that can be written"
        ) from error


def check_config(
    workdir: str | Path, config: Mapping[str, Any], *, changeable: Collection[str]
) -> None:
    """Compares a configuration with that of the run in a folder, if there is one.

    Args:
        workdir: Folder of the run.
        config: All options; JSON must be able to hold them.
        changeable: Keys that may differ, beside those of `CHANGEABLE`.

    Raises:
        InputError: If a key that makes the model differs, or the file cannot be read.
    """
    path = Path(workdir) / CONFIG
    if path.exists():
        _check(path, json.loads(json.dumps(dict(config))), {*changeable, *CHANGEABLE})


def _check(path: Path, config: dict[str, Any], changeable: set[str]) -> None:
    saved = read_json(path)
    if not isinstance(saved, dict):
        raise InputError(f"{path}: not a configuration; restore it or delete the file")
    differing = [
        f"{key} (was {_shown(saved, key)}, is {_shown(config, key)})"
        for key in sorted({*saved, *config} - changeable)
        if _shown(saved, key) != _shown(config, key)
    ]
    if differing:
        raise InputError(
            f"{path}: the run in this folder has other options: "
            f"{', '.join(differing)}; give the same ones, or another workdir"
        )


def _shown(config: Mapping[str, Any], key: str) -> str:
    return json.dumps(config[key], sort_keys=True) if key in config else "absent"
