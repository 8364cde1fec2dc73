"""`track.py`: from the frames of a video to tracks, joints, measures and a strip of frames."""

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from commands import ending, track
from deployment.answers import Seen
from deployment.model_source import Model, read_model
from deployment.tracking import answered
from deployment.tracking.answered import Answered, asked
from deployment.tracking.detections import by_detector, disturbed
from deployment.tracking.footage import find_footage, truth_of
from foundation.errors import InputError
from foundation.progress import Reporter
from search_space import Architecture, Attention, Stage, build
from tasks.choice import task
from tasks.pose.data import MEAN, STD
from tasks.pose.head import HeatmapHead
from training.data.people import clips
from training.data.people.clips import clip
from training.data.people.hieve import write_video
from training.data.people.joints import JOINTS
from training.data.people.made_worse import FALSE, JITTER, MISSED
from training.data.people.mot_text import read_tracks, write_tracks
from training.model_file import ModelInfo, save_model
from training.task import Answers


class Killed(BaseException):
    """What ends a command as a kill does: nothing catches it."""


STAGES = (Stage("inverted_residual", 12, 2, 2, 3, (Attention("ca", 4),)),)
ARCHITECTURE = Architecture(48, 8, 2, STAGES, None, "relu6")
HEAD = HeatmapHead(len(JOINTS), width=16)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An untrained network: where it says that joints are is somewhere in the crop."""
    path = tmp_path_factory.mktemp("pose") / "weights.safetensors"
    torch.manual_seed(0)
    network = build(ARCHITECTURE, HEAD)
    info = ModelInfo(ARCHITECTURE, JOINTS, MEAN, STD, "scenes:people", "pose", {}, HEAD)
    save_model(path, network.state_dict(), info)
    return str(path)


def _refused(arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    monkeypatch.setattr("sys.argv", ["track.py", *arguments])
    with pytest.raises(SystemExit) as ended:
        ending.run(track.main, continues=False)
    assert ended.value.code == 2
    printed = capsys.readouterr().err.strip()
    assert "\n" not in printed
    return printed


@contextmanager
def _killed_at_its_end(path: Path) -> Iterator[Answered]:
    with suppress(Killed), Answered(path) as kept:
        yield kept
        raise Killed


def test_a_made_clip_is_followed_and_measured(weights: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    track.main([weights, "scenes:people:2", "--out", str(out)])
    printed = capsys.readouterr().out
    assert "10 % missed, 5 % false, moved by up to 3 pixels" in printed
    assert "MOTA" in printed
    assert "OKS-AP" in printed
    kept = json.loads((out / "tracking.json").read_text())
    assert set(kept) == {"mota", "idf1", "hota", "boxes", "misses", "false_alarms", "switches", "oks_ap"}
    people = clip("test", 2).frames
    assert kept["boxes"] == sum(map(len, people))
    assert kept["idf1"] > 0.5
    tracks = read_tracks(out / "tracks.txt")
    said = json.loads((out / "joints.json").read_text())
    assert said["joints"] == list(JOINTS)
    for number, tracked in tracks.items():
        assert [one["id"] for one in said["frames"][str(number)]] == tracked.identities.tolist()
    with Image.open(out / "strip.png") as strip:
        assert strip.width > 5 * 300


def test_the_same_again_writes_the_same(weights: str, tmp_path: Path) -> None:
    for name in ("a", "b"):
        track.main([weights, "scenes:people:1", "--by", "appearance", "--out", str(tmp_path / name), "--quiet"])
    for file in ("tracks.txt", "joints.json", "tracking.json", "strip.png"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_a_killed_command_goes_on_and_writes_the_same(
    weights: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [weights, "scenes:people:1", "--out"]
    track.main([*command, str(tmp_path / "whole")])
    assert not (tmp_path / "whole" / track.ANSWERED).exists()
    counted: list[int] = []

    def answers(model: Model, images: torch.Tensor, *, most: int) -> Answers:
        if len(counted) == most:
            raise Killed
        counted.append(len(images))
        return asked(model, images)

    killed = tmp_path / "killed"
    with monkeypatch.context() as patch:
        patch.setattr(answered, "asked", partial(answers, most=9))
        with pytest.raises(Killed):
            track.main([*command, str(killed)])
    said = (killed / track.ANSWERED).read_bytes()
    assert said.count(b"\n") == 9
    (killed / track.ANSWERED).write_bytes(said[:-7])  # cut off within the last
    (killed / ".strip.png.abc.tmp").touch()  # as a kill leaves it
    capsys.readouterr()
    before, counted[:] = len(counted), []
    with monkeypatch.context() as patch:
        patch.setattr(answered, "asked", partial(answers, most=1000))
        track.main([*command, str(killed)])
    assert f"{killed / track.ANSWERED}: goes on after {before - 1} answers of networks" in capsys.readouterr().out
    assert not [path.name for path in killed.iterdir() if path.name.startswith(".")]
    assert len(counted) == sum(1 for people in read_tracks(killed / "tracks.txt").values() if len(people.boxes)) - 8
    for file in ("tracks.txt", "joints.json", "tracking.json", "strip.png"):
        assert (tmp_path / "whole" / file).read_bytes() == (killed / file).read_bytes()
    assert not (killed / track.ANSWERED).exists()


def test_killed_while_it_writes_it_asks_no_network_again(
    weights: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = [weights, "scenes:people:1", "--out", str(tmp_path)]

    def killing(*arguments: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(track, "draw_strip", killing)
        with pytest.raises(Killed):
            track.main(command)
    monkeypatch.setattr(answered, "asked", killing)
    track.main(command)
    assert (tmp_path / "strip.png").is_file()


def test_answers_of_other_networks_and_pictures_are_not_taken(weights: str, tmp_path: Path) -> None:
    model = read_model(Path(weights), torch.device("cpu"))
    other = tmp_path / "other.safetensors"
    torch.manual_seed(1)
    save_model(other, build(ARCHITECTURE, HEAD).state_dict(), model.info)
    pictures = torch.rand(2, 3, 48, 48)
    path = tmp_path / "answered.jsonl"
    with _killed_at_its_end(path) as first:
        one = first.of(model, pictures)
    with _killed_at_its_end(path) as second:
        assert second.before == 1
        assert torch.equal(second.of(model, pictures), one)
        assert path.read_bytes().count(b"\n") == 1
        assert not torch.equal(second.of(read_model(other, torch.device("cpu")), pictures), one)
        second.of(model, pictures.flip(0))
    assert path.read_bytes().count(b"\n") == 3
    lines = path.read_text().splitlines(keepends=True)
    for hostile in (
        "{}\n",
        '{"key": 1, "answers": {"": {"type": "object", "shape": [], "values": []}}}\n',
        "[[[\n",
        "\xff\n",
    ):
        path.write_text(lines[0] + hostile + lines[1], encoding="latin-1")
        assert Answered(path).before == 1


def test_a_detector_s_answers_are_kept_as_well(tmp_path: Path) -> None:
    answers = {"boxes": torch.rand(1, 3, 4), "labels": torch.tensor([[0, 1, -1]]).int(), "scores": torch.rand(1, 3)}
    calls: list[int] = []
    path = tmp_path / "network"
    path.write_bytes(b"its weights")

    def see(images: torch.Tensor) -> Seen:
        calls.append(len(images))
        return Seen(answers)

    info = ModelInfo(ARCHITECTURE, ("person",), MEAN, STD, "scenes:people", "detection", {}, HEAD)
    model = Model(path, info, see)
    file = tmp_path / "answered.jsonl"
    for _ in range(2):
        with _killed_at_its_end(file) as kept:
            found = kept.of(model, torch.zeros(1, 3, 8, 8))
        for name, each in answers.items():
            assert torch.equal(found[name], each)
            assert found[name].dtype == each.dtype
    assert calls == [1]
    assert [each.dtype for each in found.values()] == [torch.float32, torch.int32, torch.float32]
    answers["flags"] = torch.tensor([True])  # no type that the file has: asked for each time
    file.unlink()
    with _killed_at_its_end(file) as kept:
        assert kept.of(model, torch.zeros(1, 3, 8, 8))["flags"]
        kept.of(model, torch.zeros(1, 3, 8, 8))
    assert calls == [1, 1, 1]
    assert file.read_bytes() == b""


def test_frames_in_files_with_boxes_in_a_file(weights: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With the true boxes all is found; a folder of frames without a truth is followed and not measured."""
    one = clip("test", 0, frames=range(8))
    write_video(tmp_path / "video", one)
    write_tracks(tmp_path / "boxes.txt", truth_of(tuple(one.frames)))
    boxes = ["--boxes", str(tmp_path / "boxes.txt")]
    track.main([weights, str(tmp_path / "video"), *boxes, "--out", str(tmp_path / "known"), "--quiet"])
    assert capsys.readouterr().out == ""
    assert json.loads((tmp_path / "known/tracking.json").read_text())["false_alarms"] == 0
    for file in (tmp_path / "video").glob("*.xml"):
        file.unlink()
    capsys.readouterr()
    track.main([weights, str(tmp_path / "video"), *boxes, "--out", str(tmp_path / "unknown")])
    assert "MOTA" not in capsys.readouterr().out
    assert not (tmp_path / "unknown/tracking.json").exists()
    truth = ["--truth", str(tmp_path / "boxes.txt")]
    track.main([weights, str(tmp_path / "video"), *boxes, *truth, "--out", str(tmp_path / "told")])
    assert "MOTA" in capsys.readouterr().out


