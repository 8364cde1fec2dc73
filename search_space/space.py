"""A search space: one decision program whose every run is an architecture."""

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, lru_cache
from typing import Any, Protocol, TypeVar, cast

import numpy as np

from search_space import attention as attention_ops
from search_space.architecture import MAX_DEPTH, Architecture, Attention, Stage
from search_space.blocks import (
    ACTIVATIONS,
    NO_ATTENTION,
    ClassifierPart,
    ConvPart,
    Part,
    block_structure,
    blocks,
    stage_blocks,
)
from search_space.cost import Budget, Cost, measure
from search_space.cost_table import COLUMNS, CostTable
from search_space.errors import InputError
from search_space.latency import LatencyTable
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

    def __post_init__(self) -> None:
        if self.block not in blocks():
            raise InputError(f"block: {self.block!r} is unknown; known: {', '.join(blocks())}")
        for name in ("width", "depth", "expansion", "kernel_size", "attention"):
            _check_options(name, getattr(self, name))
        for depth in self.depth:
            if type(depth) is not int or not 1 <= depth <= MAX_DEPTH:
                raise InputError(f"depth: expected integers from 1 to {MAX_DEPTH}, got {depth!r}")
        # A stage checks its own fields: every option is tried in one.
        first = Stage(self.block, self.width[0], self.stride, self.expansion[0], self.kernel_size[0], (NO_ATTENTION,))
        for name in ("width", "expansion", "kernel_size"):
            for value in getattr(self, name):
                replace(first, **{name: value})
        for attention in self.attention:
            try:
                attention_ops.structure(attention, 8)
            except InputError as error:
                raise InputError(f"attention: {error}") from None


