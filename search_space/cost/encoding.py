"""Architectures of a space as numbers: integer codes for batches, and features for a regression.

A code holds the number of the resolution and of each stage, in the order in which an Encoding first met them; numbers
mean nothing outside their Encoding. Whatever is asked of the codes afterwards is a look-up in arrays, so a million
architectures take seconds.
"""

from collections.abc import Iterable
from functools import cached_property, lru_cache
from math import log2
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from foundation.errors import InputError
from search_space.architecture import Architecture, Stage
from search_space.blocks import NO_ATTENTION, stage_blocks, strided
from search_space.cost.cost import Cost, fixed_cost, part_cost
from search_space.cost.priced_space import PricedSpace

Codes = NDArray[np.int64]
"""N×(1 + stages): the numbers of the resolution and of every stage."""


class _Met(NamedTuple):
    """A stage that stands after so many channels: its features, and its costs at every resolution."""

    in_width: int
    stage: Stage
    features: tuple[float, ...]
    costs: tuple[tuple[int, ...], ...]


class _Arrays(NamedTuple):
    """What is known of a position's stages, by their number."""

    in_widths: NDArray[np.int64]
    widths: NDArray[np.int64]
    features: NDArray[np.float64]  # stages × features
    costs: NDArray[np.int64]  # resolutions × stages × columns
    log2_macs: NDArray[np.float64]  # resolutions × stages


