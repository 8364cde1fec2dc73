"""The task pose: crops, heat maps, OKS and its average precision, and whole commands on clips of figures."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import nn

from commands import retrain, search
from foundation import distributed
from foundation.errors import InputError
from foundation.progress import Reporter
from search_space import build
from search_space.cost.cost import measure
from search_space.head import read_head
from search_space.spaces import priced_space
from tasks.choice import task
from tasks.pose.data import read_frame, targets_of
from tasks.pose.drawing import FILMED_AS
from tasks.pose.head import HeatmapHead
from tasks.pose.heatmaps import aimed, found
from tasks.pose.keypoints import SIGMAS, Posed, average_precision, similarities
from tasks.pose.room import POSE
from tests.sent import sent
from tests.small_spaces import SMALL_96
from training.augmentation.recipe import Augmentation
from training.data.held import HeldSplit
from training.data.people import clips
from training.data.people.clip import NOBODY, Clip, People
from training.data.people.clips import clip
from training.data.people.crops import back, crops, into, squares
from training.data.people.hieve import write_video
from training.data.people.joints import ABSENT, HIDDEN, JOINTS, OTHER_SIDE, VISIBLE
from training.data.pictures import Pictures

CPU = torch.device("cpu")


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clips, "COUNTS", {"train": 4, "validation": 2, "test": 2})


def _people(count: int = 3, seed: int = 0) -> People:
    rng = np.random.default_rng(seed)
    joints = rng.uniform(20, 90, (count, 14, 2)).astype(np.float32)
    boxes = np.concatenate([joints.min(1) - 2, joints.max(1) + 2], 1)
    return People(boxes, np.arange(count) + 1, joints, np.zeros((count, 14), np.int8), ("walking",) * count)


def _posed(joints: np.ndarray, areas: float = 400.0, flags: int = VISIBLE, score: float = 1.0) -> Posed:
    count = len(joints)
    return Posed(joints, np.full((count, 14), flags), np.full(count, areas), np.full(count, score))


# OKS


def test_oks_is_one_at_no_error_and_known_at_its_width() -> None:
    true = np.random.default_rng(0).uniform(0, 50, (2, 14, 2))
    areas = np.array([100.0, 900.0])
    assert np.array_equal(similarities(true, true, areas), np.ones((2, 14)))
    away = 2 * np.array(SIGMAS) * np.sqrt(areas)[:, None]  # d = s·k, k = 2σ
    moved = true + np.stack([away, np.zeros_like(away)], -1)
    assert similarities(moved, true, areas) == pytest.approx(math.exp(-0.5))


def test_there_is_a_sigma_for_each_joint_alike_on_both_sides() -> None:
    assert len(SIGMAS) == len(JOINTS) == 14
    assert [SIGMAS[other] for other in OTHER_SIDE] == list(SIGMAS)


def test_average_precision_of_the_truth_is_one_and_of_far_away_nothing() -> None:
    true = [_posed(np.random.default_rng(n).uniform(0, 50, (2, 14, 2))) for n in range(3)]
    assert average_precision(true, true) == (1.0, 1.0)
    assert average_precision([_posed(one.joints + 500) for one in true], true) == (0.0, 0.0)
    assert average_precision([_posed(np.zeros((0, 14, 2)))] * 3, true) == (0.0, 0.0)


@pytest.mark.parametrize(("oks", "thresholds"), [(0.72, 5), (0.91, 9), (0.52, 1), (0.45, 0)])
def test_average_precision_is_the_share_of_thresholds_that_are_met(oks: float, thresholds: int) -> None:
    """Everybody is found with the same OKS: at each threshold below it all are right."""
    rng = np.random.default_rng(0)
    true = [_posed(rng.uniform(0, 50, (1, 14, 2))) for _ in range(4)]
    away = 2 * np.array(SIGMAS) * math.sqrt(400) * math.sqrt(-2 * math.log(oks))
    moved = [_posed(one.joints + np.stack([away, np.zeros(14)], -1)[None]) for one in true]
    ap, ap50 = average_precision(moved, true)
    assert ap == pytest.approx(thresholds / 10)
    assert ap50 == float(oks > 0.5)


def test_hidden_joints_count_and_absent_ones_do_not() -> None:
    joints = np.random.default_rng(0).uniform(0, 50, (1, 14, 2))
    off = joints.copy()
    off[0, :4] += 500
    flags = np.zeros((1, 14), np.int8)
    for flag, best in ((ABSENT, 1.0), (HIDDEN, 0.5)):
        flags[0, :4] = flag
        true = Posed(joints, flags, np.array([400.0]), np.ones(1))
        ap, _ = average_precision([_posed(off)], [true])
        assert ap == pytest.approx(best)  # of 14 joints 10 are right: an OKS of .714, above 5 of 10 thresholds


# Crops and heat maps


@given(st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_places_in_a_crop_go_there_and_back(seed: int) -> None:
    people = _people(seed=seed)
    around = squares(people.boxes)
    inside = into(people.joints, around, 64)
    assert np.allclose(back(inside, around, 64), people.joints, atol=1e-3)
    assert (inside > 0).all()
    assert (inside < 64).all()


def test_a_crop_shows_what_is_there() -> None:
    picture = np.zeros((100, 100, 3), np.uint8)
    picture[40:60, 30:50] = 200
    around = squares(np.array([[30, 40, 50, 60]]))
    assert around.tolist() == [[27.5, 37.5, 52.5, 62.5]]
    crop = crops(picture, around, 50)[0]
    assert (crop[:, 6:44, 6:44] == 200).all()
    assert (crop[:, :4] == 0).all()
    assert not crops(picture, np.array([[-60, -60, -10, -10.0]]), 8).any()


@given(st.floats(0.08, 0.92), st.floats(0.08, 0.92))
@settings(max_examples=25, deadline=None)
def test_a_map_says_the_place_that_it_aims_at(x: float, y: float) -> None:
    places = torch.tensor([[[x, y]]])
    shares = aimed(places, (8, 8))
    assert shares.sum().item() == pytest.approx(1)
    told = found((shares + 1e-9).log().reshape(1, 1, 8, 8))
    assert told[0, 0].tolist() == pytest.approx([x, y, 1.0], abs=1e-4)


def test_the_loss_is_least_where_the_maps_aim() -> None:
    targets = targets_of(_people(), squares(_people().boxes), 48)
    right = aimed(torch.stack([target["joints"][:14] for target in targets]) / 48, (6, 6))
    logits = (right + 1e-6).log().reshape(3, 14, 6, 6)
    assert POSE.loss(logits, targets) < POSE.loss(logits + 0.1 * torch.randn(logits.shape), targets)
    assert POSE.loss(torch.zeros(3, 14, 6, 6), targets).item() == pytest.approx(math.log(36), abs=1e-4)


def test_absent_joints_are_not_learnt() -> None:
    people = _people()
    people.flags[:, 3:] = ABSENT
    targets = targets_of(people, squares(people.boxes), 48)
    logits = torch.randn(3, 14, 6, 6, requires_grad=True)
    POSE.loss(logits, targets).backward()
    assert logits.grad is not None
    assert logits.grad[:, :3].abs().sum() > 0
    assert not logits.grad[:, 3:].any()


def test_in_a_mirrored_crop_left_is_right() -> None:
    """What is aimed at in a mirrored crop are the joints of the other side, where these are now."""
    people = _people(8)
    crops_of = targets_of(people, squares(people.boxes), 48)
    split = HeldSplit(Pictures(torch.zeros(8, 3, 48, 48, dtype=torch.uint8), crops_of), (0.0,), (1.0,), CPU)
    _, targets = next(split.batches(8, seed=3, augmentation=Augmentation("crop-flip")))
    assert not isinstance(targets, torch.Tensor)
    mirrored = 0
    for target in targets:
        joints, flipped = target["joints"][:14], bool(target["joints"][-2, 0] > target["joints"][-1, 0])
        inside = ((joints >= 0) & (joints <= 48)).all(1)
        mirrored += flipped
        truth = joints[list(OTHER_SIDE)] if flipped else joints
        right = (aimed((truth / 48)[None], (24, 24)) + 1e-6).log().reshape(1, 14, 24, 24)
        wrong = (aimed((joints[list(OTHER_SIDE)] if not flipped else joints)[None] / 48, (24, 24)) + 1e-6).log()
        assert inside.sum() > 7
        assert POSE.loss(right, [target]) < 2 < POSE.loss(wrong.reshape(1, 14, 24, 24), [target])
    assert 0 < mirrored < 8


# The task


class Given(nn.Module):
    """Says what it is told to."""

    def __init__(self, logits: torch.Tensor):
        super().__init__()
        self.logits = logits

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.logits[: len(images)]


def test_the_measure_of_right_maps_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    people = _people(4)
    targets = targets_of(people, squares(people.boxes), 96)
    logits = (aimed(torch.stack([one["joints"][:14] for one in targets]) / 96, (24, 24)) + 1e-9).log()
    seen = POSE.measure(Given(logits.reshape(4, 14, 24, 24)), [(torch.zeros(4, 3, 96, 96), targets)])
    assert seen.measured.value == pytest.approx(1.0)
    assert seen.predictions["joints"].shape == (4, 14, 3)
    assert seen.by_class is not None
    known = seen.by_class()
    assert known.counts == [4] * 14
    assert all(share == pytest.approx(1.0, abs=1e-3) for share in known.shares["oks"] if share is not None)
    answers = POSE.answers(logits.reshape(4, 14, 24, 24), (96, 96))
    assert POSE.fit(answers, (4, 3, 96, 96), 14)
    assert POSE.difference(logits.reshape(4, 14, 24, 24), answers, (96, 96)) == 0
    judged = [POSE.judge(answers[at], targets[at], 14) for at in (slice(0, 1), slice(1, None))]
    monkeypatch.setattr(distributed, "from_all", sent)
    assert POSE.examination(judged, shared=True).measured == POSE.examination(judged).measured
    truth = POSE.truth(targets)
    assert (answers - truth)[..., :2].abs().max() < 0.05
    drawn = POSE.drawn(torch.zeros(3, 96, 96, dtype=torch.uint8), truth[0], (96, 96), JOINTS)
    assert drawn.picture.any()


def test_the_head_is_counted_and_read_back() -> None:
    head = HeatmapHead(14, width=16)
    assert read_head(head.to_dict()) == head
    network = priced_space("mobile-32").space.at(96).extreme(lambda _, options: options[0], largest=False)
    assert build(network, head)(torch.randn(2, 3, 96, 96)).shape[:2] == (2, 14)
    assert measure(network, head).macs > measure(network, HeatmapHead(14, width=15)).macs
    assert task("pose:heatmaps/32").head(14, network) == HeatmapHead(14, width=32)


def test_data_of_the_task(few: None) -> None:
    data = POSE.data("scenes:people", 48, CPU)
    assert data.classes == JOINTS
    images, targets = next(data.test.batches(4))
    assert images.shape == (4, 3, 48, 48)
    assert not isinstance(targets, torch.Tensor)
    assert targets[0]["joints"].shape == (16, 2)
    assert data.test.sources is not None
    with pytest.raises(InputError, match="unknown to task pose; known: scenes:people, hieve:PATH"):
        POSE.data("scenes", 48, CPU)
    with pytest.raises(InputError, match="crops of 32 to 384 pixels"):
        POSE.data("scenes:people", 16, CPU)


def test_videos_in_hieves_format(tmp_path: Path) -> None:
    for number in range(3):
        write_video(tmp_path / f"{number}", clip("train", number, frames=[0, 12]))
    data = POSE.data(f"hieve:{tmp_path}", 48, CPU)
    made = [clip("train", number, frames=[0, 12]) for number in range(3)]
    whole = sum(len(people) for one in made for people in one.frames)
    assert sum(len(getattr(data, split)) for split in ("train", "validation", "test")) == whole
    with pytest.raises(InputError, match="too few to hold two parts out"):
        POSE.data(f"hieve:{tmp_path / '0'}", 48, CPU)
    with pytest.raises(InputError, match="no such folder"):
        POSE.data(f"hieve:{tmp_path / 'none'}", 48, CPU)


def test_frames_of_another_size_than_annotated_are_refused(tmp_path: Path) -> None:
    for number in range(3):
        write_video(tmp_path / f"{number}", clip("train", number, frames=[0]))
        with Image.open(tmp_path / f"{number}/0.png") as picture:
            picture.resize((40, 30)).save(tmp_path / f"{number}/0.png")
    message = r"0\.png: has 40×30 pixels, but .*000000\.xml says 160×120; give the frame that was annotated"
    with pytest.raises(InputError, match=message):
        _ = POSE.data(f"hieve:{tmp_path}", 48, CPU).train


def test_a_split_without_people_is_named(tmp_path: Path) -> None:
    for number in range(3):
        one = clip("train", number, frames=[0])
        write_video(tmp_path / f"{number}", Clip("", one.pictures, [NOBODY]) if number == 1 else one)
    message = rf"hieve:{tmp_path}: nobody is in the frames that the (validation|test|train) split .* \(1\); add"
    with pytest.raises(InputError, match=message):
        POSE.data(f"hieve:{tmp_path}", 48, CPU)


def test_hidden_folders_are_no_videos(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(3):
        write_video(tmp_path / f"{number}", clip("train", number, frames=[0]))
    before = POSE.data(f"hieve:{tmp_path}", 48, CPU).identity
    (tmp_path / ".git").mkdir()
    assert POSE.data(f"hieve:{tmp_path}", 48, CPU, Reporter()).identity == before
    assert "hieve: left out: 1 hidden or system file or folder (e.g. .git)" in capsys.readouterr().out


def test_frames_are_decoded_as_other_pictures_are(tmp_path: Path) -> None:
    """In 8 bits, and upright; of 8 bits without orientation the bytes stay what Pillow makes of them."""
    deep = np.full((6, 8), 25_600, np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    assert (read_frame(str(tmp_path / "deep.png")) == 100).all()
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.save(tmp_path / "turned.png", exif=exif)
    assert np.array_equal(read_frame(str(tmp_path / "turned.png")), np.rot90(np.asarray(picture), -1))
    for mode, name in (("RGB", "a.png"), ("RGBA", "a.webp"), ("P", "b.png"), ("L", "b.jpg"), ("CMYK", "c.jpg")):
        picture.convert(mode).save(tmp_path / name)
        with Image.open(tmp_path / name) as file:
            assert np.array_equal(read_frame(str(tmp_path / name)), np.asarray(file.convert("RGB")))
    (tmp_path / "broken.png").write_bytes(b"broken")
    with pytest.raises(InputError, match=r"broken\.png: cannot be decoded \(no picture .*\); replace or remove it"):
        read_frame(str(tmp_path / "broken.png"))


@pytest.mark.usefixtures("few", "few_references", "short_recipes")
def test_a_search_and_a_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("small.toml").write_text(SMALL_96)
    sizes = ["--trials", "4", "--startup", "2", "--supernet-epochs", "1", "--batch-size", "16", "--finalists", "0"]
    space = ["--space", "small.toml", "--max-macs", "4M"]
    search.main(["--task", "pose", "--data", "scenes:people", *space, "--out", "run", *sizes, "--quiet"])
    best = json.loads(Path("run/best.json").read_text())
    assert best["task"] == "pose"
    retrain.main(["run", "--epochs", "1"])
    assert "test OKS-AP" in capsys.readouterr().out
    (found, *_) = json.loads(Path("run/retrain/results.json").read_text())
    assert set(found["test"]) == {"loss", "oks", "oks_ap", "oks_ap50"}
    section = Path("run/report.html").read_text().split('<section id="sees">')[1].split("</section>")[0]
    assert "<img " in section
    assert FILMED_AS[:40] in section
    assert all(f'<td class="words">{name}</td>' in section for name in JOINTS)
