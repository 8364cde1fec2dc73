"""Networks whose late stages are dilated instead of strided, where their family knows how."""

import dataclasses
from typing import Any, TypeVar

from foundation.errors import InputError
from search_space.architecture import Architecture
from search_space.space import SearchSpace

_T = TypeVar("_T", Architecture, SearchSpace)


def dilated(value: _T, output_stride: int | None) -> _T:
    """The architecture, or the space of such, whose maps are no coarser than that; None for as they are.

    Of spaces that are searched together each is changed. Raises InputError for a family that has no such networks, or a
    stride that no map of them has; it names the space among several.
    """
    if output_stride is None:
        return value
    if not isinstance(value, SearchSpace) or len(value.members) == 1:
        return _changed(value, output_stride)
    for one in value.members:
        if not _knows_how(one):
            raise InputError(
                f"`output_stride` {output_stride}: networks of family {one.family}, those of space {one.name}, have "
                f"none; leave it out, or search without {one.name}"
            )
    return value.each(lambda one: _changed(one, output_stride, f" of space {one.name}"))


def with_network_dilated(space: SearchSpace, architecture: Architecture, output_stride: int) -> SearchSpace:
    """The space of an architecture that is dilated; a space of another family beside its own stays as it is where that
    has no such networks.
    """
    return space.each(
        lambda one: dilated(one, output_stride) if one.family == architecture.family or _knows_how(one) else one
    )


def _knows_how(value: Any) -> bool:
    return any(field.name == "output_stride" for field in dataclasses.fields(value))


def _changed(value: Any, output_stride: int, whose: str = "") -> Any:
    if not _knows_how(value):
        raise InputError(f"`output_stride` {output_stride}: networks of family {value.family} have none; leave it out")
    try:
        return dataclasses.replace(value, output_stride=output_stride)
    except InputError as error:
        raise InputError(str(error).replace("output_stride", f"`output_stride`{whose}", 1)) from None
