"""The rounds from end to end, small: they run, continue, and can be used."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from volhuman.body.motion import read_motion
from volhuman.deform_and_learn import body_predict, body_run, rounds
from volhuman.deform_and_learn.body_config import BodyConfig
from volhuman.deform_and_learn.body_run import run_body
from volhuman.deform_and_learn.regressor_weights import load_regressor
from volhuman.errors import InputError
from volhuman.render.animation import write_animation

FILES = {"body.glb", "body.json", "meta.json", "overlay.png"}


@pytest.fixture(scope="module")
def trained(people, tmp_path_factory):
    """Two rounds without depths; configuration, and a patch that gives the people."""
    folder = tmp_path_factory.mktemp("body")
    config = BodyConfig(
        workdir=str(folder / "run"),
        network="tiny",
        rounds=2,
        steps=2,
        batch_size=4,
        num_devices=1,
        depths="none",
        register_steps=5,
        register_starts=1,
        register_batch=8,
        log_every=1,
        output=str(folder / "out"),
        turntable_frames=0,
    )
    patch = pytest.MonkeyPatch()
    patch.setattr(rounds, "open_people_of", lambda config, split: people)
    patch.setattr(body_run, "open_people_of", lambda config, split: people)
    assert run_body(config) == 0
    yield config
    patch.undo()


@pytest.fixture(scope="module")
def photograph(people, tmp_path_factory):
    path = tmp_path_factory.mktemp("photos") / "person.png"
    picture = Image.fromarray(people[0]["image"]).resize((96, 96))
    picture.save(path)
    return path


def test_every_round_is_measured_and_plotted(trained):
    folder = Path(trained.workdir)
    scores = [
        json.loads((folder / f"round_{n}" / "scores.json").read_text()) for n in (1, 2)
    ]
    assert [row["steps"] for row in scores] == [2, 4]
    for row in scores:
        assert row["test MPJPE"] > 0 and row["registration MPJPE"] > 0
    assert (folder / "rounds.csv").read_text().count("\n") == 3
    assert Image.open(folder / "rounds.png").size[0] > 300


def test_a_round_that_was_lost_comes_out_the_same(trained):
    folder = Path(trained.workdir)
    before = load_regressor(folder / rounds.WEIGHTS)[1]["params"]
    (folder / "round_2" / "scores.json").unlink()
    (folder / "round_2" / rounds.WEIGHTS).unlink()
    # What stands in the checkpoint is not trained again.
    assert run_body(trained) == 0
    after = load_regressor(folder / rounds.WEIGHTS)[1]["params"]
    np.testing.assert_array_equal(before["head"]["bias"], after["head"]["bias"])


def test_weights_of_an_early_round_that_were_lost_are_not_those_of_a_later_one(
    trained,
):
    folder = Path(trained.workdir) / "round_1"
    weights, scores = folder / rounds.WEIGHTS, folder / "scores.json"
    kept = weights.read_bytes(), scores.read_bytes()
    scores.unlink()
    assert run_body(trained) == 0
    assert (weights.read_bytes(), scores.read_bytes()) == kept
    scores.unlink()
    weights.unlink()
    with pytest.raises(InputError, match=r"is missing.*step 4, beyond round 1"):
        run_body(trained)
    weights.write_bytes(kept[0])
    scores.write_bytes(kept[1])


def test_damaged_files_of_a_round_are_named_and_replace_nothing(trained):
    folder = Path(trained.workdir)
    good = (folder / rounds.WEIGHTS).read_bytes()
    for place, name, content, words in (
        ("round_1", "scores.json", b"", "not the scores of a round"),
        ("round_1", "scores.json", b"[]", "not the scores of a round"),
        ("round_2", rounds.WEIGHTS, good[:100], rf"round_2.*{rounds.WEIGHTS}"),
    ):
        path = folder / place / name
        kept = path.read_bytes()
        path.write_bytes(content)
        with pytest.raises(InputError, match=words):
            run_body(trained)
        path.write_bytes(kept)
        assert (folder / rounds.WEIGHTS).read_bytes() == good
    (folder / "rounds.csv").unlink()
    (folder / "rounds.csv").mkdir()
    with pytest.raises(InputError, match=r"rounds\.csv"):
        run_body(trained)
    (folder / "rounds.csv").rmdir()
    assert run_body(trained) == 0
    assert not list(folder.glob(".*"))


@pytest.mark.parametrize("is_finished", [True, False])
@pytest.mark.parametrize(
    ("option", "value"), [("dense_weight", 3.0), ("steps", 1), ("register_steps", 6)]
)
def test_other_options_do_not_continue(trained, option, value, is_finished):
    scores = Path(trained.workdir) / "round_2" / "scores.json"
    kept = scores.read_bytes()
    if not is_finished:
        scores.unlink()
    with pytest.raises(InputError, match=option):
        run_body(dataclasses.replace(trained, **{option: value}))
    scores.write_bytes(kept)
    assert run_body(trained) == 0


@pytest.mark.slow
def test_fits_of_another_training_are_learnt_from(trained, tmp_path):
    fits = Path(trained.workdir) / "round_2" / "fits"
    config = dataclasses.replace(
        trained, workdir=str(tmp_path / "run"), fits=str(fits), rounds=1, depths="gan"
    )
    assert run_body(config) == 0
    scores = [
        json.loads((Path(folder) / "scores.json").read_text())
        for folder in (fits.parent, tmp_path / "run" / "round_1")
    ]
    assert scores[0]["registration MPJPE"] == scores[1]["registration MPJPE"]
    with pytest.raises(InputError, match="not complete"):
        run_body(dataclasses.replace(config, workdir=str(tmp_path), fits=str(tmp_path)))


def test_weights_are_measured(trained, capsys):
    weights = Path(trained.workdir) / rounds.WEIGHTS
    config = dataclasses.replace(trained, mode="evaluate", weights=str(weights))
    assert run_body(config) == 0
    assert "regressor" in capsys.readouterr().out
    with pytest.raises(InputError, match="overwrite"):
        run_body(config)


def _predict(trained, photograph, output, **options):
    weights = Path(trained.workdir) / rounds.WEIGHTS
    given = {"mode": "predict", "weights": str(weights), "input": str(photograph)}
    given["output"] = str(output)
    return run_body(dataclasses.replace(trained, **(given | options)))


def test_a_photograph_becomes_a_body(trained, photograph, tmp_path, capsys):
    assert _predict(trained, photograph, tmp_path, hypotheses=3) == 0
    folder = tmp_path / "person"
    assert {p.name for p in folder.iterdir()} == FILES | {"hypotheses.json"}
    bodies = json.loads((folder / "hypotheses.json").read_text())["bodies"]
    assert len(bodies) == 3
    assert bodies[0] == json.loads((folder / "body.json").read_text())
    meta = json.loads((folder / "meta.json").read_text())
    assert meta["person_found_by"] == "whole photograph"
    assert "whole photograph was taken" in capsys.readouterr().err
    assert _predict(trained, photograph, tmp_path) == 2
    assert "results exist already" in capsys.readouterr().err


def test_a_body_of_another_estimator_takes_the_place_of_ours(
    trained, photograph, tmp_path, capsys
):
    pose = np.zeros((1, 23, 3))
    pose[0, 17] = [0, 0, 0.7]
    np.savez(
        tmp_path / "other.npz",
        global_orient=np.array([[[np.pi, 0, 0]]]),
        body_pose=pose,
        pred_cam_t_full=np.array([[0, 0.22, 10.0]]),
        focal_length=np.array(300.0),
    )
    bodies = str(tmp_path / "other.npz")
    assert _predict(trained, photograph, tmp_path / "out", bodies=bodies) == 0
    record = json.loads((tmp_path / "out" / "person" / "body.json").read_text())
    np.testing.assert_allclose(
        record["pose_axis_angle"]["right_elbow"], [0, 0, 0], atol=1e-6
    )
    np.testing.assert_allclose(
        record["pose_axis_angle"]["left_elbow"], [0, 0, 0.7], atol=1e-6
    )
    pelvis = record["keypoints_pixels"]["pelvis"]
    np.testing.assert_allclose(pelvis, [48, 48], atol=0.5)
    assert _predict(trained, photograph, tmp_path, bodies=bodies, person=1) == 2
    assert "holds 1 people" in capsys.readouterr().err


def test_a_film_becomes_a_motion(trained, people, tmp_path, capsys):
    film = tmp_path / "film"
    film.mkdir()
    for number in (10, 9, 2):
        Image.fromarray(people[number % 8]["image"]).resize((96, 96)).save(
            film / f"frame{number}.png"
        )
    options = {"smoothing": 1.0, "fps": 12.0, "box": "10, 10, 70, 70"}
    assert _predict(trained, film, tmp_path / "out", **options) == 0
    motion = read_motion(tmp_path / "out" / "motion.npz")
    assert motion.pose.shape == (3, 24, 3) and motion.rate == 12
    out = capsys.readouterr().out
    assert out.index("frame2") < out.index("frame9") < out.index("frame10")


def test_a_film_keeps_time_where_a_frame_is_refused(trained, people, tmp_path, capsys):
    film, masks = tmp_path / "film", tmp_path / "masks"
    film.mkdir()
    masks.mkdir()
    for number in range(4):
        Image.fromarray(people[number]["image"]).save(film / f"{number}.png")
        if number not in (0, 2):
            Image.fromarray(np.full((32, 32), 255, np.uint8)).save(
                masks / f"{number}.png"
            )
    options = {"mask": str(masks), "smoothing": 0.01}
    assert _predict(trained, film, tmp_path / "out", **options) == 2
    assert "4 frames, 2 held" in capsys.readouterr().out
    motion = read_motion(tmp_path / "out" / "motion.npz")
    # The first frame shows the second, the third the second as well.
    assert len(motion.pose) == 4
    np.testing.assert_array_equal(motion.pose[0], motion.pose[1])
    np.testing.assert_array_equal(motion.pose[2], motion.pose[1])
    assert not (tmp_path / "out" / "2").exists()
    # What an interrupted run left is no film, and is not mixed with a new one.
    (tmp_path / "out" / "motion.npz").unlink()
    for film_file in (tmp_path / "out").glob("overlay.*"):
        film_file.unlink()
    with pytest.raises(InputError, match="results exist already"):
        _predict(trained, film, tmp_path / "out", **options)
    with pytest.raises(InputError, match="hypotheses is 3, but a film has one body"):
        _predict(trained, film, tmp_path / "new", hypotheses=3, **options)


@pytest.mark.slow
def test_a_mask_beside_key_points_is_filled(trained, photograph, tmp_path, monkeypatch):
    monkeypatch.setattr(body_predict, "_REFINEMENT_STEPS", 60)
    keypoints = tmp_path / "marks.json"
    marks = {"left_hip": [52, 50], "right_hip": [44, 50], "neck": [48, 24]}
    marks |= {"head_top": [48, 12], "left_ankle": [54, 86], "right_ankle": [42, 86]}
    keypoints.write_text(json.dumps(marks))
    mask = np.zeros((96, 96), np.uint8)
    mask[8:92, 30:66] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    options = {"keypoints": str(keypoints)}
    covered = []
    for name, extra in (
        ("without", {}),
        ("with", {"mask": str(tmp_path / "mask.png")}),
    ):
        output = tmp_path / name
        assert _predict(trained, photograph, output, **options, **extra) == 0
        meta = json.loads((output / "person" / "meta.json").read_text())
        assert meta["refined"]
        with Image.open(output / "person" / "overlay.png") as overlay:
            drawn = np.asarray(overlay.convert("RGB"), int)
        changed = np.abs(drawn - np.asarray(Image.open(photograph), int)).max(-1) > 8
        covered.append((changed & (mask > 0)).sum() / (mask > 0).sum())
    assert covered[1] > covered[0] + 0.05
    Image.fromarray(np.zeros_like(mask)).save(tmp_path / "mask.png")
    assert _predict(trained, photograph, tmp_path / "x", **options, **extra) == 2


def test_a_video_becomes_a_motion_and_a_film_of_overlays(trained, people, tmp_path):
    pytest.importorskip("imageio_ffmpeg")
    frames = [
        np.asarray(Image.fromarray(people[n]["image"]).resize((96, 96))) / 255.0
        for n in range(2)
    ]
    _, video = write_animation(tmp_path, "film", frames, 5)
    assert _predict(trained, video, tmp_path / "out") == 0
    motion = read_motion(tmp_path / "out" / "motion.npz")
    assert motion.pose.shape == (2, 24, 3) and motion.rate == pytest.approx(5)
    names = {"frame_00001", "frame_00002", "motion.npz", "overlay.gif", "overlay.mp4"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == names
    with pytest.raises(InputError, match=r"motion\.npz exists already"):
        _predict(trained, video, tmp_path / "out")
    with pytest.raises(InputError, match=r"bodies is .*, which is no folder"):
        _predict(trained, video, tmp_path / "new", bodies=str(video))


def test_bad_input_is_one_sentence(trained, photograph, tmp_path, capsys):
    with pytest.raises(InputError, match="there is no photograph"):
        _predict(trained, "", tmp_path)
    assert _predict(trained, photograph, tmp_path, box="500, 1, 9, 9") == 2
    assert "less than 8 pixels" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
    for change, message in (
        ({"rounds": 0}, "rounds is 0, expected 1 to 100"),
        ({"network": "huge"}, "network is 'huge', expected one of paper, small, tiny"),
        ({"backbone": "x.npz"}, "network tiny is no ResNet-50"),
        ({"fps": 0.01}, "fps is 0.01, expected 0 or at least 0.1"),
    ):
        with pytest.raises(InputError, match=message):
            run_body(dataclasses.replace(trained, **change))


def test_describe_counts_the_parameters(trained, capsys):
    assert run_body(dataclasses.replace(trained, mode="describe", network="paper")) == 0
    assert "parameters: 23723177" in capsys.readouterr().out
