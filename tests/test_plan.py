"""--dry-run of search.py and retrain.py: what would be done and what it takes; nothing is written."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from commands import retrain, search
from evaluators.base import Metrics
from evaluators.forecast import Search, forecast
from evaluators.halving import Halving, entrants_by_rung
from evaluators.supernet.evaluator import SupernetEvaluator
from evaluators.supernet.settings import Scoring, SupernetRecipe
from foundation.amounts import human
from foundation.errors import InputError
from foundation.files import write_json
from foundation.metric import ACCURACY, Measured
from foundation.progress import Reporter, duration
from reports.terminal.plan import cost_table, show_retraining
from search_space.architecture import Architecture
from search_space.cost.cost import Budget
from search_space.cost.priced_space import PricedSpace
from studies.halving import halve
from tasks.classification.room import CLASSIFICATION
from training.data.datasets import load_data
from training.methods.label_step import LabelStep
from training.procedure import Procedure
from training.recipe import Recipe

QUIET = Reporter(quiet=True)


@pytest.mark.parametrize(
    "flags",
    [
        ["--evaluator", "tabular", "--data", "digits"],
        ["--evaluator", "zero-cost", "--score", "naswot", "--workers", "2"],
        ["--evaluator", "zero-cost", "--score", "consensus"],
        ["--evaluator", "proxy", "--proxy-pictures", "0.5", "--trials", "10"],
        ["--supernet-epochs", "2", "--batch-size", "8"],
        ["--supernet-epochs", "1", "--batch-size", "8", "--anchors", "10"],
        ["--evaluator", "tabular", "--data", "digits", "--max-latency-ms", "5"],
    ],
    ids=" ".join,
)
def test_every_evaluator_is_planned(
    picture_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    flags: list[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    search.main(["--dry-run", "--data", f"folder:{picture_folder}", "--max-macs", "1M", *flags])
    printed = capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []
    assert ("space mobilenetv2-32: 54,412" if "tabular" in flags else "space mobile-32: 16,157") in printed
    assert "within 1.00M MACs: " in printed
    assert "smallest" in printed
    assert "time:    about " in printed
    corrects = "--supernet-epochs" in flags  # by default a supernet is
    assert (", prior " in printed) == corrects
    assert ("scores corrected by 2 scores of the untrained network (progressivity, naswot)" in printed) == corrects
    assert ("training steps in all, which is few to rank networks by: --supernet-epochs" in printed) == corrects
    assert "memory:  about " in printed
    assert "dry run: nothing was written; without --dry-run the results go to runs/digits" in printed


def _cells(space: PricedSpace, budget: Budget) -> dict[str, list[str]]:
    """The table's rows by their names."""
    columns = [list(column.cells) for column in cost_table(space.within(budget), 0).columns]
    return {str(name): [str(value) for value in values] for name, *values in zip(*columns, strict=True)}


def test_the_costs_are_those_of_the_space(tiny_space: PricedSpace) -> None:
    everything = [tiny_space.cost(one) for one in tiny_space.space.enumerate()]
    rows = _cells(tiny_space, Budget())
    assert rows["smallest"] == [human(min(cost.macs for cost in everything)), human(min(c.params for c in everything))]
    assert rows["largest"][0] == human(max(cost.macs for cost in everything))


def test_a_budget_cuts_the_largest(tiny_space: PricedSpace) -> None:
    bound = tiny_space.cost(tiny_space.largest).macs // 2
    rows = _cells(tiny_space, Budget(max_macs=bound))
    assert "largest" not in rows
    assert "largest of 500 drawn" in rows


class _Staged:
    """Counts who takes which rung."""

    metric = ACCURACY

    def __init__(self, halving: Halving):
        self.halving = halving
        self.taken = [0] * len(halving.epochs)

    def rung(self, architecture: Architecture, rung: int) -> Measured:
        self.taken[rung] += 1
        return Metrics(0.5, 0.5)

    def drop(self, architecture: Architecture) -> None: ...

    def __getattr__(self, name: str) -> Any:
        return lambda *args, **kwargs: None


@pytest.mark.parametrize(("generation", "bins", "eta"), [(27, 3, 3), (10, 3, 3), (4, 3, 2), (1, 3, 3), (13, 2, 4)])
def test_a_generation_shrinks_as_forecast(tiny_space: PricedSpace, generation: int, bins: int, eta: int) -> None:
    halving = Halving(generation=generation, epochs=(1, 3, 9), eta=eta, bins=bins)
    staged = _Staged(halving)
    entrants = [(one, tiny_space.cost(one)) for one in (tiny_space.table.at(i) for i in range(generation))]
    halve(entrants, staged, QUIET)  # type: ignore[arg-type]
    assert entrants_by_rung(halving) == staged.taken


