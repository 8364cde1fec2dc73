"""From an architecture to a network. The only definition of each network: the supernet runs this one on its views."""

import functools
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from foundation.errors import InputError
from search_space.architecture import Architecture
from search_space.blocks import ClassifierPart, ConvPart, Part, stage_blocks

# A hostile file can describe a network of any size within the fields' limits; 500M parameters are 2 GB.
MAX_PARAMETERS = 500_000_000


def parts(architecture: Architecture, num_classes: int) -> list[tuple[str, Part]]:
    """The network's parts in order, each with the name of its module: stem, stages.0.0, …, head, classifier."""
    named: list[tuple[str, Part]] = []
    activation = architecture.activation
    named.append(("stem", ConvPart(3, architecture.stem_width, 3, architecture.stem_stride, activation)))
    width = architecture.stem_width
    for i, stage in enumerate(architecture.stages):
        named += [(f"stages.{i}.{j}", block) for j, block in enumerate(stage_blocks(stage, width, activation))]
        width = stage.width
    if architecture.head_width is not None:
        named.append(("head", ConvPart(width, architecture.head_width, activation=activation)))
        width = architecture.head_width
    named.append(("classifier", ClassifierPart(width, num_classes)))
    return named


class Network(nn.Module):
    """An image classifier: N×3×H×W to N×num_classes logits, for any H and W.

    Args:
        create: makes the module of a named part; by default a fresh one.
    """

    def __init__(
        self,
        architecture: Architecture,
        num_classes: int,
        create: Callable[[str, Part], nn.Module] = lambda name, part: part.create(),
    ):
        super().__init__()
        self.architecture = architecture
        self.num_classes = num_classes
        modules = {name: create(name, part) for name, part in parts(architecture, num_classes)}
        self.stem = modules["stem"]
        self.stages = nn.Sequential(
            *(
                nn.Sequential(*(modules[f"stages.{i}.{j}"] for j in range(stage.depth)))
                for i, stage in enumerate(architecture.stages)
            )
        )
        self.head = modules.get("head", nn.Identity())
        self.classifier = modules["classifier"]

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.head(self.stages(self.stem(x))))
        return logits


def build(architecture: Architecture, num_classes: int = 1000) -> Network:
    """The architecture's network, freshly initialised from torch's global random state.

    Raises InputError for an unknown block, attention or activation, a class count below 1, or a network of more than
    500 million parameters; nothing is allocated in that case.
    """
    if type(num_classes) is not int or not 1 <= num_classes <= 1_000_000:
        raise InputError(f"num_classes: expected an integer from 1 to 1000000, got {num_classes!r}")
    check(architecture, num_classes)
    network = Network(architecture, num_classes)
    initialise(network)
    return network


def check(architecture: Architecture, num_classes: int) -> None:
    """Raises InputError naming the part if the network cannot be built, or has more than 500 million parameters."""
    size = 0
    for name, part in parts(architecture, num_classes):
        try:
            size += _parameters(part)
        except InputError as error:
            raise InputError(f"{name}: {error}") from None
    if size > MAX_PARAMETERS:
        raise InputError(f"architecture: {size} parameters, more than the {MAX_PARAMETERS} that are built")


@functools.lru_cache(maxsize=1 << 14)
def _parameters(part: Part) -> int:
    """How many the part has; remembered, since a search builds thousands of networks of the same parts."""
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in part.create().parameters())


def initialise(module: nn.Module) -> None:
    """Fresh weights as MobileNetV2's are drawn: He for convolutions by fan-out, N(0, 0.01) for the classifier."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            # Fan-out per group: a depthwise convolution's output channel sees only its own kernel.
            fan_out = layer.kernel_size[0] * layer.kernel_size[1] * layer.out_channels // layer.groups
            nn.init.normal_(layer.weight, 0.0, math.sqrt(2.0 / fan_out))
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, 0.0, 0.01)
            nn.init.zeros_(layer.bias)
