"""IMPALA's encoder at the MACs of another network."""

from dataclasses import replace

from foundation.errors import InputError
from search_space.architecture import Architecture
from search_space.baselines import at_cost
from search_space.cost.cost import measure
from search_space.families.impala.architecture import ImpalaArchitecture
from search_space.head import Head
from search_space.rounding import divisible

PUBLISHED = ImpalaArchitecture(64, (16, 32, 32), 256)
"""As it was published, for Procgen's pictures of 64 pixels."""


def impala(width: float = 1.0, divisor: int = 1, resolution: int = PUBLISHED.resolution) -> ImpalaArchitecture:
    """The published encoder with the channels of its stages times `width`; the linear layer stays."""
    return replace(
        PUBLISHED, resolution=resolution, widths=tuple(divisible(own * width, divisor) for own in PUBLISHED.widths)
    )


def of_macs(macs: int, resolution: int, head: Head) -> ImpalaArchitecture:
    """The encoder within 1 % of so many MACs, head included. Raises InputError where there is none."""

    def off(network: Architecture) -> float:
        return measure(network, head).macs / macs - 1

    try:
        return at_cost(lambda width, divisor: impala(width, divisor, resolution), off, _nudged)
    except InputError as error:
        raise InputError(f"`compare`: IMPALA's encoder at {macs} MACs: {error}; leave it out") from None


def _nudged(network: ImpalaArchitecture) -> list[ImpalaArchitecture]:
    """A channel more or fewer in one stage, or 8 features."""
    found = [replace(network, features=network.features + more) for more in (-8, 8) if network.features + more >= 1]
    for index, width in enumerate(network.widths):
        for own in (width - 1, width + 1):
            if own >= 1:
                found.append(replace(network, widths=(*network.widths[:index], own, *network.widths[index + 1 :])))
    return found
