"""What stands beside a bar: numbers as tables write them, the validation's among them, and none of it cut."""

import io
import json
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.cells import cell_len
from rich.console import Console

from evaluators.base import Metrics, adopted
from foundation.metric import ACCURACY, Metric
from foundation.progress import Reporter
from search_space.cost.priced_space import PricedSpace
from studies.loop import search
from studies.samplers import Goal, make_sampler
from studies.storage.optuna_study import OptunaStudy
from tasks.classification.room import CLASSIFICATION
from training.data.datasets import load_data
from training.procedure import Procedure
from training.recipe import Recipe
from training.standalone import train_standalone

NOTE = "validation accuracy 93.20 %, loss 0.123, 12,345 images/s"


class Noted(Reporter):
    """Keeps what stands beside bars."""

    def __init__(self) -> None:
        super().__init__(quiet=True)
        self.notes: list[str] = []

    @contextmanager
    def track(self, what: str, total: int, unit: str, done: int = 0) -> Any:
        yield self.notes.append


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_bar_is_read_whole(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    sent = io.StringIO()
    reporter = Reporter()
    reporter.console = Console(
        file=sent, width=width, force_terminal=True, no_color=True, soft_wrap=True, highlight=False
    )
    with reporter.track("[uniform] ca/16, seed 0", 2, "steps") as advance:
        advance("")
        advance(NOTE)
    last = sent.getvalue().rpartition("\x1b[?25l")[2].rpartition("\x1b[2K")[2]
    lines = [line for line in last.splitlines() if line.strip()]
    assert all(cell_len(line) <= width for line in lines)
    assert "…" not in last
    words = " ".join(lines).split()
    assert [word for word in words if word in NOTE.split()] == NOTE.split()
    assert {"[uniform]", "ca/16,", "seed", "0", "2/2", "steps"} <= set(words)


@pytest.mark.parametrize(
    ("metric", "told"),
    [
        (ACCURACY, "accuracy 93.20 %"),
        (Metric("error", "px", decimals=1, higher_is_better=False), "error 0.9 px"),
        (Metric("return", decimals=3), "return 0.932"),
    ],
)
def test_a_metric_is_told_as_it_is_written(metric: Metric, told: str) -> None:
    assert metric.told(0.932) == told == f"{metric.name} {metric.written(0.932)}"


def test_a_trainings_bar_has_the_validation(picture_folder: Path, tmp_path: Path, tiny_space: PricedSpace) -> None:
    reporter = Noted()
    data = load_data(f"folder:{picture_folder}", 16, torch.device("cpu"))
    recipe = Recipe(epochs=2, batch_size=16, learning_rate=0.1)
    folder = tmp_path / "found"
    train_standalone(
        tiny_space.smallest,
        data,
        Procedure(recipe, CLASSIFICATION),
        seed=0,
        folder=folder,
        reporter=reporter,
        what="found",
    )
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    validated = [ACCURACY.told(json.loads(line)["validation_accuracy"]) for line in lines]
    steps = len(reporter.notes) // 2
    assert len(reporter.notes) == 2 * steps
    assert all(note.startswith("loss ") for note in reporter.notes[: steps - 1])
    for note in reporter.notes[steps - 1 : -1]:
        assert note.startswith(f"validation {validated[0]}, loss ")
    assert reporter.notes[-1].startswith(f"validation {validated[1]}, loss ")


def test_a_searchs_bar_has_the_best_as_the_table_writes_it(tiny_space: PricedSpace, tmp_path: Path) -> None:
    class Params:
        metric = ACCURACY
        reporter = Reporter(quiet=True)

        def evaluate(self, architecture: Any, *, thorough: bool = False) -> Metrics:
            return Metrics(tiny_space.cost(architecture).params / 1e6, 0.5)

    sampler = make_sampler("random", Goal(tiny_space, seed=0, startup=1))
    reporter = Noted()
    study = OptunaStudy(sampler, f"sqlite:///{tmp_path}/study.db")
    found = search(study, adopted(Params()), trials=3, reporter=reporter)
    best = max(candidate.score for candidate in found)
    assert reporter.notes[-1] == f"best accuracy {ACCURACY.written(best)}"
