"""The heads that commands put after the networks of a space."""

import random

from foundation.errors import InputError
from foundation.seeds import derive
from search_space.head import Head
from search_space.space import SearchSpace
from training.task import Task

DRAWN = 64
"""Networks that are looked at, where the stride of the last map is itself a decision, which has few options."""


def head_of_space(what_for: Task, num_classes: int, space: SearchSpace) -> Head:
    """The head of every network. Raises InputError where another of the space's networks has another one."""
    rng = random.Random(derive("heads of a space", space.name))
    largest, *smaller = (space.at(side) for side in sorted(space.resolution, reverse=True))
    head = what_for.head(num_classes, largest.widest(own_kernels=False)[0][1])
    for other in smaller:
        if what_for.head(num_classes, other.widest(own_kernels=False)[0][1]) != head:
            raise InputError(
                f"`space` {space.name}: at {other.resolution[0]} pixels the head is another than at "
                f"{largest.resolution[0]} ({head.told}); offer one resolution, or use another `head`"
            )
    for _ in range(DRAWN):
        one = largest.assemble(lambda _, options: rng.choice(options))
        if what_for.head(num_classes, one) != head:
            raise InputError(
                f"`space` {space.name}: its networks differ in their last map's stride, and so in their heads "
                f"({head.told}); use another `head`"
            )
    return head
