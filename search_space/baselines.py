"""Hand-designed networks to compare a found one with: one attention everywhere, at the same MACs."""

from collections.abc import Callable
from dataclasses import replace

from search_space.architecture import Architecture, Attention, Stage
from search_space.backbones import COMPARED_ATTENTIONS
from search_space.blocks import NO_ATTENTION, attend, divisible
from search_space.cost import human, measure
from search_space.errors import InputError
from search_space.space import SearchSpace

TOLERANCE = 0.02


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
        return attention if len(space.stages[index].attention) > 1 else NO_ATTENTION

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
    """The networks to compare `architecture` with, by name, each of about `macs`.

    They have the space's middle widths, depths and expansions; without a space, the architecture's own.
    """
    attentions = COMPARED_ATTENTIONS if space is None else uniform_attentions(space)
    found = {}
    for kind, attention in attentions.items():

        def make(width: float, divisor: int, attention: Attention = attention) -> Architecture:
            if space is None:
                return alike(architecture, attention, width, divisor)
            return uniform(space, attention, width, divisor)

        found[f"uniform {kind}"] = at_macs(make, macs, num_classes)
    return found


def uniform_attentions(space: SearchSpace) -> dict[str, Attention]:
    """One attention of each kind that the space offers, with its middle ratio."""
    chosen: dict[str, Attention] = {}
    offered = dict.fromkeys(attention for options in space.stages for attention in options.attention)
    for kind in dict.fromkeys(attention.kind for attention in offered):
        ratios = sorted(attention.reduction or 0 for attention in offered if attention.kind == kind)
        chosen[kind] = Attention(kind, ratios[(len(ratios) - 1) // 2] or None)
    return chosen


def at_macs(make: Callable[[float, int], Architecture], macs: int, num_classes: int) -> Architecture:
    """The network of `make(width multiplier, divisor)` whose MACs are nearest to `macs`.

    Widths are multiples of 8 if that comes within 2%, else of 4, 2 or 1. Raises InputError if nothing does.
    """
    for divisor in (8, 4, 2, 1):

        def off(width: float, divisor: int = divisor) -> int:
            return measure(make(width, divisor), num_classes).macs - macs

        # MACs grow with the width multiplier: bisect to the step that crosses the aim.
        low, high = 0.05, 8.0
        for _ in range(40):
            middle = (low + high) / 2
            low, high = (low, middle) if off(middle) > 0 else (middle, high)
        nearest = min((low, high), key=lambda width: abs(off(width)))
        if abs(off(nearest)) <= TOLERANCE * macs:
            return make(nearest, divisor)
    raise InputError(f"no hand-designed network within {TOLERANCE:.0%} of {human(macs)} MACs between width 0.05 and 8")
