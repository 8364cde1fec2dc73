"""Modules with numbers that are neither learnt nor measured, but follow from what the module is."""

from abc import ABC, abstractmethod

import torch
from torch import nn


class WithConstants(nn.Module, ABC):
    """A module with such numbers, as buffers: whoever makes it without storage has it set them."""

    @abstractmethod
    def set_constants(self, device: torch.device) -> None:
        """Sets the buffers, on the device. Draws nothing from torch's global random state."""


def set_constants(module: nn.Module, device: torch.device) -> None:
    """Has every module within set its constants."""
    for one in module.modules():
        if isinstance(one, WithConstants):
            one.set_constants(device)
