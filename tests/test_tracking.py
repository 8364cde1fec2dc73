"""Following people: the filter, the assignment, the measures against published counts, smoothing along a track."""

import importlib.metadata
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2
from torchvision.ops import box_iou

from deployment.tracking import kalman
from deployment.tracking.appearance import looks
from deployment.tracking.boxes import overlaps
from deployment.tracking.detections import tracks_within
from deployment.tracking.footage import Footage
from deployment.tracking.measures import all_followed, followed
from deployment.tracking.optical_flow import flow_between
from deployment.tracking.smoothing import smoothed
from deployment.tracking.tracker import Tracker, TrackerSettings, follow
from foundation.errors import InputError
from training.data.people.clip import Array
from training.data.people.clips import clip
from training.data.people.mot_text import Tracked, read_tracks

STILL = np.full((14, 2), [30.0, 40.0])


def _tracked(boxes: list[list[float]], identities: list[int]) -> Tracked:
    return Tracked(np.array(boxes, np.float32), np.array(identities), np.ones(len(boxes), np.float32))


def _two(swapped_from: int = 99) -> dict[int, Tracked]:
    """Two people side by side for ten frames; from a frame on each has the other's identity."""
    frames = {}
    for frame in range(1, 11):
        ids = [2, 1] if frame >= swapped_from else [1, 2]
        frames[frame] = _tracked([[10, 10, 30, 60], [100, 10, 120, 60]], ids)
    return frames


# The filter


def test_the_settings_are_deepsorts() -> None:
    assert pytest.approx(chi2.ppf(0.95, 4), abs=1e-3) == kalman.GATE
    assert (kalman.OF_PLACE, kalman.OF_VELOCITY) == (1 / 20, 1 / 160)
    known = TrackerSettings()
    assert (known.most_distant, known.max_age, known.confirmed_after, known.most_unlike) == (0.7, 30, 3, 0.2)


@given(st.floats(-5, 5), st.floats(-5, 5), st.floats(20, 200))
@settings(max_examples=20, deadline=None)
def test_of_a_constant_velocity_the_error_goes_to_nothing(across: float, down: float, height: float) -> None:
    first = np.array([0.0, 0.0, height / 2, height])
    state = kalman.begun(first)
    errors = []
    for frame in range(1, 60):
        state = kalman.predicted(state)
        box = first + frame * np.array([across, down, across, down])
        errors.append(np.abs(state.box - box).max())
        state = kalman.updated(state, box)
    assert errors[-1] <= 0.01 * max(errors[0], 1e-6)


def test_a_distance_is_gated_by_what_is_unknown() -> None:
    state = kalman.predicted(kalman.begun(np.array([0.0, 0.0, 20.0, 50.0])))
    near, far = kalman.distances(state, np.array([[1.0, 0, 21, 50], [60.0, 0, 80, 50]]))
    assert near < 1 < kalman.GATE < far


# The assignment


def test_overlaps_are_torchvisions() -> None:
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 50, (2, 7, 2))
    ones, others = np.concatenate([corners, corners + rng.uniform(1, 40, (2, 7, 2))], -1)
    wanted = box_iou(torch.from_numpy(ones), torch.from_numpy(others)).numpy()
    assert np.allclose(overlaps(ones, others), wanted)


def _crossing(gap: range) -> tuple[list[Array], list[int]]:
    """Two people who walk towards each other at 4 pixels a frame; the second is not seen in a gap."""
    frames, truth = [], []
    for frame in range(30):
        boxes = [[4.0 * frame, 10, 4.0 * frame + 16, 50], [120 - 4.0 * frame, 12, 136 - 4.0 * frame, 52]]
        frames.append(np.array(boxes[:1] if frame in gap else boxes))
        truth.append(1 if frame in gap else 2)
    return frames, truth


def test_who_is_hidden_for_a_while_keeps_their_identity() -> None:
    frames, _ = _crossing(range(12, 18))
    tracker = Tracker()
    found = [tracker.step(boxes) for boxes in frames]
    assert all(ids[0] == 1 for ids in found)
    assert {int(ids[1]) for ids in found if len(ids) == 2} == {2}


