"""A plugin: `mobile-96` for pictures of half the side, so that a search for accuracy costs what one for pixels does."""

from dataclasses import replace

from search_space.families.mobile.space import MobileSpace
from search_space.families.mobile.spaces import mobile_96
from search_space.spaces import SPACES


@SPACES.register("mobile-48")
def mobile_48() -> MobileSpace:
    """The same networks at 48 pixels."""
    return replace(mobile_96(), name="mobile-48", resolution=(48,))
