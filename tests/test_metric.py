"""A metric of which less is better goes the whole way: evaluator, samplers, study, front, files, report, tables."""

import json
import shutil
import statistics
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import pytest

import coordnas
from evaluators.base import Metrics, Score, adopted
from evaluators.choice import EVALUATORS
from evaluators.prior import Prior
from evaluators.titles import title_of
from foundation.errors import InputError
from foundation.metric import ACCURACY, Measured, Metric, checked, described, metric, read_measured, read_metric
from foundation.progress import Reporter
from reports.dashboard import study_note, trial_note
from reports.record import read_record
from reports.terminal.comparison import ComparedNetwork, comparison, comparison_table, lead
from search_space import Architecture, Budget
from search_space.cost.priced_space import PricedSpace
from studies.front import pareto_front
from studies.loop import search
from studies.nni.tuners import PREFIX
from studies.runs.source import read_source
from studies.samplers import Goal, Sampler, make_sampler, sampler_class
from studies.samplers.base import SAMPLERS
from studies.storage.optuna_study import OptunaStudy
from studies.trials import Candidate
from tests.forked import Forked

Run = Callable[..., subprocess.CompletedProcess[str]]
QUIET = Reporter(quiet=True)
ERROR = Metric("error", "px", decimals=2, higher_is_better=False, beside=("worst",))

PLUGIN = """
import os
import signal

from evaluators.base import Measured, Metric
from evaluators.choice import EVALUATORS

EVALUATED = 0


@EVALUATORS.register("corners")
class Corners:
    metric = Metric("error", "px", decimals=2, higher_is_better=False, beside=("worst",))

    def __init__(self, setup):
        self.setup = setup

    def identity(self):
        return {"name": "corners"}

    def about(self):
        return "corners: how far they are off"

    def prepare(self):
        pass

    def evaluate(self, architecture, *, thorough=False):
        global EVALUATED
        if EVALUATED == int(os.environ.get("KILL_AT", -1)):
            os.kill(os.getpid(), signal.SIGKILL)
        EVALUATED += 1
        off = 4 - self.setup.priced.cost(architecture).macs / 1e6 + int(architecture.digest()[:4], 16) / 2**16
        return Measured(self.metric, off, {"worst": 2 * off})
"""