def test_appearance_tells_apart_who_turns_back_behind_another() -> None:
    """Both stop where they meet and go back, which a constant velocity does not expect."""
    red, blue = np.eye(2)
    frames = []
    for frame in range(30):
        at = 3.0 * min(frame, 29 - frame)
        boxes = np.array([[at, 10, at + 16, 50], [84 - at, 10, 100 - at, 50]])
        frames.append((boxes, np.array([red, blue])))
    by_place, by_look = Tracker(), Tracker()
    place = [by_place.step(boxes) for boxes, _ in frames]
    look = [by_look.step(boxes, seen) for boxes, seen in frames]
    assert all(ids.tolist() == [1, 2] for ids in look)
    assert not all(ids.tolist() == [1, 2] for ids in place)


def test_what_is_seen_once_is_a_false_alarm() -> None:
    steady = [[10.0, 10, 30, 60]]
    frames = [(n, _tracked(steady + [[90.0, 90, 99, 99]] * (n == 4), [-1] * (1 + (n == 4))), None) for n in range(1, 9)]
    found = follow(frames)
    assert [one.identities.tolist() for one in found.values()] == [[1]] * 8


def test_a_track_ends_when_it_is_not_seen_for_too_long() -> None:
    tracker = Tracker(TrackerSettings(max_age=2))
    box, nothing = np.array([[10.0, 10, 30, 60]]), np.zeros((0, 4))
    for boxes in (box, box, box, nothing, nothing):
        tracker.step(boxes)
    assert tracker.step(box).tolist() == [1]
    for boxes in (nothing, nothing, nothing):
        tracker.step(boxes)
    assert tracker.step(box).tolist() == [2]


def test_appearances_are_of_length_one_and_alike_for_the_same_person() -> None:
    one = clip("train", 0, frames=[0, 1])
    seen = [looks(picture, people.boxes) for picture, people in zip(one.pictures, one.frames, strict=True)]
    assert np.allclose(np.linalg.norm(seen[0], axis=1), 1, atol=1e-5)
    shared = [identity for identity in one.frames[0].identities if identity in one.frames[1].identities]
    rows = [[list(p.identities).index(identity) for identity in shared] for p in one.frames]
    alike = seen[0][rows[0]] @ seen[1][rows[1]].T
    assert len(shared) > 1
    assert (alike.argmax(1) == np.arange(len(shared))).all()


# The measures


@pytest.mark.parametrize(
    ("name", "boxes", "false_alarms", "misses", "mota", "idf1"),
    [("TUD-Campus", 359, 13, 150, 0.5265, 0.558), ("TUD-Stadtmitte", 1156, 45, 452, 0.5640, 0.645)],
)
def test_counts_of_public_tracks(
    name: str, boxes: int, false_alarms: int, misses: int, mota: float, idf1: float
) -> None:
    """Counts by hand from the definition (CLEAR MOT), IDF1 as motmetrics' README has it, on the files of its wheel."""
    try:
        files = importlib.metadata.files("motmetrics") or []
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("motmetrics is not installed, whose wheel has the tracks: pip install --no-deps motmetrics")
    folder = next(Path(str(file.locate())).parent for file in files if file.parts[-2:] == (name, "gt.txt"))
    found = followed(read_tracks(folder / "gt.txt"), read_tracks(folder / "test.txt"))
    assert (found.boxes, found.false_alarms, found.misses, found.switches) == (boxes, false_alarms, misses, 7)
    assert found.mota == pytest.approx(mota, abs=5e-5)
    assert found.idf1 == pytest.approx(idf1, abs=5e-4)


def test_the_truth_itself_has_all() -> None:
    found = followed(_two(), _two())
    assert (found.mota, found.idf1, found.hota) == (1, 1, 1)
    assert (found.boxes, found.misses, found.false_alarms, found.switches) == (20, 0, 0, 0)


def test_two_identities_swapped_once_are_two_switches() -> None:
    found = followed(_two(), _two(swapped_from=6))
    assert found.switches == 2
    assert found.mota == pytest.approx(1 - 2 / 20)
    assert found.idf1 == pytest.approx(0.5)
    assert found.hota < 1


def test_mota_may_be_negative_and_nothing_found_is_nothing() -> None:
    many = {frame: _tracked([[200.0, 10, 220, 60]] * 3, [1, 2, 3]) for frame in range(1, 11)}
    assert followed(_two(), many).mota == pytest.approx(-1.5)
    assert followed(_two(), {}).mota == 0
    assert followed(_two(), {}).misses == 20