def test_a_supernet_s_time_grows_with_its_epochs(
    tiny_space: PricedSpace, picture_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = load_data(f"folder:{picture_folder}", 24, torch.device("cpu"), QUIET)
    monkeypatch.setattr("evaluators.supernet.evaluator.step_seconds", lambda *args: 0.5)
    sought = Search(tiny_space, 0, trials=4, workers=1, rescored=2)

    def planned(**recipe: int) -> dict[str, float]:
        evaluator = SupernetEvaluator(
            tiny_space,
            data,
            SupernetRecipe(batch_size=8, **recipe),  # type: ignore[arg-type]
            Scoring(calibration=16, validation=16, batch_size=8),
            seed=0,
            folder=tmp_path,
            reporter=QUIET,
        )
        return evaluator.seconds(sought)

    steps = len(data.train) // 8
    assert planned(epochs=4)["supernet"] == pytest.approx(4 * steps * 0.5)
    assert planned(epochs=4, largest_epochs=3)["supernet"] == pytest.approx(4 * steps * 0.5)
    assert list(tmp_path.iterdir()) == []


def test_more_workers_take_less_time(tiny_space: PricedSpace) -> None:
    class Slow:
        def evaluate(self, architecture: Architecture, *, thorough: bool = False) -> Measured:
            return Metrics(0.5, 0.5)

    clock = iter(range(10_000))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("evaluators.forecast.time.monotonic", lambda: float(next(clock)))
        one = forecast(Slow(), Search(tiny_space, 0, 100, 1, 10))  # type: ignore[arg-type]
        four = forecast(Slow(), Search(tiny_space, 0, 100, 4, 10))  # type: ignore[arg-type]
    assert one.seconds["search"] == pytest.approx(4 * four.seconds["search"]) == pytest.approx(100)
    assert one.total == pytest.approx(110)
    assert one.memory > 50 << 20


def test_a_retraining_is_planned(
    tiny_space: PricedSpace, picture_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "small.json"
    write_json(source, tiny_space.smallest.to_dict())
    flags = [str(source), "--data", f"folder:{picture_folder}", "--out", str(tmp_path / "out"), "--batch-size", "16"]
    retrain.main([*flags, "--seeds", "2", "--compare", "--epochs", "7", "--dry-run"])
    printed = capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["small.json"]
    assert "networks to train" in printed
    assert all(f"  {name} " in printed for name in ("given", "uniform none"))
    trainings = 2 * sum(line.startswith(("  given ", "  uniform ")) for line in printed.splitlines())
    steps = len(load_data(f"folder:{picture_folder}", 24, torch.device("cpu"), QUIET).train) // 16
    assert f"({trainings} trainings, each of 7 epochs of {steps} steps)" in printed
    assert f"without --dry-run the results go to {tmp_path / 'out'}" in printed


def test_a_retraining_s_time_is_that_of_its_parts(
    tiny_space: PricedSpace, picture_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    reporter = Reporter(quiet=True)
    monkeypatch.setattr(reporter, "say", said.append)
    monkeypatch.setattr("reports.terminal.plan.epoch_seconds", lambda *args: (9.0, 1.0))
    data = load_data(f"folder:{picture_folder}", 24, torch.device("cpu"), QUIET)
    networks = {"one": tiny_space.smallest, "other": tiny_space.largest}
    procedure = Procedure(Recipe(epochs=6, batch_size=8), CLASSIFICATION)
    show_retraining(networks, {16: data, 24: data}, procedure, 3, reporter)
    assert said[0].startswith(f"time:    about {duration(2 * 3 * 6 * 10.0)} in one process (6 trainings, each of 6 ")
    show_retraining(networks, {16: data, 24: data}, procedure, 3, reporter, behind={"one": 9})
    assert said[2].startswith(f"time:    about {duration((36 - 9) * 10.0)} in one process (6 trainings, each of 6 ")
    assert "; 9 of all 36 epochs are done already)" in said[2]


def test_what_is_trained_already_is_counted_where_it_would_be_found(
    tiny_space: PricedSpace, picture_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = tmp_path / "small.json", tmp_path / "out"
    write_json(source, tiny_space.smallest.to_dict())
    flags = [str(source), "--data", f"folder:{picture_folder}", "--out", str(out), "--batch-size", "16"]
    flags += ["--epochs", "2"]
    retrain.main(flags)

    def done() -> int:
        capsys.readouterr()
        retrain.main([*flags, "--dry-run"])
        found = re.search(r"; (\d+) of all 2 epochs are done already\)", capsys.readouterr().out)
        return int(found[1]) if found else 0

    lines = (out / "given-0" / "metrics.jsonl").read_bytes()
    assert done() == 2
    (out / "given-0" / "metrics.jsonl").write_bytes(lines.splitlines(keepends=True)[0])
    assert done() == 1
    (out / "given-0" / "metrics.jsonl").write_bytes(b"\xff" + lines)
    assert done() == 0
    (out / "given-0" / "metrics.jsonl").write_bytes(lines.splitlines(keepends=True)[0])
    for path in (out / "given-0").glob("checkpoint*"):
        path.unlink()
    assert done() == 0


def test_what_does_not_fit_is_planned_in_parts_as_it_would_be_trained(
    tiny_space: PricedSpace, picture_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = LabelStep._parts

    def parts(self: LabelStep, images: torch.Tensor, labels: torch.Tensor, at_once: int) -> float:
        if at_once > 8:
            raise torch.OutOfMemoryError("no more")
        return whole(self, images, labels, at_once)

    monkeypatch.setattr(LabelStep, "_parts", parts)
    source = tmp_path / "small.json"
    write_json(source, tiny_space.smallest.to_dict())
    flags = [str(source), "--data", f"folder:{picture_folder}", "--batch-size", "16", "--dry-run"]
    with pytest.raises(InputError, match="`micro_batch` 8"):
        retrain.main(flags)
    retrain.main([*flags, "--micro-batch", "auto"])


def test_a_planned_retraining_is_refused_as_it_would_be(
    tiny_space: PricedSpace, picture_folder: Path, tmp_path: Path
) -> None:
    source = tmp_path / "small.json"
    write_json(source, tiny_space.smallest.to_dict())
    flags = [str(source), "--data", f"folder:{picture_folder}", "--out", str(tmp_path / "out"), "--batch-size", "16"]
    retrain.main([*flags, "--epochs", "1"])
    retrain.main([*flags, "--epochs", "1", "--dry-run"])
    for also in ([], ["--dry-run"]):
        with pytest.raises(InputError, match="holds another run: `epochs` is 1 there and 2 here"):
            retrain.main([*flags, "--epochs", "2", *also])