@pytest.fixture
def here(launched: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """In this process, which then knows nothing of a plugin that it had before."""

    def run(folder: Path, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        with monkeypatch.context() as patch:
            patch.setattr("foundation.plugins._LOADED", {})
            patch.setattr(EVALUATORS, "_things", dict(EVALUATORS._things))
            return launched(folder, script, *arguments)

    return run


SEARCH = ("--plugin", "corners.py", "--evaluator", "corners", "--max-macs", "2M", "--trials", "24", "--startup", "12")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, forked: Forked) -> tuple[Path, str]:
    """A run that was never killed, and what it printed."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "corners.py").write_text(PLUGIN)
    result = forked(folder, "search.py", *SEARCH, "--objectives", "error,macs", "--out", "run")
    assert result.returncode == 0, result.stderr
    return folder, result.stdout


def test_the_lowest_is_the_best(finished: tuple[Path, str]) -> None:
    folder, printed = finished
    front, best = (json.loads((folder / "run" / name).read_text()) for name in ("front.json", "best.json"))
    study = optuna.load_study(study_name="run", storage=f"sqlite:///{folder}/run/study.db")
    errors = [trial.values[0] for trial in study.get_trials()]
    assert best["metrics"] == {"error": min(errors), "worst": 2 * min(errors)}
    assert best["metric"] == front["metric"] == json.loads(json.dumps(described(ERROR)["metric"]))
    along = [entry["metrics"]["error"] for entry in front["front"]]
    assert along == sorted(along, reverse=True)  # the cheapest first
    assert len(along) > 1
    assert [direction.name for direction in study.directions] == ["MINIMIZE", "MINIMIZE"]
    assert study.metric_names == ["error", "MACs"]
    assert {trial.number for trial in study.best_trials} >= {errors.index(min(errors))}
    assert "error (lower is better)" in printed
    assert f"{min(errors):.2f} px" in printed
    assert "ranked by error, lower is better" in printed
    assert "accuracy" not in printed


def test_a_search_for_less_finds_less(finished: tuple[Path, str]) -> None:
    study = optuna.load_study(study_name="run", storage=f"sqlite:///{finished[0]}/run/study.db")
    errors = [trial.values[0] for trial in study.get_trials()]
    assert min(errors[12:]) < min(errors[:12])


def test_the_report_reads_the_metric_without_its_plugin(finished: tuple[Path, str]) -> None:
    record = read_record(finished[0] / "run")
    assert record.metric == ERROR
    assert record.best is not None
    assert record.best.score == min(one.candidate.score for one in record.evaluated)
    html = (finished[0] / "run" / "report.html").read_text()
    best = f"{record.best.score:.2f} px"
    assert "error (lower is better) in the search" in html
    assert best in html
    assert "worst" in html
    notes = study_note(record) + trial_note(record, record.best)
    assert "**error**: in px, lower is better" in notes
    assert f"{best} error" in notes
    for told in (html, notes):
        assert "accuracy" not in told.replace("test accuracy, trained", "")


def test_the_run_is_read_from_elsewhere(finished: tuple[Path, str], tmp_path: Path) -> None:
    run = coordnas.load_run(finished[0] / "run")
    assert run.metric == ERROR
    lowest = min(run.front, key=lambda found: found.metrics["error"])
    assert lowest.architecture == run.best == read_source(str(finished[0] / "run"), None).architecture
    shutil.copy(finished[0] / "run" / "front.json", tmp_path / "alone.json")
    assert coordnas.load_architecture(tmp_path / "alone.json") == run.best


@pytest.mark.parametrize("kill_at", ["5", "17"])
def test_a_killed_search_ends_with_the_same_bytes(
    finished: tuple[Path, str], here: Run, forked: Forked, tmp_path: Path, kill_at: str
) -> None:
    (tmp_path / "corners.py").write_text(PLUGIN)
    command = (*SEARCH, "--objectives", "error,macs", "--out", "run")
    killed = forked(tmp_path, "search.py", *command, environment={"KILL_AT": kill_at})
    assert killed.returncode == -9, killed.stderr
    assert here(tmp_path, "search.py", *command).returncode == 0
    for name in ("front.json", "best.json", "config.json"):
        there, here = (json.loads((folder / "run" / name).read_text()) for folder in (finished[0], tmp_path))
        for content in (there, here):
            content.get("free", {}).pop("command", None)  # holds where the plugin lies
        assert there == here
    for name in ("front.json", "best.json"):
        assert (finished[0] / "run" / name).read_bytes() == (tmp_path / "run" / name).read_bytes()


def test_another_metric_is_another_run(finished: tuple[Path, str], here: Run, tmp_path: Path) -> None:
    shutil.copytree(finished[0] / "run", tmp_path / "run")
    (tmp_path / "corners.py").write_text(PLUGIN.replace("higher_is_better=False", "higher_is_better=True"))
    result = here(tmp_path, "search.py", *SEARCH, "--out", "run")
    assert result.returncode == 2
    assert "metric's higher is better is False there and True here" in result.stderr


def test_objectives_begin_with_the_metric(here: Run, tmp_path: Path) -> None:
    (tmp_path / "corners.py").write_text(PLUGIN)
    result = here(tmp_path, "search.py", *SEARCH, "--objectives", "errors,macs", "--dry-run")
    assert result.returncode == 2
    assert "--objectives errors: evaluator corners ranks by error; begin with that" in result.stderr


class Mirror:
    """A value of the architecture alone: more MACs and coordinate attention are better, whichever way that is."""

    def __init__(self, space: PricedSpace, higher: bool):
        self.space = space
        self.metric = Metric("off", higher_is_better=higher)

    def identity(self) -> dict[str, Any]:
        return {}

    def prepare(self) -> None:
        pass

    def evaluate(self, architecture: Architecture, *, thorough: bool = False) -> Measured:
        liked = sum(stage.attention[0].kind == "ca" for stage in architecture.stages)
        value = self.space.cost(architecture).macs / 200_000 + liked
        return Measured(self.metric, value if self.metric.higher_is_better else -value)


def _searched(space: PricedSpace, sampler: str, higher: bool, folder: Path) -> list[Candidate]:
    costs = ("macs",) if sampler_class(sampler).several_objectives else ()
    evaluator = Mirror(space, higher)
    goal = Goal(space, seed=3, startup=12, metric=evaluator.metric, costs=costs)
    try:
        study = OptunaStudy(make_sampler(sampler, goal), f"journal:{folder}/{higher}.log")
    except InputError as error:
        pytest.skip(str(error))
    trials = 24 if sampler == "gp" else 32  # one of its proposals takes a quarter of a second
    return search(study, evaluator, trials=trials, reporter=QUIET)


@pytest.mark.parametrize("sampler", SAMPLERS.names())
def test_every_sampler_goes_the_better_way(tiny_space: PricedSpace, sampler: str, tmp_path: Path) -> None:
    """What is better the other way is proposed alike; and who learns finds better ones than uniform draws."""
    if sampler.startswith(PREFIX):
        pytest.importorskip("nni")
    budget = Budget(max_macs=int(tiny_space.cost(tiny_space.largest).macs * 0.8))
    space = tiny_space.within(budget)
    lower = _searched(space, sampler, False, tmp_path)
    higher = _searched(space, sampler, True, tmp_path)
    assert [one.architecture for one in lower] == [one.architecture for one in higher]
    assert [one.score for one in lower] == [-one.score for one in higher]
    assert [one.architecture for one in pareto_front(lower)] == [one.architecture for one in pareto_front(higher)]
    if sampler_class(sampler).tell is not Sampler.tell:
        first, later = ([one.score for one in some] for some in (lower[:12], lower[12:]))
        assert statistics.mean(later) < statistics.mean(first)


def test_a_user_s_evaluator_may_name_a_score_alone() -> None:
    class Old:
        objective = "blocks"

    assert adopted(Old()).metric == Metric("blocks")  # type: ignore[arg-type]
    assert checked(Score("blocks", 3.0), Metric("blocks")) == Measured(Metric("blocks"), 3.0)
    assert checked(Metrics(0.5, 0.25), ACCURACY) == Measured(ACCURACY, 0.5, {"loss": 0.25})


@pytest.mark.parametrize(
    ("measured", "message"),
    [
        (0.5, "error: expected it as Measured, got 0.5"),
        (Measured(ERROR, float("inf"), {"worst": 1.0}), "error: expected a finite number, got inf"),
        (Measured(ERROR, 1.0), "error: measured was error, and the evaluator's metric is error with worst"),
        (Measured(metric("error"), 1.0, {"worst": 1.0}), "the evaluator's metric is error with worst, lower is better"),
    ],
)
def test_what_is_not_the_metric_is_refused(measured: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        checked(measured, ERROR)


def test_a_metric_is_read_back() -> None:
    for one in (ERROR, ACCURACY, Metric("naswot"), Metric("AP", "%", 100.0, 1, "points", beside=("AP50", "loss"))):
        kept = json.loads(json.dumps(described(one)))
        assert bool(kept) == (one.unit == "px" or one.name == "AP")
        assert read_metric(kept, one.name) == one
    measured = Measured(ERROR, 2.5, {"worst": 7.0})
    assert read_measured(ERROR, measured.numbers()) == measured
    assert measured.merit == -2.5


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"scale": 0}, "metric error: scale: expected a number above 0, got 0"),
        ({"scale": "1"}, "metric error: scale: expected a number above 0, got '1'"),
        ({"decimals": 1000}, "metric error: decimals: expected 0 to 12, or none, got 1000"),
        ({"higher_is_better": 1}, "metric error: higher_is_better: expected true or false, got 1"),
        ({"beside": "worst"}, "metric.beside: expected a list of names, got 'worst'"),
        ({"beside": ["error"]}, "metric error: beside: expected other names, each once"),
        ({"unit": "p" * 61}, "expected names, and units of at most 60 letters"),
        ({"step": 0}, "step: expected a unit or none, got 0"),
        ({"step": ["px"]}, "step: expected a unit or none, got ['px']"),
        ({"beside": ["a\u2028b"]}, "expected names and units without line breaks"),
        ({"name": "other"}, "metric.name: expected 'error', got 'other'"),
        ({"more": 1}, "metric: expected an object with name, unit, scale, decimals"),
    ],
)
def test_a_broken_metric_is_refused(changed: dict[str, Any], message: str) -> None:
    plain = {**json.loads(json.dumps(described(ERROR)))["metric"], **changed}
    with pytest.raises(InputError) as refused:
        read_metric({"metric": plain}, "error")
    assert message in str(refused.value)


@pytest.mark.parametrize("name", ["a\nb", "a\n", "\ra"])
def test_a_metric_s_name_is_one_line(name: str) -> None:
    with pytest.raises(InputError) as refused:
        Metric(name)
    assert str(refused.value) == f"metric {name!r}: expected names and units without line breaks"


def test_a_broken_metric_of_a_run_is_refused(finished: tuple[Path, str], tmp_path: Path) -> None:
    shutil.copytree(finished[0] / "run", tmp_path / "run")
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    config["identity"]["metric"]["scale"] = -1
    (tmp_path / "run" / "config.json").write_text(json.dumps(config))
    for read in (read_record, coordnas.load_run):
        with pytest.raises(InputError, match=r"config\.json: identity\.metric error: scale: expected a number above 0"):
            read(tmp_path / "run")


def test_how_it_is_written() -> None:
    assert (ACCURACY.written(0.92468), ACCURACY.difference(-0.012), ACCURACY.tick(0.5)) == (
        "92.47 %",
        "−1.20 points",
        "50 %",
    )
    assert (ERROR.written(3.14159), ERROR.difference(0.5), ERROR.tick(2.0)) == ("3.14 px", "+0.50 px", "2 px")
    assert (ERROR.column, ERROR.axis, ERROR.differences) == (
        "error (lower is better)",
        "error, px (lower is better)",
        "px of error",
    )
    assert (Metric("naswot").written(123.456789), Metric("naswot").axis) == ("123.46", "naswot")


def test_a_comparison_knows_which_way_is_ahead(tiny_space: PricedSpace) -> None:
    def network(name: str, values: Sequence[float]) -> ComparedNetwork:
        smallest = tiny_space.smallest
        seconds = (1.0,) * len(values)
        return ComparedNetwork(name, smallest, tiny_space.cost(smallest), tuple(values), seconds, metric=ERROR)

    rows = [network("found", (2.0, 2.1)), network("other", (3.0, 3.2))]
    assert lead(*rows).difference == pytest.approx(1.05)
    table = comparison_table(rows, "")
    assert [str(column.header) for column in table.columns][1] == "test error (lower is better)"
    assert next(iter(table.columns[1].cells)) == "2.05 ± 0.07 px"
    assert list(table.columns[2].cells)[1].startswith("+1.05 ± ")
    assert comparison(rows)[0]["values"] == [2.0, 2.1]


class _Scorer:
    """As many parameters, as many points."""

    seed, references, priced = 0, {}, None

    def __init__(self, priced: PricedSpace):
        self.priced = priced
        from evaluators.zero_cost import Batch

        self.batch = Batch()

    def sample(self) -> list[Architecture]:
        return [self.priced.table.at(place) for place in range(0, 160, 10)]

    def score(self, architecture: Architecture, name: str) -> float:
        return float(self.priced.cost(architecture).params)


def test_a_prior_corrects_towards_the_better(tiny_space: PricedSpace, tmp_path: Path) -> None:
    scorer = _Scorer(tiny_space)
    prior = Prior("params", scorer, tmp_path, 100, ERROR)  # type: ignore[arg-type]
    prior.prepare(lambda architecture: 5 - tiny_space.cost(architecture).macs / 1e6, "", QUIET)
    small, large = tiny_space.smallest, tiny_space.largest
    assert prior.corrected(large, 4.0) < 4.0 < prior.corrected(small, 4.0)


def test_titles_say_how_scores_came_about() -> None:
    assert title_of({"name": "proxy"}, ACCURACY, 40).scored == "40 validation pictures"
    anchored = {"name": "anchored", "supernet": {"name": "supernet", "weights": "0" * 64}}
    assert title_of(anchored, ACCURACY, 40).scored == (
        "40 validation pictures, as expected of own training, shared weights of another run"
    )
    prior = {"name": "supernet", "prior": {"score": "az_nas"}}
    assert title_of(prior, ACCURACY).number == "validation accuracy, corrected"
    assert title_of(prior, ACCURACY).meaning.endswith("corrected by a score of the untrained network (az_nas)")
    assert title_of({"name": "tabular"}, ACCURACY).scored == "looked up in a table or predicted from it"
    assert title_of({"name": "zero-cost"}, Metric("naswot")).figure == "naswot, untrained"
    with pytest.raises(InputError, match=r"title: expected texts number, scored, .*, got \{'number': 1\}"):
        title_of({}, ACCURACY, recorded={"number": 1})


def test_what_evaluators_returned_before_there_were_metrics() -> None:
    class Old:
        objective = "accuracy"

        def evaluate(self) -> Metrics | Score:
            return Metrics(0.5, 1.25)

    accuracy, loss = Old().evaluate()  # type: ignore[misc]
    assert (accuracy, loss, Metrics(0.5, 1.25).accuracy, Score("mine", 3.0).name) == (0.5, 1.25, 0.5, "mine")
    assert checked(Metrics(0.5, 1.25), ACCURACY) == Measured(ACCURACY, 0.5, {"loss": 1.25})

    @dataclass(frozen=True)
    class Frozen:
        objective: str = "accuracy"

    assert adopted(Frozen()).metric == ACCURACY
    with pytest.raises(InputError, match="says no metric"):
        adopted(object())


class Timed(Mirror):
    """Of a metric that is named as one of a trial's own attributes."""

    def __init__(self, space: PricedSpace, name: str, beside: tuple[str, ...] = ()):
        super().__init__(space, higher=False)
        self.metric = Metric(name, higher_is_better=False, beside=beside)

    def evaluate(self, architecture: Architecture, *, thorough: bool = False) -> Measured:
        value = super().evaluate(architecture).value
        return Measured(self.metric, value, dict.fromkeys(self.metric.beside, 0.5))


@pytest.mark.parametrize("name", ["latency_ns", "macs", "rungs", "rejected", "failed", "withdrawn", "digest", "lease"])
def test_a_metric_may_be_named_as_an_attribute_of_trials(tiny_space: PricedSpace, tmp_path: Path, name: str) -> None:
    evaluator = Timed(tiny_space, name, ("off",))
    url = f"sqlite:///{tmp_path}/study.db"
    found: list[list[Candidate]] = []
    for trials in (4, 6):
        study = OptunaStudy(make_sampler("random", Goal(tiny_space, 3, 2, evaluator.metric, ("macs",))), url)
        found.append(search(study, evaluator, trials=trials, reporter=QUIET))
        study.close()
    assert found[0] == found[1][:4]
    assert all(one.measured.numbers().keys() == {name, "off"} for one in found[1])


@pytest.mark.parametrize("name", ["macs", "latency_ns", "failed", "digest"])
def test_what_is_beside_may_not(tiny_space: PricedSpace, name: str) -> None:
    metric = Timed(tiny_space, "off", (name,)).metric
    with pytest.raises(InputError, match=f"metric off: beside: {name} is another attribute of trials; choose another"):
        OptunaStudy(make_sampler("random", Goal(tiny_space, 3, 2, metric)), "sqlite://")
