"""A user's own task after the training: what its networks' outputs mean is the task's to say."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import onnxruntime
import pytest
import torch
from PIL import Image
from torch import Tensor

import coordnas
from commands import evaluate, predict
from deployment.export import check_exported, export
from deployment.model_source import read_model
from foundation.errors import InputError
from foundation.metric import Measured, Metric
from foundation.progress import Reporter
from search_space import build
from search_space.head import ClassifierHead
from tasks.choice import TASKS
from tests.bright_squares import Centre
from tests.test_deployed_tasks import ARCHITECTURE, CPU, ended
from training.model_file import ModelInfo, load_model, save_model
from training.task import Answering, Answers, Entry, Examination

QUIET = Reporter(quiet=True)


def _centre(folder: Path, task: str) -> Path:
    info = ModelInfo(ARCHITECTURE, (), (0.15,), (0.2,), "squares", task, {}, ClassifierHead(2))
    folder.mkdir()
    save_model(folder / "weights.safetensors", build(ARCHITECTURE, 2).state_dict(), info)
    return folder / "weights.safetensors"


def test_a_task_need_not_say_what_outputs_mean(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not isinstance(Centre(), Answering)
    path = _centre(tmp_path / "centre", "centre")
    Image.new("RGB", (50, 50)).save(tmp_path / "a.png")
    message = "task centre does not say what its networks' outputs mean"
    for command, more in ((evaluate, []), (predict, [str(tmp_path / "a.png")])):
        assert ended(command, [str(path), *more], monkeypatch) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert f"{path}: {message}; give it what training.task.Answering has" in line
    with pytest.raises(InputError, match=f"`export` onnx: {message}; leave it out"):
        check_exported(Centre(), ("onnx",))
    trained = coordnas.load_network(path)
    with pytest.raises(InputError, match=message):
        trained.predict(tmp_path / "a.png")
    assert trained.network(trained.prepare(tmp_path / "a.png")[None]).shape == (1, 2)


def test_a_task_that_is_not_known(tmp_path: Path) -> None:
    path = _centre(tmp_path / "unknown", "unknown")
    with pytest.raises(InputError, match=r"of task 'unknown', which is not known; known: .*, or give its file as"):
        read_model(path, CPU)


class Pointing(Centre):
    """Says where the square is, in pixels, and how far from the middle: two tensors by name."""

    name = "pointing"
    answer = ("points", "shares")
    metric = Metric("error", "px", decimals=2, higher_is_better=False, beside=("loss",))

    def answers(self, outputs: Any, size: tuple[int, int]) -> Answers:
        height, width = size
        scale = torch.stack((outputs.new_ones(()) * width, outputs.new_ones(()) * height))
        return {"points": outputs * scale, "shares": (outputs - 0.5).norm(dim=1)}

    def fit(self, answers: Answers, shape: Sequence[int], classes: int) -> bool:
        return answers["points"].shape == (shape[0], 2) and answers["shares"].shape == (shape[0],)

    def judge(self, answers: Answers, targets: Any, classes: int, outputs: Any = None) -> Any:
        assert outputs is None or answers["points"].dtype == torch.float64
        right = torch.stack([target["boxes"].as_subclass(Tensor).view(2, 2).mean(0) for target in targets])
        return (answers["points"] - right).norm(dim=1)

    def examination(self, judged: Sequence[Any], *, shared: bool = False) -> Examination:
        off = torch.cat(list(judged))
        value = float(off.mean())
        entries = (Entry("error", "error", value, self.metric.written(value)),)
        return Examination(Measured(self.metric, value, {"loss": 0.0}), len(off), entries=entries)

    def difference(self, outputs: Any, answers: Answers, size: tuple[int, int]) -> float:
        own = self.answers(outputs, size)
        return max(float((own[name] - answers[name]).abs().max()) / max(size) for name in own)

    def told(self, answers: Answers, classes: Sequence[str], top: int) -> list[list[tuple[str, float]]]:
        rows = zip(answers["points"].tolist(), answers["shares"].tolist(), strict=True)
        return [[(f"at {x:.0f}, {y:.0f}", share)] for (x, y), share in rows]


class Listing(Pointing):
    """The same as a dictionary for each picture."""

    name = "listing"

    def answers(self, outputs: Any, size: tuple[int, int]) -> Answers:
        found = super().answers(outputs, size)
        return [{name: values[number] for name, values in found.items()} for number in range(len(outputs))]

    def fit(self, answers: Answers, shape: Sequence[int], classes: int) -> bool:
        return len(answers) == shape[0]

    def judge(self, answers: Answers, targets: Any, classes: int, outputs: Any = None) -> Any:
        points = torch.stack([one["points"] for one in answers])
        return super().judge({"points": points}, targets, classes, outputs)

    def told(self, answers: Answers, classes: Sequence[str], top: int) -> list[list[tuple[str, float]]]:
        return [super(Listing, self).told({name: one[name][None] for name in one}, classes, top)[0] for one in answers]


@pytest.fixture
def own_tasks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("tests.bright_squares.SIZES", {"train": 8, "validation": 8, "test": 8})
    for task in (Pointing, Listing):
        TASKS[task.name] = task
    yield
    for task in (Pointing, Listing):
        del TASKS[task.name]


@pytest.mark.usefixtures("own_tasks")
@pytest.mark.parametrize("name", ["pointing", "listing"])
def test_answers_may_be_several_tensors(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _centre(tmp_path / name, name)
    Image.new("RGB", (50, 50)).save(tmp_path / "a.png")
    assert ended(evaluate, [str(path)], monkeypatch) == 0
    assert " px " in capsys.readouterr().out
    found = json.loads((path.parent / "evaluation/weights-test/evaluation.json").read_text())
    assert found.keys() == {"data", "split", "pictures", "error"}
    assert not (path.parent / "evaluation/weights-test/confusion.png").exists()
    assert ended(predict, [str(path), str(tmp_path / "a.png")], monkeypatch) == 0
    assert " %  at " in capsys.readouterr().out
    if name == "listing":
        return
    network, info = load_model(path)
    export(network, info, ("onnx", "torchscript"), path.parent, QUIET)
    images = torch.randn(3, 3, 40, 64)
    session = onnxruntime.InferenceSession(path.parent / "model.onnx")
    with torch.no_grad():
        expected = Pointing().answers(network(images), (40, 64))
    assert [one.name for one in session.get_outputs()] == ["points", "shares"]
    for own, values in zip(session.run(None, {"images": images.numpy()}), expected.values(), strict=True):
        torch.testing.assert_close(torch.from_numpy(own), values, rtol=1e-4, atol=1e-4)
    again = read_model(path.parent / "model.onnx", CPU).see(images).answers
    assert again.keys() == expected.keys()
