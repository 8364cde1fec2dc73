"""The parts of a mobile network, each with the name of its module."""

from collections.abc import Sequence

from search_space.families.mobile.architecture import MobileArchitecture
from search_space.families.mobile.blocks import BlockPart, stage_blocks
from search_space.head import Head, as_head
from search_space.parts import ConvPart, Part, PooledPart


def network_parts(architecture: MobileArchitecture, head: Head | int) -> list[tuple[str, Part]]:
    """The parts in order, each with the name of its module: stem, stages.0.0, …, head, pooled, classifier.

    What taps a map is before the stage that leaves a coarser one, see `tap_of`.
    """
    head = as_head(head)
    named: list[tuple[str, Part]] = []
    activation = architecture.activation
    if architecture.stem_width is not None:
        named.append(("stem", ConvPart(3, architecture.stem_width, 3, architecture.stem_stride, activation)))
    width = architecture.first_width
    along = zip(architecture.stages, architecture.spreads, architecture.strides_along, strict=False)
    for i, (stage, spread, stride) in enumerate(along):
        blocks = stage_blocks(stage, width, activation, spread)
        tap = tap_of(blocks, stride, head)
        named += [] if tap is None else [(f"taps.{stride}", tap)]
        named += [(f"stages.{i}.{j}", block.telling(head.classes)) for j, block in enumerate(blocks)]
        width = stage.width
    if architecture.head_width is not None and not head.follows_stages:
        named.append(("head", ConvPart(width, architecture.head_width, activation=activation)))
        width = architecture.head_width
    if architecture.pooled_width is not None and head.averages:
        named.append(
            ("pooled", PooledPart(width, architecture.pooled_width, architecture.activation, architecture.pooled_norm))
        )
        width = architecture.pooled_width
    named.append(("classifier", head.part(width)))
    return named


def tap_of(blocks: Sequence[BlockPart], stride: int, head: Head) -> Part | None:
    """What the head's tap of maps of that stride reads at a stage's blocks; None where it reads none there.

    It is the last map of that stride there is: within the block that leaves a coarser one, after its expansion, as
    MobileNetV2's authors and torchvision have it (arXiv:1801.04381, section 6.2); of a block without one its input.
    """
    tap = head.taps.get(stride)
    if tap is None or not blocks or blocks[0].output_size(2) == 2:
        return None
    return tap(blocks[0].expanded_channels)
