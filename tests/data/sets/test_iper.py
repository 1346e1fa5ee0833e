"""iPER in both layouts: splits, the readers, what is refused, and pairs of frames."""

import json

import numpy as np
import pytest
import tensorflow_datasets as tfds

from volhuman.data.sets.building import find_builder, prepare, read_names
from volhuman.data.sets.iper import (
    OUTFIT_DEPTH,
    TEST_OUTFITS,
    VALIDATION_OUTFITS,
    read_videos,
    split_of_outfit,
)
from volhuman.data.sets.outfits import group_frames, sample_pairs
from volhuman.errors import InputError

NAME = "volhuman_iper"
VIDEOS = {"train": "003/1/1", "validation": "001/2/2", "test": "001/9/1"}
COUNT = 3


@pytest.fixture
def official(files, numbers):
    """Three videos of three frames with their bodies; returns the written bodies."""
    files.text("train.txt", "003/1/1\n001/2/2\n")
    files.text("val.txt", "001/9/1\n")
    bodies = {}
    for seed, video in enumerate(VIDEOS.values()):
        bodies[video] = {
            "cams": numbers(COUNT, 3, seed=seed),
            "pose": numbers(COUNT, 72, seed=seed),
            "shape": numbers(COUNT, 10, seed=seed),
        }
        files.pickle(f"smpls/{video}/pose_shape.pkl", bodies[video])
        files.pickle(f"smpls/{video}/kps.pkl", {"kps": numbers(COUNT, 19, 2)})
        for frame in range(COUNT):
            files.picture(f"images/{video}/{frame:03d}.jpg", seed=10 * seed + frame)
    return bodies


@pytest.fixture
def posed(files, numbers):
    """The same videos with 3D poses; returns the nested dict of poses."""
    poses = {}
    for seed, video in enumerate(VIDEOS.values()):
        person, cloth, action = video.split("/")
        frames = poses.setdefault(person, {}).setdefault(cloth, {})
        frames[action] = {f"{i:04d}": 50 * numbers(19, 3, seed=i) for i in range(COUNT)}
        for frame in frames[action]:
            files.picture(f"images/{video}/{frame}.png", seed=seed)
    files.pickle("poses.pkl", poses, protocol=4)
    return poses


# -- the splits


def test_validation_and_test_are_21_outfits_each_and_disjoint():
    assert len(set(VALIDATION_OUTFITS)) == len(VALIDATION_OUTFITS) == 21
    assert len(set(TEST_OUTFITS)) == len(TEST_OUTFITS) == 21
    assert not set(VALIDATION_OUTFITS) & set(TEST_OUTFITS)
    for outfit in VALIDATION_OUTFITS + TEST_OUTFITS:
        person, cloth = outfit.split("-")
        assert len(person) == 3 and 1 <= int(person) <= 30 and int(cloth) > 0


def test_split_of_outfit():
    assert split_of_outfit("001-9") == split_of_outfit("029-1") == "test"
    assert split_of_outfit("001-2") == split_of_outfit("028-1") == "validation"
    assert split_of_outfit("003-1") == split_of_outfit("001-1") == "train"


def test_the_official_lists_have_the_two_videos_of_every_test_outfit(files):
    both = lambda outfits: [
        f"{outfit.replace('-', '/')}/{action}"
        for outfit in outfits
        for action in (1, 2)
    ]
    others = [f"{person:03d}-{40 + i}" for i in range(4) for person in range(1, 31)]
    train = both([*VALIDATION_OUTFITS, *others[: 82 - 21]])
    files.text("train.txt", "\r\n".join(train) + "\r\n")
    files.text("val.txt", "\n".join(both(TEST_OUTFITS)))
    assert len(read_videos(files.root)) == 206
    files.text("train.txt", "\n".join(train[:-1]))
    with pytest.raises(InputError, match="163 videos, the official list has 164"):
        read_videos(files.root)


# -- the official layout