class Encoding:
    """The codes of a space's architectures, with what codes are asked for.

    Attributes:
        names: the features, in the order of `features`' columns. By stage: log2 of its width, depth, expansion, kernel
            size, the mean over its blocks of log2 of the reduction ratio (0 without), each attention kind's share of
            its blocks, and log2 of its MACs. Of the whole: resolution, and log2 of each cost.
        columns: the costs that are known, as fields of Cost: latency where the space has a table of it.
    """

    def __init__(self, priced: PricedSpace):
        self.priced = priced
        self.space = space = priced.space
        self.columns = ("macs", "params", *(["latency_ns"] if priced.latency else []))
        self._kinds = [
            tuple(dict.fromkeys(attention.kind for attention in (NO_ATTENTION, *options.attention)))
            for options in space.stages
        ]
        own = ("log2 width", "depth", "expansion", "kernel_size", "log2 reduction")
        names = [
            f"stage{index} {name}"
            for index, kinds in enumerate(self._kinds)
            for name in (*own, *(f"share of {kind}" for kind in kinds), "log2 macs")
        ]
        self.names = ("resolution", *names, *(f"log2 {name}" for name in self.columns))
        self._resolutions = {resolution: number for number, resolution in enumerate(space.resolution)}
        self._met: list[list[_Met]] = [[] for _ in space.stages]
        self._numbers: list[dict[tuple[int, Stage], int]] = [{} for _ in space.stages]
        self._arrays: list[_Arrays | None] = [None for _ in space.stages]

    def encode(self, architectures: Iterable[Architecture]) -> Codes:
        """The codes of architectures. Raises InputError where resolution or number of stages are not the space's."""
        codes = []
        for architecture in architectures:
            if architecture.resolution not in self._resolutions or len(architecture.stages) != len(self._met):
                raise InputError(
                    f"architecture {architecture.digest()[:12]}: {len(architecture.stages)} stages at resolution "
                    f"{architecture.resolution} are not in space {self.space.name}"
                )
            code = [self._resolutions[architecture.resolution]]
            in_width = self.space.stem_width
            for index, stage in enumerate(architecture.stages):
                number = self._numbers[index].get((in_width, stage))
                code.append(self._meet(index, in_width, stage) if number is None else number)
                in_width = stage.width
            codes.append(code)
        return np.array(codes, dtype=np.int64).reshape(-1, 1 + len(self._met))

    def decode(self, code: NDArray[np.int64]) -> Architecture:
        """The architecture of one code."""
        resolution, *numbers = code.tolist()
        stages = tuple(met[number].stage for met, number in zip(self._met, numbers, strict=True))
        return self.space.architecture(self.space.resolution[resolution], stages)

    def costs(self, codes: Codes) -> NDArray[np.int64]:
        """The costs `columns`, N×columns, equal to those of the space's cost table."""
        resolution = codes[:, 0]
        total: NDArray[np.int64] = self._stem[resolution]
        for index in range(len(self._met)):
            total = total + self._stages(index).costs[resolution, codes[:, index + 1]]
        return total

    def features(self, codes: Codes) -> NDArray[np.float64]:
        """The features `names`, N×F."""
        resolution = codes[:, 0]
        found = np.empty((len(codes), len(self.names)))
        found[:, 0] = np.array(self.space.resolution)[resolution]
        at = 1
        for index in range(len(self._met)):
            stages, numbers = self._stages(index), codes[:, index + 1]
            until = at + stages.features.shape[1]
            found[:, at:until] = stages.features[numbers]
            found[:, until] = stages.log2_macs[resolution, numbers]
            at = until + 1
        found[:, at:] = np.log2(np.maximum(1, self.costs(codes)))
        return found

    def recombine(self, parents: Codes, count: int, rng: np.random.Generator) -> Codes:
        """`count` codes each of whose stages is that of some parent in which it follows the same width.

        The resolution is drawn from the parents', then stage after stage; the costs are free.
        """
        codes = np.empty((count, parents.shape[1]), dtype=np.int64)
        codes[:, 0] = rng.choice(parents[:, 0], count)
        width = np.full(count, self.space.stem_width, dtype=np.int64)
        for index in range(len(self._met)):
            stages = self._stages(index)
            offered = parents[:, index + 1]
            offered = offered[np.argsort(stages.in_widths[offered], kind="stable")]
            in_widths = stages.in_widths[offered]
            first = np.searchsorted(in_widths, width, side="left")
            number = np.searchsorted(in_widths, width, side="right") - first
            # A width came from a parent, so that parent's next stage is among those offered.
            chosen = offered[first + (rng.random(count) * number).astype(np.int64)]
            codes[:, index + 1] = chosen
            width = stages.widths[chosen]
        return codes

    def _meet(self, index: int, in_width: int, stage: Stage) -> int:
        """The number given to a stage at the position, after `in_width` channels, that has none yet."""
        met = self._met[index]
        met.append(_Met(in_width, stage, self._described(index, stage), self._stage_costs(index, in_width, stage)))
        self._numbers[index][in_width, stage] = len(met) - 1
        self._arrays[index] = None
        return len(met) - 1

    def _described(self, index: int, stage: Stage) -> tuple[float, ...]:
        kinds = [attention.kind for attention in stage.attention]
        ratios = [log2(attention.reduction or 1) for attention in stage.attention]
        return (
            log2(stage.width),
            stage.depth,
            stage.expansion,
            stage.kernel_size,
            sum(ratios) / len(ratios),
            *(kinds.count(kind) / len(kinds) for kind in self._kinds[index]),
        )

    def _stage_costs(self, index: int, in_width: int, stage: Stage) -> tuple[tuple[int, ...], ...]:
        """The costs at every resolution; those of head and classifier are part of the last stage's."""
        parts = [*stage_blocks(stage, in_width, self.space.activation)]
        tail = self.space.tail_parts(stage.width, self.priced.num_classes) if index == len(self._met) - 1 else []
        costs = []
        for size in self._sizes[index]:
            cost = Cost()
            for part in (*parts, *tail):
                cost += part_cost(part, size, self.priced.latency)
                size = part.output_size(size)
            costs.append(self._row(cost))
        return tuple(costs)

    def _stages(self, index: int) -> _Arrays:
        """The arrays over all stages met at the position, made again when there are more."""
        arrays = self._arrays[index]
        if arrays is None:
            met = self._met[index]
            costs = np.array([one.costs for one in met], dtype=np.int64).transpose(1, 0, 2)
            arrays = self._arrays[index] = _Arrays(
                np.array([one.in_width for one in met]),
                np.array([one.stage.width for one in met]),
                np.array([one.features for one in met], dtype=np.float64),
                costs,
                np.log2(costs[:, :, 0]),
            )
        return arrays

    def _row(self, cost: Cost) -> tuple[int, ...]:
        return tuple(getattr(cost, name) for name in self.columns)

    @cached_property
    def _stem(self) -> NDArray[np.int64]:
        latency = self.priced.latency
        stems = [part_cost(self.space.stem_part, resolution, latency) for resolution in self.space.resolution]
        return np.array([self._row(fixed_cost(latency) + cost) for cost in stems], dtype=np.int64)

    @cached_property
    def _sizes(self) -> list[list[int]]:
        """The side of every stage's input at every resolution, in pixels."""
        sizes = [[strided(resolution, self.space.stem_stride) for resolution in self.space.resolution]]
        for options in self.space.stages:
            sizes.append([strided(size, options.stride) for size in sizes[-1]])
        return sizes


def encoding(priced: PricedSpace) -> Encoding:
    """The (cached) encoding of a space; it is the same for all budgets."""
    return _encoding(priced.unbounded)


@lru_cache(maxsize=16)
def _encoding(priced: PricedSpace) -> Encoding:
    return Encoding(priced)