def test_counts_of_several_videos_are_added() -> None:
    both = all_followed([(_two(), _two()), (_two(), _two(swapped_from=6))])
    assert (both.boxes, both.switches) == (40, 2)
    assert both.mota == pytest.approx(1 - 2 / 40)


def test_a_box_that_counts_nowhere_is_neither_missed_nor_found() -> None:
    truth = {frame: Tracked(one.boxes, one.identities, np.array([1, 0], np.float32)) for frame, one in _two().items()}
    found = followed(truth, _two())
    assert (found.boxes, found.misses, found.false_alarms) == (10, 0, 0)
    assert found.mota == 1


# Smoothing


def _nowhere(first: int, second: int, points: Array) -> Array:
    return np.zeros_like(points)


def test_a_still_figure_and_one_of_constant_velocity_stay() -> None:
    still = [{1: STILL} for _ in range(5)]
    assert all(np.array_equal(frame[1], STILL) for frame in smoothed(still, _nowhere, window=2))
    moving = [{1: STILL + 3 * frame} for frame in range(5)]
    found = smoothed(moving, lambda first, second, points: np.full_like(points, 3.0 * (second - first)), window=2)
    assert all(np.allclose(one[1], wanted[1]) for one, wanted in zip(found, moving, strict=True))


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_an_outlier_shrinks(weight: float) -> None:
    frames = [{1: STILL + (8.0 if frame == 2 else 0.0)} for frame in range(5)]
    found = smoothed(frames, _nowhere, weight)
    assert np.allclose(found[2][1] - STILL, 8 * (1 - weight))
    assert np.allclose(found[1][1] - STILL, 4 * weight)  # half of what is said there
    assert np.allclose(found[0][1], STILL)


def test_ends_of_a_track_have_one_side_and_other_tracks_say_nothing() -> None:
    frames = [{1: STILL}, {1: STILL + 2.0, 2: STILL + 50}, {2: STILL + 60}]
    found = smoothed(frames, _nowhere, 0.5)
    assert np.allclose(found[0][1], STILL + 1)
    assert np.allclose(found[1][1], STILL + 1)
    assert np.allclose(found[1][2], STILL + 55)
    # After a frame in which it was not seen nothing is carried.
    apart = [{1: STILL}, {}, {1: STILL + 9}]
    assert np.array_equal(smoothed(apart, _nowhere, window=3)[2][1], STILL + 9)


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(InputError, match="a weight of 0 to 1"):
        smoothed([], _nowhere, 1.5)


def test_flow_finds_how_a_picture_was_shifted() -> None:
    rng = np.random.default_rng(0)
    small = torch.from_numpy(rng.uniform(0, 255, (1, 3, 30, 40)))
    whole = torch.nn.functional.interpolate(small, size=(120, 160), mode="bicubic").clamp(0, 255)[0]
    picture = whole.permute(1, 2, 0).numpy().astype(np.uint8)
    shifted = [picture, np.roll(picture, (2, 3), (0, 1))]
    flow = flow_between(lambda number: shifted[number])
    points = np.array([[60.0, 60.0], [90.0, 50.0]])
    assert np.allclose(flow(0, 1, points), [3, 2], atol=0.3)
    assert np.allclose(flow(1, 0, points), [-3, -2], atol=0.3)


@pytest.mark.parametrize("sides", [((40, 60), (40, 50)), ((8, 8), (8, 8))])
def test_frames_without_a_flow_are_refused(sides: tuple[tuple[int, int], tuple[int, int]]) -> None:
    frames = [np.zeros((*side, 3), np.uint8) for side in sides]
    with pytest.raises(InputError, match="`smoothing`: frames 1 and 2"):
        flow_between(frames.__getitem__)(0, 1, np.array([[4.0, 4.0]]))


def test_tracks_of_other_frames_are_refused(tmp_path: Path) -> None:
    """A truth that is counted from 0 was compared one frame off."""
    path = tmp_path / "truth.txt"
    path.write_text("0,1,10,10,20,20,1\n")
    with pytest.raises(InputError, match="frame 0, but there are 3, counted from 1"):
        tracks_within(path, Footage("mine", 3, lambda place: np.zeros((40, 60, 3), np.uint8), None))
