"""Where joints are, as a distribution over the cells of a map, and back."""

import torch
from torch import Tensor

_REACH = 1  # cells around the likeliest one, of which the mean is taken


def aimed(places: Tensor, size: tuple[int, int]) -> Tensor:
    """The distributions whose means are these places: on the four cells around each, N×J×(H·W), rows that sum to 1.

    Args:
        places: N×J×2, x and y as shares of the picture's sides; within half a cell of a border they are moved there.
        size: of the map, height H and width W.
    """
    height, width = size
    weights = []
    for share, cells in zip(places.unbind(-1), (width, height), strict=True):
        at = (share * cells - 0.5).clamp(0, cells - 1)
        away = (torch.arange(cells, device=at.device) - at[..., None]).abs()
        weights.append((1 - away).clamp(min=0))
    across, down = weights
    return (down[..., :, None] * across[..., None, :]).flatten(-2)


def found(logits: Tensor) -> Tensor:
    """Of each joint x and y as shares of the picture's sides and how likely that is: N×J×3.

    The place is the mean over the likeliest cell and those around it; the likelihood is the share that these have.

    Args:
        logits: N×J×H×W.
    """
    height, width = logits.shape[-2:]
    shares = logits.flatten(-2).softmax(-1)
    best = shares.argmax(-1, keepdim=True)
    cells = torch.arange(height * width, device=logits.device)
    down, across = cells // width, cells % width
    near = ((down - best // width).abs() <= _REACH) & ((across - best % width).abs() <= _REACH)
    near_shares = shares * near
    whole = near_shares.sum(-1)
    x = (near_shares * (across + 0.5)).sum(-1) / whole / width
    y = (near_shares * (down + 0.5)).sum(-1) / whole / height
    return torch.stack((x, y, whole), -1)
