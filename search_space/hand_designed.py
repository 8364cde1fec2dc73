"""The hand-designed networks of every family, by name."""

from typing import Protocol

from foundation.registry import Registry
from search_space.architecture import Architecture, Attention
from search_space.parts import NO_ATTENTION


class HandDesigned(Protocol):
    """Hand-designed networks of one sort.

    Args:
        width: multiplies every width.
        attention: in every block that has a place for it by the sort's own rule.
        resolution: side of the input, in pixels.
        divisor: widths are multiples of it.
    """

    def __call__(
        self, width: float = ..., attention: Attention = ..., resolution: int = ..., divisor: int = ...
    ) -> Architecture: ...


BACKBONES: Registry[HandDesigned] = Registry("backbone")
"""Registered in the file `backbones.py` of a family's room."""

COMPARED_ATTENTIONS = {"none": NO_ATTENTION, "se": Attention("se", 24), "ca": Attention("ca", 32)}
"""What the CA paper compares on every backbone, at its ratios (arXiv:2103.02907, tables 2, 5 and 6)."""


def hand_designed(name: str) -> Architecture | None:
    """The network of a name such as `mobilenetv2` or `mobilenetv2-ca`; None if it is not one.

    Without an attention in its name a backbone is as published: EfficientNet-B0 with SE.
    """
    backbone, _, kind = name.partition("-")
    if backbone not in BACKBONES:
        return None
    if not kind:
        return BACKBONES[backbone]()
    return BACKBONES[backbone](attention=COMPARED_ATTENTIONS[kind]) if kind in COMPARED_ATTENTIONS else None