def test_frames_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for number in (1, 2, 9, 10, 11):
        Image.new("L", (4, 4), number).save(tmp_path / f"frame{number}.png")
        Image.new("L", (4, 4), 100 + number).save(tmp_path / f"zero-{number:03}.png")
    footage = find_footage(str(tmp_path), Reporter(quiet=True))
    seen = [int(footage.picture(place)[0, 0, 0]) for place in range(footage.length)]
    assert seen == [1, 2, 9, 10, 11, 101, 102, 109, 110, 111]


def test_frames_of_another_size_than_annotated_are_not_followed(tmp_path: Path) -> None:
    write_video(tmp_path, clip("test", 0, frames=[0]))
    Image.new("RGB", (40, 30)).save(tmp_path / "0.png")
    with pytest.raises(InputError, match=r"has 40×30 pixels, but .* says 160×120"):
        find_footage(str(tmp_path), Reporter(quiet=True)).picture(0)


def test_measures_of_an_earlier_run_do_not_stay(
    weights: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A refused command removes nothing, though what it is refused for is seen late."""
    one = clip("test", 0, frames=range(2))
    write_video(tmp_path / "video", one)
    write_tracks(tmp_path / "boxes.txt", truth_of(tuple(one.frames)))
    command = [weights, str(tmp_path / "video"), "--boxes", str(tmp_path / "boxes.txt"), "--out", str(tmp_path / "out")]
    (tmp_path / "out").mkdir()
    measures = tmp_path / "out" / track.MEASURES
    measures.write_text("{}")
    for file in (tmp_path / "video").glob("*.xml"):
        file.unlink()
    picture = (tmp_path / "video/1.png").read_bytes()
    (tmp_path / "video/1.png").write_bytes(b"broken")
    with pytest.raises(InputError, match="cannot be decoded"):
        track.main(command)
    assert measures.exists()
    (tmp_path / "video/1.png").write_bytes(picture)
    track.main(command)
    assert f"{measures}: of an earlier run, is removed: no truth is known here" in capsys.readouterr().out
    assert not measures.exists()


def test_a_truth_is_made_worse_as_said() -> None:
    found = matched = boxes = 0
    for number in range(6):
        one = clip("test", number, frames=range(0, 24, 3))
        detect = disturbed(one.name, tuple(one.frames), (120, 160))
        for place, people in enumerate(one.frames):
            seen = detect(place).boxes
            near = np.abs(seen[:, None] - people.boxes[None]).max(-1) <= JITTER + 3
            boxes, found, matched = boxes + len(people), found + len(seen), matched + int(near.any(1).sum())
    assert matched / boxes == pytest.approx(1 - MISSED, abs=0.06)
    assert (found - matched) / boxes == pytest.approx(FALSE, abs=0.04)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["scenes:people:60"], "expected scenes:people:N with N from 0 to 59"),
        (["none"], "none: no such folder"),
        (["late.txt"], "late.txt: is a file; cut a video's frames into a folder, by ffmpeg for example, and give that"),
        (["two"], "two: frames lie in two/a and in two/b; give the folder of one video"),
        (["frames"], "frames: nothing says where people are; give --detector or --boxes"),
        (["scenes:people", "--boxes", "late.txt"], "late.txt: frame 99, but there are 24"),
        (["scenes:people", "--boxes", "x", "--detector", "y"], "both say where people are"),
        (["scenes:people", "--detector", "WEIGHTS"], "and people are found by one of task detection"),
        (["scenes:people", "--truth", "none.txt"], "none.txt: no such file"),
    ],
)
def test_what_cannot_be_followed_is_refused(
    weights: str,
    tmp_path: Path,
    arguments: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("frames").mkdir()
    Image.new("RGB", (40, 30)).save("frames/1.png")
    for name in ("two/a", "two/b"):
        Path(name).mkdir(parents=True)
        Image.new("RGB", (40, 30)).save(f"{name}/1.png")
    Path("late.txt").write_text("99,1,5,5,5,5,1\n")
    given = [weights if word == "WEIGHTS" else word for word in arguments]
    assert message in _refused([weights, *given], monkeypatch, capsys)
    assert not Path("tracking").exists()


def test_frames_and_boxes_for_a_detector(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clips, "COUNTS", {"train": 1, "validation": 1, "test": 1})
    data = task("detection").data("scenes:people", 48, torch.device("cpu"))
    assert data.classes == ("person",)
    images, targets = next(data.test.batches(4))
    assert images.shape == (4, 3, 48, 48)
    people = clip("test", 0, frames=[0]).frames[0]
    scale = torch.tensor([48 / 160, 48 / 120] * 2)
    assert not isinstance(targets, torch.Tensor)
    assert torch.allclose(targets[0]["boxes"].as_subclass(torch.Tensor), torch.from_numpy(people.boxes) * scale)


def test_a_detectors_boxes_are_those_of_people_in_the_frame() -> None:
    """Scaled to the frame, of class `person`, from a score on."""
    boxes = torch.tensor([[[12.0, 12, 24, 36], [0, 0, 12, 12], [0, 0, 24, 24], [0, 0, 0, 0]]])
    answers = {"boxes": boxes, "labels": torch.tensor([[1, 1, 0, -1]]), "scores": torch.tensor([[0.9, 0.2, 0.9, 0.0]])}
    info = ModelInfo(ARCHITECTURE, ("dog", "person"), (0.5,) * 3, (0.5,) * 3, "scenes:people", "detection", {}, HEAD)
    model = Model(Path("weights.safetensors"), info, lambda images: Seen(answers))
    found = by_detector(model, find_footage("scenes:people", Reporter(quiet=True)), 0.3)(0)
    assert found.boxes.tolist() == [[40, 30, 80, 90]]
    assert found.identities.tolist() == [-1]
