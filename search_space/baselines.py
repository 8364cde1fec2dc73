"""Hand-designed networks to compare a found one with: one attention everywhere, at the same MACs."""

from collections.abc import Callable, Iterator
from dataclasses import replace

from foundation.amounts import human
from foundation.errors import InputError
from search_space.architecture import Architecture, Attention, Stage
from search_space.backbones import COMPARED_ATTENTIONS
from search_space.blocks import NO_ATTENTION, attend, divisible
from search_space.cost.cost import Cost, measure
from search_space.space import SearchSpace

TOLERANCE = 0.01
CA_RATIOS = (16, 32)
MAX_NUDGES = 50


def uniform(space: SearchSpace, attention: Attention, width: float = 1.0, divisor: int = 8) -> Architecture:
    """The space's middle network with one attention at every stage that may have it, all widths times `width`."""

    def middle(options: tuple[int, ...]) -> int:
        return sorted(options)[(len(options) - 1) // 2]

    stages = [
        Stage(
            block=options.block,
            width=divisible(middle(options.width) * width, divisor),
            stride=options.stride,
            expansion=middle(options.expansion),
            kernel_size=min(options.kernel_size),
            attention=(NO_ATTENTION,) * middle(options.depth),
        )
        for options in space.stages
    ]
    stem_width = divisible(space.stem_width * width, divisor)

    def wanted(index: int, _stage: Stage) -> Attention:
        return attention if space.stages[index].attention != (NO_ATTENTION,) else NO_ATTENTION

    return Architecture(
        resolution=middle(space.resolution),
        stem_width=stem_width,
        stem_stride=space.stem_stride,
        stages=attend(stages, stem_width, space.activation, wanted),
        head_width=space.head_width,
        activation=space.activation,
    )


def alike(architecture: Architecture, attention: Attention, width: float = 1.0, divisor: int = 8) -> Architecture:
    """The architecture with one attention at every stage that expands or has one, all widths times `width`."""
    stages = [replace(stage, width=divisible(stage.width * width, divisor)) for stage in architecture.stages]
    stem_width = divisible(architecture.stem_width * width, divisor)

    def wanted(_index: int, stage: Stage) -> Attention:
        return attention if stage.expansion > 1 or any(own != NO_ATTENTION for own in stage.attention) else NO_ATTENTION

    placed = attend(stages, stem_width, architecture.activation, wanted)
    return replace(architecture, stem_width=stem_width, stages=placed)


def compared(
    architecture: Architecture, space: SearchSpace | None, macs: int, num_classes: int
) -> dict[str, Architecture]:
    """The networks to compare `architecture` with, by name, each within 1% of `macs`.

    They have the space's middle widths, depths and expansions; without a space, the architecture's own.
    """
    found: dict[str, Architecture] = {}
    seen: set[tuple[str, Cost]] = set()
    for attention in uniform_attentions(space):

        def make(width: float, divisor: int, attention: Attention = attention) -> Architecture:
            if space is None:
                return alike(architecture, attention, width, divisor)
            return uniform(space, attention, width, divisor)

        network = at_macs(make, macs, num_classes)
        # Where channels are few, two ratios of a kind can be the same network.
        same = (attention.kind, measure(network, num_classes))
        if same not in seen:
            seen.add(same)
            found["uniform none" if attention == NO_ATTENTION else f"uniform {attention.label}"] = network
    return found


def uniform_attentions(space: SearchSpace | None) -> list[Attention]:
    """None, and one attention of each kind that the space offers, with its middle ratio; of CA two.

    CA's ratios are 16 and 32, those of the paper's tables, or the two largest that the space offers. Without a space
    the kinds are those that the paper compares.
    """
    if space is None:
        return [NO_ATTENTION, COMPARED_ATTENTIONS["se"], *(Attention("ca", ratio) for ratio in CA_RATIOS)]
    offered = dict.fromkeys(attention for options in space.stages for attention in options.attention)
    chosen = [NO_ATTENTION]  # also where the space does not offer it: what attention is worth is asked of every space
    for kind in dict.fromkeys(attention.kind for attention in offered if attention != NO_ATTENTION):
        ratios = sorted({attention.reduction or 0 for attention in offered if attention.kind == kind})
        wanted = [ratios[(len(ratios) - 1) // 2]]
        if kind == "ca":
            wanted = [ratio for ratio in CA_RATIOS if ratio in ratios]
            wanted = wanted if len(wanted) == len(CA_RATIOS) else ratios[-2:]
        chosen += [Attention(kind, ratio or None) for ratio in wanted]
    return chosen


def at_macs(make: Callable[[float, int], Architecture], macs: int, num_classes: int) -> Architecture:
    """The network of `make(width multiplier, divisor)` whose MACs are nearest to `macs`.

    Widths are multiples of 8 if that comes within 1%, else of 4, 2 or 1; of networks so small that a channel in every
    stage is too coarse, single stages are widened or narrowed. Raises InputError if nothing comes within 1%.
    """

    def off(architecture: Architecture) -> int:
        return measure(architecture, num_classes).macs - macs

    for divisor in (8, 4, 2, 1):
        # MACs grow with the width multiplier: bisect to the step that crosses the aim.
        low, high = 0.05, 8.0
        for _ in range(40):
            middle = (low + high) / 2
            low, high = (low, middle) if off(make(middle, divisor)) > 0 else (middle, high)
        nearest = min((make(width, divisor) for width in (low, high)), key=lambda network: abs(off(network)))
        if abs(off(nearest)) <= TOLERANCE * macs:
            return nearest
    for _ in range(MAX_NUDGES):
        closer = min(_nudged(nearest), key=lambda network: abs(off(network)))
        if abs(off(closer)) >= abs(off(nearest)):
            break
        nearest = closer
    if abs(off(nearest)) <= TOLERANCE * macs:
        return nearest
    raise InputError(f"no hand-designed network within {TOLERANCE:.0%} of {human(macs)} MACs between width 0.05 and 8")


def _nudged(architecture: Architecture) -> Iterator[Architecture]:
    """The architecture with one stage a channel wider or narrower."""
    for index, stage in enumerate(architecture.stages):
        for width in (stage.width - 1, stage.width + 1):
            if width >= 1:
                stages = [*architecture.stages[:index], replace(stage, width=width), *architecture.stages[index + 1 :]]
                yield replace(architecture, stages=tuple(stages))
