"""How long a space takes to count, estimated from its numbers of options before anything is counted.

A table is made for every shape that a stage may have after every width before it, with the cost of every attention in
it; and to count within a budget, the ways after each width are convolved with those to each width. All three grow as
products of what is offered, so a legal file of a few lines could ask for hours.
"""

import math
from collections.abc import Sequence

from foundation.errors import InputError
from search_space.families.mobile.stage_options import StageOptions

MOST = 1_000_000
"""About two minutes of one core, and up to 7 GB."""

A_SECOND = 8_000

# What each takes of a shape's time at a single resolution, as measured; a further resolution is a third of it.
_ATTENTION, _WIDTHS = 0.1, 5.0


def counting_work(stages: Sequence[StageOptions], resolutions: int) -> float:
    """The work to count a space of these stages, in shapes: an upper estimate.

    Raises InputError, naming the stage, if it is too much.
    """
    total, before = 0.0, 1
    for index, options in enumerate(stages):
        pairs = before * max(1, len(options.width))
        others = {
            "depths": len(options.depth),
            "blocks": len(options.blocks),
            "expansions": len(options.expansion),
            "kernels": len(options.kernel_size),
            "start kernels": len(options.start_kernel_size),
        }
        shapes = pairs * math.prod(others.values())
        attentions = shapes * sum(options.depth) / len(options.depth) * len(options.attention)
        own = shapes * (2 + resolutions) / 3 + _ATTENTION * attentions * resolutions + _WIDTHS * pairs * resolutions
        total += own
        if total > MOST:
            offered = {
                "widths": len(options.width),
                "widths before it": before,
                **others,
                "attentions": len(options.attention),
                "resolutions": resolutions,
            }
            told = " × ".join(f"{count} {what}" for what, count in offered.items() if count > 1)
            raise InputError(
                f"stages[{index}]: {told} would take about {_time(own)} to count; offer fewer (all stages together may "
                "take two minutes)"
            )
        before = len(options.width) + (before if 0 in options.depth or not options.width else 0)
    return total


def counting_seconds(stages: Sequence[StageOptions], resolutions: int) -> float:
    """About how long one core takes to count a space of these stages. Raises InputError if that is too long."""
    return counting_work(stages, resolutions) / A_SECOND


def _time(work: float) -> str:
    seconds = work / A_SECOND
    for unit, size in (("days", 86_400), ("hours", 3_600)):
        if seconds > 2 * size:
            return f"{seconds / size:,.0f} {unit}"
    return f"{math.ceil(seconds / 60)} minutes"
