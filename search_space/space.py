"""A search space: one decision program whose every run is an architecture."""

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterator, Sequence
from functools import cached_property
from typing import Any, ClassVar, Self, TypeVar, cast

from foundation.errors import InputError
from foundation.json_files import shown
from foundation.registry import Registry
from search_space.architecture import FIRST_FAMILY, Architecture, Attention
from search_space.chain import Link, LinkProgram, Shape, State
from search_space.decisions import Choose, decide, every_outcome
from search_space.family import OR_A_PLUGIN, found_in
from search_space.head import Head
from search_space.parts import Part, Piece

_Option = TypeVar("_Option", bound=Hashable)

MOST_OPTIONS = 4096  # in one dimension


class SearchSpace(ABC):
    """Every architecture that `assemble` can return; each family has a frozen dataclass of its own.

    A family's dataclass is registered in `SPACE_KINDS`, in the file `space.py` of the family's room. `SearchSpace(…)`
    itself makes one of the first family, the mobile networks.

    Attributes:
        family: of its architectures.
        resolution: the sides of the input to choose from, in pixels.
    """

    family: ClassVar[str]
    name: str
    resolution: tuple[int, ...]

    def __new__(cls, *_args: Any, **_fields: Any) -> Self:
        """Where there was one family only, its spaces had this name: who makes one by it still gets it."""
        made = found_in(SPACE_KINDS, FIRST_FAMILY, "space") if cls is SearchSpace else cls
        return cast(Self, object.__new__(made))

    @property
    @abstractmethod
    def programs(self) -> tuple[LinkProgram, ...]:
        """The decision program of each link."""

    @property
    @abstractmethod
    def start(self) -> State:
        """The state before the first link."""

    @property
    @abstractmethod
    def stem_parts(self) -> tuple[Part, ...]:
        """The parts before the first link, the same in every network."""

    @abstractmethod
    def tail_parts(self, state: State, head: Head) -> Sequence[Part]:
        """The parts after a last link that leaves `state`; the head's is the last."""

    def tap_parts(self, index: int, link: Link, state: State, head: Head) -> Sequence[Part]:
        """What the head's taps read at a link, on a map as large as the link's input."""
        if head.taps:
            raise InputError(f"networks of family {self.family} give a head no map but the last")
        return ()

    @abstractmethod
    def architecture(self, resolution: int, links: Sequence[Link]) -> Architecture:
        """The architecture of these links."""

    @abstractmethod
    def links(self, architecture: Architecture) -> Sequence[Link] | None:
        """The links of an architecture; None for one that differs in what is fixed in this space, its family first."""

    @abstractmethod
    def stored_pieces(self, head: Head, *, own_kernels: bool) -> Iterator[tuple[str, list[tuple[str, Piece]]]]:
        """The pieces that hold all parameters of shared weights, part by part, in the order in which they are drawn.

        Of each part its name and its pieces with their roles; of pieces that share a role the first counts. A piece is
        as large as any network of the space has it there, along every axis.
        """

    @abstractmethod
    def widest(self, *, own_kernels: bool) -> Sequence[tuple[str, Architecture]]:
        """Architectures that together have every parameter of shared weights, each with what tells it apart."""

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """Plain dictionaries, tuples and values: all that says which networks there are; `family` but for the first."""

    @classmethod
    @abstractmethod
    def read(cls, data: dict[str, Any]) -> Self:
        """The space that `to_dict` described, lists for tuples. Raises what a field of another type raises."""

    def at(self, *resolution: int) -> Self:
        """The same space with other resolutions."""
        return cast(Self, dataclasses.replace(cast(Any, self), resolution=resolution))

    @property
    def members(self) -> "tuple[SearchSpace, ...]":
        """The spaces that it is made of, each of a family of its own: itself, unless several are searched together."""
        return (self,)

    def each(self, change: "Callable[[SearchSpace], SearchSpace]") -> "SearchSpace":
        """The space of its members, each of them changed."""
        return change(self)

    def member_of(self, architecture: Architecture) -> "SearchSpace | None":
        """The one of the members that is of the architecture's family."""
        return next((one for one in self.members if one.family == architecture.family), None)

    def decided(self, architecture: Architecture, name: str) -> Any:
        """What an architecture of the space has where the decision of that name is made; None where it has none."""
        return architecture.decided(name)

    def counting_seconds(self) -> float:
        """About how long one core takes to count it."""
        return 0.0

    def assemble(self, choose: Choose) -> Architecture:
        """The architecture that `choose` decides. The only description of the space."""
        resolution = decide(choose, "resolution", self.resolution)
        links: list[Link] = []
        state = self.start
        for program in self.programs:
            links.append(program.assemble(state, choose))
            state = program.after(links[-1])
        return self.architecture(resolution, links)

    def extreme(self, choose: Choose, *, largest: bool) -> Architecture:
        """The largest (or smallest) network, with the options that `choose` decides for its groups.

        Resolution and then, link after link, the shape are as large as they can be, by the program's `size`.
        """
        links: list[Link] = []
        state = self.start
        for index, program in enumerate(self.programs):
            shape = self._extreme_shape(index, state, largest)
            links.append(shape.chosen([program.choice(group, choose) for group in shape.groups]))
            state = program.after(links[-1])
        return self.architecture((max if largest else min)(self.resolution), links)

    def _extreme_shape(self, index: int, state: State, largest: bool) -> Shape:
        """The shape at `index` of the largest (or smallest) network; kept, since a supernet asks at every step."""
        key = (index, state, largest)
        if key not in self._extreme_shapes:
            sized = (max if largest else min)(
                self.shapes(index, state), key=lambda shape: self.programs[index].size(shape, state)
            )
            self._extreme_shapes[key] = sized
        return self._extreme_shapes[key]

    @cached_property
    def _extreme_shapes(self) -> dict[tuple[int, State, bool], Shape]:
        return {}

    def choices(self, architecture: Architecture) -> dict[str, Any]:
        """The decisions that assemble `architecture`, or its twin in the space, by name.

        Raises InputError if the space does not hold it.
        """
        made: dict[str, Any] = {}
        canonical = self.canonical(architecture)

        def follow(name: str, options: Sequence[_Option]) -> _Option:  # noqa: ARG001
            made[name] = self.decided(canonical, name)
            return cast(_Option, made[name])

        self.assemble(follow)
        return made

    def canonical(self, architecture: Architecture) -> Architecture:
        """The architecture of the space that is the same network: itself, or a twin written otherwise.

        Raises InputError naming the field that the space does not hold.
        """
        links = self.links(architecture)
        if links is None or len(links) != len(self.programs) or architecture.resolution not in self.resolution:
            raise InputError(f"architecture {architecture.digest()[:12]} is not in space {self.name}")
        twins: list[Link] = []
        state = self.start
        for index, (program, link) in enumerate(zip(self.programs, links, strict=True)):
            twin = program.canonical(link, state, self.shapes(index, state))
            if twin is None:
                raise InputError(f"{program.place}: {program.told(link)} is not in space {self.name}")
            twins.append(twin)
            state = program.after(twin)
        return self.architecture(architecture.resolution, twins)

    @staticmethod
    def from_dict(data: Any) -> "SearchSpace":
        """The space that `to_dict` described, lists for tuples. Raises InputError if it is none."""
        try:
            fields = {**data}
            family = fields.pop("family", FIRST_FAMILY)
            if not isinstance(family, str):
                raise InputError(f"family: expected a name, got {shown(family)}")
            return found_in(SPACE_KINDS, family, "space").read(fields)
        except (LookupError, TypeError, AttributeError) as error:
            raise InputError(f"not a search space: {error}") from None

    def shapes(self, index: int, state: State) -> tuple[Shape, ...]:
        """Every shape that may stand at `index` after `state`."""
        key = (index, state)
        if key not in self._shapes:
            self._shapes[key] = self.programs[index].shapes(state)
        return self._shapes[key]

    @cached_property
    def _shapes(self) -> dict[tuple[int, State], tuple[Shape, ...]]:
        return {}

    def enumerate(self) -> Iterator[Architecture]:
        """Every architecture once. Only for small spaces."""
        return every_outcome(self.assemble)


SPACE_KINDS: Registry[type[SearchSpace]] = Registry("family", OR_A_PLUGIN)
"""The spaces of each family."""


def check_space_name(name: object) -> None:
    """Raises InputError if it is no text."""
    if not isinstance(name, str):
        raise InputError(f"name: expected a name, got {shown(name)}")


def check_options(name: str, options: Sequence[object]) -> None:
    """Raises InputError if there is no option, or one twice."""
    if not isinstance(options, tuple) or not options:
        raise InputError(f"{name}: expected at least one option")
    if len(options) > MOST_OPTIONS:
        raise InputError(f"{name}: {len(options)} options; at most {MOST_OPTIONS} are read")
    for index, option in enumerate(options):
        if option in options[:index]:
            told = option.label if isinstance(option, Attention) else option
            raise InputError(f"{name}: {told} is given twice")
