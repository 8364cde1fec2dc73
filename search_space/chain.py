"""What a family's decisions are made of: a chain of links, each decided after the state that the links before left.

A link is what one place of a network has become: of mobile networks a stage. What may stand there depends on the state
before it alone: of mobile networks the number of channels. A link's shape is decided first; then the groups of its
parts that decide together, each by itself. So a link's outcomes are, for each shape, all combinations of its groups'
options; costs add up along the chain, which is what counts, draws and prices a space.
"""

from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

from search_space.decisions import Choose, every_outcome
from search_space.parts import Part

State = Any
"""Hashable and ordered, such as an integer or a tuple of some: what a link needs to know of those before it."""

Link = Any
"""A frozen value."""

Option = Any
"""What a group may choose: hashable."""


@dataclass(frozen=True)
class Group:
    """Parts of a link that have the same option, by number, and the distinct numbers of channels that it sees there."""

    name: str
    blocks: tuple[int, ...]
    channels: tuple[int, ...]


class Shape(Protocol):
    """A link without what its groups choose."""

    @property
    def groups(self) -> tuple[Group, ...]:
        """The groups of its parts."""
        ...

    @property
    def link(self) -> Link:
        """The link in which every group has chosen what costs nothing."""
        ...

    @property
    def placeless(self) -> tuple[int, ...]:
        """The parts, by number, that are in no group."""
        ...

    def chosen(self, options: Iterable[Option]) -> Link:
        """The link with these options, one a group."""
        ...


class LinkProgram(ABC):
    """The decisions of one link.

    Attributes:
        name: what the names of its decisions begin with.
    """

    name: str

    @property
    @abstractmethod
    def place(self) -> str:
        """Its field, for messages."""

    @abstractmethod
    def shape(self, state: State, choose: Choose) -> Shape:
        """The shape that `choose` decides."""

    @abstractmethod
    def choice(self, group: Group, choose: Choose) -> Option:
        """The option that `choose` decides for a group."""

    @abstractmethod
    def parts(self, link: Link, state: State) -> Sequence[Part]:
        """The parts of a link in order; a group's options are those of the `Slot` in each of its parts."""

    @abstractmethod
    def after(self, link: Link) -> State:
        """The state after a link."""

    @abstractmethod
    def key(self, link: Link) -> Hashable:
        """Equal for links of the same shape, and for no others."""

    @abstractmethod
    def options_of(self, link: Link) -> Sequence[Option]:
        """What each part of a link has, by number; `nothing` for one without a place."""

    @property
    @abstractmethod
    def nothing(self) -> Option:
        """What a part without a place has."""

    @abstractmethod
    def size(self, shape: Shape, state: State) -> tuple[int, ...]:
        """Sorts shapes by their size."""

    @abstractmethod
    def canonical(self, link: Link, state: State, shapes: Sequence[Shape]) -> Link | None:
        """Of the links with one of the `shapes`, the same network as `link`: itself or a twin; None if none is."""

    @abstractmethod
    def told(self, link: Link) -> str:
        """A link in words, for a message."""

    @property
    @abstractmethod
    def feature_names(self) -> tuple[str, ...]:
        """What `features` are, for a regression of scores."""

    @abstractmethod
    def features(self, link: Link) -> tuple[float, ...]:
        """Numbers that describe a link."""

    def assemble(self, state: State, choose: Choose) -> Link:
        """The link that `choose` decides."""
        shape = self.shape(state, choose)
        return shape.chosen([self.choice(group, choose) for group in shape.groups])

    def shapes(self, state: State) -> tuple[Shape, ...]:
        """Every shape."""
        return tuple(every_outcome(lambda choose: self.shape(state, choose)))

    def options(self, group: Group) -> tuple[Option, ...]:
        """Every option of a group."""
        found = self._options.get(group)
        if found is None:
            found = self._options[group] = tuple(every_outcome(lambda choose: self.choice(group, choose)))
        return found

    @cached_property
    def _options(self) -> dict[Group, tuple[Option, ...]]:
        """By group; what was asked for once, since every proposal asks again."""
        return {}
