"""mixreg (arXiv:2010.10814): an agent learns from mixtures of what it saw, with what it is taught mixed alike.

Stable-baselines3 lets the buffer that it learns from be chosen. These buffers change the minibatches that they give,
and nothing else of its algorithm.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.type_aliases import RolloutBufferSamples
from torch import Tensor


def coefficients(alpha: float, count: int, rng: np.random.Generator) -> Tensor:
    """So many draws of max(c, 1 - c) with c ~ Beta(alpha, alpha): float32, 0.5 to 1."""
    drawn = rng.beta(alpha, alpha, count)
    return torch.from_numpy(np.maximum(drawn, 1 - drawn).astype(np.float32))


def mixed(
    samples: RolloutBufferSamples, share: Tensor, partners: Tensor, *, observations_alone: bool = False
) -> RolloutBufferSamples:
    """A minibatch of N samples mixed with itself (section 3.2).

    Mixed alike are observations (as floats), returns, advantages before they are normalised, old values and old
    log-probabilities. The action is the dominant sample's: a discrete one cannot be mixed.

    Args:
        share: of the first of each pair (N, from 0 to 1).
        partners: the number of the second of each pair (N, int64).
        observations_alone: whether all but the observation stays the dominant's (`mixobs`).
    """
    own = torch.arange(len(share), device=partners.device)
    first = torch.where(share >= 0.5, own, partners)
    second = torch.where(share >= 0.5, partners, own)
    share = torch.maximum(share, 1 - share).to(samples.returns.device)

    def mix(values: Tensor) -> Tensor:
        c = share.view(-1, *(1 for _ in values.shape[1:]))
        # To the bit the first where its share is 1, and either where both are equal; a sum of products is not.
        return torch.lerp(values[second].float(), values[first].float(), c)

    taught = (lambda values: values[first]) if observations_alone else mix
    return RolloutBufferSamples(
        observations=mix(samples.observations),
        actions=samples.actions[first],
        old_values=taught(samples.old_values),
        old_log_prob=taught(samples.old_log_prob),
        advantages=taught(samples.advantages),
        returns=taught(samples.returns),
    )


def shifted(pictures: Tensor, most: int, rng: np.random.Generator) -> Tensor:
    """N×C×H×W, each moved by up to `most` pixels down or up and right or left; the border is repeated."""
    count, _, height, width = pictures.shape
    padded = torch.nn.functional.pad(pictures.float(), (most,) * 4, mode="replicate")
    top, left = (torch.from_numpy(rng.integers(2 * most + 1, size=count)) for _ in range(2))
    rows = (top[:, None] + torch.arange(height))[:, None, :, None]
    columns = (left[:, None] + torch.arange(width))[:, None, None, :]
    numbers = torch.arange(count)[:, None, None, None]
    return padded[numbers, torch.arange(pictures.shape[1])[:, None, None], rows, columns]


class MixingBuffer(RolloutBuffer):
    """The rollout buffer of stable-baselines3, whose minibatches are cropped and mixed.

    Args:
        mixreg, mixobs: alpha of the beta distribution; 0 for none.
        crop: most pixels that an observation is moved by; 0 for none.
    """

    def __init__(self, *args: Any, mixreg: float = 0.0, mixobs: float = 0.0, crop: int = 0, **options: Any):
        super().__init__(*args, **options)
        self.alpha, self.observations_alone = mixreg or mixobs, bool(mixobs)
        self.crop = crop
        self.rng = np.random.default_rng(0)

    def _get_samples(self, batch_inds: NDArray[np.int64], env: Any = None) -> RolloutBufferSamples:
        samples = super()._get_samples(batch_inds, env)
        if self.crop:
            samples = samples._replace(observations=shifted(samples.observations, self.crop, self.rng))
        if not self.alpha:
            return samples
        count = len(samples.returns)
        share = coefficients(self.alpha, count, self.rng)
        partners = torch.from_numpy(self.rng.permutation(count))
        return mixed(samples, share, partners, observations_alone=self.observations_alone)
