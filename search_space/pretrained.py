"""Where first weights come from: published ones, and one network's carried over to another of its family."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from torch import Tensor

from foundation.amounts import human
from foundation.errors import InputError
from foundation.registry import Registry
from search_space.architecture import Architecture
from search_space.family import found_in
from search_space.network import Network


def check_init(name: str, *more: str) -> None:
    """Raises InputError for an unknown way to initialise."""
    known = ("scratch", "torchvision", "auto", *more)
    if name not in known:
        raise InputError(f"`init` {name}: unknown; known: {', '.join(known)}")


@dataclass
class Transferred:
    """What came of a transfer.

    Attributes:
        copied: parameters that hold a value of the source.
        total: parameters of the target.
        notes: where the target differs from the source, by the name of its module, and what was done there.
        preserved: whether the target computes what the source does, up to rounding.
    """

    copied: int = 0
    total: int = 0
    notes: dict[str, str] = field(default_factory=dict)
    preserved: bool = True

    def __str__(self) -> str:
        text = f"{human(self.copied)} of {human(self.total)} parameters copied"
        if self.notes:
            text += f", {len(self.notes)} places differ ({next(iter(self.notes.items()))[0]}: "
            text += f"{next(iter(self.notes.items()))[1]}{', …' if len(self.notes) > 1 else ''})"
        return f"{text}; the function is {'preserved' if self.preserved else 'not preserved exactly'}"


class _Transfer(Protocol):
    def __call__(self, source: Network, target: Network, *, compensate: bool) -> Transferred: ...


@dataclass(frozen=True)
class Published:
    """What a family knows of published weights, and how weights carry over from one of its networks to another.

    Attributes:
        check: the published architecture of an architecture's kind; raises InputError if no weights of one are.
        network: the published network of an architecture's kind, from a state dictionary or as it is fetched.
        at_hand: what `auto` stands for, `torchvision` or `scratch`, and why; nothing is downloaded.
        transfer: copies what the target shares with the source, and fills the rest.
    """

    check: Callable[[Any], Architecture]
    network: Callable[[Any, dict[str, Tensor] | None], Network]
    at_hand: Callable[[Any], tuple[str, str]]
    transfer: _Transfer


PUBLISHED: Registry[Published] = Registry("family with published weights")
"""Registered in the file `pretrained.py` of a family's room."""


def check_published(architecture: Architecture) -> Architecture:
    """The published architecture of the architecture's kind. Raises InputError if no weights of one are published."""
    return _of(architecture).check(architecture)


def published(architecture: Architecture, state: dict[str, Tensor] | None = None) -> Network:
    """torchvision's ImageNet network of the architecture's kind, with 1000 classes, as one of ours.

    Args:
        state: a state dictionary as torchvision has it; by default the published one, which is downloaded once into
            torch's cache.

    Raises InputError for a kind that torchvision has no weights of, or if they cannot be fetched.
    """
    return _of(architecture).network(architecture, state)


def at_hand(architecture: Architecture) -> tuple[str, str]:
    """What `auto` stands for, `torchvision` or `scratch`, and why. Nothing is downloaded."""
    try:
        return _of(architecture).at_hand(architecture)
    except InputError as error:
        return "scratch", str(error).removeprefix("`init` torchvision: ").partition(";")[0]


def transfer(source: Network, target: Network, *, compensate: bool = True) -> Transferred:
    """Copies what `target` shares with `source`, and fills the rest so that the function is kept where possible.

    Args:
        compensate: whether the convolution after a new attention makes up for its constant gates. In shared weights it
            must not, since the same convolution follows other attention as well; recomputed batch statistics do.
    """
    return _of(target.architecture).transfer(source, target, compensate=compensate)


def _of(architecture: Architecture) -> Published:
    try:
        return found_in(PUBLISHED, architecture.family, "pretrained")
    except InputError:
        raise InputError(
            f"`init` torchvision: no published weights for networks of family {architecture.family}; use `init` scratch"
        ) from None
