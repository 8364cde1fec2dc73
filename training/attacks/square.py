"""The Square attack (Andriushchenko et al., arXiv:1912.00049, section 3.2): random search, without any gradient.

A change has the largest size allowed in every value: vertical stripes at first, then square by square another colour.
A square is kept where the label's logit comes nearer to the others, or further below them.
"""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from training.attacks.box import Box
from training.attacks.losses import excess, right

START = 0.8
"""The first squares' share of a picture, as AutoAttack has it (arXiv:2003.01690, section 5)."""
HALVED = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
"""The queries of `OF` at which that share is halved: as many parts of other numbers of queries."""
OF = 10_000
BLOCK = 256
"""Queries that a picture's numbers are drawn for at a time."""


@torch.no_grad()
def square(
    logits: Callable[[Tensor], Tensor],
    images: Tensor,
    labels: Tensor,
    box: Box,
    *,
    queries: int,
    seeds: Sequence[int],
) -> Tensor:
    """Images, N×C×H×W, changed within the box: such as the network gets wrong, or those that came the nearest to it.

    Of each picture the network is asked `queries` times, and not again once it is wrong.

    Args:
        logits: from images to logits, N×classes, of at least two classes.
        labels: the true classes, N (int64).
        seeds: of each picture, so that what is tried on it does not depend on the batch that it is in.
    """
    _, channels, height, width = images.shape
    colours = 1 if box.grey else channels  # what is drawn for one is repeated for all
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    stripes = torch.stack([_signs((colours, 1, width), generator) for generator in generators]).to(images.device)
    attacked = box.inside(images + box.epsilon * stripes, images)
    outputs = logits(attacked)
    best, trying = excess(outputs, labels), right(outputs, labels).nonzero()[:, 0]
    for query in range(1, queries):
        if not len(trying):
            break
        if (query - 1) % BLOCK == 0:
            drawn = _Draws(images.device, [generators[number] for number in trying.tolist()], colours)
            row = torch.arange(len(trying), device=images.device)
        places, signs = drawn.of((query - 1) % BLOCK, row)
        side = _side(query / queries, height, width)
        change = 2 * box.epsilon * signs * _inside(places, side, height, width)
        point = box.inside(attacked[trying] + change, images[trying])
        outputs = logits(point)
        found, still = excess(outputs, labels[trying]), right(outputs, labels[trying])
        kept = (found > best[trying]) | ~still
        attacked[trying[kept]], best[trying[kept]] = point[kept], found[kept]
        trying, row = trying[still], row[still]
    return attacked


class _Draws:
    """For `BLOCK` queries of each picture that is still tried: where a square lies, and its sign in each channel."""

    def __init__(self, device: torch.device, generators: Sequence[torch.Generator], colours: int):
        self._places = torch.stack([torch.rand(BLOCK, 2, generator=each) for each in generators]).to(device)
        self._signs = torch.stack([_signs((BLOCK, colours, 1, 1), each) for each in generators]).to(device)

    def of(self, query: int, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Places, N×2 in 0 to 1, and signs, N×colours×1×1."""
        return self._places[pictures, query], self._signs[pictures, query]


def _signs(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return torch.randint(2, shape, generator=generator) * 2.0 - 1


def _side(done: float, height: int, width: int) -> int:
    """Of the squares, in pixels, after a share of the queries."""
    share = START / 2 ** sum(done * OF > query for query in HALVED)
    return min(max(1, round(math.sqrt(share * height * width))), height, width)


def _inside(places: Tensor, side: int, height: int, width: int) -> Tensor:
    """Which pixels are in the squares at the places, from the top left (0) to the bottom right (1): N×1×H×W, 0 or 1."""
    rows, columns = (
        ((line >= first[:, None]) & (line < first[:, None] + side)).to(places.dtype)
        for line, first in (
            (torch.arange(size, device=places.device), (place * (size - side + 1)).floor())
            for size, place in zip((height, width), places.unbind(1), strict=True)
        )
    )
    return (rows[:, :, None] * columns[:, None, :])[:, None]
