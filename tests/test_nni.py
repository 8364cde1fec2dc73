"""NNI's tuners as samplers: the exported space, and the search loop's promises with each of them."""

import importlib.util
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest

from commands import search as command
from evaluators.base import Metrics
from foundation.metric import ACCURACY, Measured
from foundation.progress import Reporter
from search_space import Architecture, Budget, InputError
from search_space.cost.priced_space import PricedSpace
from search_space.decisions import every_outcome
from search_space.spaces import priced_space
from studies.loop import search
from studies.nni.tuners import every_decision, of_framework
from studies.samplers import Goal, make_sampler
from studies.storage.optuna_study import OptunaStudy
from studies.storage.storages import open_storage
from studies.trials import Candidate

SAMPLERS = ("nni:tpe", "nni:evolution", "nni:random", "nni:regularized-evolution")
needs_nni = pytest.mark.skipif(importlib.util.find_spec("nni") is None, reason="nni is not installed")


class Killed(BaseException):
    pass


class Analytic:
    """Accuracy from the architecture alone: it likes coordinate attention and kernels of 5."""

    metric = ACCURACY

    def __init__(self, kill_at: int | None = None):
        self.kill_at = kill_at
        self.evaluated: list[str] = []

    def identity(self) -> dict[str, Any]:
        return {}

    def prepare(self) -> None:
        pass

    def evaluate(self, architecture: Architecture, *, thorough: bool = False) -> Measured:
        if self.kill_at == len(self.evaluated):
            raise Killed
        self.evaluated.append(architecture.digest())
        return Metrics(_liked(architecture) + 0.01 * random.Random(architecture.digest()).random(), 0.0)


def _liked(architecture: Architecture) -> float:
    return sum(
        0.1 * (stage.attention[0].kind == "ca") + 0.1 * (stage.kernel_size == 5) for stage in architecture.stages
    )


def _search(
    space: PricedSpace,
    folder: Path,
    sampler: str,
    trials: int,
    *,
    evaluator: Analytic | None = None,
    factor: float = 1.5,
) -> list[Candidate]:
    goal = Goal(space.within(_budget(space, factor)), seed=3, startup=8)
    study = OptunaStudy(make_sampler(sampler, goal), _url(folder))
    return search(study, evaluator or Analytic(), trials=trials, reporter=Reporter(quiet=True))


def _budget(space: PricedSpace, factor: float = 1.5) -> Budget:
    return Budget(max_macs=int(space.cost(space.smallest).macs * factor))


def _url(folder: Path) -> str:
    return f"journal:{folder}/study.log"  # which takes a tenth of a database's time


def _trials(folder: Path) -> list[Any]:
    study = optuna.load_study(study_name="coordnas", storage=open_storage(_url(folder)))
    return [
        (trial.state, trial.values, trial.params, trial.user_attrs, trial.system_attrs) for trial in study.get_trials()
    ]


class TestExportedSpace:
    """It holds the decisions of the space's program, and no others."""

    @pytest.mark.parametrize("per", ["stage", "block"])
    def test_it_is_what_all_architectures_decide(self, tiny_space: PricedSpace, per: str) -> None:
        stages = tiny_space.space.stages[:1] if per == "block" else tiny_space.space.stages
        space = replace(tiny_space.space, stages=stages, attention_per=per)
        asked: dict[str, tuple[Any, ...]] = {}

        def program(choose: Any) -> None:
            def note(name: str, options: Any) -> Any:
                assert asked.setdefault(name, tuple(options)) == tuple(options)
                return choose(name, options)

            space.assemble(note)

        for _ in every_outcome(program):
            pass
        assert every_decision(space) == asked

    @pytest.mark.parametrize("name", ["mobilenetv2-32", "mobilenext"])
    def test_it_holds_what_random_architectures_decide(self, name: str) -> None:
        space = priced_space(name)
        decisions = every_decision(space.space)
        met: set[str] = set()
        rng = random.Random(0)
        for _ in range(60):

            def choose(name: str, options: Any) -> Any:
                assert decisions[name] == tuple(options)
                met.add(name)
                return rng.choice(options)

            space.space.assemble(choose)
        assert len(met) > 0.8 * len(decisions)

    @needs_nni
    @pytest.mark.parametrize("sampler", SAMPLERS)
    def test_an_answer_is_read_back_as_an_architecture_of_the_space(
        self, tiny_space: PricedSpace, sampler: str
    ) -> None:
        made = make_sampler(sampler, Goal(tiny_space.within(_budget(tiny_space)), seed=0, startup=8))
        for turn in range(20):
            architecture = made.propose(turn, []).architecture
            assert tiny_space.space.canonical(architecture) == architecture


