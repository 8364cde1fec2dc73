"""What `benchmarks.supernet` compares: each contender trains on the batches it is given until there are no more.

The peers are no dependencies; they are imported where they are used.
"""

import random
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from evaluators.supernet.sandwich import Sandwich
from evaluators.supernet.settings import SupernetRecipe
from evaluators.supernet.store import WeightStore
from search_space.architecture import Architecture
from search_space.families.mobile.space import MobileSpace
from search_space.families.mobile.stage_options import StageOptions
from search_space.network import Network, build

Batches = Iterable[tuple[Tensor, Tensor]]
Contender = Callable[[MobileSpace, Batches], None]

CLASSES = 10  # of the digits
REPEATED = 24  # stand-alone networks made beforehand, and trained in turn


def train_shared(space: MobileSpace, batches: Batches) -> None:
    """This project's shared weights, a random architecture for each batch."""
    store = _store(space)
    rng = random.Random(0)
    updates = _optimizer(store.parameters())
    for images, labels in batches:
        architecture = _random(space, rng)
        updates.zero_grad()
        nn.functional.cross_entropy(store(architecture, images), labels).backward()
        updates.step()


def train_alone(space: MobileSpace, batches: Batches) -> None:
    """Such architectures as ordinary networks, made beforehand, with weights and an optimiser of their own."""
    rng = random.Random(0)
    networks = [_ordinary(_random(space, rng)) for _ in range(REPEATED)]
    updates = [_optimizer(network.parameters()) for network in networks]
    for number, (images, labels) in enumerate(batches):
        network, update = networks[number % REPEATED], updates[number % REPEATED]
        update.zero_grad()
        nn.functional.cross_entropy(network(images), labels).backward()
        update.step()


def train_sandwich(space: MobileSpace, batches: Batches) -> None:
    """The sandwich rule's step: largest, smallest and a random network, forward and backward."""
    store = _store(space)
    sandwich = _sandwich(store)
    for number, (images, labels) in enumerate(batches):
        store.zero_grad()
        sandwich(images, labels, number)


def train_sandwich_alone(space: MobileSpace, batches: Batches) -> None:
    """The same networks' own steps: ordinary networks with weights of their own, made beforehand."""
    sandwich = _sandwich(_store(space))
    steps = [[_ordinary(made) for made in sandwich.architectures(number)] for number in range(REPEATED)]
    for number, (images, labels) in enumerate(batches):
        networks = steps[number % REPEATED]
        for network in networks:
            network.zero_grad()
        largest, *others = networks
        logits = largest(images)
        loss = nn.functional.cross_entropy(logits, labels)
        loss.backward()
        target = logits.detach().softmax(1)
        for network in others:
            nn.functional.cross_entropy(network(images), target).backward()
        loss.item()


def _store(space: MobileSpace) -> WeightStore:
    return WeightStore(space, CLASSES, own_kernels=SupernetRecipe.own_kernels)


def _sandwich(store: WeightStore) -> Sandwich:
    return Sandwich(store, SupernetRecipe(random_networks=1, within_budget=False), seed=0)


def _random(space: MobileSpace, rng: random.Random) -> Architecture:
    return space.assemble(lambda name, options: rng.choice(options))


def _ordinary(architecture: Architecture) -> Network:
    return build(architecture, CLASSES).to(memory_format=torch.channels_last).train()


def _optimizer(parameters: Iterable[Tensor]) -> torch.optim.SGD:
    return torch.optim.SGD(parameters, lr=0.01, momentum=0.9, nesterov=True)


