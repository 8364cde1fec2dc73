"""In which numbers a forward pass computes."""

import torch


def autocast(device: torch.device, precision: str = "auto") -> torch.autocast:
    """bfloat16 where `precision` says so, or for `auto` on a GPU; else float32 throughout."""
    enabled = precision == "bfloat16" or (precision == "auto" and device.type == "cuda")
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=enabled)
