"""A search space: one decision program whose every run is an architecture."""

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any, Protocol, TypeVar

from search_space import attention as attention_ops
from search_space.architecture import Architecture, Attention, Stage
from search_space.blocks import NO_ATTENTION, BlockPart, ClassifierPart, ConvPart, block_structure, stage_blocks, strided
from search_space.cost import Budget, Cost, measure, part_cost
from search_space.errors import InputError
from search_space.sampling import BudgetTable, Rng, budget_table

_Option = TypeVar("_Option", bound=Hashable)
_Outcome = TypeVar("_Outcome")


class Choose(Protocol):
    """Decides: is given a decision's name and its options (at least two), returns one of them.

    A name always comes with the same options. Names are `resolution` and `stage{i}.{dimension}`, where the dimension
    is width, depth, expansion, kernel_size, attention (a kind) or that kind's reduction; where earlier decisions leave
    fewer options, these are part of the name.
    """

    def __call__(self, name: str, options: Sequence[_Option]) -> _Option: ...


@dataclass(frozen=True)
class StageOptions:
    """What a stage may be: its options in each dimension, and what is fixed."""

    block: str
    stride: int
    width: tuple[int, ...]
    depth: tuple[int, ...]
    expansion: tuple[int, ...]
    kernel_size: tuple[int, ...]
    attention: tuple[Attention, ...]


