"""The decision programs of spaces that are searched together: first which space, then what that one decides.

A state is the number of the space and its own state; so the spaces' chains stand side by side, and nothing of one can
follow the other. A space of fewer links than another goes on with nothing.
"""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from search_space.chain import Group, Link, LinkProgram, Option, Shape, State
from search_space.decisions import Choose, decide
from search_space.parts import Part
from search_space.space import SearchSpace

CHOICE = "space"
"""The first decision."""

Own = tuple[int, State]
"""The number of a space, and its own state."""


@dataclass(frozen=True)
class Within:
    """A link of one of the spaces; `beyond` the last one there is no link, only the state that is left."""

    number: int
    link: Link = None
    beyond: State = None


@dataclass(frozen=True)
class WithinShape:
    """A shape of one of the spaces; None where it has no link any more."""

    link: Within
    inner: Shape | None = None

    @property
    def groups(self) -> tuple[Group, ...]:
        """Its groups."""
        return () if self.inner is None else self.inner.groups

    @property
    def placeless(self) -> tuple[int, ...]:
        """Its parts without a group."""
        return () if self.inner is None else self.inner.placeless

    def chosen(self, options: Iterable[Option]) -> Within:
        """The link with these options."""
        return self.link if self.inner is None else Within(self.link.number, self.inner.chosen(options))


@dataclass(frozen=True)
class ChoiceProgram(LinkProgram):
    """Which space. Its link is the space's number."""

    spaces: tuple[SearchSpace, ...]
    name: str = CHOICE

    place = "family"

    @property
    def nothing(self) -> Option:
        return None

    def shape(self, state: State, choose: Choose) -> WithinShape:
        """One of the spaces, by its name."""
        names = tuple(space.name for space in self.spaces)
        return WithinShape(Within(names.index(decide(choose, CHOICE, names))))

    def choice(self, group: Group, choose: Choose) -> Option:
        raise AssertionError("which space has no groups")

    def parts(self, link: Within, state: State) -> Sequence[Part]:
        """What stands before the space's first link."""
        return self.spaces[link.number].stem_parts

    def after(self, link: Within) -> Own:
        """The space's own first state."""
        return link.number, self.spaces[link.number].start

    def key(self, link: Within) -> Hashable:
        return link

    def options_of(self, link: Within) -> Sequence[Option]:
        return ()

    def size(self, shape: Shape, state: State) -> tuple[int, ...]:
        return (shape.link.number,)

    def canonical(self, link: Within, state: State, shapes: Sequence[Shape]) -> Within | None:
        return link if any(shape.link == link for shape in shapes) else None

    def told(self, link: Within) -> str:
        return self.spaces[link.number].name

    @property
    def feature_names(self) -> tuple[str, ...]:
        return tuple(space.name for space in self.spaces)

    def features(self, link: Within) -> tuple[float, ...]:
        """Which one."""
        return tuple(float(number == link.number) for number in range(len(self.spaces)))


@dataclass(frozen=True)
class MemberProgram(LinkProgram):
    """The link at a position of whichever space was chosen."""

    spaces: tuple[SearchSpace, ...]
    position: int

    @property
    def name(self) -> str:  # type: ignore[override]
        """`link0` and so on."""
        return f"link{self.position}"

    @property
    def place(self) -> str:
        """Those of the spaces, for messages."""
        return " or ".join(program.place for program in self._programs.values())

    @cached_property
    def _programs(self) -> dict[int, LinkProgram]:
        """The spaces' own programs, by the numbers of those that have one here."""
        return {
            number: space.programs[self.position]
            for number, space in enumerate(self.spaces)
            if self.position < len(space.programs)
        }

    @property
    def nothing(self) -> Option:
        """The same in all spaces, see `MixedSpace`."""
        return next(iter(self._programs.values())).nothing

    def shape(self, state: Own, choose: Choose) -> WithinShape:
        """The space's own."""
        number, own = state
        if number not in self._programs:
            return WithinShape(Within(number, beyond=own))
        inner = self._programs[number].shape(own, choose)
        return WithinShape(Within(number, inner.link), inner)

    def choice(self, group: Group, choose: Choose) -> Option:
        """By the program whose name the group's begins with."""
        name = group.name.partition(".")[0]
        return next(one for one in self._programs.values() if one.name == name).choice(group, choose)

    def parts(self, link: Within, state: Own) -> Sequence[Part]:
        program = self._programs.get(link.number)
        return () if program is None else program.parts(link.link, state[1])

    def after(self, link: Within) -> Own:
        program = self._programs.get(link.number)
        return link.number, link.beyond if program is None else program.after(link.link)

    def key(self, link: Within) -> Hashable:
        program = self._programs.get(link.number)
        return link if program is None else (link.number, program.key(link.link))

    def options_of(self, link: Within) -> Sequence[Option]:
        program = self._programs.get(link.number)
        return () if program is None else program.options_of(link.link)

    def size(self, shape: Any, state: Own) -> tuple[int, ...]:
        program = self._programs.get(shape.link.number)
        return () if program is None else program.size(shape.inner, state[1])

    def canonical(self, link: Within, state: Own, shapes: Sequence[Any]) -> Within | None:
        """The space's own."""
        program = self._programs.get(link.number)
        if program is None:
            return link
        same = program.canonical(link.link, state[1], [shape.inner for shape in shapes])
        return None if same is None else Within(link.number, same)

    def told(self, link: Within) -> str:
        program = self._programs.get(link.number)
        return "nothing" if program is None else program.told(link.link)

    @property
    def feature_names(self) -> tuple[str, ...]:
        return tuple(f"{one.name} {name}" for one in self._programs.values() for name in one.feature_names)

    def features(self, link: Within) -> tuple[float, ...]:
        """The space's own, and 0 for the others'."""
        found: list[float] = []
        for number, program in self._programs.items():
            own = number == link.number
            found += program.features(link.link) if own else [0.0 for _ in program.feature_names]
        return tuple(found)
