"""The task actions: clips as tiles, the scene, options of the data, the head, and the task's measure."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from commands import evaluate, retrain, search
from foundation import distributed
from foundation.errors import InputError
from foundation.progress import Reporter
from search_space import build
from search_space.cost.cost import measure
from search_space.head import read_head
from search_space.spaces import priced_space
from tasks.actions.data import OPTIONS, contrasts, read_spec
from tasks.actions.drawing import FILMED_AS
from tasks.actions.head import Temporal, TemporalHead, TemporalPart
from tasks.actions.room import ACTIONS
from tasks.actions.tiles import FRAMES, mirrored, scene_of, tiled, window, with_scenes
from tasks.choice import task
from tests.sent import sent
from tests.small_spaces import SMALL_96
from training.augmentation.recipe import Augmentation
from training.data.people import clips
from training.data.people.clip import NOBODY, Clip
from training.data.people.clips import AGREEMENT, WITH_A_PAIR, clip
from training.data.people.hieve import write_video
from training.data.people.motion import ALIKE, moving

CPU = torch.device("cpu")


@pytest.fixture(scope="module", autouse=True)
def few() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clips, "COUNTS", {"train": 3, "validation": 1, "test": 4})
        yield


@lru_cache
def _rows(spec: str, split: str = "test", side: int = 48) -> tuple[torch.Tensor, Any]:
    own = getattr(ACTIONS.data(spec, side, CPU), split)
    return own.images, own.targets


# Clips


def test_the_clips_that_were_there_are_the_same_bytes() -> None:
    """The pair of actions that look alike, and reversed agreement, are options: without them nothing is drawn else."""

    def digest(found: Clip) -> str:
        parts = [found.pictures, *(part for one in found.frames for part in (one.boxes, one.joints, one.flags))]
        said = str([one.actions for one in found.frames]).encode()
        return hashlib.sha256(b"".join(part.tobytes() for part in parts) + said).hexdigest()[:16]

    found = [digest(clip(split, 1, frames=[3, 20])) for split in ("train", "validation", "test")]
    assert found == ["f5d982c79899de05", "81e577a1bd1b3b06", "6a2e8b1f0f1963de"]


def test_the_pair_looks_alike_and_the_scene_tells_it() -> None:
    one, other = (moving(action, 12, np.random.default_rng(5)).joints for action in ALIKE)
    assert np.array_equal(one, other)
    seen: dict[tuple[str, str], int] = {}
    for number in range(100):
        made = clip("train", number, repertoire=WITH_A_PAIR, frames=[12])
        for action in made.frames[0].actions:
            seen[action, made.scene] = seen.get((action, made.scene), 0) + 1
    standing, queuing = ALIKE
    assert seen[standing, "temple"] > 2 * seen.get((queuing, "temple"), 0)
    assert seen[queuing, "portrait"] > 2 * seen.get((standing, "portrait"), 0)


def test_the_reversed_test_set_has_other_actions_in_the_same_scenes() -> None:
    usual, reversed_ = ([target["label"] for target in _rows(spec)[1]] for spec in _both("scenes:actions"))
    assert len(usual) > 10
    assert usual != reversed_
    one, other = (_rows(spec, "train")[0] for spec in _both("scenes:actions"))
    assert torch.equal(one, other)
    shares = {}
    for agreement in (AGREEMENT, 1 - AGREEMENT):
        made = [clip("test", number, agreement=agreement, repertoire=WITH_A_PAIR, frames=[12]) for number in range(25)]
        hits = [action in WITH_A_PAIR.own[one.scene] for one in made for action in one.frames[0].actions]
        shares[agreement] = float(np.mean(hits))
    assert shares == {agreement: pytest.approx(agreement, abs=0.15) for agreement in shares}


def _both(spec: str) -> tuple[str, str]:
    return spec, f"{spec},reversed"


# Tiles


def test_a_clip_is_around_its_frame_and_ends_are_repeated() -> None:
    assert window(12, 24) == list(range(8, 16))
    assert window(0, 24) == [0, 0, 0, 0, 0, 1, 2, 3]
    assert window(23, 24) == [19, 20, 21, 22, 23, 23, 23, 23]
    assert window(0, 1) == [0] * FRAMES


def test_tiles_are_in_the_order_of_time_and_the_last_is_the_scene() -> None:
    frames = [np.full((40, 40, 3), 20 * number, np.uint8) for number in range(FRAMES)]
    made = tiled(frames, np.array([[10.0, 10, 30, 30]]), 32, (1, 2, 3))
    assert made.shape == (1, 3, 32, 32)
    seen = [int(made[0, 0, 5 + 10 * (n // 3), 5 + 10 * (n % 3)]) for n in range(9)]
    assert seen == [20 * number for number in range(FRAMES)] + [1]
    assert made[0, :, 31, 31].tolist() == [1, 2, 3]  # 32 is no multiple of 3
    whole = with_scenes(made, torch.full((3, 10, 10), 99, dtype=torch.uint8))
    assert (whole[0, :, 20:30, 20:30] == 99).all()
    assert torch.equal(whole[0, :, :20], made[0, :, :20])


def test_mirrored_clips_keep_their_time() -> None:
    made = torch.randint(0, 255, (2, 3, 31, 31), dtype=torch.uint8)
    turned = mirrored(made)
    assert torch.equal(turned[..., :10, 10:20], made[..., :10, 10:20].flip(-1))
    assert torch.equal(turned[..., 30:], made[..., 30:])
    assert torch.equal(mirrored(turned), made)


def test_the_scene_has_nobody_in_it() -> None:
    picture = np.full((60, 60, 3), 100, np.uint8)
    picture[20:40, 20:40] = 255
    assert (scene_of(picture, np.array([[20.0, 20, 40, 40]]), 36) == 100).all()
    assert (scene_of(picture, np.zeros((0, 4)), 36) > 100).any()
    assert (scene_of(picture, np.array([[-5.0, -5, 70, 70]]), 36) == 128).all()


# Data


def test_what_options_change() -> None:
    usual, targets = _rows("scenes:actions")
    assert usual.shape[1:] == (3, 48, 48)
    scene, person = (..., slice(32, 48), slice(32, 48)), (..., slice(0, 16), slice(0, 48))
    none, shuffled, still = (_rows(f"scenes:actions,{option}")[0] for option in ("no-scene", "shuffled", "frame"))
    assert torch.equal(none[person], usual[person])
    assert len(none[scene].flatten(2).unique(dim=-1)[0, 0]) == 1
    assert torch.equal(shuffled[person], usual[person])
    assert not any(torch.equal(one, other) for one, other in zip(shuffled[scene], usual[scene], strict=True))
    assert torch.equal(still[scene], usual[scene])
    assert torch.equal(still[..., :16, :16], still[..., 16:32, 16:32])
    assert torch.equal(still[..., :16, :16], usual[..., 16:32, 16:32])  # the frame itself is the fifth
    assert {target["frame"].item() for target in targets} == set(range(12))
    # Each training picture is there mirrored as well.
    training, told = _rows("scenes:actions", "train")
    half = len(training) // 2
    assert torch.equal(training[half:], mirrored(training[:half]))
    assert [target["label"] for target in told[half:]] == [target["label"] for target in told[:half]]


def test_detections_miss_some_and_find_nobody() -> None:
    _, usual = _rows("scenes:actions")
    _, found = _rows("scenes:actions,detected")
    somebody = [target for target in found if target["label"] >= 0]
    assert len(somebody) == len(usual)
    assert 0 < sum(not target["found"] for target in somebody) < len(usual) / 4
    assert all(target["found"] for target in found if target["label"] < 0)
    moved = [(target["box"] - target["true"]).abs().max() for target in somebody if target["found"]]
    assert 0 < max(moved) <= 3.01


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("scenes:actions,still", "still is no option; known: frame, no-scene"),
        ("scenes", "unknown to task actions; known: scenes:actions, scenes:people, hieve:PATH"),
        ("scenes:actions,no-scene,shuffled", "no-scene and shuffled do not go together"),
        ("hieve:x,reversed", "reversed is for clips that are made"),
        ("hieve:", "no such folder"),
    ],
)
def test_specs_that_are_refused(spec: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as refused:
        ACTIONS.data(spec, 48, CPU)
    assert "\n" not in str(refused.value)


def test_a_spec_and_its_options() -> None:
    assert read_spec("hieve:a,b,shuffled") == ("hieve:a,b", frozenset({"shuffled"}))
    assert contrasts("scenes:actions,detected") == {
        "scene of another clip": "scenes:actions,detected,shuffled",
        "no scene": "scenes:actions,detected,no-scene",
        "scene and action reversed": "scenes:actions,detected,reversed",
    }
    assert list(contrasts("hieve,no-scene")) == ["scene of another clip"]
    with pytest.raises(InputError, match="clips of 32 to 384 pixels"):
        ACTIONS.data("scenes:actions", 16, CPU)
    assert len(OPTIONS) == 5


def test_videos_in_hieves_format(tmp_path: Path) -> None:
    for number in range(3):
        write_video(tmp_path / f"{number}", clip("train", number, frames=range(6, 18), repertoire=WITH_A_PAIR))
    data = ACTIONS.data(f"hieve:{tmp_path}", 48, CPU)
    assert set(data.classes) <= set(WITH_A_PAIR.actions)
    assert len(data.test) > 1
    again = ACTIONS.data(f"hieve:{tmp_path},frame", 48, CPU)
    assert data.identity != again.identity
    assert len(again.test) == len(data.test)
    with pytest.raises(InputError, match="shuffled needs two videos in each split"):
        _ = ACTIONS.data(f"hieve:{tmp_path},shuffled", 48, CPU).test


def test_a_split_without_people_is_named_and_actions_that_nobody_learns(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, action in enumerate(("walking", "queuing", "sitting")):
        one = clip("train", number, frames=[0, 1])
        frames = [replace(people, actions=(action,) * len(people)) for people in one.frames]
        write_video(tmp_path / f"{number}", Clip("", one.pictures, frames))
    _ = ACTIONS.data(f"hieve:{tmp_path}", 48, CPU, Reporter()).train
    said = "train: no people of 2 of 3 classes, which nothing can be learnt about: "
    assert capsys.readouterr().out.count(said) == 1
    write_video(tmp_path / "1", Clip("", one.pictures, [frames[0], NOBODY]))  # the first of two frames is not taken
    message = rf"hieve:{tmp_path}: nobody is in the frames that the (validation|test|train) split .* \(1\); add"
    with pytest.raises(InputError, match=message):
        ACTIONS.data(f"hieve:{tmp_path}", 48, CPU)


# Head and task


def test_the_head_reads_each_tile_and_the_order_of_time() -> None:
    head = Temporal(TemporalPart(5, 4, 3)).eval()
    x = torch.randn(2, 5, 6, 6)
    out = head(x)
    assert out.shape == (2, 3)
    assert torch.allclose(head(x.repeat_interleave(2, 2).repeat_interleave(2, 3)), out, atol=1e-5)
    moved = x.clone()
    moved[..., :2, :2], moved[..., :2, 2:4] = x[..., :2, 2:4], x[..., :2, :2]  # frames 1 and 2 change places
    assert not torch.allclose(head(moved), out, atol=1e-5)
    torch.nn.init.zeros_(head.logits.weight[:, :4].data)
    only_scene = x.clone()
    only_scene[..., :4, :] = 0
    only_scene[..., :4] = 0
    with torch.no_grad():
        head.logits.weight[:, :4] = 0
    assert torch.allclose(head(x), head(only_scene), atol=1e-5)  # what is left is the scene's vector, tile 9
    assert head(torch.randn(1, 5, 7, 11)).shape == (1, 3)


def test_the_head_is_counted_and_read_back() -> None:
    head = TemporalHead(7, width=16)
    assert read_head(head.to_dict()) == head
    network = priced_space("mobile-96").space.at(96).extreme(lambda _, options: options[0], largest=False)
    assert build(network, head)(torch.randn(2, 3, 96, 96)).shape == (2, 7)
    apart = measure(network, head).macs - measure(network, TemporalHead(7, width=15)).macs
    channels = network.stages[-1].width
    assert apart == 8 * 3 * channels + 7  # a channel more along time, and of the logits
    assert task("actions:temporal/32").head(14, network) == TemporalHead(14, width=32)
    assert task("crowded-actions").metric.name == "wf_map"
    with pytest.raises(InputError, match="the last map is 1×1, and a clip is 3×3 tiles"):
        ACTIONS.head(7, priced_space("mobile-32").space.at(32).extreme(lambda _, o: o[0], largest=False).at(8))


def test_the_measure_of_right_logits_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    data = ACTIONS.data("scenes:actions", 48, CPU)
    (images, targets), *others = data.test.batches(1000)
    assert not others
    assert not isinstance(targets, torch.Tensor)
    labels = torch.stack([target["label"] for target in targets])
    right = 20 * torch.nn.functional.one_hot(labels, 7).float()
    seen = ACTIONS.examination([ACTIONS.judge(right, targets, 7, right)])
    assert seen.measured.value == seen.measured.beside["wf_map"] == 1.0
    assert seen.measured.beside["loss"] < 1e-3
    wrong = ACTIONS.examination([ACTIONS.judge(right.roll(1, 1), targets, 7, right)])
    assert wrong.measured.value < 0.7
    assert wrong.measured.beside["accuracy"] == 0.0
    assert seen.by_class is not None
    assert sum(seen.by_class().counts) == len(targets)
    halves = [ACTIONS.judge(right[at], targets[at], 7) for at in (slice(0, 9), slice(9, None))]
    assert ACTIONS.examination(halves).measured.value == 1.0
    monkeypatch.setattr(distributed, "from_all", sent)
    assert ACTIONS.examination(halves, shared=True).measured == ACTIONS.examination(halves).measured
    assert ACTIONS.told(right[:1], data.classes, 2)[0][0][0] == data.classes[labels[0]]
    assert ACTIONS.difference(right, right + 0.5, (48, 48)) == 0.5
    assert ACTIONS.fit(right, images.shape, 7)


def test_who_was_not_found_counts_and_is_not_learnt() -> None:
    _, targets = _rows("scenes:actions")
    target = targets[0]
    missed = {**target, "found": torch.tensor(False)}
    logits = torch.zeros(1, 7, requires_grad=True)
    assert ACTIONS.loss(logits, [missed]).item() == 0.0
    assert ACTIONS.loss(logits, [target]).item() == pytest.approx(np.log(7))
    assert ACTIONS.examination([ACTIONS.judge(logits.detach(), [missed], 7)]).measured.value == 0.0


def test_augmentation_that_moves_pictures_is_refused() -> None:
    data = ACTIONS.data("scenes:actions", 48, CPU)
    _, targets = next(data.train.batches(8, seed=3, augmentation=Augmentation("crop-flip")))
    with pytest.raises(InputError, match="`augmentation`: it moves pictures, and those of task actions are of tiles"):
        ACTIONS.loss(torch.zeros(8, 7), targets)


# Commands


@pytest.mark.usefixtures("few_references", "short_recipes")
def test_a_search_a_training_and_a_test(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("small.toml").write_text(SMALL_96)
    sizes = ["--trials", "4", "--startup", "2", "--supernet-epochs", "1", "--batch-size", "16", "--finalists", "0"]
    space = ["--space", "small.toml", "--max-macs", "4M", "--objectives", "wf_map,macs"]
    search.main(["actions", *space, "--out", "run", *sizes, "--quiet"])
    best = json.loads(Path("run/best.json").read_text())
    assert best["task"] == "crowded-actions"
    retrain.main(["run", "--epochs", "1"])
    assert "test wf-mAP" in capsys.readouterr().out
    (found, *_) = json.loads(Path("run/retrain/results.json").read_text())
    assert set(found["test"]) == {"accuracy", "f_map", "loss", "wf_map"}
    section = Path("run/report.html").read_text().split('<section id="sees">')[1].split("</section>")[0]
    assert "<img " in section
    assert FILMED_AS[:40] in section
    assert all(f'<td class="words">{name}</td>' in section for name in WITH_A_PAIR.actions)
    evaluate.main(["run/retrain/found-0"])
    said = capsys.readouterr().out
    assert "scene of another clip" in said
    told = json.loads(Path("run/retrain/found-0/evaluation/weights-test/evaluation.json").read_text())
    assert told["wf_map"] == pytest.approx(found["test"]["wf_map"])
    assert set(told["contrasts"]) == {"scene of another clip", "no scene", "scene and action reversed"}
    assert set(told["classes"][0]) == {"number", "name", "people", "ap", "weighed by crowding"}