@needs_nni
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_nothing_over_budget_and_nothing_twice(
    tiny_space: PricedSpace, tmp_path: Path, sampler: str, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluator = Analytic()
    random.seed(5)
    before = random.getstate()
    candidates = _search(tiny_space, tmp_path, sampler, 24, evaluator=evaluator)
    assert len(candidates) == len(set(evaluator.evaluated)) == len(evaluator.evaluated) == 24
    assert all(_budget(tiny_space).allows(candidate.cost) for candidate in candidates)
    assert capsys.readouterr() == ("", "")
    assert random.getstate() == before  # NNI's evolution uses the global random numbers


@needs_nni
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_killed_search_ends_alike(tiny_space: PricedSpace, tmp_path: Path, sampler: str) -> None:
    (tmp_path / "whole").mkdir()
    (tmp_path / "killed").mkdir()
    _search(tiny_space, tmp_path / "whole", sampler, 18)
    for kill_at in (5, 8):
        random.seed(kill_at)  # what is proposed does not depend on the global random numbers
        with pytest.raises(Killed):
            _search(tiny_space, tmp_path / "killed", sampler, 18, evaluator=Analytic(kill_at))
    _search(tiny_space, tmp_path / "killed", sampler, 18)
    assert _trials(tmp_path / "whole") == _trials(tmp_path / "killed")


@needs_nni
@pytest.mark.parametrize("sampler", ["nni:tpe", "nni:evolution", "nni:regularized-evolution"])
def test_it_learns(tiny_space: PricedSpace, tmp_path: Path, sampler: str) -> None:
    candidates = _search(tiny_space, tmp_path, sampler, 50, factor=2.5)
    first, last = ([_liked(c.architecture) for c in part] for part in (candidates[:8], candidates[-20:]))
    assert sum(last) / len(last) > sum(first) / len(first) + 0.05


@needs_nni
def test_tpe_forgets_early_rejections_alike(
    tiny_space: PricedSpace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from studies.nni.tuners import NNITPE

    monkeypatch.setattr(NNITPE, "rejected", 3)
    (tmp_path / "whole").mkdir()
    (tmp_path / "killed").mkdir()
    _search(tiny_space, tmp_path / "whole", "nni:tpe", 14, factor=1.1)
    with pytest.raises(Killed):
        _search(tiny_space, tmp_path / "killed", "nni:tpe", 14, factor=1.1, evaluator=Analytic(11))
    _search(tiny_space, tmp_path / "killed", "nni:tpe", 14, factor=1.1)
    assert sum(len(trial[3].get("rejected", ())) for trial in _trials(tmp_path / "whole")) > 6
    assert _trials(tmp_path / "whole") == _trials(tmp_path / "killed")


def test_nni_is_not_imported_unless_asked_for() -> None:
    code = "import sys, commands.search_settings; sys.exit('nni' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parent.parent)


def test_names() -> None:
    assert of_framework("optuna", "tpe") == "tpe"
    if importlib.util.find_spec("nni") is not None:
        assert of_framework("nni", "tpe") == of_framework("nni", "nni:tpe") == of_framework("optuna", "nni:tpe")
    known = "tpe, evolution, random, regularized-evolution"
    with pytest.raises(InputError, match=f"^`framework` nni: has no sampler 'gp'; known: {known}$"):
        command.main(["digits", "--framework", "nni", "--sampler", "gp"])
    with pytest.raises(InputError, match=r"^`framework` magic: unknown; known: optuna, nni$"):
        command.main(["digits", "--framework", "magic"])


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_where_nni_is_missing(tiny_space: PricedSpace, monkeypatch: pytest.MonkeyPatch, sampler: str) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setitem(sys.modules, "nni", None)
    message = r"^`framework` nni: needs nni; pip install 'coordnas\[nni\]'$"
    with pytest.raises(InputError, match=message):
        command.main(["digits", "--framework", "nni", "--sampler", sampler.removeprefix("nni:")])
    with pytest.raises(InputError, match=message):
        make_sampler(sampler, Goal(tiny_space, seed=0, startup=1))
