"""What a found network is trained beside: the hand-designed ones that a user would otherwise take, and a random one."""

import random
from collections.abc import Callable, Mapping, Sequence

from evaluators.finalists import FinalistTraining
from foundation.errors import InputError
from foundation.seeds import derive
from search_space.architecture import Architecture
from search_space.baselines import compared
from search_space.cost.cost import Budget, measure
from search_space.first_weights import FirstWeights
from search_space.head import Head
from studies.runs.source import Source

FILLS = 0.98
"""The share of the budget that a hand-designed network takes which fills it."""

Best = Callable[[Sequence[Architecture]], int]
"""The number of the best of some networks of one cost, by short trainings."""


def beside(source: Source, head: Head, best: Best) -> dict[str, Architecture]:
    """The networks by name.

    Of each kind of attention that the space offers, one that fills the budget (`full`), with the ratio that does best
    on validation pictures; and, where the found network leaves some of the budget, one of its MACs. Under a latency
    bound those that fill it are of the space, whose times are known, by the run's table. Without a budget, or such a
    table, those of the found network's MACs alone.
    """
    found, priced = source.architecture, source.priced
    space, times = (priced.space, priced.latency) if priced else (None, None)
    own = measure(found, head, times)
    networks: dict[str, Architecture] = {}
    timed = priced is not None and (priced.budget.max_latency_ns is None or times is not None)
    budget = priced.budget if priced and timed else Budget()
    if budget.bounds():
        for kind in _kinds(compared(found, space, budget, head, latency=times, every_ratio=True)).values():
            names = list(kind)
            chosen = names[best(list(kind.values())) if len(kind) > 1 else 0]
            networks[f"{chosen} full"] = kind[chosen]
    if not budget.bounds() or 1 + budget.excess(own) < FILLS:
        networks |= compared(found, space, own.macs, head)
    if priced is not None and timed:
        networks["random"] = priced.sample(random.Random(derive("random architecture", found.digest())))
    return networks


def _kinds(networks: Mapping[str, Architecture]) -> dict[str, dict[str, Architecture]]:
    """Those that differ by the ratio alone together, under the name without it."""
    kinds: dict[str, dict[str, Architecture]] = {}
    for name, network in networks.items():
        kinds.setdefault(name.partition("/")[0], {})[name] = network
    return kinds


def middle(networks: Sequence[Architecture]) -> int:
    """The number of the middle one: what stands for the best where nothing is trained."""
    return (len(networks) - 1) // 2


class Contest:
    """Which of some networks does best after the first epochs of its training, which is gone on with if it is chosen.

    Args:
        training: trains them as the retraining does, in its folder.
    """

    def __init__(self, training: FinalistTraining):
        self._training = training

    def __call__(self, networks: Sequence[Architecture]) -> int:
        training = self._training
        what = f"ratio of {'/'.join(dict.fromkeys(_attention(network) for network in networks))}"
        with training.reporter.track(what, len(networks) * training.first_steps, "steps") as advance:
            training.advance = advance
            merits = [training.rung(network, 0).merit for network in networks]
        best = merits.index(max(merits))
        for number, network in enumerate(networks):
            if number != best:
                training.remove_weights(network)
        return best


class Foreseen:
    """What a Contest would choose, where all that it asks for is there already; else the middle one. Trains nothing.

    Attributes:
        missing: how many trainings of `epochs` epochs each are left for that.
    """

    def __init__(self, training: FinalistTraining):
        self._training = training
        self.epochs = training.halving.epochs[0]
        self.missing = 0

    def __call__(self, networks: Sequence[Architecture]) -> int:
        measured = [one for network in networks if (one := self._training.known(network, 0)) is not None]
        self.missing += len(networks) - len(measured)
        if len(measured) < len(networks):
            return middle(networks)
        merits = [one.merit for one in measured]
        return merits.index(max(merits))


def _attention(network: Architecture) -> str:
    """The kind that a uniform network has."""
    kinds = (one.kind for row in network.stage_rows() for one in row.attention if one.kind != "none")
    return next(kinds, "none")


def check_comparable(init: FirstWeights) -> None:
    """Raises InputError for first weights that the others do not have."""
    if init.of_one_space:
        raise InputError(
            f"--init {init.setting}: the networks of --compare are not in the supernet; leave --compare out, or give "
            "--init scratch"
        )
