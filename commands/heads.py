"""The heads that commands put after the networks of a space."""

from foundation.errors import InputError
from search_space.head import Head
from search_space.space import SearchSpace
from training.task import Task


def head_of_space(what_for: Task, num_classes: int, space: SearchSpace) -> Head:
    """The head of every network. Raises InputError where it is another at another of the space's resolutions."""
    heads = {}
    for side in sorted(space.resolution, reverse=True):
        heads[side] = what_for.head(num_classes, space.at(side).widest(own_kernels=False)[0][1])
    largest, *others = heads.items()
    for side, head in others:
        if head != largest[1]:
            raise InputError(
                f"`space` {space.name}: at {side} pixels the head is another than at {largest[0]} ({head.told}); "
                "offer one resolution, or use another `head`"
            )
    return largest[1]