@dataclass(frozen=True)
class SearchSpace:
    """Every architecture that `assemble` can return. Costs are for a classifier of `num_classes`."""

    name: str
    resolution: tuple[int, ...]
    stem_width: int
    stem_stride: int
    stages: tuple[StageOptions, ...]
    head_width: int | None
    activation: str
    num_classes: int = 1000

    def assemble(self, choose: Choose) -> Architecture:
        """The architecture that `choose` decides. The only description of the space."""
        resolution = _decide(choose, "resolution", self.resolution)
        stages = []
        width = self.stem_width
        for index in range(len(self.stages)):
            stages.append(self.assemble_stage(index, width, choose))
            width = stages[-1].width
        return self._architecture(resolution, tuple(stages))

    def assemble_stage(self, index: int, in_width: int, choose: Choose) -> Stage:
        """The stage that `choose` decides, after a stage (or stem) of `in_width` channels."""
        options = self.stages[index]
        prefix = f"stage{index}"
        width = _decide(choose, f"{prefix}.width", options.width)
        depth = _decide(choose, f"{prefix}.depth", options.depth)
        stage = Stage(
            options.block,
            width,
            options.stride,
            options.expansion[0],
            options.kernel_size[0],
            attention=(NO_ATTENTION,) * depth,
        )
        # Width and depth can leave no difference between expansions or kernels, and all of them none between ratios:
        # of twins only the first is offered.
        expansions = self._distinct(in_width, [replace(stage, expansion=option) for option in options.expansion])
        stage = _decide_twinless(choose, prefix, "expansion", stage, expansions, len(options.expansion))
        kernels = self._distinct(in_width, [replace(stage, kernel_size=option) for option in options.kernel_size])
        stage = _decide_twinless(choose, prefix, "kernel_size", stage, kernels, len(options.kernel_size))
        channels = tuple(part.attention_channels for part in self._block_parts(stage, in_width))
        places = tuple(dict.fromkeys(count for count in channels if count is not None))
        if not places:
            return stage
        kind = _decide(choose, f"{prefix}.attention", _kinds(options.attention))
        ratios = _distinct_ratios(options.attention, kind, places)
        if ratios:
            name = f"{prefix}.{kind}_reduction({','.join(map(str, ratios))})"
            attention = Attention(kind, _decide(choose, name, ratios))
        else:
            attention = Attention(kind)
        return replace(
            stage, attention=tuple(NO_ATTENTION if count is None else attention for count in channels)
        )

    def choices(self, architecture: Architecture) -> dict[str, Any]:
        """The decisions that assemble `architecture`, by name. Raises InputError if the space does not hold it."""
        made: dict[str, Any] = {}

        def follow(name: str, options: Sequence[_Option]) -> _Option:
            choice = _read(architecture, name)
            if choice not in options:
                raise InputError(f"{name}: {choice!r} is not in space {self.name} ({', '.join(map(str, options))})")
            made[name] = choice
            return choice

        if len(architecture.stages) != len(self.stages) or self.assemble(follow) != architecture:
            raise InputError(f"architecture {architecture.digest()[:12]} is not in space {self.name}")
        return made

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "SearchSpace":
        """The space that `dataclasses.asdict` described, lists for tuples. Raises InputError if it is none."""
        try:
            stages = []
            for stage in data["stages"]:
                options: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in stage.items()}
                options["attention"] = tuple(Attention(**attention) for attention in stage["attention"])
                stages.append(StageOptions(**options))
            return cls(**{**data, "resolution": tuple(data["resolution"]), "stages": tuple(stages)})
        except (KeyError, TypeError, AttributeError) as error:
            raise InputError(f"not a search space: {error}") from None

    def cost(self, architecture: Architecture) -> Cost:
        """MACs and parameters with the space's number of classes."""
        return measure(architecture, self.num_classes)

    def stage_outcomes(self, index: int, in_width: int) -> tuple[Stage, ...]:
        """Every stage that may stand at `index` after `in_width` channels."""
        return _stage_outcomes(self, index, in_width)

    def stage_cost(self, stage: Stage, in_width: int, size: int) -> Cost:
        """Cost of a stage on an input of `size`×`size` pixels and `in_width` channels."""
        total = Cost()
        for part in self._block_parts(stage, in_width):
            total += part_cost(part, size)
            size = part.output_size(size)
        return total

    def fixed_cost(self, resolution: int, last_width: int) -> Cost:
        """Cost of the stem, and of head and classifier after a last stage of `last_width` channels."""
        size = strided(resolution, self.stem_stride)
        for options in self.stages:
            size = strided(size, options.stride)
        total = part_cost(ConvPart(3, self.stem_width, 3, self.stem_stride, self.activation), resolution)
        if self.head_width is not None:
            total += part_cost(ConvPart(last_width, self.head_width, activation=self.activation), size)
            last_width = self.head_width
        return total + part_cost(ClassifierPart(last_width, self.num_classes), size)

    def enumerate(self) -> Iterator[Architecture]:
        """Every architecture once. Only for small spaces."""
        return every_outcome(self.assemble)

    def count(self, budget: Budget | None = None) -> tuple[int, int]:
        """A lower and an upper bound on the number of architectures, equal where the count is exact.

        Without a budget it always is; with one, up to the table's resolution of the tightest bound.
        """
        return self.table(budget).count()

    def sample(self, rng: Rng, budget: Budget | None = None) -> Architecture:
        """An architecture drawn uniformly from those within the budget.

        `rng` is a random.Random or a numpy Generator. Raises InputError if no architecture meets the budget.
        """
        return self.table(budget).sample(rng)

    def table(self, budget: Budget | None = None) -> BudgetTable:
        """The (cached) table that counts and samples within the budget."""
        return budget_table(self, budget or Budget())

    @cached_property
    def smallest(self) -> Architecture:
        """The architecture of the fewest MACs."""
        return self.cheapest("macs")

    @cached_property
    def largest(self) -> Architecture:
        """The architecture of the most MACs."""
        return self.cheapest("macs", sign=-1)

    def cheapest(self, measure_name: str, sign: int = 1) -> Architecture:
        """The architecture with the lowest (`sign=-1`: highest) `macs` or `params`."""
        best: tuple[int, tuple[Stage, ...], int] | None = None
        for resolution in self.resolution:
            # Shortest path along the chain of stages, by output width.
            paths: dict[int, tuple[int, tuple[Stage, ...]]] = {self.stem_width: (0, ())}
            size = strided(resolution, self.stem_stride)
            for index, options in enumerate(self.stages):
                longer: dict[int, tuple[int, tuple[Stage, ...]]] = {}
                for width, (cost, stages) in paths.items():
                    for stage in self.stage_outcomes(index, width):
                        total = cost + sign * getattr(self.stage_cost(stage, width, size), measure_name)
                        if stage.width not in longer or total < longer[stage.width][0]:
                            longer[stage.width] = (total, (*stages, stage))
                paths = longer
                size = strided(size, options.stride)
            for width, (cost, stages) in paths.items():
                total = cost + sign * getattr(self.fixed_cost(resolution, width), measure_name)
                if best is None or total < best[0]:
                    best = (total, stages, resolution)
        assert best is not None
        return self._architecture(best[2], best[1])

    def _architecture(self, resolution: int, stages: tuple[Stage, ...]) -> Architecture:
        return Architecture(
            resolution=resolution,
            stem_width=self.stem_width,
            stem_stride=self.stem_stride,
            stages=stages,
            head_width=self.head_width,
            activation=self.activation,
        )

    def _block_parts(self, stage: Stage, in_width: int) -> list[BlockPart]:
        return stage_blocks(stage, in_width, self.activation)

    def _distinct(self, in_width: int, stages: Sequence[Stage]) -> list[Stage]:
        """Those that are different networks after `in_width` channels: of twins, the first."""
        first: dict[tuple[object, ...], Stage] = {}
        for stage in stages:
            blocks = tuple(dict.fromkeys(self._block_parts(stage, in_width)))
            first.setdefault(tuple(block_structure(block) for block in blocks), stage)
        return list(first.values())


