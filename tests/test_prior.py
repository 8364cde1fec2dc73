"""A supernet's accuracies corrected by a zero-cost score."""

import json
import math
import random
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from commands import search
from evaluators.prior import REFERENCE, REMEDY, Prior
from evaluators.ranking import kendall
from evaluators.supernet.evaluator import SupernetEvaluator
from evaluators.supernet.room import _named_as_before
from evaluators.supernet.settings import Scoring, SupernetRecipe
from evaluators.zero_cost import Batch, Scorer
from evaluators.zero_cost.registry import SCORES, ScoreFunction
from foundation.errors import InputError
from foundation.files import write_json
from foundation.metric import ACCURACY
from foundation.progress import Reporter
from search_space.architecture import Architecture
from search_space.cost.cost import Budget
from search_space.cost.priced_space import PricedSpace
from search_space.network import Network
from search_space.spaces import priced_space
from training.data.datasets import Dataset, load_data

QUIET = Reporter(quiet=True)


@pytest.fixture(scope="module")
def data(picture_folder: Path) -> Dataset:
    return load_data(f"folder:{picture_folder}", 24, torch.device("cpu"))


@pytest.fixture
def scorer(tiny_space: PricedSpace, data: Dataset) -> Scorer:
    return Scorer(tiny_space, data, 0, Batch(size=8, reference=12))


def _counted(monkeypatch: pytest.MonkeyPatch, function: ScoreFunction) -> None:
    monkeypatch.setitem(SCORES._things, "counted", function)


def _prior(scorer: Scorer, folder: Path, name: str = "counted", pictures: int = 1000) -> Prior:
    folder.mkdir(exist_ok=True)
    return Prior(name, scorer, folder, pictures)


