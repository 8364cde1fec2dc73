"""A network's blocks as the stages of a space, where they come in other stages than the space's."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from search_space.chain import Shape
from search_space.families.mobile.architecture import Stage
from search_space.families.mobile.stage_program import StageProgram


def laid_out(
    stages: Sequence[Stage],
    programs: Sequence[StageProgram],
    state: int,
    shapes: Callable[[int, int], Sequence[Shape]],
) -> tuple[Stage, ...]:
    """The same blocks in stages that the programs can make, one a program; the stages as they are if there are none.

    A row of equal blocks may be cut, or joined with the next; a stage that may be left out may have no block.

    Args:
        state: channels before the first stage.
        shapes: what may stand at a program's number after so many channels.
    """
    blocks = [
        replace(stage, stride=1 if number else stage.stride, attention=(attention,))
        for stage in stages
        for number, attention in enumerate(stage.attention)
    ]
    widths = [state, *(block.width for block in blocks)]

    def stage_of(index: int, used: int, depth: int) -> Stage | None:
        """The next blocks as one stage of the program; None if it cannot be one."""
        program = programs[index]
        if depth == 0:
            return program.left_out(widths[used])
        first, *others = blocks[used : used + depth]
        plain = replace(first, stride=1)
        if any(replace(other, attention=first.attention) != plain for other in others):
            return None
        stage = replace(first, attention=tuple(block.attention[0] for block in (first, *others)))
        if stage.block not in program.offered.blocks or stage.stride != program.offered.stride:
            return None
        return stage if program.canonical(stage, widths[used], shapes(index, widths[used])) is not None else None

    # After each program, the numbers of blocks that may be behind it, each with the last stage on the way there.
    behind: list[dict[int, Stage]] = []
    starts = [0]
    for index, program in enumerate(programs):
        reached: dict[int, Stage] = {}
        for used in starts:
            for depth in program.offered.depth:
                if used + depth > len(blocks) or used + depth in reached:
                    continue
                stage = stage_of(index, used, depth)
                if stage is not None:
                    reached[used + depth] = stage
        behind.append(reached)
        starts = list(reached)
    found: list[Stage] = []
    used = len(blocks)
    for reached in reversed(behind):
        if used not in reached:
            return tuple(stages)
        found.append(reached[used])
        used -= reached[used].depth
    return tuple(reversed(found))
