"""Which preset suits the pictures, for a search that names neither a preset nor a space."""

from collections.abc import Mapping
from typing import Any

from commands.search_settings import settings_of
from foundation.amounts import human
from foundation.errors import InputError
from search_space.cost.cost import Budget
from search_space.cost.priced_space import PricedSpace
from search_space.spaces import named_space
from training.data.picture_sizes import PictureSizes, picture_sizes
from training.specs import TO

PHOTOGRAPH = 64
"""Pixels of the shorter side from which a picture is more than an icon: a network for 32 would see less than half."""
MANY = 100_000
"""Training pictures from which the preset `imagenet` is meant: several GPUs."""


def suited(given: Mapping[str, Any]) -> tuple[str, str] | None:
    """The preset that suits the pictures of a command line, and a line on why; None where that was not asked for.

    The same pictures have the same answer, so that a run that is started again goes on.
    """
    if "preset" in given or "space" in given or "data" not in given:
        return None
    sizes = picture_sizes(given["data"].split(TO)[0].strip())
    if sizes is None:
        return None
    name = _by(sizes)
    found = (
        f"the pictures' shorter sides are {sizes.shorter} pixels (median of {sizes.sampled}), "
        f"{sizes.training} training pictures"
    )
    budgets = {bound: given[bound] for bound in ("max_macs", "max_params") if given.get(bound) is not None}
    space = settings_of(name).space
    try:
        _ = PricedSpace(named_space(space), sizes.classes).within(Budget(**budgets)).table
    except InputError:
        name, found = "digits", f"{found}, but space {space} has nothing within the budget given"
    settings = settings_of(name)
    chosen, remedy = f"space {settings.space}", "--space"
    sides = sorted(named_space(settings.space).resolution)
    chosen += f" of {sides[0]} pixels" if len(sides) == 1 else f" of {sides[0]} to {sides[-1]} pixels"
    # A bound that is given as none takes the preset's own away.
    if not budgets and "max_macs" not in given and given.get("max_latency_ms") is None:
        assert settings.max_macs
        chosen, remedy = f"{chosen}, {human(settings.max_macs)} MACs", "--space and --max-macs"
    return name, f"{chosen} (preset {name}): {found}; name a preset, or give {remedy}, to choose otherwise"


def _by(sizes: PictureSizes) -> str:
    if sizes.shorter < PHOTOGRAPH:
        return "digits"
    return "photos" if sizes.training < MANY else "imagenet"
