"""The parts of a mobile network, each with the name of its module."""

from search_space.families.mobile.architecture import MobileArchitecture
from search_space.families.mobile.blocks import stage_blocks
from search_space.head import Head, as_head
from search_space.parts import ConvPart, Part


def network_parts(architecture: MobileArchitecture, head: Head | int) -> list[tuple[str, Part]]:
    """The parts in order, each with the name of its module: stem, stages.0.0, …, head, classifier."""
    named: list[tuple[str, Part]] = []
    activation = architecture.activation
    named.append(("stem", ConvPart(3, architecture.stem_width, 3, architecture.stem_stride, activation)))
    width = architecture.stem_width
    for i, (stage, spread) in enumerate(zip(architecture.stages, architecture.spreads, strict=True)):
        named += [(f"stages.{i}.{j}", block) for j, block in enumerate(stage_blocks(stage, width, activation, spread))]
        width = stage.width
    head = as_head(head)
    if architecture.head_width is not None and not head.follows_stages:
        named.append(("head", ConvPart(width, architecture.head_width, activation=activation)))
        width = architecture.head_width
    named.append(("classifier", head.part(width)))
    return named
