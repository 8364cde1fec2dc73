"""What an attack on a classifier raises, where the network's attention has probes: the loss that it is trained by."""

from torch import Tensor, nn

from search_space.attention.probes import asked
from training.attacks.pgd import Losses
from training.probe_loss import WEIGHT, with_probes
from training.resize import resized


def joint_losses(
    network: nn.Module, labels: Tensor, resolution: int, *, weight: float = WEIGHT, detached: bool = True
) -> Losses:
    """The cross-entropy of each of N pictures, with that of the network's probes.

    The network's gates are not given the labels, as in a test (CIFS, arXiv:2102.05311, section 4).

    Args:
        labels: N (int64).
        resolution: of the images that the network is given, in pixels a side: the attack is on the pictures before.
        weight: β of the probes' part; 0 leaves it out.
        detached: as `search_space.attention.probes.asked` takes it.
    """

    def losses(images: Tensor) -> Tensor:
        with asked(detached=detached) as logits:
            outputs = network(resized(images, resolution))
        own = nn.functional.cross_entropy(outputs, labels, reduction="none")
        return with_probes(own, logits if weight else [], labels, weight)

    return losses
