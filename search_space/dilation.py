"""Networks whose late stages are dilated instead of strided, where their family knows how."""

import dataclasses
from typing import Any, TypeVar

from foundation.errors import InputError
from search_space.architecture import Architecture
from search_space.space import SearchSpace

_T = TypeVar("_T", Architecture, SearchSpace)


def dilated(value: _T, output_stride: int | None) -> _T:
    """The architecture, or the space of such, whose maps are no coarser than that; None for as they are.

    Raises InputError for a family that has no such networks, or a stride that no map of them has.
    """
    if output_stride is None:
        return value
    fields: Any = value
    if all(field.name != "output_stride" for field in dataclasses.fields(fields)):
        raise InputError(f"`output_stride` {output_stride}: networks of family {value.family} have none; leave it out")
    try:
        changed: _T = dataclasses.replace(fields, output_stride=output_stride)
    except InputError as error:
        raise InputError(str(error).replace("output_stride", "`output_stride`", 1)) from None
    return changed