def test_official_frames_come_back_as_written(files, official):
    builder, examples = files.build(NAME)
    assert list(examples) == list(VIDEOS)
    for split, video in VIDEOS.items():
        assert len(examples[split]) == COUNT
        for frame, example in enumerate(examples[split]):
            assert example["name"].decode() == f"{video}/{frame:03d}"
            assert example["outfit"].decode() == video.rpartition("/")[0].replace(
                "/", "-"
            )
            assert example["action"] == int(video[-1])
            body = official[video]
            np.testing.assert_array_equal(
                example["pose"], body["pose"][frame].reshape(24, 3)
            )
            np.testing.assert_array_equal(example["shape"], body["shape"][frame])
            np.testing.assert_array_equal(example["camera"], body["cams"][frame])
            np.testing.assert_array_equal(
                example["image"], files.pixels(f"images/{video}/{frame:03d}.jpg")
            )
    assert builder.info.metadata["broken"] == {}


def test_pictures_are_stored_as_the_bytes_of_their_files(files, official):
    builder, _ = files.build(NAME)
    raw = builder.as_data_source("test", decoders={"image": tfds.decode.SkipDecoding()})
    assert raw[1]["image"] == (files.root / "images/001/9/1/001.jpg").read_bytes()


def test_a_user_of_tfds_builds_it_by_name(files, official):
    cls = find_builder(NAME)
    part = cls.CONFIG(layout="official", complete=False)
    builder = cls(config=part, data_dir=files.built)
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(manual_dir=files.root)
    )
    again = tfds.builder_from_directory(builder.data_dir)
    assert len(again.as_data_source("train+validation")) == 2 * COUNT
    assert again.info.metadata["layout"] == "official"


def test_a_built_set_needs_its_files_no_more(files, official):
    _, examples = files.build(NAME)
    files.root.rename(files.root.with_name("gone"))
    _, again = files.build(NAME)
    assert [len(split) for split in again.values()] == [
        len(split) for split in examples.values()
    ]


def test_the_other_places_of_the_files(files, official):
    (files.root / "images").rename(files.root / "images_HD")
    for video in VIDEOS.values():
        (files.root / "smpls" / video).rename(
            files.root / "smpls" / video.replace("/", "_")
        )
    _, examples = files.build(NAME)
    assert {split: len(items) for split, items in examples.items()} == dict.fromkeys(
        VIDEOS, COUNT
    )


@pytest.mark.parametrize(
    "missing, words",
    [
        ("train.txt", ["train.txt is missing"]),
        ("images/001/9/1", ["images_HD/001/9/1 is missing", "001_9_1.mp4"]),
        ("images/001/9/1/001.jpg", ["2 pictures", "3 bodies"]),
        ("smpls/001/2/2/kps.pkl", ["smpls/001/2/2/kps.pkl", "001_2_2", "missing"]),
    ],
)
def test_what_is_missing_is_named(files, official, missing, words):
    path = files.root / missing
    if path.is_dir():
        path.rename(files.root / "elsewhere")
    else:
        path.unlink()
    files.refused(NAME, *words)


def test_a_list_of_another_release_is_refused(files, official):
    files.text("train.txt", "003/1/1\n001/9/1\n")
    files.refused(NAME, "train.txt", "001/9/1 does not belong")
    files.text("train.txt", "003/1\n")
    files.refused(NAME, "'003/1' is no video")
    files.text("train.txt", "003/1/1\n003/1/1\n")
    files.refused(NAME, "003/1/1/000", "twice")


def test_a_complete_set_is_demanded_unless_said(files, official):
    files.refused(NAME, "2 videos", "164", "complete=False", complete=True)


@pytest.mark.parametrize(
    "body, words",
    [
        ({"pose": np.zeros((COUNT, 72))}, ["no 'shape'"]),
        (
            {"pose": np.zeros((COUNT, 72)), "shape": np.zeros((2, 10))},
            ["shape has shape (2, 10), expected (3, 10)"],
        ),
        ({"pose": np.full((COUNT, 72), np.nan)}, ["pose", "not finite"]),
        ([1, 2], ["holds a list, expected a dict"]),
    ],
)
def test_bodies_of_another_form_are_refused(files, official, body, words):
    files.pickle("smpls/001/2/2/pose_shape.pkl", body)
    files.refused(NAME, "001/2/2/pose_shape.pkl", *words)


def test_a_pickle_that_runs_code_is_refused(files, official, tmp_path):
    marker = tmp_path / "marker"

    class Poison:
        def __reduce__(self):
            return marker.write_text, ("ran",)

    files.pickle("smpls/001/2/2/kps.pkl", {"kps": Poison()})
    files.refused(NAME, "kps.pkl", "may run code")
    assert not marker.exists()


