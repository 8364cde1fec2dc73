"""The pieces that the networks of a space are made of: what a latency table needs times of."""

from collections.abc import Sequence

from foundation.errors import InputError
from search_space.chain import State
from search_space.cost.latency import LatencyTable, key, timed_pieces
from search_space.head import ClassifierHead, Head
from search_space.parts import Part, Piece, Slot
from search_space.space import SearchSpace


def space_pieces(space: SearchSpace, head: Head) -> dict[str, tuple[Piece, int]]:
    """Every piece that a network of the space can have and the side of its input, by its name in a table."""
    found: dict[str, tuple[Piece, int]] = {}
    seen: set[tuple[Part, int]] = set()

    def through(parts: Sequence[Part], sides: Sequence[int]) -> tuple[int, ...]:
        """Takes in the pieces of parts one after the other; the sides after them."""
        after = []
        for side in sides:
            for part in parts:
                if (part, side) not in seen:
                    seen.add((part, side))
                    found.update((key(piece, own), (piece, own)) for piece, own in timed_pieces(part, side))
                side = part.output_size(side)
            after.append(side)
        return tuple(after)

    states: dict[State, tuple[int, ...]] = {space.start: through(space.stem_parts, space.resolution)}
    for index, program in enumerate(space.programs):
        later: dict[State, tuple[int, ...]] = {}
        for state, sides in states.items():
            for shape in space.shapes(index, state):
                parts = [part.telling(head.classes) for part in program.parts(shape.link, state)]
                later[program.after(shape.link)] = through(parts, sides)
                through(space.tap_parts(index, shape.link, state, head), sides)
                for group in shape.groups:
                    for option in program.options(group):
                        for number in group.blocks:
                            _options(parts, sides, number, option, found)
        states = later
    for state, sides in states.items():
        through(space.tail_parts(state, head), sides)
    return found


def _options(
    parts: Sequence[Part], sides: Sequence[int], number: int, option: object, found: dict[str, tuple[Piece, int]]
) -> None:
    """Takes in the piece that an option puts into the slot of one of the parts."""
    for side in sides:
        for part in parts[:number]:
            side = part.output_size(side)
        for _, piece in parts[number].pieces:
            if isinstance(piece, Slot):
                chosen = piece.chosen(option)
                if chosen.takes_time:
                    found[key(chosen, side)] = chosen, side
            side = piece.output_size(side)


def check_complete(table: LatencyTable, space: SearchSpace, head: Head, source: str) -> None:
    """Raises InputError, naming the first, if the table from `source` lacks pieces of the space."""
    needed = space_pieces(space, head)
    lacking = [name for name in needed if name not in table.pieces]
    if lacking:
        classes = f" --classes {head.num_classes}" if isinstance(head, ClassifierHead) else ""
        raise InputError(
            f"{source}: lacks {len(lacking)} of the {len(needed)} pieces of space {space.name} "
            f"({head.told}), the first of them {lacking[0]!r}; measure it further by "
            f"measure_latency.py with this --space,{classes} and --out {source}"
        )
