"""Command line and configuration: `--config=file.py --config.key=value`.

The parsing is ml_collections'; this module turns its tracebacks into one sentence that
names the nearest key, and the untyped result into a system's frozen dataclass.
"""

import dataclasses
import difflib
import re
import sys
from collections.abc import Sequence
from typing import Any, TypeVar

from absl import flags
from ml_collections import config_dict, config_flags

from volhuman.errors import InputError

_Config = TypeVar("_Config")


def parse(arguments: Sequence[str]) -> config_dict.ConfigDict:
    """Parses the command line.

    Args:
        arguments: `sys.argv`, or a list like it.

    Returns:
        The configuration with its overrides.

    Raises:
        InputError: For an unknown flag or key, a value of another type, or a missing or
            broken configuration file.
    """
    try:
        values, config = _define(arguments)
        left = values(list(arguments))
        given = config.value is not None
        if given:
            config.value.keys()  # a file that failed to load says so only when read
    except (flags.Error, AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(_explain(error, arguments)) from error
    except OSError as error:
        file = next((a for a in arguments if a.startswith("--config=")), "--config")
        raise InputError(
            f"{file}: there is no such file; give a configuration file such as "
            "experiments/register.py"
        ) from error
    except Exception as error:  # whatever the configuration's own code raises
        reason = " ".join(str(error).split())
        raise InputError(f"the configuration cannot be loaded: {reason}") from error
    if len(left) > 1:
        raise InputError(
            f"unexpected argument {left[1]!r}; options are written --config.key=value"
        )
    if not given:
        raise InputError(
            "no configuration was given; add --config=experiments/register.py"
        )
    return config.value


def _define(arguments: Sequence[str]):
    """Defines --config in flags of its own; absl's are global, good for one parse."""
    # ml_collections loads the file into this module, where an earlier one may linger.
    sys.modules.pop("config_config", None)
    values = flags.FlagValues()
    config = config_flags.DEFINE_config_file(
        "config", None, "", flag_values=values, sys_argv=list(arguments)
    )
    return values, config


def _explain(error: Exception, arguments: Sequence[str]) -> str:
    """Finds the override that failed and the key that was meant."""
    known = _known_keys(arguments)
    for argument in arguments[1:]:
        match = re.match(r"--?(?:no)?config\.([^=]+)", argument)
        if match and known and match.group(1) not in known:
            close = difflib.get_close_matches(match.group(1), known, 1)
            meant = f"did you mean {close[0]!r}?" if close else ""
            return (
                f"--config.{match.group(1)}: there is no such option; "
                f"{meant or 'known: ' + ', '.join(known)}"
            )
    return " ".join(str(error).split())


def _known_keys(arguments: Sequence[str]) -> list[str]:
    """Keys of the configuration file that the arguments name."""
    for argument, following in zip(arguments[1:], [*arguments[2:], ""], strict=True):
        match = re.fullmatch(r"--?config(?:=(.*))?", argument)
        if match:
            file = following if match.group(1) is None else match.group(1)
            alone = ["volhuman", f"--config={file}"]
            values, config = _define(alone)
            try:
                values(alone)
                return list(config.value.keys())
            except Exception:  # the file itself is broken: the first error stands
                return []
    return []


def as_dataclass(config: config_dict.ConfigDict, cls: type[_Config]) -> _Config:
    """Turns a configuration into a system's dataclass.

    Raises:
        InputError: If a key is unknown or a value has another type.
    """
    fields = {field.name: field for field in dataclasses.fields(cls)}
    values: dict[str, Any] = {}
    for key, value in config.items():
        if key not in fields:
            close = difflib.get_close_matches(key, fields, 1)
            hint = f"did you mean {close[0]!r}?" if close else "remove it"
            raise InputError(f"the configuration has an unknown key {key!r}; {hint}")
        expected = type(fields[key].default)
        if expected is float and type(value) is int:
            value = float(value)
        # Python counts True and False among the integers.
        mixed = isinstance(value, bool) and expected is not bool
        if mixed or not isinstance(value, expected):
            raise InputError(
                f"the configuration's {key} is {value!r}, expected {expected.__name__}"
            )
        values[key] = value
    return cls(**values)
