"""Clips of figures made by a seed, and the files of HiEve and MOTChallenge."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foundation.errors import InputError
from training.data.people import clips as made
from training.data.people.clip import Clip, People
from training.data.people.clips import AGREEMENT, HEIGHT, OWN, SCENES, WIDTH, clip, clips
from training.data.people.hieve import ACTIONS as HIEVE
from training.data.people.hieve import read_video, write_video
from training.data.people.joints import ABSENT, BONES, HIDDEN, JOINTS, OTHER_SIDE, VISIBLE
from training.data.people.mot_text import Tracked, read_tracks, write_tracks
from training.data.people.motion import ACTIONS, moving
from training.data.scenes import SIZES, photographs, tiles


def _bytes(found: Clip) -> str:
    parts = [found.pictures, *(part for one in found.frames for part in (one.boxes, one.joints, one.flags))]
    return hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest()


def _feet(people: People, index: int) -> float:
    return float(people.joints[index, [10, 13], 1].max())


@pytest.fixture(scope="module")
def some() -> list[Clip]:
    return clips("train", count=6)


def test_the_joints_are_hieves() -> None:
    assert len(JOINTS) == 14
    assert (JOINTS[0], JOINTS[1], JOINTS[2], JOINTS[5], JOINTS[8], JOINTS[13]) == (
        "nose",
        "chest",
        "right-shoulder",
        "left-shoulder",
        "right-hip",
        "left-ankle",
    )
    assert (VISIBLE, HIDDEN, ABSENT) == (0, 1, -1)
    assert [OTHER_SIDE[other] for other in OTHER_SIDE] == list(range(14))
    for one, other in enumerate(OTHER_SIDE):
        assert JOINTS[other] == JOINTS[one].replace("right", "?").replace("left", "right").replace("?", "left")
    assert {joint for bone in BONES for joint in bone} == set(range(14))
    assert len(HIEVE) == 14


def test_a_seed_makes_the_same_bytes_whichever_others_are_made(some: list[Clip]) -> None:
    assert _bytes(clip("train", 3)) == _bytes(some[3])
    others = [clip("train", 3, seed=1), clip("validation", 3), clip("test", 3), some[2]]
    assert len({_bytes(one) for one in (some[3], *others)}) == 5


def test_frames_alone_are_those_of_the_whole(some: list[Clip]) -> None:
    few = clip("train", 1, frames=[5, 17])
    assert np.array_equal(few.pictures, some[1].pictures[[5, 17]])
    assert np.array_equal(few.frames[1].joints, some[1].frames[17].joints)


def test_boxes_hold_their_joints_and_lie_in_the_picture(some: list[Clip]) -> None:
    for one in some:
        assert one.pictures.shape == (24, HEIGHT, WIDTH, 3)
        for people in one.frames:
            there = people.flags != ABSENT
            left, top, right, bottom = (people.boxes[:, None, side] for side in range(4))
            x, y = people.joints[..., 0], people.joints[..., 1]
            assert ((left <= x) & (x <= right) & (top <= y) & (y <= bottom))[there].all()
            assert (people.boxes >= 0).all()
            assert (people.boxes <= [WIDTH, HEIGHT, WIDTH, HEIGHT]).all()
            inside = (x >= 0) & (x < WIDTH) & (y >= 0) & (y < HEIGHT)
            assert np.array_equal(inside, there)


def test_identities_and_actions_are_constant_along_a_track(some: list[Clip]) -> None:
    for one in some:
        actions: dict[int, str] = {}
        for people in one.frames:
            assert len(set(people.identities.tolist())) == len(people)
            for identity, action in zip(people.identities.tolist(), people.actions, strict=True):
                assert actions.setdefault(identity, action) == action
        assert set(actions.values()) <= set(ACTIONS)


def test_a_hidden_joint_is_covered_by_a_figure_drawn_later() -> None:
    hidden = 0
    for number in range(8):
        people = clip("train", number, frames=[12]).frames[0]
        hidden += int((people.flags == HIDDEN).sum())
        for index in range(len(people)):
            for (x, y), flag in zip(people.joints[index], people.flags[index], strict=True):
                if flag == HIDDEN:
                    over = [
                        other
                        for other, (left, top, right, bottom) in enumerate(people.boxes)
                        if other != index and left <= x <= right and top <= y <= bottom
                    ]
                    # Whoever stands lower in the picture is drawn later.
                    assert any(_feet(people, other) > _feet(people, index) for other in over)
    assert hidden > 10


def test_no_tile_is_of_two_splits_and_the_textures_are_the_photographs() -> None:
    for split in made.COUNTS:
        assert split in SIZES
    whole = photographs()[SCENES.index("temple")]
    number = next(number for number in range(20) if clip("test", number, frames=[0]).scene == "temple")
    # A corner of the first tile is free of figures in some frame; there it is a tile of the split, darkened.
    picture = clip("test", number, frames=[0]).pictures[0][:8, :8].astype(float)
    best = np.inf
    for top, left in tiles("test", whole.shape):
        for crop in (whole[top : top + 8, left : left + 8], whole[top : top + 8, left + 56 : left + 64][:, ::-1]):
            wanted = crop.astype(float)
            share = (picture * wanted).sum() / max(1.0, (wanted**2).sum())
            best = min(best, float(np.abs(picture - share * wanted).max()))
    assert best <= 1.0


def test_scene_and_action_agree_as_often_as_said() -> None:
    def share(agreement: float) -> float:
        hits = []
        for number in range(60):
            one = clip("train", number, agreement=agreement, frames=[0, 12])
            known = {i: a for people in one.frames for i, a in zip(people.identities, people.actions, strict=True)}
            hits += [action in OWN[one.scene] for action in known.values()]
        return float(np.mean(hits))

    assert share(AGREEMENT) == pytest.approx(AGREEMENT, abs=0.1)
    assert share(1 - AGREEMENT) == pytest.approx(1 - AGREEMENT, abs=0.1)


@given(st.sampled_from(ACTIONS), st.integers(0, 1000))
@settings(max_examples=25, deadline=None)
def test_bones_keep_their_lengths(action: str, seed: int) -> None:
    """In every frame, but for the nose: the head leans with the body and the nose stands out of it."""
    joints = moving(action, 20, np.random.default_rng(seed)).joints
    for one, other in BONES[1:]:
        lengths = np.linalg.norm(joints[:, one] - joints[:, other], axis=1)
        if (one, other) not in ((1, 2), (1, 5), (1, 8), (1, 11)):
            assert lengths == pytest.approx(lengths[0])
    assert joints[..., 1].max() < 0.6


def test_runners_are_faster_and_the_fallen_lie() -> None:
    rng = np.random.default_rng(0)
    assert moving("running", 24, rng).speed > 2 * moving("walking", 24, rng).speed > 0
    fallen = moving("falling", 24, rng).joints
    height, width = np.ptp(fallen[-1, :, 1]), np.ptp(fallen[-1, :, 0])
    assert width > 2 * height
    assert np.ptp(fallen[0, :, 1]) > 0.7


# Files


def test_hieves_files_are_read_as_written(tmp_path: Path, some: list[Clip]) -> None:
    one = some[0]
    write_video(tmp_path / "v", one)
    video = read_video(tmp_path / "v")
    assert len(video.pictures) == len(video.frames) == 24
    for wanted, found in zip(one.frames, video.frames, strict=True):
        assert np.array_equal(found.identities, wanted.identities)
        assert found.actions == wanted.actions
        assert np.array_equal(found.flags, wanted.flags)
        assert np.allclose(found.joints, wanted.joints, atol=0.006)
        assert np.allclose(found.boxes, wanted.boxes)


OFFICIAL = {
    "annotation": {
        "folder": "hm_in_fighting1",
        "filename": "0.jpg",
        "size": {"width": "1920", "height": "1080", "depth": "3"},
        "object": [
            {
                "name": "P-1",
                "action": "standing-alone",
                "bndbox": {
                    "xmin": "747",
                    "ymin": "103",
                    "xmax": "1044",
                    "ymax": "1079",
                    "Nose": "928,185,0",
                    "Chest": "943,278,1",
                    "Right-shoulder": "0,0,-1",
                },
            }
        ],
    }
}
XML = """<annotation><filename>0.jpg</filename><size><width>1920</width><height>1080</height></size>
<object><name>P-1</name><action>standing-alone</action><bndbox>
<xmin>747</xmin><ymin>103</ymin><xmax>1044</xmax><ymax>1079</ymax><Nose>928,185,0</Nose><Chest>943,278,1</Chest>
</bndbox></object></annotation>"""


@pytest.mark.parametrize("content", [json.dumps(OFFICIAL), XML])
def test_an_annotation_as_the_formats_page_shows_it(tmp_path: Path, content: str) -> None:
    (tmp_path / "000000.xml").write_text(content)
    (tmp_path / "0.jpg").touch()
    video = read_video(tmp_path)
    people = video.frames[0]
    assert video.sizes == ((1920, 1080),)
    assert people.boxes.tolist() == [[747, 103, 1044, 1079]]
    assert people.joints[0, :2].tolist() == [[928, 185], [943, 278]]
    assert people.flags[0].tolist() == [VISIBLE, HIDDEN, *[ABSENT] * 12]
    assert people.actions == ("standing-alone",)
    assert people.identities.tolist() == [1]


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("P-1", "1", "name: expected P- and a number"),
        ("standing-alone", "standing", "is none of HiEve's"),
        ("928,185,0", "928,185,2", "expected the flag 0, 1 or -1"),
        ("928,185,0", "928,185", 'expected "x,y,flag"'),
        ("928,185,0", "nan,185,0", "expected a number"),
        ('"747"', '"1747"', "a box without area"),
        ('"1080", "depth"', '"?", "depth"', "size: height: expected a number"),
        ('"0.jpg"', '"../0.jpg"', "expected a plain name"),
        ('"0.jpg"', '"1.jpg"', "add the picture"),
        ('{"annotation"', '{"annotations"', "expected an object 'annotation'"),
        ('{"annotation"', '"annotation"', "JSON text"),
    ],
)
def test_a_broken_annotation_is_refused(tmp_path: Path, before: str, after: str, message: str) -> None:
    (tmp_path / "000000.xml").write_text(json.dumps(OFFICIAL).replace(before, after))
    (tmp_path / "0.jpg").touch()
    with pytest.raises(InputError, match=message) as error:
        read_video(tmp_path)
    assert "\n" not in str(error.value)


def test_two_annotations_of_a_frame_are_refused(tmp_path: Path) -> None:
    for name in ("000000.xml", "000000.json"):
        (tmp_path / name).write_text(json.dumps(OFFICIAL))
    (tmp_path / "0.jpg").touch()
    with pytest.raises(InputError, match=r"000000\.json and 000000\.xml are both of frame 0; keep one"):
        read_video(tmp_path)


def test_the_size_of_a_frame_may_be_left_out(tmp_path: Path) -> None:
    (tmp_path / "0.xml").write_text(json.dumps({"annotation": {"filename": "0.jpg"}}))
    (tmp_path / "0.jpg").touch()
    assert read_video(tmp_path).sizes == (None,)


def test_a_folder_without_annotations_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no annotations"):
        read_video(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        read_video(tmp_path / "none")


@given(st.data())
@settings(max_examples=30, deadline=None)
def test_tracks_are_read_as_written(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    numbers = st.integers(-100, 5000)
    frames = {}
    for frame in data.draw(st.sets(st.integers(1, 99), max_size=4)):
        count = data.draw(st.integers(1, 3))
        corner = np.array([[data.draw(numbers) / 4 for _ in range(2)] for _ in range(count)])
        size = np.array([[data.draw(st.integers(1, 900)) / 4 for _ in range(2)] for _ in range(count)])
        boxes = np.concatenate([corner, corner + size], 1).astype(np.float32)
        frames[frame] = Tracked(boxes, np.arange(count) + 1, np.ones(count, np.float32))
    path = tmp_path_factory.mktemp("mot") / "tracks.txt"
    write_tracks(path, frames)
    found = read_tracks(path)
    assert found.keys() == frames.keys()
    for frame, wanted in frames.items():
        assert np.array_equal(found[frame].boxes, wanted.boxes)
        assert np.array_equal(found[frame].identities, wanted.identities)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1,1,5,5,5", "expected frame, id, left, top"),
        ("1,1,5,5,x,5,1", "expected numbers, got"),
        ("1,1,5,5,inf,5,1", "expected numbers, got"),
        ("1.5,1,5,5,5,5,1", "whole numbers of frame and id"),
        ("1,1,5,5,0,5,1", "a box without area"),
        ("1,1,5,5,5,5,1\n1,1,7,7,7,7,1", "an id is there twice"),
    ],
)
def test_broken_tracks_are_refused(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "tracks.txt"
    path.write_text(line)
    with pytest.raises(InputError, match=message):
        read_tracks(path)


def test_an_unknown_split_is_refused() -> None:
    with pytest.raises(InputError, match="split tests: unknown"):
        clips("tests")