@dataclass(frozen=True)
class SearchSpace:
    """Every architecture that `assemble` can return.

    Costs are for a classifier of `num_classes`, with latencies if there is a table; that is no part of what `to_dict`
    describes, since it changes no network.

    Raises InputError, `field: problem`, for options that repeat, are out of range or name something unknown.
    """

    name: str
    resolution: tuple[int, ...]
    stem_width: int
    stem_stride: int
    stages: tuple[StageOptions, ...]
    head_width: int | None
    activation: str
    num_classes: int = 1000
    latency: LatencyTable | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        _check_options("resolution", self.resolution)
        if self.activation not in ACTIVATIONS:
            raise InputError(f"activation: {self.activation!r} is unknown; known: {', '.join(ACTIVATIONS)}")
        before: tuple[int, ...] = (self.stem_width,)
        for index, options in enumerate(self.stages):
            shared = set(before) & set(options.width)
            if options.block == "sandglass_thin" and options.stride == 1 and shared:
                raise InputError(
                    f"stages[{index}].width: {min(shared)} is a width of the stage before as well; a sandglass_thin of "
                    "stride 1 has to change it"
                )
            before = options.width
        # An architecture checks its own fields.
        for resolution in self.resolution:
            first = [
                Stage(o.block, o.width[0], o.stride, o.expansion[0], o.kernel_size[0], (NO_ATTENTION,))
                for o in self.stages
            ]
            self.architecture(resolution, tuple(first))

    def assemble(self, choose: Choose) -> Architecture:
        """The architecture that `choose` decides. The only description of the space."""
        resolution = _decide(choose, "resolution", self.resolution)
        stages = []
        width = self.stem_width
        for index in range(len(self.stages)):
            stages.append(self.assemble_stage(index, width, choose))
            width = stages[-1].width
        return self.architecture(resolution, tuple(stages))

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
        stage = self._decide_twinless(choose, prefix, "expansion", stage, in_width, options.expansion)
        stage = self._decide_twinless(choose, prefix, "kernel_size", stage, in_width, options.kernel_size)
        channels = tuple(part.attention_channels for part in stage_blocks(stage, in_width, self.activation))
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
        return replace(stage, attention=tuple(NO_ATTENTION if count is None else attention for count in channels))

    def extreme(self, name: str, options: Sequence[Any], *, largest: bool) -> Any:
        """The option that makes the largest (or smallest) tensors; of no meaning for an attention's kind."""
        what = dimension(name)
        # A ratio divides: an attention's reduction, and the expansion of a sandglass.
        divides = what == "reduction"
        if what == "expansion":
            divides = self.stages[int(name.partition(".")[0].removeprefix("stage"))].block.startswith("sandglass")
        return max(options) if largest != divides else min(options)

    def choices(self, architecture: Architecture) -> dict[str, Any]:
        """The decisions that assemble `architecture`, or its twin in the space, by name.

        Raises InputError if the space does not hold it.
        """
        made: dict[str, Any] = {}
        canonical = self.canonical(architecture)

        def follow(name: str, options: Sequence[_Option]) -> _Option:  # noqa: ARG001
            made[name] = decided(canonical, name)
            return cast(_Option, made[name])

        self.assemble(follow)
        return made

    def canonical(self, architecture: Architecture) -> Architecture:
        """The architecture of the space that is the same network: itself, or a twin written otherwise.

        Raises InputError naming the field that the space does not hold.
        """
        stages = []
        if len(architecture.stages) == len(self.stages) and architecture.resolution in self.resolution:
            in_width = self.stem_width
            for index, stage in enumerate(architecture.stages):
                # Outcomes are few thousand, and most architectures are already as the space writes them.
                outcomes = self.stage_outcomes(index, in_width)
                if stage not in outcomes:
                    meant = self._structure(stage, in_width)
                    twin = next((other for other in outcomes if self._structure(other, in_width) == meant), None)
                    if twin is None:
                        raise InputError(
                            f"stages[{index}]: {stage.block}, width {stage.width}, depth {stage.depth}, expansion "
                            f"{stage.expansion}, kernel {stage.kernel_size}, {stage.attention_label} is not in space "
                            f"{self.name}"
                        )
                    stage = twin
                stages.append(stage)
                in_width = stage.width
        found = self.architecture(architecture.resolution, tuple(stages)) if stages else None
        if found is None or replace(found, stages=architecture.stages) != architecture:
            raise InputError(f"architecture {architecture.digest()[:12]} is not in space {self.name}")
        return found

    def to_dict(self) -> dict[str, Any]:
        """Plain dictionaries, tuples and values: all that says which networks there are, without the latencies."""
        described = asdict(replace(self, latency=None))
        del described["latency"]
        return described

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "SearchSpace":
        """The space that `to_dict` described, lists for tuples. Raises InputError if it is none."""
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
        """The architecture's cost with the space's number of classes."""
        try:
            return self.costs.cost(architecture)
        except (KeyError, ValueError):
            return measure(architecture, self.num_classes, self.latency)

    @cached_property
    def costs(self) -> CostTable:
        """The costs of all that the space holds."""
        return CostTable(self)

    def stage_outcomes(self, index: int, in_width: int) -> tuple[Stage, ...]:
        """Every stage that may stand at `index` after `in_width` channels."""
        key = (index, in_width)
        if key not in self._outcomes:
            self._outcomes[key] = tuple(every_outcome(lambda choose: self.assemble_stage(index, in_width, choose)))
        return self._outcomes[key]

    @cached_property
    def _outcomes(self) -> dict[tuple[int, int], tuple[Stage, ...]]:
        return {}

    def _structure(self, stage: Stage, in_width: int) -> tuple[object, ...]:
        """Equal exactly for stages that are the same network after `in_width` channels."""
        return tuple(
            (block_structure(block), attention_ops.structure(block.attention, block.attention_channels or 1))
            for block in stage_blocks(stage, in_width, self.activation)
        )

    @property
    def stem_part(self) -> ConvPart:
        """The stem's convolution."""
        return ConvPart(3, self.stem_width, 3, self.stem_stride, self.activation)

    def tail_parts(self, width: int) -> list[Part]:
        """Head and classifier after a last stage of `width` channels."""
        found: list[Part] = []
        if self.head_width is not None:
            found.append(ConvPart(width, self.head_width, activation=self.activation))
            width = self.head_width
        return [*found, ClassifierPart(width, self.num_classes)]

    def architecture(self, resolution: int, stages: tuple[Stage, ...]) -> Architecture:
        """The architecture of these stages with the space's stem, head and activation."""
        return Architecture(
            resolution=resolution,
            stem_width=self.stem_width,
            stem_stride=self.stem_stride,
            stages=stages,
            head_width=self.head_width,
            activation=self.activation,
        )

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
        """The architecture with the lowest (`sign=-1`: highest) `macs`, `params` or `latency_ns`."""
        column = COLUMNS.index(measure_name)
        best: tuple[int, tuple[Stage, ...], int] | None = None
        for row, resolution in enumerate(self.resolution):
            # Shortest path along the chain of stages, by output width.
            start = sign * int(self.costs.stem[row, column])
            paths: dict[int, tuple[int, tuple[Stage, ...]]] = {self.stem_width: (start, ())}
            for by_width in self.costs.outcomes:
                longer: dict[int, tuple[int, tuple[Stage, ...]]] = {}
                for width, (cost, stages) in paths.items():
                    outcomes = by_width[width]
                    totals = cost + sign * outcomes.costs[row, :, column]
                    for out_width in np.unique(outcomes.widths).tolist():
                        here = np.flatnonzero(outcomes.widths == out_width)
                        chosen = int(here[np.argmin(totals[here])])
                        total = int(totals[chosen])
                        if out_width not in longer or total < longer[out_width][0]:
                            longer[out_width] = (total, (*stages, outcomes.stages[chosen]))
                paths = longer
            for cost, stages in paths.values():
                if best is None or cost < best[0]:
                    best = (cost, stages, resolution)
        assert best is not None
        return self.architecture(best[2], best[1])

    def _decide_twinless(
        self, choose: Choose, prefix: str, what: str, stage: Stage, in_width: int, offered: tuple[int, ...]
    ) -> Stage:
        """The stage with one of the values that differ; the options are part of the name where not all do."""
        if len(offered) == 1:
            return stage
        values = _distinct_values(stage, in_width, self.activation, what, offered)
        name = f"{prefix}.{what}"
        if len(values) < len(offered):
            name += f"({','.join(map(str, values))})"
        return replace(stage, **{what: _decide(choose, name, values)})  # type: ignore[arg-type]


def _check_options(name: str, options: Sequence[object]) -> None:
    if not isinstance(options, tuple) or not options:
        raise InputError(f"{name}: expected at least one option")
    for index, option in enumerate(options):
        if option in options[:index]:
            shown = option.label if isinstance(option, Attention) else option
            raise InputError(f"{name}: {shown} is given twice")


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


@lru_cache(maxsize=1024)
def _kinds(options: tuple[Attention, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(attention.kind for attention in options))


def decided(architecture: Architecture, name: str) -> Any:
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


@lru_cache(maxsize=1 << 16)
def _distinct_values(
    stage: Stage, in_width: int, activation: str, what: str, offered: tuple[int, ...]
) -> tuple[int, ...]:
    """The values of a stage's field that give different networks after `in_width` channels: of twins, the first."""
    first: dict[tuple[object, ...], int] = {}
    for value in offered:
        blocks = dict.fromkeys(stage_blocks(replace(stage, **{what: value}), in_width, activation))  # type: ignore[arg-type]
        first.setdefault(tuple(block_structure(block) for block in blocks), value)
    return tuple(first.values())