# -- broken pictures


def test_a_cut_picture_is_refused_by_name(files, official):
    files.cut("images/001/9/1/001.jpg")
    files.refused(NAME, "001/9/1/001.jpg", "cut")


def test_a_cut_picture_can_be_skipped_and_is_named(files, official):
    files.cut("images/001/9/1/001.jpg")
    builder, examples = files.build(NAME, broken="skip")
    assert [item["name"] for item in examples["test"]] == [
        b"001/9/1/000",
        b"001/9/1/002",
    ]
    broken = builder.info.metadata["broken"]
    assert list(broken) == ["test"] and list(broken["test"]) == ["001/9/1/001"]
    assert "001.jpg" in broken["test"]["001/9/1/001"]
    again = tfds.builder_from_directory(builder.data_dir)
    assert again.info.metadata["broken"] == broken
    assert read_names(again)["test"] == ["001/9/1/000", "001/9/1/002"]


def test_a_set_with_skipped_items_is_not_taken_for_a_whole_one(files, official):
    files.cut("images/001/9/1/001.jpg")
    files.build(NAME, broken="skip")
    with pytest.raises(InputError, match=r"001\.jpg"):
        files.build(NAME)


def test_a_split_of_broken_items_alone_is_refused(files, official):
    for frame in range(COUNT):
        files.cut(f"images/001/9/1/{frame:03d}.jpg")
    files.refused(NAME, "all 3 items of split 'test'", "000.jpg", broken="skip")


# -- where the set is


@pytest.mark.parametrize("exists", [True, False], ids=["empty", "missing"])
def test_an_empty_or_missing_folder_is_named(files, exists):
    if exists:
        files.root.mkdir()
    files.refused(NAME, files.root, "does not exist or is empty", "iPER", "train.txt")


def test_wrong_names_and_options_are_refused(files, official):
    for options, words in (
        ({"layout": "videos"}, ["'videos'", "official", "reposing"]),
        ({"broken": "ignore"}, ["'ignore'", "refuse"]),
    ):
        files.refused(NAME, *words, **options)
    with pytest.raises(InputError, match="volhuman_iper"):
        prepare("iper", files.root, files.built)


def test_a_data_dir_that_cannot_be_written_is_named(files, official):
    files.built.write_text("a file")
    with pytest.raises(InputError, match="built"):
        files.build(NAME)


# -- the layout of the reposing paper


def test_posed_frames_come_back_as_written(files, posed):
    _, examples = files.build(NAME, layout="reposing")
    assert list(examples) == list(VIDEOS)
    for split, video in VIDEOS.items():
        person, cloth, action = video.split("/")
        for example in examples[split]:
            name = example["name"].decode()
            np.testing.assert_array_equal(
                example["joints"], posed[person][cloth][action][name[-4:]]
            )
            np.testing.assert_array_equal(
                example["image"], files.pixels(f"images/{name}.png")
            )
            assert example["outfit"].decode() == f"{person}-{cloth}"


def test_pictures_and_poses_must_belong_together(files, posed):
    (files.root / "images/001/9/1/0001.png").unlink()
    files.refused(NAME, "'001/9/1/0001'", "picture", layout="reposing")
    files.picture("images/001/9/1/0001.png")
    files.picture("images/001/9/1/0009.png")
    files.refused(NAME, "'001/9/1/0009'", "pose", layout="reposing")


def test_poses_of_another_form_are_refused(files, posed, numbers):
    posed["001"]["9"]["1"]["0000"] = numbers(3, 19)
    files.pickle("poses.pkl", posed)
    files.refused(NAME, "001/9/1/0000", "(3, 19)", "(19, 3)", layout="reposing")


def test_a_complete_set_has_all_test_outfits(files, posed):
    files.refused(NAME, "20 of the 21 validation", layout="reposing", complete=True)


# -- pairs


def test_pairs_are_drawn_from_the_names_of_a_built_split(files, posed):
    builder, _ = files.build(NAME, layout="reposing")
    names = read_names(builder)["test"]
    pairs = sample_pairs(group_frames(names, OUTFIT_DEPTH), 20, seed=1)
    source = builder.as_data_source("test")
    for pair in pairs:
        for name in (pair.source, pair.target):
            assert source[names.index(name)]["name"].decode() == name
    assert json.loads(json.dumps(names)) == names