def every_outcome(program: Callable[[Choose], _Outcome]) -> Iterator[_Outcome]:
    """Every outcome of a decision program once, the last decision varying fastest."""
    path: list[int] = []
    while True:
        counts: list[int] = []

        def choose(name: str, options: Sequence[_Option], counts: list[int] = counts) -> _Option:  # noqa: ARG001
            if len(counts) == len(path):
                path.append(0)
            counts.append(len(options))
            return options[path[len(counts) - 1]]

        yield program(choose)
        while path and path[-1] + 1 == counts[len(path) - 1]:
            path.pop()
        if not path:
            return
        path[-1] += 1


def dimension(name: str) -> str:
    """What a decision is about: resolution, width, depth, expansion, kernel_size, attention or reduction."""
    last = name.rpartition(".")[2].partition("(")[0]
    return "reduction" if last.endswith("_reduction") else last


def _decide(choose: Choose, name: str, options: Sequence[_Option]) -> _Option:
    return options[0] if len(options) == 1 else choose(name, options)


def _decide_twinless(
    choose: Choose, prefix: str, what: str, stage: Stage, distinct: Sequence[Stage], offered: int
) -> Stage:
    """The stage with one of the distinct values; the options are part of the name where not all are distinct."""
    values = tuple(getattr(option, what) for option in distinct)
    name = f"{prefix}.{what}"
    if len(values) < offered:
        name += f"({','.join(map(str, values))})"
    return replace(stage, **{what: _decide(choose, name, values)})


@lru_cache(maxsize=1024)
def _kinds(options: tuple[Attention, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(attention.kind for attention in options))


def _read(architecture: Architecture, name: str) -> Any:
    """What `architecture` has where the decision `name` is made."""
    if name == "resolution":
        return architecture.resolution
    stage = architecture.stages[int(name.partition(".")[0].removeprefix("stage"))]
    what = dimension(name)
    # A stage's last block has a place for attention if any of its blocks has.
    if what == "attention":
        return stage.attention[-1].kind
    if what == "reduction":
        return stage.attention[-1].reduction
    return getattr(stage, what)


@lru_cache(maxsize=1 << 16)
def _distinct_ratios(options: tuple[Attention, ...], kind: str, channels: tuple[int, ...]) -> tuple[int, ...]:
    """The ratios offered for `kind` that differ in at least one block: of twins, the first."""
    first: dict[tuple[str, ...], int] = {}
    for attention in options:
        if attention.kind == kind and attention.reduction is not None:
            key = tuple(attention_ops.structure(attention, count) for count in channels)
            first.setdefault(key, attention.reduction)
    return tuple(first.values())


@lru_cache(maxsize=4096)
def _stage_outcomes(space: SearchSpace, index: int, in_width: int) -> tuple[Stage, ...]:
    return tuple(every_outcome(lambda choose: space.assemble_stage(index, in_width, choose)))
