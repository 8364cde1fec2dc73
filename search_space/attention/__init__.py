"""Attention ops and their registry."""

from search_space.attention import further
from search_space.attention.registry import (
    OPS,
    CoordinateAttention,
    NoAttention,
    SqueezeExcitation,
    create,
    kinds,
    register,
    structure,
    takes_reduction,
)

__all__ = [
    "OPS",
    "CoordinateAttention",
    "NoAttention",
    "SqueezeExcitation",
    "create",
    "further",
    "kinds",
    "register",
    "structure",
    "takes_reduction",
]
