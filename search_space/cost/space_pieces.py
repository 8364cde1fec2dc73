"""The pieces that the networks of a space are made of: what a latency table needs times of."""

from collections.abc import Iterator

from foundation.errors import InputError
from search_space.architecture import Stage
from search_space.blocks import BlockPart, Part, stage_blocks, strided
from search_space.cost.latency import LatencyTable, Timed, key, timed_pieces
from search_space.space import SearchSpace
from search_space.stage_program import StageOptions


def space_pieces(space: SearchSpace, num_classes: int) -> dict[str, tuple[Timed, int]]:
    """Every piece that a network of the space can have and the side of its input, by its name in a table."""
    found: dict[str, tuple[Timed, int]] = {}

    def take(part: Part, size: int) -> None:
        found.update((key(piece, side), (piece, side)) for piece, side in timed_pieces(part, size))

    sizes = space.resolution
    for size in sizes:
        take(space.stem_part, size)
    sizes = tuple(strided(size, space.stem_stride) for size in sizes)
    widths: tuple[int, ...] = (space.stem_width,)
    for options in space.stages:
        later = tuple(strided(size, options.stride) for size in sizes)
        for width in widths:
            for number, block in _blocks(options, width, space.activation):
                for size in sizes if number == 0 else later:
                    take(block, size)
        sizes, widths = later, options.width
    for width in widths:
        for size in sizes:
            for part in space.tail_parts(width, num_classes):
                take(part, size)
    return found


def _blocks(options: StageOptions, in_width: int, activation: str) -> Iterator[tuple[int, BlockPart]]:
    """Every block, with its number in the stage, of which a stage after `in_width` channels can be made."""
    depth = min(2, max(options.depth))  # the blocks after a stage's first are alike
    for width in options.width:
        for expansion in options.expansion:
            for kernel_size in options.kernel_size:
                for attention in options.attention:
                    stage = Stage(options.block, width, options.stride, expansion, kernel_size, (attention,) * depth)
                    yield from enumerate(stage_blocks(stage, in_width, activation))


def check_complete(table: LatencyTable, space: SearchSpace, num_classes: int, source: str) -> None:
    """Raises InputError, naming the first, if the table from `source` lacks pieces of the space."""
    needed = space_pieces(space, num_classes)
    lacking = [name for name in needed if name not in table.pieces]
    if lacking:
        raise InputError(
            f"{source}: lacks {len(lacking)} of the {len(needed)} pieces of space {space.name} "
            f"({num_classes} classes), the first of them {lacking[0]!r}; measure it further by "
            f"measure_latency.py with this --space, --classes {num_classes} and --out {source}"
        )
