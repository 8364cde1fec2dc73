"""The registry of zero-cost scores, the counts among them, and the aggregates made of several.

A new score is one function and one line, in a module that `evaluators/zero_cost/__init__.py` imports:

    @register("mine")
    def mine(network: Network, images: Tensor, labels: Tensor) -> float:
        ...

It gets a freshly initialised network of its own in training mode, which it may change, and the same batch as every
other candidate (N×3×H×W at the architecture's resolution), whose labels are the task's targets: one that needs them to
be labels of classes (N, int64) says so by `@of_class_labels` below its registration. Higher is better. It may draw from
torch's random state, which is seeded for it and put back afterwards. From its registration on a score can be the
`score` and the `prior` of a search, and is put through the contract tests of the registry.
"""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from foundation.errors import InputError
from foundation.registry import Registry
from search_space.cost.cost import measure
from search_space.network import Network

ScoreFunction = Callable[[Network, Tensor, Any], float]

SCORES: Registry[ScoreFunction] = Registry("score")

AGGREGATES: dict[str, tuple[str, ...]] = {
    # AZ-NAS (arXiv:2403.19232, section 3); its complexity is the count of MACs.
    "az_nas": ("expressivity", "progressivity", "trainability", "macs"),
    # The scores that look at different things: paths, patterns, gradients, size.
    "consensus": ("synflow", "naswot", "zico", "macs"),
}
"""Scores made of the ranks of others: see `Scorer.score`."""


def register(name: str) -> Callable[[ScoreFunction], ScoreFunction]:
    """Decorator that makes a function known as the score `name`."""

    if name in AGGREGATES:
        raise ValueError(f"score {name!r} is registered already, as an aggregate")
    return SCORES.register(name)


OF_CLASS_LABELS: set[ScoreFunction] = set()
"""Those that no other task has."""


def of_class_labels(score: ScoreFunction) -> ScoreFunction:
    """Decorator for a score that looks at the labels of classes."""
    OF_CLASS_LABELS.add(score)
    return score


def single_scores() -> tuple[str, ...]:
    """The registered scores that a network has by itself, in order of registration."""
    return SCORES.names()


def names() -> tuple[str, ...]:
    """Every score: the aggregates first, then the single ones."""
    return (*AGGREGATES, *SCORES)


def components(name: str) -> tuple[str, ...]:
    """The single scores that a score is made of. Raises InputError for an unknown name."""
    check_score(name)
    return AGGREGATES.get(name, (name,))


def check_score(name: str) -> None:
    """Raises InputError for an unknown score."""
    if name not in names():
        raise InputError(f"`score` {name}: unknown; known: {', '.join(names())}")


@register("macs")
def macs(network: Network, images: Tensor, labels: Tensor) -> float:
    """Multiply-accumulates for one picture: what any other score has to beat."""
    return float(measure(network.architecture, network.task_head).macs)


@register("params")
def params(network: Network, images: Tensor, labels: Tensor) -> float:
    """Trainable parameters."""
    return float(sum(parameter.numel() for parameter in network.parameters()))
