"""Several spaces, each of a family of its own, as one: "which kind of network, within my budget?"."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

from foundation.errors import InputError
from search_space.architecture import Architecture
from search_space.chain import LinkProgram
from search_space.decisions import Choose, decide
from search_space.families.mixed.programs import CHOICE, ChoiceProgram, MemberProgram, Own, Within
from search_space.head import Head
from search_space.parts import Part, Piece
from search_space.space import SPACE_KINDS, SearchSpace

FAMILY = "mixed"


@SPACE_KINDS.register(FAMILY)
@dataclass(frozen=True)
class MixedSpace(SearchSpace):
    """Every architecture of some spaces, by a first decision among them.

    Raises InputError for fewer than two, for two of one family, or for such as offer other resolutions.
    """

    spaces: tuple[SearchSpace, ...]

    family = FAMILY
    start = 0
    stem_parts = ()

    def __post_init__(self) -> None:
        if len(self.spaces) < 2:
            raise InputError(f"`space`: expected two or more to search together, got {len(self.spaces)}")
        first = self.spaces[0]
        families: dict[str, str] = {}
        for space in self.spaces:
            if space.family == FAMILY:
                raise InputError(f"`space` {space.name}: is several spaces itself; name each once")
            if space.family in families:
                raise InputError(
                    f"`space`: {families[space.family]} and {space.name} are both of family {space.family}; name one"
                )
            if space.name in families.values():
                raise InputError(f"`space`: two are named {space.name}; rename one")
            families[space.family] = space.name
            if space.resolution != first.resolution:
                raise InputError(
                    f"`space`: {first.name} is for {_sides(first)} pixels, {space.name} for {_sides(space)}; name such "
                    "as offer the same"
                )
        nothing = {program.nothing for space in self.spaces for program in space.programs}
        if len(nothing) > 1:
            raise InputError(f"`space` {self.name}: their parts decide other things; search them apart")

    @property
    def name(self) -> str:  # type: ignore[override]
        """Their names, as they are given."""
        return ",".join(space.name for space in self.spaces)

    @property
    def resolution(self) -> tuple[int, ...]:  # type: ignore[override]
        """Of all of them."""
        return self.spaces[0].resolution

    @property
    def members(self) -> tuple[SearchSpace, ...]:
        """The spaces."""
        return self.spaces

    @cached_property
    def programs(self) -> tuple[LinkProgram, ...]:
        """Which space, and then its links."""
        longest = max(len(space.programs) for space in self.spaces)
        return (ChoiceProgram(self.spaces), *(MemberProgram(self.spaces, position) for position in range(longest)))

    def tail_parts(self, state: Own, head: Head) -> Sequence[Part]:
        """The chosen space's."""
        return self.spaces[state[0]].tail_parts(state[1], head)

    def tap_parts(self, index: int, link: Within, state: Any, head: Head) -> Sequence[Part]:
        """The chosen space's; the choice itself has none."""
        own = self.spaces[link.number]
        if index == 0 or index > len(own.programs):
            return ()
        return own.tap_parts(index - 1, link.link, state[1], head)

    def architecture(self, resolution: int, links: Sequence[Within]) -> Architecture:
        """The architecture of the chosen space."""
        first, *others = links
        own = self.spaces[first.number]
        return own.architecture(resolution, [link.link for link in others[: len(own.programs)]])

    def links(self, architecture: Architecture) -> Sequence[Within] | None:
        """The choice of its family's space, and the links there; None where no space has it."""
        for number, own in enumerate(self.spaces):
            inner = own.links(architecture) if own.family == architecture.family else None
            if inner is not None and len(inner) == len(own.programs):
                rest = len(self.programs) - 1 - len(inner)
                beyond = Within(number, beyond=own.programs[-1].after(inner[-1]))
                return (Within(number), *(Within(number, link) for link in inner), *(beyond for _ in range(rest)))
        return None

    def decided(self, architecture: Architecture, name: str) -> Any:
        """Which space it is of, or what it has there; None for the decisions of another space."""
        own = self.member_of(architecture)
        if own is None or name == CHOICE:
            return own and own.name
        mine = {"resolution", *(program.name for program in own.programs)}
        return own.decided(architecture, name) if name.partition(".")[0] in mine else None

    def extreme(self, choose: Choose, *, largest: bool) -> Architecture:
        """The largest (or smallest) network of the space that `choose` decides: sizes of two kinds do not compare."""
        names = tuple(space.name for space in self.spaces)
        return self.spaces[names.index(decide(choose, CHOICE, names))].extreme(choose, largest=largest)

    def stored_pieces(self, head: Head, *, own_kernels: bool) -> Iterator[tuple[str, list[tuple[str, Piece]]]]:
        """Nothing of its own: shared weights are each space's."""
        return iter(())

    def widest(self, *, own_kernels: bool) -> list[tuple[str, Architecture]]:
        """Those of every space."""
        return [
            (f"{space.name}: {told}", architecture)
            for space in self.spaces
            for told, architecture in space.widest(own_kernels=own_kernels)
        ]

    def each(self, change: Callable[[SearchSpace], SearchSpace]) -> Self:
        """The changed spaces together."""
        return type(self)(tuple(map(change, self.spaces)))

    def at(self, *resolution: int) -> Self:
        """The same spaces with other resolutions."""
        return self.each(lambda space: space.at(*resolution))

    def counting_seconds(self) -> float:
        """About how long one core takes to count all of them."""
        return sum(space.counting_seconds() for space in self.spaces)

    def to_dict(self) -> dict[str, Any]:
        """Their descriptions, and the name by which they were given together."""
        return {"family": self.family, "name": self.name, "spaces": [space.to_dict() for space in self.spaces]}

    @classmethod
    def read(cls, data: dict[str, Any]) -> Self:
        """The spaces that `to_dict` described."""
        return cls(tuple(SearchSpace.from_dict(described) for described in data["spaces"]))


def _sides(space: SearchSpace) -> str:
    return ", ".join(map(str, space.resolution))
