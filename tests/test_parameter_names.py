"""Stages and blocks are counted from 1 in a study's parameters, and from 0 in a study that began so."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest

from evaluators.base import Metrics
from foundation.errors import InputError
from foundation.metric import ACCURACY
from foundation.progress import Reporter
from search_space import Architecture
from search_space.cost.priced_space import PricedSpace
from search_space.spaces import priced_space
from studies.loop import search
from studies.samplers import Goal, make_sampler
from studies.storage import optuna_study
from studies.storage.optuna_study import OptunaStudy
from studies.storage.parameter_names import COUNTED, counted_from, name_in_study, parameters
from studies.storage.storages import close_storage, open_storage


class _Fake:
    """An evaluator with a score by the digest."""

    metric = ACCURACY

    def evaluate(self, architecture: Architecture) -> Metrics:
        accuracy = random.Random(architecture.digest()).random()
        return Metrics(accuracy, 1 - accuracy)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/study.db"


@pytest.fixture
def study(url: str) -> Iterator[optuna.Study]:
    """One that someone made before the search."""
    storage = open_storage(url)
    yield optuna.create_study(study_name="coordnas", storage=storage, directions=["maximize", "minimize"])
    close_storage(storage)


def _searched(space: PricedSpace, url: str, trials: int, sampler: str = "tpe") -> list[dict[str, Any]]:
    """The parameters of all trials of a search to so many."""
    study = OptunaStudy(make_sampler(sampler, Goal(space, seed=3, startup=4)), url)
    try:
        search(study, _Fake(), trials=trials, reporter=Reporter(quiet=True))
    finally:
        study.close()
    return [trial.params for trial in optuna.load_study(study_name="coordnas", storage=url).trials]


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("resolution", "resolution"),
        ("stage0.kernel_size", "stage1.kernel_size"),
        ("stage9.block0.ca_reduction(4,8)", "stage10.block1.ca_reduction(4,8)"),
        ("block6.heads", "block7.heads"),
        ("backstage0.width", "backstage0.width"),
        ("stage0", "stage0"),
    ],
)
def test_names(name: str, wanted: str) -> None:
    assert name_in_study(name, 1) == wanted
    assert name_in_study(name, 0) == name


@pytest.mark.parametrize("space", ["mobile-32", "t2t-32", "mobilenetv2-32"])
def test_no_name_stands_for_two_decisions(space: str) -> None:
    priced = priced_space(space)
    goal, rng = Goal(priced, seed=0, startup=1), random.Random(0)
    for _ in range(20):
        architecture = priced.sample(rng)
        inside, _ = parameters(goal, architecture, 0)
        params, distributions = parameters(goal, architecture, 1)
        assert list(params.values()) == list(inside.values())
        assert params.keys() == distributions.keys()
        assert not any("stage0." in name or "block0." in name for name in params)


def test_a_new_study_counts_from_1(tiny_space: PricedSpace, url: str) -> None:
    found = _searched(tiny_space, url, 6)
    assert all("stage1.width" in params and not any("stage0" in name for name in params) for params in found)


@pytest.mark.parametrize("sampler", ["tpe", "predictor"])
def test_a_study_that_counts_from_0_goes_on_so(
    tiny_space: PricedSpace, url: str, tmp_path: Path, sampler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And proposes what it would have proposed."""
    with monkeypatch.context() as before:
        before.setattr(optuna_study, "counted_from", lambda study: 0)
        _searched(tiny_space, url, 8, sampler)
        whole = _searched(tiny_space, f"sqlite:///{tmp_path}/whole.db", 14, sampler)
    found = _searched(tiny_space, url, 14, sampler)
    assert found == whole
    assert all("stage0.width" in params for params in found)


def test_one_that_was_made_before_the_search_counts_from_1(study: optuna.Study) -> None:
    assert counted_from(study) == 1
    study.add_trial(optuna.trial.create_trial(values=[0.0, 1.0]))
    assert counted_from(study) == 1


@pytest.mark.parametrize("hostile", ["1", True, 2, -1, None, [1]])
def test_an_attribute_that_no_search_wrote_is_refused(study: optuna.Study, hostile: object) -> None:
    study.add_trial(optuna.trial.create_trial(values=[0.0, 1.0]))
    study._storage.set_study_system_attr(study._study_id, COUNTED, hostile)
    if hostile is None:
        assert counted_from(study) == 0
    else:
        with pytest.raises(InputError, match="attribute coordnas:counted_from: expected 0 or 1"):
            counted_from(study)
