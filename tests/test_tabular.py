"""Tables of trained networks, and the evaluator that looks candidates up in them."""

import json
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evaluators.tabular.evaluator import TabularEvaluator
from evaluators.tabular.table import TABLES, Entry, Table, read_table, write_table
from foundation.progress import Reporter
from search_space import Budget, InputError
from search_space.cost.priced_space import PricedSpace
from search_space.spaces import priced_space
from studies.loop import search
from studies.samplers import Goal, make_sampler
from studies.storage.optuna_study import OptunaStudy


@pytest.fixture(scope="module")
def table(tiny_space: PricedSpace) -> Table:
    """Sixty networks whose accuracy grows with MACs and with coordinate attention."""
    rng = random.Random(0)
    entries = []
    for architecture in dict.fromkeys(tiny_space.sample(rng) for _ in range(60)):
        cost = tiny_space.cost(architecture)
        liked = sum(stage.attention[-1].kind == "ca" for stage in architecture.stages)
        accuracy = 1 - 1 / (1 + cost.macs / 50_000) + 0.05 * liked
        seeds = tuple(min(1.0, max(0.0, accuracy + rng.gauss(0, 0.005))) for _ in range(3))
        group = rng.choice(("equal", "range"))
        entries.append(Entry(architecture, cost.macs, cost.params, group, seeds, tuple(0.9 * one for one in seeds)))
    return Table("tiny", "digits", {"epochs": 3}, tuple(entries))


def test_a_table_is_read_as_it_was_written(table: Table, tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    write_table(path, table)
    assert read_table(path) == table
    assert read_table(path).digest == table.digest
    assert len(path.read_text().splitlines()) == len(table.networks) + 2
    content = json.loads(path.read_text())
    assert list(content) == ["data", "format", "recipe", "space", "networks"]
    first = content["networks"][0]
    assert first["digest"] == table.networks[0].architecture.digest()
    assert table.networks[0].truth == pytest.approx(sum(first["test"]) / 3)
    assert table.networks[0].score == pytest.approx(sum(first["validation"]) / 3)


def _set(*keys: Any, to: Any) -> Callable[[Any], Any]:
    def change(content: Any) -> Any:
        place = content
        for key in keys[:-1]:
            place = place[key]
        place[keys[-1]] = to
        return content

    return change


def _repeat(content: Any) -> Any:
    content["networks"].append(content["networks"][0])
    return content


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda content: [], "expected an object with format, space, data, recipe, networks"),
        (_set("format", to=2), "format: expected 1, got 2"),
        (_set("space", to=3), "space: expected a name, got 3"),
        (_set("recipe", to=[]), "recipe: expected an object"),
        (_set("extra", to=1), "'extra': unknown field"),
        (_set("networks", to={}), "networks: expected a list, got dict"),
        (_set("networks", to=[]), "networks: expected at least one"),
        (_repeat, r"networks\[\d+\]: the same architecture as networks\[0\]"),
        (_set("networks", 1, to=7), r"networks\[1\]\.expected an object"),
        (_set("networks", 1, "digest", to="abc"), r"networks\[1\]\.digest: the architecture's is .*, got 'abc'"),
        (_set("networks", 1, "macs", to=1.5), r"networks\[1\]\.macs: expected a positive integer, got 1.5"),
        (_set("networks", 1, "group", to="x"), r"networks\[1\]\.group: expected equal or range, got 'x'"),
        (_set("networks", 1, "test", to=0.5), r"networks\[1\]\.test: expected a list of accuracies, got 0.5"),
        (_set("networks", 1, "test", to=[0.5]), r"networks\[1\]\.test: .* as many as in validation, got 1 and 3"),
        (_set("networks", 1, "validation", 0, to=1.5), r"networks\[1\]\.validation: .* from 0 to 1, got 1.5"),
        (_set("networks", 1, "validation", 0, to=True), r"networks\[1\]\.validation: .* from 0 to 1, got True"),
        (
            _set("networks", 1, "validation", 0, to=float("nan")),
            r"networks\[1\]\.validation\[0\]: expected a finite number, got nan",
        ),
        (_set("networks", 1, "architecture", "resolution", to=0), r"networks\[1\]\.resolution: expected an integer"),
    ],
)
def test_a_broken_table_is_refused_by_name(
    table: Table, tmp_path: Path, damage: Callable[[Any], Any], message: str
) -> None:
    path = tmp_path / "table.json"
    write_table(path, table)
    path.write_text(json.dumps(damage(json.loads(path.read_text()))))
    with pytest.raises(InputError, match=f"table.json: {message}") as refused:
        read_table(path)
    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize("path", sorted(TABLES.glob("*.json")), ids=lambda path: path.stem)
def test_every_table_of_the_project(path: Path) -> None:
    table = read_table(path)
    space = priced_space(table.space)
    for entry in table.networks[::20]:
        assert space.space.canonical(entry.architecture) == entry.architecture


def test_exact_entries(tiny_space: PricedSpace, table: Table) -> None:
    evaluator = TabularEvaluator(tiny_space, table)
    evaluator.prepare()
    for entry in table.networks:
        assert evaluator.evaluate(entry.architecture).value == entry.score
    start = time.perf_counter()
    for _ in range(20):
        for entry in table.networks:
            evaluator.evaluate(entry.architecture)
    assert (time.perf_counter() - start) / (20 * len(table.networks)) < 0.002


def test_what_the_table_lacks_is_refused_by_digest(tiny_space: PricedSpace, table: Table) -> None:
    known = {entry.architecture for entry in table.networks}
    absent = next(architecture for architecture in tiny_space.space.enumerate() if architecture not in known)
    evaluator = TabularEvaluator(tiny_space, table)
    evaluator.prepare()
    with pytest.raises(InputError, match=f"architecture {absent.digest()} is not among the {len(known)} networks"):
        evaluator.evaluate(absent)


def test_another_space_is_refused(table: Table) -> None:
    with pytest.raises(InputError, match="table of space tiny: this search is in mobilenetv2-32"):
        TabularEvaluator(priced_space("mobilenetv2-32"), table)


def test_the_surrogate_knows_what_the_table_lacks(tiny_space: PricedSpace, table: Table) -> None:
    evaluator = TabularEvaluator(tiny_space, table, surrogate=True)
    evaluator.prepare()
    assert evaluator.identity() != TabularEvaluator(tiny_space, table).identity()
    entry = table.networks[0]
    assert evaluator.evaluate(entry.architecture).value == entry.score
    rng = random.Random(1)
    errors = []
    for _ in range(40):
        architecture = tiny_space.sample(rng)
        liked = sum(stage.attention[-1].kind == "ca" for stage in architecture.stages)
        truth = min(1.0, 1 - 1 / (1 + tiny_space.cost(architecture).macs / 50_000) + 0.05 * liked)
        errors.append(abs(evaluator.evaluate(architecture).value - truth))
    assert sorted(errors)[20] < 0.02


def test_a_hundred_trials_take_seconds(tiny_space: PricedSpace, table: Table) -> None:
    budget = Budget(max_macs=int(1.5 * tiny_space.cost(tiny_space.smallest).macs))
    evaluator = TabularEvaluator(tiny_space, table, surrogate=True)
    evaluator.prepare()
    study = OptunaStudy(make_sampler("tpe", Goal(tiny_space.within(budget), seed=0, startup=60)), "sqlite://")
    start = time.process_time()
    candidates = search(study, evaluator, trials=100, reporter=Reporter(quiet=True))
    assert len(candidates) == 100
    assert time.process_time() - start < 30
