"""Batch normalisation by the statistics of the whole batch where processes have a share of it each.

`nn.SyncBatchNorm` runs on GPUs only. This one runs wherever the ranks can add tensors, gloo on a CPU included.
"""

import torch
from torch import Tensor, nn

from foundation.distributed import gathered, world


class SynchronisedBatchNorm(nn.BatchNorm2d):
    """nn.BatchNorm2d that normalises N×C×H×W by the mean and variance over every rank's N of equal size.

    In evaluation, or in one process, it is nn.BatchNorm2d. The means and variances are gathered in one collective and
    combined exactly: the variance of a union is the mean variance plus the variance of the means.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or world() == 1:
            return super().forward(x)
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        own_variance, own_mean = torch.var_mean(wide, (0, 2, 3), correction=0)
        means, variances = gathered(torch.stack((own_mean, own_variance))).unbind(1)
        mean = means.mean(0)
        variance = variances.mean(0) + means.var(0, correction=0)
        if self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None:
            self.num_batches_tracked += 1
            momentum = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
            count = world() * x.numel() / x.shape[1]
            self.running_mean.lerp_(mean.detach(), momentum)
            self.running_var.lerp_(variance.detach() * (count / (count - 1)), momentum)
        scale = (variance + self.eps).rsqrt() * self.weight
        return ((wide - mean.view(1, -1, 1, 1)) * scale.view(1, -1, 1, 1) + self.bias.view(1, -1, 1, 1)).to(x.dtype)


def synchronise(module: nn.Module) -> None:
    """Makes every nn.BatchNorm2d within `module` a synchronised one, in place; parameters and buffers stay theirs."""
    for norm in module.modules():
        if type(norm) is nn.BatchNorm2d:
            norm.__class__ = SynchronisedBatchNorm