def test_each_counts_by_its_own_spread(scorer: Scorer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A score in other units corrects alike, and what sees the other half of the truth helps."""
    networks = _prior(scorer, tmp_path, "macs").references()
    values = {network.digest(): random.Random(network.digest()).gauss(0, 1) for network in networks}
    hidden = {digest: random.Random(digest + "hidden").gauss(0, 1) for digest in values}

    def accuracy(network: Architecture) -> float:
        return 0.5 + 0.02 * hidden[network.digest()]

    corrected = []
    for unit in (1.0, 1000.0):
        _counted(monkeypatch, lambda network, *_, unit=unit: 5 + unit * values[network.architecture.digest()])
        prior = _prior(scorer, tmp_path / str(unit))
        prior.prepare(accuracy, "it", QUIET)
        corrected.append([prior.corrected(network, accuracy(network)) for network in networks])
    assert corrected[0] == pytest.approx(corrected[1])
    digests = [network.digest() for network in networks]
    truth = [hidden[digest] + values[digest] for digest in digests]
    assert kendall(corrected[0], truth) > kendall([hidden[digest] for digest in digests], truth)
    # The references keep their mean accuracy, and the correction has its spread.
    plain = np.array([accuracy(network) for network in networks])
    correction = np.array(corrected[0]) - plain
    assert correction.mean() == pytest.approx(0, abs=2e-3)
    assert correction.std() == pytest.approx(plain.std(), rel=0.05)


def test_several_scores_count_alike(scorer: Scorer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever their units; together they have the spread that one has. One that does not differ says nothing."""
    networks = _prior(scorer, tmp_path, "macs").references()
    rng = random.Random(0)
    plain = {network.digest(): 0.5 + 0.02 * rng.gauss(0, 1) for network in networks}
    one, other = ({network.digest(): rng.gauss(0, 1) for network in networks} for _ in range(2))

    def corrections(name: str, unit: float = 1.0) -> np.ndarray:
        scores: dict[str, ScoreFunction] = {
            "one": lambda network, *_: one[network.architecture.digest()],
            "other": lambda network, *_: 7 + unit * other[network.architecture.digest()],
            "same": lambda *_: 0.1,
        }
        for score, function in scores.items():
            monkeypatch.setitem(SCORES._things, score, function)
        prior = _prior(scorer, tmp_path / f"{name}{unit}", name)
        prior.prepare(lambda network: plain[network.digest()], "it", QUIET)
        logits = [math.log(value / (1 - value)) for value in (prior.corrected(network, 0.5) for network in networks)]
        return np.array(logits)

    both = corrections("one,other")
    assert corrections("other,one", 1000.0) == pytest.approx(both)
    alone = [corrections(name) for name in ("one", "other")]
    assert both == pytest.approx(sum(alone) * both.std() / sum(alone).std())
    for each in (*alone, both):
        assert each.mean() == pytest.approx(0, abs=1e-9)
        assert each.std() == pytest.approx(both.std())
    assert corrections("one,same") == pytest.approx(alone[0])


def test_references_are_the_fullest(scorer: Scorer, tmp_path: Path) -> None:
    """Spreads are taken where the search has to choose: among networks that fill the budget."""
    costs = sorted(scorer.priced.cost(scorer.priced.sample(random.Random(seed))).macs for seed in range(100))
    bounded = replace(scorer, priced=scorer.priced.within(Budget(max_macs=costs[60])))
    found = _prior(bounded, tmp_path, "macs").references()
    assert len({network.digest() for network in found}) == len(found) == bounded.batch.reference
    assert found == _prior(bounded, tmp_path, "macs").references()
    assert all(costs[30] < bounded.priced.cost(network).macs <= costs[60] for network in found)
    # Without a budget any network is as good as another.
    anywhere = _prior(scorer, tmp_path, "macs").references()
    assert min(scorer.priced.cost(network).macs for network in anywhere) < costs[50]


def test_references_of_several_families(data: Dataset, tmp_path: Path) -> None:
    """As many of each, though the largest of one take more than the largest of the other."""
    priced = priced_space("mobile-32,t2t-32").within(Budget(max_macs=18_000_000))
    found = _prior(Scorer(priced, data, 0, Batch(size=8, reference=9)), tmp_path, "macs").references()
    families = [type(network).__name__ for network in found]
    assert sorted(families.count(one) for one in set(families)) == [4, 5]


def test_several_are_read_as_they_were_learnt(scorer: Scorer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, again = (_prior(scorer, tmp_path, name) for name in ("macs,params", "macs, params"))
    assert first.identity() == again.identity()
    first.prepare(lambda network: scorer.priced.cost(network).params / 1e6, "it", QUIET)
    kept = json.loads((tmp_path / REFERENCE).read_text())
    monkeypatch.setattr(again, "_learnt", lambda *_: pytest.fail("learnt again"))
    again.prepare(lambda network: 0.0, "it", QUIET)
    network = scorer.priced.largest
    assert again.corrected(network, 0.5) == first.corrected(network, 0.5) != 0.5
    write_json(tmp_path / REFERENCE, {**kept, "scores": kept["scores"][:-1]})
    with pytest.raises(pytest.fail.Exception, match="learnt again"):
        again.prepare(lambda network: 0.0, "it", QUIET)


def test_what_does_not_differ_corrects_nothing(scorer: Scorer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _counted(monkeypatch, lambda *_: 0.1)  # of which a mean is not exact
    prior = _prior(scorer, tmp_path)
    prior.prepare(lambda network: random.Random(network.digest()).random(), "it", QUIET)
    assert prior.corrected(scorer.priced.smallest, 0.75) == pytest.approx(750.5 / 1001)


def test_nothing_is_cut_off(scorer: Scorer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where all accuracies are nearly 1, or 1, networks still differ as their scores do."""
    _counted(monkeypatch, lambda network, *_: float(sum(p.numel() for p in network.parameters())))
    prior = _prior(scorer, tmp_path, pictures=16)
    prior.prepare(lambda network: 1 - random.Random(network.digest()).choice([0, 0, 1 / 16]), "it", QUIET)
    smallest, largest = (prior.corrected(network, 1.0) for network in (scorer.priced.smallest, scorer.priced.largest))
    assert 0.5 < smallest < largest < 1
    assert 0 < prior.corrected(scorer.priced.smallest, 0.0) < smallest


def test_references_are_scored_once(scorer: Scorer, tmp_path: Path) -> None:
    asked: list[Architecture] = []

    def accuracy(network: Architecture) -> float:
        asked.append(network)
        return len(asked) / 100

    first, again = (_prior(scorer, tmp_path, "progressivity") for _ in range(2))
    first.prepare(accuracy, "it", QUIET)
    again.prepare(accuracy, "it", QUIET)
    assert len(asked) == 12
    network = scorer.priced.smallest
    assert again.corrected(network, 0.5) == first.corrected(network, 0.5) != 0.5
    # Of another supernet, or broken, it is made anew.
    again.prepare(accuracy, "another", QUIET)
    assert len(asked) == 24
    (tmp_path / REFERENCE).write_text('{"of": ')
    again.prepare(accuracy, "another", QUIET)
    assert len(asked) == 36


def test_an_aggregates_references_are_kept(
    scorer: Scorer, tiny_space: PricedSpace, data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _prior(scorer, tmp_path, "consensus").prepare(lambda network: 0.5, "it", QUIET)
    fresh = Scorer(tiny_space, data, 0, Batch(size=8, reference=12))
    again = _prior(fresh, tmp_path, "consensus")
    again.prepare(lambda network: 0.5, "it", QUIET)
    assert fresh.references == scorer.references
    assert set(fresh.references) == {"synflow", "naswot", "zico", "macs"}
    score = fresh.score(tiny_space.smallest, "consensus")
    monkeypatch.setattr(fresh, "score", lambda *_: score)
    assert 0 < again.corrected(tiny_space.smallest, 0.5) < 1


def test_a_score_that_not_every_network_has(scorer: Scorer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    networks = _prior(scorer, tmp_path, "macs").references()
    lacking = {network.digest() for network in networks[:4]}

    def some(network: Network, *_: object) -> float:
        if network.architecture.digest() in lacking:
            raise ValueError("it has none")
        return float(len(network.architecture.digest()) + sum(p.numel() for p in network.parameters()))

    _counted(monkeypatch, some)
    prior = _prior(replace(scorer, remedy=REMEDY), tmp_path)
    prior.prepare(lambda network: 0.5, "it", QUIET)
    with pytest.raises(InputError, match="cannot be computed: it has none; use another `prior`, or `prior` none"):
        prior.corrected(networks[0], 0.5)
    lacking |= {network.digest() for network in networks[:5]}
    with pytest.raises(InputError, match=r"`prior` counted: 7 of 12 networks have it; score counted of architecture"):
        _prior(scorer, tmp_path / "fewer").prepare(lambda network: 0.5, "it", QUIET)


@pytest.mark.parametrize("evaluator", ["supernet", "tabular"])
def test_an_unknown_prior(evaluator: str) -> None:
    with pytest.raises(InputError, match=r"`prior` best: unknown; known: none, az_nas, "):
        search.main(["--evaluator", evaluator, "--prior", "best", "--dry-run", "--quiet"])
    with pytest.raises(InputError, match=r"`prior` worst: unknown; known: none, az_nas, .*, or several, by comma"):
        search.main(["--evaluator", evaluator, "--prior", "naswot,worst", "--dry-run", "--quiet"])
    with pytest.raises(InputError, match=r"`prior` naswot,: unknown; known: none, az_nas, "):
        search.main(["--evaluator", evaluator, "--prior", "naswot,", "--dry-run", "--quiet"])
    with pytest.raises(InputError, match=r"`prior` naswot, naswot: a score is named twice; name each once"):
        search.main(["--evaluator", evaluator, "--prior", "naswot, naswot", "--dry-run", "--quiet"])
    with pytest.raises(InputError, match=r"`prior` none,naswot: none stands by itself; leave it out"):
        search.main(["--evaluator", evaluator, "--prior", "none,naswot", "--dry-run", "--quiet"])


def test_draws_are_averaged(tiny_space: PricedSpace, data: Dataset) -> None:
    network = tiny_space.smallest
    once, more = (Scorer(tiny_space, data, 0, Batch(size=8, draws=draws)) for draws in (1, 3))
    singles = [more._drawn(network, "progressivity", draw) for draw in range(3)]
    assert len(set(singles)) == 3
    assert once.score(network, "progressivity") == singles[0]
    assert more.score(network, "progressivity") == pytest.approx(np.mean(singles))
    assert more.score(network, "params") == once.score(network, "params")


def test_memory_that_runs_out_is_said_as_such(scorer: Scorer, monkeypatch: pytest.MonkeyPatch) -> None:
    def too_large(*_: object) -> float:
        raise torch.OutOfMemoryError("no memory")

    _counted(monkeypatch, too_large)
    with pytest.raises(torch.OutOfMemoryError):
        scorer.score(scorer.priced.smallest, "counted")


def test_a_supernets_scores(tiny_space: PricedSpace, data: Dataset, scorer: Scorer, tmp_path: Path) -> None:
    def evaluator(prior: Prior | None) -> SupernetEvaluator:
        return SupernetEvaluator(
            tiny_space,
            data,
            SupernetRecipe(epochs=1, batch_size=16, learning_rate=0.05),
            Scoring(calibration=16, validation=14, batch_size=16),
            seed=0,
            folder=tmp_path,
            reporter=QUIET,
            prior=prior,
        )

    plain, corrected = evaluator(None), evaluator(_prior(scorer, tmp_path, "progressivity", 14))
    plain.prepare()
    corrected.prepare()
    assert corrected.prior is not None
    for network in (tiny_space.smallest, tiny_space.largest):
        shared, found = plain.evaluate(network), corrected.evaluate(network)
        assert found.beside == {"accuracy": shared.value, **shared.beside}
        assert (found.metric.name, found.metric.unit, corrected.metric) == ("score", "", found.metric)
        assert found.value == corrected.prior.corrected(network, shared.value)
    assert plain.identity() != corrected.identity()
    assert "corrected by a score of the untrained network (progressivity)" in corrected.about()


@pytest.mark.usefixtures("few_references")
@pytest.mark.parametrize("prior", ["progressivity", "none"])
def test_the_command(
    picture_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    prior: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    flags = ["--supernet-epochs", "1", "--batch-size", "16", "--trials", "3", "--startup", "3", "--prior", prior]
    search.main(["--data", f"folder:{picture_folder}", "--out", "run", *flags])
    told, corrected = capsys.readouterr().out, prior != "none"
    assert ("validation pictures, corrected by a score of the untrained network (progressivity)" in told) == corrected
    page = (tmp_path / "run" / "report.html").read_text()
    words = "score in the search: accuracy corrected by a score of the untrained network (progressivity)"
    assert (words in page) == corrected
    assert ("accuracy in the search" in page) != corrected
    assert re.search(rf"^ +trial +{'score' if corrected else 'accuracy'} +MACs", told, re.MULTILINE)
    best = json.loads((tmp_path / "run" / "best.json").read_text())["metrics"]
    assert best.keys() == ({"score", "accuracy", "loss"} if corrected else {"accuracy", "loss"})
    # The command at the page's head leaves out what is the default anyway.
    assert ("--prior none" in page) != corrected
    assert (tmp_path / "run" / REFERENCE).exists() == corrected


def test_a_run_that_began_before_goes_on_with_its_words(tmp_path: Path) -> None:
    """Then a corrected score was called by the metric's name, and its identity said so."""
    (tmp_path / "run").mkdir()
    objectives = {"identity": {"sampler": {"objectives": ["accuracy", "macs"]}}, "free": {}}
    write_json(tmp_path / "run" / "config.json", objectives)
    assert _named_as_before(tmp_path / "run", ACCURACY)
    now = {"identity": {"sampler": {"objectives": ["score", "macs"]}}}
    for recorded in ({}, now, {"identity": [1]}, {"identity": {"sampler": 3}}):
        write_json(tmp_path / "run" / "config.json", recorded)
        assert not _named_as_before(tmp_path / "run", ACCURACY)
