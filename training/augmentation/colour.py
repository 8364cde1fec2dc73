"""SimCLR's colour distortion (arXiv:2002.05709, appendix A), of a batch at once, each picture by its own draws.

Brightness, contrast, saturation and hue change in this order, where the paper draws one. Hue is turned about the grey
axis in YIQ, which is one multiplication by a matrix, where the paper's code turns the angle of HSV.
"""

import math

import torch
from torch import Tensor

JITTERED, GREY = 0.8, 0.2
"""Probabilities."""
REACH = 0.8
"""Of brightness, contrast and saturation, at strength 1: factors are in 1 ± this."""
TURN = 0.2
"""Of the hue, at strength 1: shares of a full turn, either way."""

LUMA = (0.299, 0.587, 0.114)
_YIQ = torch.tensor([LUMA, (0.596, -0.274, -0.322), (0.211, -0.523, 0.312)], dtype=torch.float64)


def distort(images: Tensor, draws: Tensor, strength: float) -> Tensor:
    """N×C×H×W pictures (uint8) with other colours; grey ones (C of 1) with another brightness and contrast.

    Args:
        draws: N×6 in 0 to 1, on the CPU: whether a picture is altered, its brightness, contrast, saturation and hue,
            and whether it becomes grey.
        strength: 0 to 1.
    """
    altered, brightness, contrast, saturation, hue, grey = draws.unbind(1)
    jittered = altered < JITTERED

    def factor(drawn: Tensor) -> Tensor:
        return torch.where(jittered, 1 + REACH * strength * (2 * drawn - 1), 1.0)

    angle = torch.where(jittered, 2 * math.pi * TURN * strength * (2 * hue - 1), 0.0)
    chroma = torch.where(grey < GREY, 0.0, factor(saturation))
    found = images.float()
    found = (found * _pixel(factor(brightness), found)).clamp_(0, 255)
    mean = luma(found).mean((1, 2, 3), keepdim=True)
    found = torch.lerp(mean, found, _pixel(factor(contrast), found)).clamp_(0, 255)
    if found.shape[1] == 3:
        turned = torch.einsum("nij,njhw->nihw", turns(angle, chroma).to(found), found)
        found = turned.clamp_(0, 255)
    return found.round_().to(torch.uint8)


def luma(images: Tensor) -> Tensor:
    """N×1×H×W, how bright pixels are, of N×C×H×W."""
    if images.shape[1] == 1:
        return images
    return (images * images.new_tensor(LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)


def turns(angle: Tensor, chroma: Tensor) -> Tensor:
    """N×3×3 that turn RGB colours about the grey axis by an angle (N, radians), and scale their distance from it."""
    cosine, sine = (chroma * function(angle) for function in (torch.cos, torch.sin))
    turned = torch.zeros(len(angle), 3, 3, dtype=torch.float64)
    turned[:, 0, 0] = 1
    turned[:, 1, 1], turned[:, 1, 2], turned[:, 2, 1], turned[:, 2, 2] = cosine, -sine, sine, cosine
    return torch.linalg.inv(_YIQ) @ turned @ _YIQ


def _pixel(values: Tensor, images: Tensor) -> Tensor:
    return values.to(images.device, images.dtype).view(-1, 1, 1, 1)
