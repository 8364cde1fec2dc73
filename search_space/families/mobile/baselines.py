"""Mobile networks to compare a found one with: one attention everywhere, at the same MACs."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar, cast

from foundation.errors import InputError
from search_space.architecture import Architecture, Attention
from search_space.baselines import COMPARED, Off, at_cost
from search_space.families.mobile.architecture import MobileArchitecture, Stage, first_width
from search_space.families.mobile.blocks import attend
from search_space.families.mobile.space import MobileSpace
from search_space.families.mobile.stage_options import StageOptions
from search_space.hand_designed import COMPARED_ATTENTIONS
from search_space.parts import NO_ATTENTION
from search_space.rounding import divisible

CA_RATIOS = (16, 32)

_Number = TypeVar("_Number", int, float)


def uniform(space: MobileSpace, attention: Attention, width: float = 1.0, divisor: int = 8) -> MobileArchitecture:
    """The space's middle network with one attention at every stage that may have it, all widths times `width`.

    A stage of which that leaves no block is not there.
    """
    middling = [options for options in space.stages if _middle(options.depth)]
    stem_width = _scaled(space.stem_width, width, divisor)
    stages: list[Stage] = []
    for options in middling:
        before = stages[-1].width if stages else first_width(stem_width)
        own = divisible(_middle(options.width) * width, divisor) if options.width else before
        stages.append(_middle_stage(options, own))

    def wanted(index: int, _stage: Stage) -> Attention:
        return attention if middling[index].attention != (NO_ATTENTION,) else NO_ATTENTION

    return _made(space, stem_width, attend(stages, first_width(stem_width), space.activation, wanted))


def offered(space: MobileSpace, attention: Attention, width: float = 1.0) -> MobileArchitecture:
    """As `uniform`, of the space's own options: of each stage's widths the nearest, of that kind the nearest ratio."""
    stages = []
    for options in space.stages:
        wanted = _middle(options.width or (space.start,)) * width
        nearest = min(options.width or (space.start,), key=lambda own: abs(own - wanted))
        stages.append(_middle_stage(options, nearest))
    return _attended(space, stages, attention)


def nudged_within(
    space: MobileSpace, attention: Attention, architecture: MobileArchitecture
) -> Iterator[MobileArchitecture]:
    """The architecture with the next width, expansion or depth that the space offers, up or down, at one stage.

    Or with the next resolution. A stage that is left out stays so.
    """
    sides = sorted(space.resolution)
    at = sides.index(architecture.resolution)
    for side in sides[max(0, at - 1) : at + 2]:
        if side != architecture.resolution:
            yield replace(architecture, resolution=side)
    for index, (stage, options) in enumerate(zip(architecture.stages, space.stages, strict=True)):
        for name in ("width", "expansion", "depth") if stage.depth else ():
            values, own = sorted(getattr(options, name)) or [stage.width], getattr(stage, name)
            at = values.index(own)
            for value in values[max(0, at - 1) : at + 2]:
                if value not in (own, 0):
                    changed: dict[str, Any] = {name: value}
                    if name == "depth":
                        changed = {"attention": (NO_ATTENTION,) * value}
                    stages = [*architecture.stages]
                    stages[index] = replace(stage, **changed)
                    yield _attended(space, stages, attention).at(architecture.resolution)


def _scaled(stem_width: int | None, width: float, divisor: int) -> int | None:
    return None if stem_width is None else divisible(stem_width * width, divisor)


def _middle(options: tuple[_Number, ...]) -> _Number:
    return sorted(options)[(len(options) - 1) // 2]


def _middle_stage(options: StageOptions, width: int) -> Stage:
    """Of the first block, with the least kernels that are there: before the expansion only where none is after it."""
    kernel, start = (
        min((size for size in sizes if size), default=0) for sizes in (options.kernel_size, options.start_kernel_size)
    )
    return replace(
        options.stage(options.blocks[0], width, _middle(options.depth)),
        expansion=_middle(options.expansion),
        kernel_size=kernel,
        start_kernel_size=0 if kernel and 0 in options.start_kernel_size else start,
    )


def _attended(space: MobileSpace, stages: Sequence[Stage], attention: Attention) -> MobileArchitecture:
    """The network of these stages, each with what it offers that is most like the attention."""
    width, sized = space.start, []
    for stage, options in zip(stages, space.stages, strict=True):
        # What is left out changes no width, nor what keeps it.
        sized.append(stage if stage.depth and options.width else replace(stage, width=width))
        width = sized[-1].width

    def wanted(index: int, _stage: Stage) -> Attention:
        alike = [own for own in space.stages[index].attention if own.kind == attention.kind]
        return min(alike, key=lambda own: abs((own.reduction or 0) - (attention.reduction or 0)), default=NO_ATTENTION)

    network = _made(space, space.stem_width, attend(sized, space.start, space.activation, wanted))
    try:
        return cast(MobileArchitecture, space.canonical(network))  # of twins the one whose times are known
    except InputError:  # a stage that is never without attention, and is here
        return network


def _made(space: MobileSpace, stem_width: int | None, stages: tuple[Stage, ...]) -> MobileArchitecture:
    return MobileArchitecture(
        resolution=_middle(space.resolution),
        stem_width=stem_width,
        stem_stride=space.stem_stride,
        stages=stages,
        head_width=space.head_width,
        activation=space.activation,
        output_stride=space.output_stride,
        pooled_width=space.pooled(stages[-1].width),
        pooled_norm=space.pooled_norm,
    )


def alike(
    architecture: MobileArchitecture, attention: Attention, width: float = 1.0, divisor: int = 8
) -> MobileArchitecture:
    """The architecture with one attention at every stage that expands or has one, all widths times `width`.

    A stage without blocks is not there.
    """
    kept = (stage for stage in architecture.stages if stage.depth)
    stages = [replace(stage, width=divisible(stage.width * width, divisor)) for stage in kept]
    stem_width = _scaled(architecture.stem_width, width, divisor)

    def wanted(_index: int, stage: Stage) -> Attention:
        return attention if stage.expansion > 1 or any(own != NO_ATTENTION for own in stage.attention) else NO_ATTENTION

    placed = attend(stages, first_width(stem_width), architecture.activation, wanted)
    return replace(architecture, stem_width=stem_width, stages=placed)


@COMPARED.register("mobile")
def compared(
    architecture: MobileArchitecture,
    space: MobileSpace | None,
    off: Off,
    every_ratio: bool = False,
    own_options: bool = False,
) -> dict[str, Architecture]:
    """The networks to compare `architecture` with, by name, each of the cost that is aimed at.

    They have the space's middle widths, depths and expansions; without a space, the architecture's own.

    Args:
        own_options: whether each has to be of the space.
    """
    found: dict[str, Architecture] = {}
    seen: set[tuple[str, float]] = set()
    for attention in uniform_attentions(space, every_ratio):

        def make(width: float, divisor: int, attention: Attention = attention) -> MobileArchitecture:
            if space is None:
                return alike(architecture, attention, width, divisor)
            return offered(space, attention, width) if own_options else uniform(space, attention, width, divisor)

        within = partial(nudged_within, space, attention) if space is not None and own_options else nudged
        network = at_cost(make, off, within, most=own_options)
        # Where channels are few, two ratios of a kind can be the same network.
        same = (attention.kind, off(network))
        if same not in seen:
            seen.add(same)
            found["uniform none" if attention == NO_ATTENTION else f"uniform {attention.label}"] = network
    return found


def uniform_attentions(space: MobileSpace | None, every_ratio: bool = False) -> list[Attention]:
    """None, and one attention of each kind that the space offers, with its middle ratio, or with every one; of CA two.

    CA's ratios are 16 and 32, those of the paper's tables, or the two largest that the space offers. Without a space
    the kinds are those that the paper compares.
    """
    if space is None:
        return [NO_ATTENTION, COMPARED_ATTENTIONS["se"], *(Attention("ca", ratio) for ratio in CA_RATIOS)]
    offered = dict.fromkeys(attention for options in space.stages for attention in options.attention)
    chosen = [NO_ATTENTION]  # also where the space does not offer it: what attention is worth is asked of every space
    for kind in dict.fromkeys(attention.kind for attention in offered if attention != NO_ATTENTION):
        ratios = sorted({attention.reduction or 0 for attention in offered if attention.kind == kind})
        wanted = ratios if every_ratio else [ratios[(len(ratios) - 1) // 2]]
        if kind == "ca" and not every_ratio:
            wanted = [ratio for ratio in CA_RATIOS if ratio in ratios]
            wanted = wanted if len(wanted) == len(CA_RATIOS) else ratios[-2:]
        chosen += [Attention(kind, ratio or None) for ratio in wanted]
    return chosen


def nudged(architecture: MobileArchitecture) -> Iterator[MobileArchitecture]:
    """The architecture with one stage a channel wider or narrower."""
    for index, stage in enumerate(architecture.stages):
        for width in (stage.width - 1, stage.width + 1):
            if width >= 1:
                stages = [*architecture.stages[:index], replace(stage, width=width), *architecture.stages[index + 1 :]]
                yield replace(architecture, stages=tuple(stages))
