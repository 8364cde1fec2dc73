"""`torch.jit.script` of a network: the same logits at any size, whatever the network is made of."""

import copy
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import timm
import torch
from torch import Tensor, nn

from deployment.timm_entry import TimmNetwork
from evaluators.supernet.store import WeightStore
from foundation import plugins
from foundation.plugins import load_plugin
from search_space import Architecture, Attention, Network, Stage, attention, build
from search_space.backbones import BACKBONES
from search_space.cost.priced_space import PricedSpace
from search_space.families.mobile.blocks import attend, blocks
from search_space.parts import ACTIVATIONS, NO_ATTENTION
from training.model_file import ModelInfo, load_model, save_model

SIZES = ((2, 3, 24, 24), (1, 3, 9, 17), (1, 3, 1, 1))


@pytest.fixture(autouse=True)
def _deprecated() -> Iterator[None]:
    """torch prefers torch.export, which other programs cannot read."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`torch.jit", FutureWarning)
        yield


def _scripted(network: nn.Module) -> torch.jit.ScriptModule:
    scripted: torch.jit.ScriptModule = torch.jit.script(network)
    return scripted


def _trained(network: Network) -> Network:
    """With batch statistics as a training leaves them."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, 0.0, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    nn.init.normal_(network.classifier.weight)
    return network.eval()


@torch.no_grad()
def _check(network: nn.Module, scripted: torch.jit.ScriptModule) -> None:
    for size in SIZES:
        images = torch.randn(size)
        for given in (images, images.contiguous(memory_format=torch.channels_last)):
            torch.testing.assert_close(scripted(given), network(given))


def _one(kind: str, block: str = "inverted_residual", activation: str = "relu6", head: int | None = 16) -> Architecture:
    chosen = Attention(kind, 4 if attention.takes_reduction(kind) else None)
    stage = Stage(block, 8, 1, 3, 3, (chosen, chosen))
    return Architecture(24, 8, 2, (stage,), head, activation)


@pytest.mark.parametrize("kind", attention.kinds())
def test_every_attention_op(kind: str) -> None:
    network = _trained(build(_one(kind), 5))
    _check(network, _scripted(network))


@pytest.mark.parametrize("block", blocks())
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_block_and_activation(block: str, activation: str) -> None:
    stage = Stage(block, 16, 2, 1, 5, (NO_ATTENTION, NO_ATTENTION))
    stages = attend((stage,), 8, activation, lambda *_: Attention("ca", 8))
    for head in (None, 16):
        network = _trained(build(Architecture(24, 8, 1, stages, head, activation), 5))
        _check(network, _scripted(network))


@pytest.mark.parametrize("name", BACKBONES)
def test_every_backbone(name: str) -> None:
    network = _trained(build(BACKBONES[name](0.1), 5))
    _check(network, _scripted(network))


def test_an_op_of_the_users_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention.OPS, "_things", dict(attention.OPS._things))
    monkeypatch.setattr(plugins, "_LOADED", {})
    load_plugin(Path(__file__).parent.parent / "examples" / "row_attention.py")
    network = _trained(build(_one("rows"), 5))
    _check(network, _scripted(network))


def test_a_network_of_a_supernet(tiny_space: PricedSpace) -> None:
    """Extracted, and its views as they are: the shared weights go on being trained beside."""
    store = WeightStore(tiny_space.space, tiny_space.num_classes)
    network = store.extract(tiny_space.smallest).eval()
    _check(network, _scripted(network))
    largest = store.extract(tiny_space.largest).eval()
    _check(largest, _scripted(largest))


def test_a_network_of_a_file_and_its_copy(tmp_path: Path) -> None:
    network = _trained(build(_one("ca"), 3))
    info = ModelInfo(network.architecture, ("a", "b", "c"), (0.5,), (0.2,), "folder")
    save_model(tmp_path / "weights.safetensors", network.state_dict(), info)
    loaded = load_model(tmp_path / "weights.safetensors")[0]
    scripted = _scripted(copy.deepcopy(loaded))
    _check(network, scripted)
    torch.jit.save(scripted, str(tmp_path / "network.pt"))
    _check(network, torch.jit.load(str(tmp_path / "network.pt")))


def test_in_training() -> None:
    """Gradients too, and the batch statistics."""
    network = build(_one("ca"), 3).train()
    twin = copy.deepcopy(network)
    scripted = _scripted(twin)
    images = torch.randn(4, 3, 24, 24)
    found: list[Tensor] = []
    for model in (network, scripted):
        model(images).square().sum().backward()
        found.append(torch.cat([parameter.grad.flatten() for parameter in model.parameters()]))
    torch.testing.assert_close(*found, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(dict(network.named_buffers()), dict(scripted.named_buffers()))


def test_timms_network() -> None:
    model = timm.create_model("coordnas", network=_one("ca").to_dict(), num_classes=5).eval()
    assert isinstance(model, TimmNetwork)
    _check(model, _scripted(model))