def train_nni(space: MobileSpace, batches: Batches) -> None:
    """NNI's RandomOneShot, a path sampled for each batch, by its Lightning module and trainer."""
    import nni
    import pytorch_lightning
    from nni.nas.evaluator.pytorch import LightningModule
    from nni.nas.hub.pytorch.mobilenetv3 import SqueezeExcite
    from nni.nas.hub.pytorch.proxylessnas import ConvBNReLU, InvertedResidual
    from nni.nas.nn.pytorch import LayerChoice, ModelSpace, Repeat
    from nni.nas.strategy import RandomOneShot

    def kinds(channels: Any) -> dict[str, nn.Module]:
        return {"none": nn.Identity(), "se": SqueezeExcite(channels)}

    def attention(stage: int, channels: Any, _: Any) -> nn.Module:
        choice: nn.Module = LayerChoice(kinds(channels), label=f"attention{stage}")
        return choice

    def block(stage: int, options: StageOptions, width: int, index: int) -> nn.Module:
        out = options.width[0]
        made: nn.Module = InvertedResidual(
            out if index else width,
            out,
            nni.choice(f"expansion{stage}", list(options.expansion)),
            nni.choice(f"kernel{stage}", list(options.kernel_size)),
            stride=1 if index else options.stride,
            squeeze_excite=partial(attention, stage) if len(options.attention) > 1 else None,
        )
        return made

    class Space(ModelSpace):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            width = space.start
            self.stem = ConvBNReLU(3, width, 3, stride=space.stem_stride)
            stages = []
            for stage, options in enumerate(space.stages):
                depth = (min(options.depth), max(options.depth))
                stages.append(Repeat(partial(block, stage, options, width), depth=depth, label=f"depth{stage}"))
                width = options.width[0]
            self.stages = nn.Sequential(*stages)
            self.head = ConvBNReLU(width, space.head_width, 1)
            self.classifier = nn.Linear(space.head_width or width, CLASSES)

        def forward(self, images: Tensor) -> Tensor:
            logits: Tensor = self.classifier(self.head(self.stages(self.stem(images))).mean((2, 3)))
            return logits

    class Training(LightningModule):  # type: ignore[misc]
        def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
            return nn.functional.cross_entropy(self.model(batch[0]), batch[1])

        def configure_optimizers(self) -> Any:
            return _optimizer(self.parameters())

    class Loader:
        def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
            return iter(batches)

    strategy = RandomOneShot()
    training = Training()
    training.set_model(strategy.mutate_model(Space()))
    trainer = pytorch_lightning.Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
    )
    trainer.fit(strategy.configure_oneshot_module(training), Loader())


def train_ofa(space: MobileSpace, batches: Batches) -> None:
    """OFA's dynamic layers, with the active settings of a random architecture for each batch."""
    from ofa.imagenet_classification.elastic_nn.modules.dynamic_layers import DynamicMBConvLayer
    from ofa.utils.layers import ConvLayer, IdentityLayer, ResidualBlock

    class Dynamic(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            width = space.start
            self.stem = ConvLayer(3, width, 3, stride=space.stem_stride, act_func="relu6")
            self.stages = nn.ModuleList()
            for options in space.stages:
                blocks = nn.ModuleList()
                for index in range(max(options.depth)):
                    out = options.width[0]
                    stride = 1 if index else options.stride
                    layer = DynamicMBConvLayer(
                        [width], [out], list(options.kernel_size), list(options.expansion), stride, "relu6"
                    )
                    skips = stride == 1 and width == out
                    blocks.append(ResidualBlock(layer, IdentityLayer(width, out) if skips else None))
                    width = out
                self.stages.append(blocks)
            self.head = ConvLayer(width, space.head_width, 1, act_func="relu6")
            self.classifier = nn.Linear(space.head_width or width, CLASSES)

        def forward(self, architecture: Architecture, images: Tensor) -> Tensor:
            out: Tensor = self.stem(images)
            block: Any
            for stage, blocks in zip(space.links(architecture) or (), self.stages, strict=True):
                for block in list(blocks.children())[: stage.depth]:
                    block.conv.active_kernel_size = stage.kernel_size
                    block.conv.active_expand_ratio = stage.expansion
                    out = block(out)
            logits: Tensor = self.classifier(self.head(out).mean((2, 3)))
            return logits

    rng = random.Random(0)
    network = Dynamic()
    updates = _optimizer(network.parameters())
    for images, labels in batches:
        architecture = _random(space, rng)
        updates.zero_grad()
        nn.functional.cross_entropy(network(architecture, images), labels).backward()
        updates.step()
