"""Frame-mAP: golden values, torchmetrics as its oracle, and the weights of crowded frames."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics.detection import MeanAveragePrecision

from tasks.actions.frame_ap import Boxes, average_precisions, crowd_index, crowd_weights, mean_of
from training.data.people.clip import NOBODY, People
from training.data.people.joints import ABSENT

ACTIONS = 4


def _some(seed: int, *, frames: int = 8) -> Boxes:
    """True boxes that lie apart, so that none overlaps another by half."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, 5, frames)
    corner = np.concatenate([np.arange(count) for count in counts])[:, None] * [60.0, 0.0] + rng.uniform(0, 9, 2)
    size = rng.uniform(20, 40, (len(corner), 2))
    boxes = np.concatenate([corner, corner + size], 1)
    labels = rng.permutation(np.arange(len(boxes)) % ACTIONS)
    return Boxes(np.repeat(np.arange(frames), counts), boxes, labels, rng.random(len(boxes)))


def _found(true: Boxes, seed: int) -> Boxes:
    """Boxes that are moved a little or far, some of them twice, some of another action."""
    rng = np.random.default_rng(seed)
    rows = rng.integers(0, len(true.frames), 2 * len(true.frames))
    moved = true.boxes[rows] + rng.choice([1.0, 8.0, 40.0], (len(rows), 1)) * rng.uniform(-1, 1, (len(rows), 4))
    moved[:, 2:] = np.maximum(moved[:, 2:], moved[:, :2] + 4)
    labels = np.where(rng.random(len(rows)) < 0.3, rng.integers(0, ACTIONS, len(rows)), true.labels[rows])
    return Boxes(true.frames[rows], moved, labels, rng.random(len(rows)))


def test_the_truth_comes_to_one_and_permuted_labels_to_nothing() -> None:
    true = _some(0)
    assert average_precisions(true, true, ACTIONS).tolist() == [1.0] * ACTIONS
    other = true._replace(labels=(true.labels + 1) % ACTIONS)
    assert average_precisions(other, true, ACTIONS).tolist() == [0.0] * ACTIONS
    nothing = Boxes(*(part[:0] for part in true))
    assert mean_of(average_precisions(nothing, true, ACTIONS)) == 0.0
    assert np.isnan(average_precisions(true, nothing, ACTIONS)).all()
    assert mean_of(average_precisions(true, nothing, ACTIONS)) == 0.0


def test_a_box_that_is_found_twice_is_false_the_second_time() -> None:
    one = Boxes(np.zeros(2, np.int64), np.array([[0, 0, 9, 9], [50, 0, 59, 9.0]]), np.zeros(2, np.int64), np.ones(2))
    first, twice = np.array([0.9, 0.5]), np.array([0.9, 0.8, 0.5])
    assert average_precisions(one._replace(scores=first), one, 1)[0] == 1.0
    rows = np.array([0, 0, 1])
    doubled = Boxes(one.frames[rows], one.boxes[rows], one.labels[rows], twice)
    # Right, wrong, right: a precision of 1 up to a recall of a half, and of 2/3 beyond.
    assert average_precisions(doubled, one, 1)[0] == pytest.approx((51 + 50 * 2 / 3) / 101)


def test_half_an_overlap_is_enough_and_less_is_not() -> None:
    true = Boxes(np.zeros(1, np.int64), np.array([[0, 0, 10, 10.0]]), np.zeros(1, np.int64), np.ones(1))
    for width, value in ((20.0, 1.0), (20.5, 0.0)):
        found = true._replace(boxes=np.array([[0, 0, width, 10.0]]))
        assert average_precisions(found, true, 1)[0] == value
    elsewhere = true._replace(frames=np.ones(1, np.int64))
    assert average_precisions(elsewhere, true, 1)[0] == 0.0


@pytest.mark.parametrize("seed", range(4))
def test_it_is_torchmetrics_with_actions_as_classes(seed: int) -> None:
    true = _some(seed)
    found = _found(true, seed + 100)
    oracle = MeanAveragePrecision(iou_thresholds=[0.5], class_metrics=True, backend="faster_coco_eval")
    for frame in range(8):
        both = []
        for boxes in (found, true):
            own = boxes.frames == frame
            named = {"boxes": torch.tensor(boxes.boxes[own]), "labels": torch.tensor(boxes.labels[own])}
            both.append({**named, "scores": torch.tensor(boxes.scores[own])})
        oracle.update(both[:1], both[1:])
    wanted = oracle.compute()
    values = average_precisions(found, true, ACTIONS)
    assert 0.05 < mean_of(values) < 0.95
    assert values == pytest.approx(wanted["map_per_class"].numpy(), abs=1e-6)
    assert mean_of(values) == pytest.approx(float(wanted["map"]), abs=1e-6)


@given(st.integers(0, 500), st.floats(0.25, 8))
@settings(max_examples=20, deadline=None)
def test_equal_weights_change_nothing(seed: int, weight: float) -> None:
    true = _some(seed)
    found = _found(true, seed)
    plain = average_precisions(found, true, ACTIONS)
    assert average_precisions(found, true, ACTIONS, dict.fromkeys(range(8), 1.0)) == pytest.approx(plain, nan_ok=True)
    same = average_precisions(found, true, ACTIONS, dict.fromkeys(range(8), weight))
    assert same == pytest.approx(plain, abs=1e-9, nan_ok=True)


def test_a_frame_of_weight_two_counts_as_two() -> None:
    true = _some(3)
    found = _found(true, 3)

    def doubled(boxes: Boxes) -> Boxes:
        again = boxes.frames == 2
        parts = [np.concatenate([part, part[again]]) for part in boxes]
        parts[0][len(boxes.frames) :] = 99  # a copy of the frame
        return Boxes(*parts)

    weighed = average_precisions(found, true, ACTIONS, {2: 2.0})
    assert weighed == pytest.approx(average_precisions(doubled(found), doubled(true), ACTIONS), abs=0.011)
    assert not np.allclose(weighed, average_precisions(found, true, ACTIONS), equal_nan=True)


def _people(corners: list[float], flags: int = 0) -> People:
    """People 10 pixels wide and high at these columns, each with 14 joints along the diagonal."""
    boxes = np.array([[left, 0, left + 10, 10] for left in corners], np.float32)
    along = np.linspace(0.5, 9.5, 14)
    joints = np.stack([np.stack([left + along, along], -1) for left in corners]).astype(np.float32)
    count = len(corners)
    return People(boxes, np.arange(count) + 1, joints, np.full((count, 14), flags, np.int8), ("x",) * count)


def test_the_crowd_index_is_the_share_of_others_joints() -> None:
    assert crowd_index(NOBODY) == 0.0
    assert crowd_index(_people([0, 20, 40])) == 0.0
    assert crowd_index(_people([0, 0])) == 1.0  # as many of the other as of one's own
    assert crowd_index(_people([0, 5])) == pytest.approx(0.5)  # half of the other's
    assert crowd_index(_people([0, 0, 90])) == pytest.approx(2 / 3)
    assert crowd_index(_people([0, 0], ABSENT)) == 0.0


def test_weights_are_one_where_nobody_is_crowded() -> None:
    assert crowd_weights({0: 0.0, 1: 0.0}) == {0: 1.0, 1: 1.0}
    found = crowd_weights({0: 0.0, 1: 0.5, 2: 1.0})
    assert found == {0: 1.0, 1: 2.0, 2: 3.0}
    assert math.isclose(sum(found.values()), 6.0)  # half of it by crowding
    assert crowd_weights({}) == {}
