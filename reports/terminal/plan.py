"""What a search or a retraining would do: sizes, costs, time and memory, before anything is begun."""

import random
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from rich.table import Table

from evaluators.base import Evaluator
from evaluators.forecast import Search, epoch_seconds, forecast, peak_memory
from foundation.amounts import human, milliseconds
from foundation.progress import Reporter, duration
from foundation.seeds import derive
from reports.terminal.tables import plain_table
from search_space.architecture import Architecture
from search_space.cost.cost import Cost, measure
from search_space.cost.priced_space import PricedSpace
from training.data.datasets import Dataset
from training.procedure import Procedure
from training.sizing import epoch_steps
from training.task import Acting

DRAWS = 500


def show_plan(
    evaluator: Evaluator,
    search: Search,
    reporter: Reporter,
    finalists: Callable[[Sequence[Architecture]], float] | None = None,
    before: Mapping[str, float] | None = None,
) -> None:
    """Prints what networks within the budget cost, and how long the search would take here.

    Args:
        finalists: seconds of their trainings, from some architectures.
        before: seconds of what comes first, by its name.
    """
    with reporter.doing("drawing networks within the budget"):
        table = cost_table(search.priced, search.seed)
    reporter.show(table)
    with reporter.doing("timing what a search does"):
        expected = forecast(evaluator, search)
        expected = replace(expected, seconds={**(before or {}), **expected.seconds})
        if finalists is not None:
            expected.seconds["finalists"] = finalists(search.drawn(2))
    parts = ", ".join(f"{name} {duration(seconds)}" for name, seconds in expected.seconds.items())
    reporter.say(f"time:    about {duration(expected.total)} ({parts}); what the sampler needs comes on top")
    reporter.say(f"memory:  about {expected.memory / 2**30:.1f} GiB a process")


def show_retraining(
    networks: Mapping[str, Architecture],
    sized: Mapping[int, Dataset],
    procedure: Procedure,
    seeds: int,
    reporter: Reporter,
    behind: Mapping[str, int] | None = None,
) -> None:
    """Prints what the networks cost, and how long each one's training and all of them would take here.

    Args:
        sized: the pictures at each network's side.
        behind: by name, how many epochs of all its trainings there are already.
    """
    recipe, task = procedure.recipe, procedure.task
    rows: list[tuple[str, Architecture, Cost, float]] = []
    for name, architecture in networks.items():
        side = architecture.resolution
        data = sized[side]
        with reporter.doing(f"timing the training of {name}"):
            training, validation = epoch_seconds(
                architecture, side, data, data.train, recipe, procedure.teacher, procedure.adapt, task, procedure.method
            )
        each = recipe.epochs * (training + validation)
        rows.append((name, architecture, measure(architecture, task.head(data.num_classes, architecture)), each))
    reporter.show(trainings_table(rows))
    behind = behind or {}
    left = {name: seeds - behind.get(name, 0) / recipe.epochs for name in networks}
    total = sum(left[name] * each for name, *_, each in rows)
    trained = sum(behind.values())
    trainings = len(networks) * seeds
    each_of = f"{trainings} trainings, each of" if trainings > 1 else "1 training of"
    done = f"; {trained} of all {trainings * recipe.epochs} epochs are done already" if trained else ""
    steps = "" if isinstance(task, Acting) else f" of {epoch_steps(len(data.train), recipe.batch_size)} steps"
    whole = f"{each_of} {recipe.epochs} epochs{steps}{done}"
    reporter.say(f"time:    about {duration(total)} in one process ({whole}), without the test")
    reporter.say(f"memory:  about {peak_memory() / 2**30:.1f} GiB")


def trainings_table(rows: Sequence[tuple[str, Architecture, Cost, float]]) -> Table:
    """By name the networks that a retraining trains: side, costs, and the seconds of a training."""
    table = plain_table("networks to train", ("network", "pixels", "MACs", "params", "a training"))
    for name, architecture, cost, seconds in rows:
        table.add_row(name, str(architecture.resolution), human(cost.macs), human(cost.params), duration(seconds))
    return table


def cost_table(priced: PricedSpace, seed: int) -> Table:
    """The smallest, the middle and the largest network within the budget.

    The largest is the space's where the budget allows that; else the dearest of 500 drawn, and so a lower bound.
    """
    rng = random.Random(derive(seed, "plan"))
    drawn = [priced.cost(priced.sample(rng)) for _ in range(DRAWS)]
    largest = priced.cost(priced.largest)
    smallest = [priced.cost(priced.cheapest(name)) for name in ("macs", "params")]
    names = ["macs", "params", *(["latency_ns"] if priced.latency is not None else [])]
    table = plain_table("networks within the budget", ("", *map(_title, names)), words=("",))
    least = [min(getattr(cost, name) for cost in (*drawn, *smallest)) for name in names]
    middle = [round(statistics.median(getattr(cost, name) for cost in drawn)) for name in names]
    allowed = [largest] if priced.budget.allows(largest) else []
    most = [max(getattr(cost, name) for cost in (*drawn, *allowed)) for name in names]
    for row, values in (("smallest", least), (f"median of {DRAWS} drawn", middle), ("largest", most)):
        known = row if row != "largest" or allowed else f"largest of {DRAWS} drawn"
        table.add_row(known, *(_shown(name, value) for name, value in zip(names, values, strict=True)))
    return table


def _title(name: str) -> str:
    return {"macs": "MACs", "params": "params", "latency_ns": "latency"}[name]


def _shown(name: str, value: int) -> str:
    return milliseconds(value) if name == "latency_ns" else human(value)
