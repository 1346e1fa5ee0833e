"""Contact sheets: their sizes, what the channels show, files whole or absent."""

import numpy as np
import pytest
from PIL import Image

from volhuman.people.gallery import (
    CHANNELS,
    VIEWS_A_PERSON,
    channel_pictures,
    channel_sheet,
    people_sheet,
    write_sheet,
)

SIZE = 32


@pytest.fixture(scope="module")
def people():
    return people_sheet([0, 4, 12], size=SIZE, columns=2)


def test_people_stand_in_rows_of_four_views(people):
    assert people.shape == (2 * SIZE, 2 * VIEWS_A_PERSON * SIZE, 3)
    assert people.dtype == np.uint8
    tiles = people.reshape(2, SIZE, 2 * VIEWS_A_PERSON, SIZE, 3).swapaxes(1, 2)
    filled = tiles.std(axis=(2, 3, 4)) > 5
    assert filled[0].all() and filled[1, :VIEWS_A_PERSON].all()
    assert not tiles[1, VIEWS_A_PERSON:].any(), "the last row is filled with black"
    pictures = tiles.reshape(-1, SIZE, SIZE, 3)[: 3 * VIEWS_A_PERSON]
    assert len({picture.tobytes() for picture in pictures}) == len(pictures)


def test_sheets_are_reproducible_and_people_independent_of_their_neighbours(people):
    alone = people_sheet([12], size=SIZE, columns=1)
    assert alone.shape == (SIZE, VIEWS_A_PERSON * SIZE, 3)
    np.testing.assert_array_equal(alone, people[SIZE:, : VIEWS_A_PERSON * SIZE])


def test_channels_stand_side_by_side_a_person_a_row():
    sheet = channel_sheet([0, 1], size=SIZE)
    assert sheet.shape == (2 * SIZE, len(CHANNELS) * SIZE, 3)
    assert sheet.dtype == np.uint8
    np.testing.assert_array_equal(channel_sheet([1], size=SIZE), sheet[SIZE:])


def test_channels_show_what_their_names_say(shot):
    pictures = dict(zip(CHANNELS, channel_pictures(shot.view), strict=True))
    view, seen = shot.view, shot.view.label > 0
    for picture in pictures.values():
        assert picture.shape == (shot.size, shot.size, 3) and picture.dtype == np.uint8
    np.testing.assert_array_equal(pictures["picture"], np.round(view.rgb * 255))
    np.testing.assert_array_equal(pictures["mask"][..., 1], np.round(view.mask * 255))
    for name in ("depth", "normal front", "normal back", "rest coordinates"):
        assert not pictures[name][~seen].any() and pictures[name][seen].any(), name
    near, far = (view.depth[seen] == f(view.depth[seen]) for f in (np.min, np.max))
    depth = pictures["depth"][seen]
    assert (depth[near] == 255).all() and 0 < depth[far].max() < 80
    front, back = pictures["normal front"][seen], pictures["normal back"][seen]
    assert (front[:, 2] > 127).mean() > 0.95 and (back[:, 2] < 128).mean() > 0.95
    colours = pictures["label"].reshape(-1, 3)
    assert len(np.unique(colours, axis=0)) == len(np.unique(view.label))


def test_a_picture_without_a_person_has_channels_as_well(posed_of):
    from volhuman.people.cameras import look_at
    from volhuman.people.lighting import studio_light
    from volhuman.people.scenes import plain_background
    from volhuman.people.views import render

    posed = posed_of(0, "rest")
    camera = look_at(0, 0, 0, centre=np.array([30.0, 0, 0]), reach=1)
    view = render(
        posed.person, posed, camera, studio_light(), plain_background(), size=16
    )
    with np.errstate(all="raise"):
        pictures = channel_pictures(view)
    assert len(pictures) == len(CHANNELS)
    assert (pictures[0] == 255).all() and not any(p.any() for p in pictures[3:])


def test_sheets_are_written_into_new_folders_and_read_back(tmp_path, people):
    path = tmp_path / "a" / "b" / "people.png"
    write_sheet(path, people)
    np.testing.assert_array_equal(np.asarray(Image.open(path)), people)
    assert [file.name for file in path.parent.iterdir()] == ["people.png"]
    write_sheet(path, people[:SIZE])
    assert Image.open(path).size == (people.shape[1], SIZE)


def test_a_failure_while_writing_leaves_the_old_sheet(tmp_path, people, monkeypatch):
    path = tmp_path / "people.png"
    write_sheet(path, people)
    before = path.read_bytes()

    def stop(image, file, form, **options):
        file.write_bytes(b"half a picture")
        raise OSError("no space left on device")

    monkeypatch.setattr(Image.Image, "save", stop)
    with pytest.raises(OSError, match="no space"):
        write_sheet(path, people[:SIZE])
    assert path.read_bytes() == before
    with pytest.raises(OSError, match="no space"):
        write_sheet(tmp_path / "new.png", people)
    assert not (tmp_path / "new.png").exists()
