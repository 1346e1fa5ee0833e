"""What all sets have in common: names, instructions, refusals, no TensorFlow."""

import subprocess
import sys

import numpy as np
import pytest
import tensorflow_datasets as tfds

import volhuman.data.sets
from volhuman.data.sets import BUILDERS
from volhuman.data.sets.building import find_builder, prepare, read_names, write_json
from volhuman.errors import InputError

LAYOUTS = [(name, layout) for name in BUILDERS for layout in find_builder(name).LAYOUTS]


@pytest.mark.parametrize("name", BUILDERS)
def test_a_builder_has_the_name_it_is_found_by(name):
    cls = find_builder(name)
    assert cls.name == name and cls.MANUAL_DOWNLOAD_INSTRUCTIONS.strip()
    assert f"| `{name.removeprefix('volhuman_')}` |" in volhuman.data.sets.__doc__
    # The first layout is the default of TFDS as well.
    first = next(iter(cls.LAYOUTS))
    assert cls.BUILDER_CONFIGS[0].layout == first
    assert tfds.builder_cls(name) is cls


@pytest.mark.parametrize("name, layout", LAYOUTS)
def test_every_feature_says_what_it_is(name, layout, tmp_path):
    cls = find_builder(name)
    config = next(c for c in cls.BUILDER_CONFIGS if c.layout == layout)
    info = cls(config=config, data_dir=tmp_path).info
    assert info.redistribution_info.license and info.homepage
    assert info.metadata["layout"] == layout
    for feature in info.features.values():
        assert feature.doc.desc


@pytest.mark.parametrize("name, layout", LAYOUTS)
def test_a_folder_of_something_else_is_refused_in_one_sentence(files, name, layout):
    files.text("readme.txt", "something else")
    (files.root / "photos").mkdir()
    message = files.refused(name, files.root, layout=layout)
    complete = files.refused(name, files.root, layout=layout, complete=True)
    for text in (message, complete):
        assert "Traceback" not in text and len(text) < 500


@pytest.mark.parametrize("name, layout", LAYOUTS)
def test_an_empty_folder_is_refused_with_what_belongs_there(files, name, layout):
    files.root.mkdir()
    cls = find_builder(name)
    files.refused(
        name, files.root, "empty", cls.TITLE, cls.LAYOUTS[layout], layout=layout
    )


def test_options_that_decide_the_content_are_in_the_name():
    cases = {
        "volhuman_densepose_coco": {"scale": 255},
        "volhuman_scans": {"metres_per_unit": 0.5},
        "volhuman_buff": {"num_scans": 300},
        "volhuman_people_snapshot": {"step": 7},
        "volhuman_human36m": {"test_stride": 64},
    }
    for name, options in cases.items():
        cls = find_builder(name)
        layout = next(iter(cls.LAYOUTS))
        names = {
            cls.CONFIG(layout=layout, **each).name
            for each in ({}, options, {"complete": False}, {"broken": "skip"})
        }
        assert len(names) == 4


@pytest.mark.parametrize(
    "name, options, word",
    [
        ("volhuman_scans", {"metres_per_unit": 0}, "metres_per_unit is 0"),
        ("volhuman_scans", {"metres_per_unit": float("nan")}, "metres_per_unit is nan"),
        ("volhuman_buff", {"num_scans": 0}, "num_scans is 0"),
        ("volhuman_densepose_coco", {"scale": 1}, "scale is 1"),
        ("volhuman_thuman", {"broken": "keep"}, "broken is 'keep'"),
    ],
)
def test_options_out_of_range_are_refused(files, name, options, word):
    with pytest.raises(InputError, match=word):
        prepare(name, files.root, files.built, **options)


def test_names_are_listed_beside_the_shards(files):
    files.text("0001/0001.obj", "v 0 0 0\nv 0 1.7 0\nv 1 0 0\nf 1 2 3\n")
    builder, examples = files.build("volhuman_scans", layout="folders")
    assert read_names(builder) == {"train": ["0001"]}
    assert builder.info.metadata["num_broken"] == {}
    again = tfds.builder_from_directory(builder.data_dir)
    example = again.as_data_source("train[:1]")[0]
    for name, value in examples["train"][0].items():
        np.testing.assert_array_equal(value, example[name])
    names = files.built / builder.data_dir / "names.json"
    names.write_text("{")
    with pytest.raises(InputError, match=r"names\.json"):
        read_names(builder)


def test_a_builder_that_failed_can_be_run_again(files):
    """What the failed run counted does not stay."""
    for name, text in (("a", "v 0 0 0\nv 0 1.7 0\nv 1 0 0\nf 1 2 3\n"), ("b", "x")):
        files.text(f"{name}/{name}.obj", text)
    cls = find_builder("volhuman_scans")
    builder = cls(config="folders", data_dir=files.built)
    config = tfds.download.DownloadConfig(manual_dir=files.root)
    with pytest.raises(InputError, match=r"b\.obj"):
        builder.download_and_prepare(download_config=config)
    files.text("b/b.obj", "v 0 0 0\nv 0 1.7 0\nv 1 0 0\nf 1 2 3\n")
    builder.download_and_prepare(download_config=config)
    assert read_names(builder) == {"train": ["a", "b"]}
    assert [item["name"] for item in builder.as_data_source("train")] == [b"a", b"b"]


def test_nothing_is_written_beside_the_built_set(files):
    files.text("0001/0001.obj", "v 0 0 0\nv 0 1.7 0\nv 1 0 0\nf 1 2 3\n")
    files.build("volhuman_scans", layout="folders")
    assert [path.name for path in files.built.iterdir()] == ["volhuman_scans"]
    assert [path.name for path in files.root.iterdir()] == ["0001"]


def test_json_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"a": 1})
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})
    assert path.read_text() == '{\n "a": 1\n}'
    assert list(tmp_path.iterdir()) == [path]


def test_tensorflow_is_never_imported():
    """Also where it is installed; and the list of sets costs nothing to import."""
    code = (
        "import sys, volhuman.data.sets as sets\n"
        "assert 'jax' not in sys.modules and 'tensorflow_datasets' not in sys.modules\n"
        "from volhuman.data.sets.building import find_builder\n"
        "[find_builder(name) for name in sets.BUILDERS]\n"
        "assert 'tensorflow' not in sys.modules and 'h5py' not in sys.modules\n"
        "assert 'imageio' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
