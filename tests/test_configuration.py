"""Configuration files and overrides: what reaches the dataclass, and with which type.

Refusals through the command line are in `test_main.py`.
"""

import dataclasses
import pathlib

import pytest
from ml_collections import config_dict

from volhuman.configuration import as_dataclass, parse
from volhuman.deform_and_learn.config import RegisterConfig
from volhuman.errors import InputError

REGISTER = pathlib.Path(__file__).parent.parent / "experiments" / "register.py"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    steps: int = 3
    rate: float = 0.5
    name: str = "x"
    quick: bool = False


@pytest.fixture
def write(tmp_path):
    """Writes a configuration file and returns its flag."""

    def write(body):
        path = tmp_path / "config.py"
        path.write_text(body)
        return f"--config={path}"

    return write


def _parse(*arguments):
    return parse(["volhuman", *map(str, arguments)])


# -- the shipped file


def test_the_shipped_configuration_holds_every_option_with_its_default():
    config = as_dataclass(_parse(f"--config={REGISTER}"), RegisterConfig)
    assert config == RegisterConfig()


def test_every_option_is_documented():
    for field in dataclasses.fields(RegisterConfig):
        assert f"        {field.name}: " in RegisterConfig.__doc__, field.name


@pytest.mark.parametrize("flag", [["--config={}"], ["--config", "{}"], ["-config={}"]])
def test_overrides_of_every_type(flag):
    config = _parse(
        *(part.format(REGISTER) for part in flag),
        "--config.num_starts=7",
        "--config.learning_rate=1",
        "--config.input=a b=c",
        "--config.overwrite",
    )
    registered = as_dataclass(config, RegisterConfig)
    assert registered == dataclasses.replace(
        RegisterConfig(), num_starts=7, learning_rate=1.0, input="a b=c", overwrite=True
    )
    assert type(registered.learning_rate) is float


def test_overrides_hold_for_one_parse_only():
    """Nothing global: a second parse neither fails nor remembers the first."""
    assert _parse(f"--config={REGISTER}", "--config.num_starts=7").num_starts == 7
    assert _parse(f"--config={REGISTER}", "--config.num_starts=5").num_starts == 5
    default = RegisterConfig().num_starts
    assert _parse(f"--config={REGISTER}").num_starts == default


def test_a_file_does_not_inherit_from_the_one_before(write):
    _parse(f"--config={REGISTER}")
    with pytest.raises(InputError, match="get_config"):
        _parse(write("x = 1\n"))


# -- files of a user


@pytest.mark.parametrize(
    "body",
    [
        "def get_config(:\n",
        "import nothing_of_this_name\n",
        "raise RuntimeError('two\\nlines')\n",
        "def get_config():\n    return 1 / 0\n",
        "def get_config():\n    raise TypeError('oh')\n",
        "def get_config():\n    return 'text'\n",
        "def get_config():\n    return open('/nowhere/at/all')\n",
        "",
    ],
)
def test_a_broken_file_is_one_sentence(write, body):
    for override in ([], ["--config.steps=4"]):
        with pytest.raises(InputError) as refusal:
            _parse(write(body), *override)
        assert str(refusal.value) and "\n" not in str(refusal.value)


def test_a_typo_names_the_nearest_key_of_that_file(write):
    flag = write(
        "from ml_collections import ConfigDict\n"
        "def get_config():\n    return ConfigDict({'colour': 'red', 'size': 3})\n"
    )
    assert _parse(flag, "--config.colour=blue").colour == "blue"
    with pytest.raises(InputError, match="'colour'"):
        _parse(flag, "--config.color=blue")
    with pytest.raises(InputError, match=r"known: .*colour.*size"):
        _parse(flag, "--config.zzz=blue")


# -- the dataclass


def test_values_are_taken_and_missing_ones_keep_their_default():
    config = config_dict.ConfigDict({"steps": 9, "quick": True})
    assert as_dataclass(config, Config) == Config(steps=9, quick=True)
    assert as_dataclass(config_dict.ConfigDict(), Config) == Config()


def test_an_integer_is_good_for_a_float_and_nothing_else_is_converted():
    rate = as_dataclass(config_dict.ConfigDict({"rate": 2}), Config).rate
    assert rate == 2 and type(rate) is float
    wrong = [("steps", 1.0), ("steps", "1"), ("steps", True), ("steps", None)]
    wrong += [("rate", "1"), ("rate", True), ("name", 3), ("name", None)]
    wrong += [("quick", 1), ("quick", "True")]
    for key, value in wrong:
        with pytest.raises(InputError) as refusal:
            as_dataclass(config_dict.ConfigDict({key: value}), Config)
        expected = type(getattr(Config(), key)).__name__
        for word in (key, repr(value), expected):
            assert word in str(refusal.value)


@pytest.mark.parametrize(
    "key, hint", [("step", "'steps'"), ("nme", "'name'"), ("zzzz", "remove")]
)
def test_an_unknown_key_names_the_nearest(key, hint):
    with pytest.raises(InputError, match=hint) as refusal:
        as_dataclass(config_dict.ConfigDict({key: 1}), Config)
    assert repr(key) in str(refusal.value)
