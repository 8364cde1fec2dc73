"""A found network as the backbone of torchvision's SSDLite and DeepLabV3, and some training steps of each.

    python examples/detection_and_segmentation.py
    python examples/detection_and_segmentation.py --source runs/digits/retrain/found-0/weights.safetensors --size 64

The steps are on one made-up batch, to show that all of it trains; `ssdlite` and `deeplabv3` are what you want to copy.
"""

import argparse
import math
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision.models.detection.anchor_utils import DefaultBoxGenerator
from torchvision.models.detection.ssd import SSD
from torchvision.models.detection.ssdlite import SSDLiteHead
from torchvision.models.feature_extraction import create_feature_extractor
from torchvision.models.segmentation.deeplabv3 import DeepLabHead, DeepLabV3
from torchvision.ops import Conv2dNormActivation

from commands import command_line, ending
from foundation.json_files import read_json
from search_space.architecture import Architecture
from search_space.backbones import hand_designed
from search_space.families.mobile.blocks import Block
from search_space.network import Network, build
from training.model_file import load_model

ANCHOR_RATIOS = [2.0, 3.0]
EXTRA_WIDTHS = (512, 256, 256, 128)  # of SSDLite's maps beyond the backbone's, each half the one before in size


def backbone(source: str) -> Network:
    """The network of a `weights.safetensors`, trained; or of an architecture's JSON, a `best.json` or a name, fresh."""
    if source.endswith(".safetensors"):
        network, _ = load_model(Path(source))
        return network
    architecture = hand_designed(source)
    if architecture is None:
        content = read_json(Path(source))
        architecture = Architecture.from_dict(content.get("architecture", content))
    return build(architecture)


def strides(network: Network) -> list[int]:
    """How many pixels of the picture a pixel of each stage's output is apart, one number a stage."""
    total, found = network.architecture.stem_stride, []
    for stage in network.architecture.stages:
        total *= stage.stride
        found.append(total)
    return found


def extractor(network: Network, nodes: dict[str, str]) -> nn.Module:
    """The part of the network up to the last of the nodes, which returns a dictionary of their outputs.

    Attention ops read the size of their input, so they are left whole where torch.fx traces the rest.
    """
    blocks = (module for module in network.modules() if isinstance(module, Block))
    ops = {type(op) for block in blocks for name, op in block.named_children() if name == "attention"}
    return create_feature_extractor(network, nodes, tracer_kwargs={"leaf_modules": list(ops)})


class PyramidBackbone(nn.Module):
    """SSDLite's maps: the last one of half the final resolution, the head's, and four that go on halving."""

    def __init__(self, network: Network):
        super().__init__()
        at = strides(network)
        finer = max((index for index, stride in enumerate(at) if stride < at[-1]), default=0)
        self.body = extractor(network, {f"stages.{finer}": "0", "head": "1"})
        finer_width = network.architecture.stages[finer].width
        last_width = network.architecture.head_width or network.architecture.stages[-1].width
        self.extra = nn.ModuleList()
        before = last_width
        for width in EXTRA_WIDTHS:
            self.extra.append(
                nn.Sequential(
                    Conv2dNormActivation(before, width // 2, 1, activation_layer=nn.ReLU6),
                    Conv2dNormActivation(width // 2, width // 2, 3, 2, groups=width // 2, activation_layer=nn.ReLU6),
                    Conv2dNormActivation(width // 2, width, 1, activation_layer=nn.ReLU6),
                )
            )
            before = width
        self.widths = [finer_width, last_width, *EXTRA_WIDTHS]

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        maps = self.body(images)
        x = maps["1"]
        for number, block in enumerate(self.extra, start=2):
            x = maps[str(number)] = block(x)
        return maps


def ssdlite(network: Network, num_classes: int, size: int = 320) -> SSD:
    """SSDLite (arXiv:1801.04381, section 6.2) on the network. Class 0 is the background."""
    pyramid = PyramidBackbone(network)
    anchors = DefaultBoxGenerator([ANCHOR_RATIOS for _ in pyramid.widths], min_ratio=0.2, max_ratio=0.95)
    norm = partial(nn.BatchNorm2d, eps=0.001, momentum=0.03)
    head = SSDLiteHead(pyramid.widths, anchors.num_anchors_per_location(), num_classes, norm)
    return SSD(pyramid, anchors, (size, size), num_classes, head=head)


def deeplabv3(network: Network, num_classes: int, output_stride: int = 16) -> DeepLabV3:
    """DeepLabV3 (arXiv:1706.05587) on the network, whose last map is then `output_stride` pixels apart, or finer."""
    dilate(network, output_stride)
    return DeepLabV3(
        extractor(network, {"stages": "out"}), DeepLabHead(network.architecture.stages[-1].width, num_classes)
    )


def dilate(network: Network, output_stride: int) -> None:
    """Has stages that would go beyond the stride keep the resolution, and dilates their kernels instead.

    This is optional: without it the last map is 32 pixels apart, segmentation is coarser and costs less. The weights
    are the same either way.
    """
    dilation, total = 1, network.architecture.stem_stride
    for conv in (module for module in network.stages.modules() if isinstance(module, nn.Conv2d)):
        if conv.groups == conv.in_channels and conv.kernel_size > (1, 1):
            conv.dilation = (dilation, dilation)
            conv.padding = (dilation * (conv.kernel_size[0] // 2), dilation * (conv.kernel_size[1] // 2))
        if conv.stride == (2, 2) and total == output_stride:
            conv.stride = (1, 1)
            dilation *= 2
        else:
            total *= conv.stride[0]


def train(model: nn.Module, loss: Callable[[], Tensor], steps: int) -> list[float]:
    """Takes SGD steps; returns the loss of each."""
    optimiser = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    losses = []
    model.train()
    for _ in range(steps):
        optimiser.zero_grad()
        value = loss()
        value.backward()
        optimiser.step()
        losses.append(value.item())
    return losses


def main(arguments: Sequence[str]) -> None:
    """Builds both and trains them for some steps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", default="mobilenetv2-ca", help="a network (default: mobilenetv2-ca)")
    parser.add_argument("--size", type=int, default=320, help="of the pictures, in pixels a side (default: 320)")
    parser.add_argument("--steps", type=int, default=3, help="SGD steps of each (default: 3)")
    given = parser.parse_args(command_line.at_home(arguments))
    torch.manual_seed(0)
    images = torch.rand(2, 3, given.size, given.size)

    detector = ssdlite(backbone(given.source), num_classes=3, size=given.size)
    box = given.size * torch.tensor([[0.2, 0.2, 0.7, 0.8]])
    targets = [{"boxes": box, "labels": torch.tensor([1 + number])} for number in range(2)]
    losses = train(detector, lambda: sum(detector(list(images), targets).values(), torch.zeros(())), given.steps)
    print(f"SSDLite on {given.source}: maps of {detector.backbone.widths} channels")
    print(f"  loss {' → '.join(f'{value:.2f}' for value in losses)}")

    segmenter = deeplabv3(backbone(given.source), num_classes=3)
    classes = (images[:, 0] > 0.5).long()  # N×H×W
    side = segmenter.backbone(images)["out"].shape[-1]
    cross_entropy = nn.CrossEntropyLoss()
    losses = train(segmenter, lambda: cross_entropy(segmenter(images)["out"], classes), given.steps)
    print(f"DeepLabV3 on {given.source}: last map {side}×{side}, stride {math.ceil(given.size / side)}")
    print(f"  loss {' → '.join(f'{value:.2f}' for value in losses)}")


if __name__ == "__main__":
    sys.exit(ending.run(main, continues=False))
