"""The converter of the authors' checkpoint, on a checkpoint made up of their names."""

import importlib.util
import json
import pathlib
import subprocess
import sys
import zlib

import jax
import numpy as np
import pytest
from flax import traverse_util

from volhuman.errors import InputError
from volhuman.repose.published_weights import PUBLISHED, published_names
from volhuman.repose.weights import load_generator
from volhuman.training.export import load_weights

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
SCRIPT = REPOSITORY / "experiments" / "convert_repose_checkpoint.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("convert_repose_checkpoint", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def expected(script):
    return script.expected_shapes()


def _values(name, shape):
    """A constant of each variable's own: cheap, and an exchange is noticed."""
    return np.full(shape, zlib.crc32(name.encode()) / 2**32, np.float32)


def _extra():
    """What a checkpoint of the training holds beside the networks' variables."""
    block = "GAN/Generator/resnet_v2_50/block3/unit_1/bottleneck_v2/conv1/weights"
    return {
        block: (1, 1, 512, 256),
        "GAN/Discriminator/resnet_v2_50/postnorm/gamma": (2048,),
        "GAN/Generator/conv3d/kernel/Adam": (3, 3, 3, 19, 32),
        "GAN/Generator/conv3d/kernel/Adam_1": (3, 3, 3, 19, 32),
        "generator_train/beta1_power": (),
        "beta2_power_1": (),
        "global_step": (),
        "block1_conv1/kernel": (3, 3, 3, 64),
    }


class Double:
    """A checkpoint in memory."""

    def __init__(self, shapes, change=None):
        self.shapes, self.change = dict(shapes), change or {}

    def get_variable_to_shape_map(self):
        return {name: list(shape) for name, shape in self.shapes.items()}

    def get_tensor(self, name):
        if name in self.change:
            raise self.change[name]
        return _values(name, self.shapes[name])


def test_every_variable_arrives_at_its_parameter(script, expected, tmp_path):
    files = [tmp_path / f"{name}.safetensors" for name in ("generator", "critic")]
    kinds = script.convert(
        Double(expected | _extra()),
        files[0],
        checkpoint="model.ckpt-149999",
        discriminator=files[1],
    )
    assert dict(kinds) == {"read": 406, "dead": 2, "optimizer": 5, "other": 1}
    network, params = load_generator(files[0])
    assert network == PUBLISHED
    flat = traverse_util.flatten_dict(params, sep="/")
    names = published_names()
    assert len(flat) == sum(path.startswith("generator/") for path in names)
    assert sum(x.size for x in flat.values()) == 47_005_427
    for path, array in flat.items():
        name = names[f"generator/{path}"]
        assert array.shape == expected[name]
        assert array.flat[0] == array.flat[-1] == _values(name, ())
    like = {
        path.removeprefix("discriminator/"): jax.ShapeDtypeStruct(
            expected[name], np.float32
        )
        for path, name in names.items()
        if path.startswith("discriminator/")
    }
    critic = load_weights(files[1], traverse_util.unflatten_dict(like, sep="/"))
    assert critic.step == 149_999
    assert sum(x.size for x in jax.tree.leaves(critic.params)) == 10_475_841


def test_shapes_and_dead_variables_are_those_of_the_published_code(
    script, expected, shared
):
    table = json.loads((shared / "golden" / "repose" / "var_table.json").read_text())
    kinds = script.check_variables(table["variables"], expected)
    assert kinds == {"read": len(table["live"]), "dead": 130}
    assert expected == {n: tuple(table["variables"][n]) for n in table["live"]}


LIFT = "GAN/Generator/conv2d/kernel"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({LIFT: None}, f"lacks {LIFT};"),
        ({LIFT: (3, 3, 512, 7)}, rf"{LIFT} \(3, 3, 512, 7\) instead of \(3, 3, 512, 2"),
        ({"GAN/Generator/conv2d_9/kernel": (1,)}, "unknown variables: GAN/Gen.*d_9/ke"),
    ],
)
def test_other_networks_are_refused_by_name(script, expected, change, words):
    shapes = {
        name: shape for name, shape in (expected | change).items() if shape is not None
    }
    with pytest.raises(InputError, match=words) as refusal:
        script.check_variables(shapes, expected)
    assert "\n" not in str(refusal.value)
    with pytest.raises(InputError, match=r"lacks .*, .*, .* and 403 more"):
        script.check_variables({}, expected)


def test_damage_and_bad_targets_are_named(script, expected, tmp_path):
    def run(target="new.safetensors", shapes=expected, **change):
        reader = Double(
            shapes, {name.replace(".", "/"): e for name, e in change.items()}
        )
        script.convert(reader, tmp_path / target, checkpoint="model.ckpt-1")

    error = RuntimeError("Checksum does not match\nstored 1 vs. calculated 2")
    with pytest.raises(InputError, match=r"conv2d/kernel cannot be read \(Checksum"):
        run(**{LIFT: error})
    (tmp_path / "old.safetensors").touch()
    for target in ("old.safetensors", "new.npz"):
        with pytest.raises(InputError, match="give a new file"):
            run(target)
    assert [path.name for path in tmp_path.iterdir()] == ["old.safetensors"]


def test_numbers_that_are_not_finite_are_refused(script, expected, tmp_path):
    class Spoilt(Double):
        def get_tensor(self, name):
            return super().get_tensor(name) * (np.nan if name == LIFT else 1)

    with pytest.raises(InputError, match="conv2d/kernel holds numbers that are not"):
        script.convert(Spoilt(expected), tmp_path / "a.safetensors", checkpoint="x")
    assert not list(tmp_path.iterdir())


def test_missing_checkpoints_are_named(script, tmp_path):
    for name in ("model.ckpt-7", "model.ckpt-7.index", "model.ckpt-7.meta"):
        with pytest.raises(InputError, match=r"model\.ckpt-7\.index: there is no such"):
            script.open_checkpoint(tmp_path / name)


def _run(*arguments):
    return subprocess.run(
        [sys.executable, str(SCRIPT), *map(str, arguments)],
        capture_output=True,
        text=True,
    )


@pytest.mark.slow
def test_a_checkpoint_that_tensorflow_wrote(script, expected, tmp_path):
    tf = pytest.importorskip("tensorflow")
    prefix, target = tmp_path / "model.ckpt-149999", tmp_path / "a.safetensors"
    shapes = expected | _extra()
    tf.raw_ops.SaveV2(
        prefix=str(prefix),
        tensor_names=list(shapes),
        shape_and_slices=[""] * len(shapes),
        tensors=[_values(*item) for item in shapes.items()],
    )
    done = _run(f"{prefix}.index", target)
    assert done.returncode == 0, done.stderr
    assert "406 variables read; left out: 5 of the optimiser, 2 that" in done.stdout
    params = traverse_util.flatten_dict(load_generator(target)[1], sep="/")
    for path, array in params.items():
        assert array.flat[0] == _values(published_names()[f"generator/{path}"], ())
    data = prefix.with_name(f"{prefix.name}.data-00000-of-00001")
    data.write_bytes(data.read_bytes()[:1000])
    damaged = _run(prefix, tmp_path / "b.safetensors")
    assert damaged.returncode == 1 and "cannot be read" in damaged.stderr
    prefix.with_name(f"{prefix.name}.index").write_bytes(b"not a table")
    broken = _run(prefix, tmp_path / "b.safetensors")
    assert broken.returncode == 1 and "is no checkpoint" in broken.stderr
    assert "Traceback" not in damaged.stderr + broken.stderr
