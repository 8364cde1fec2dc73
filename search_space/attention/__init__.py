"""Attention ops and their registry."""

from search_space.attention import further, probes
from search_space.attention.registry import (
    OPS,
    CoordinateAttention,
    NoAttention,
    SqueezeExcitation,
    create,
    kinds,
    register,
    structure,
    takes_classes,
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
    "probes",
    "register",
    "structure",
    "takes_classes",
    "takes_reduction",
]
