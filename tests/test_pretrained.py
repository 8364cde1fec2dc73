"""Weights carried over from torchvision's networks, randomly initialised, without a download."""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torchvision
from torch import nn

from search_space import Architecture, Attention, InputError, build
from search_space.backbones import efficientnet_b0, mobilenetv2, mobilenext
from search_space.parts import NO_ATTENTION
from search_space.pretrained import Transferred, published, transfer

FAMILIES: dict[str, tuple[Callable[..., Architecture], Callable[[], nn.Module]]] = {
    "mobilenetv2": (mobilenetv2, torchvision.models.mobilenet_v2),
    "efficientnet_b0": (efficientnet_b0, torchvision.models.efficientnet_b0),
}


def _theirs(family: str) -> nn.Module:
    """torchvision's network with batch statistics that are not those of an untrained one."""
    network = FAMILIES[family][1]()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, 0, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.1)
    return network.eval()


def _changed(architecture: Architecture, index: int, **fields: Any) -> Architecture:
    stages = list(architecture.stages)
    stages[index] = dataclasses.replace(stages[index], **fields)
    return dataclasses.replace(architecture, stages=tuple(stages))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("size", [(64, 64), (65, 97)])
def test_logits_equal_torchvision(family: str, size: tuple[int, int]) -> None:
    theirs = _theirs(family)
    ours = published(FAMILIES[family][0](), theirs.state_dict()).eval()
    x = torch.randn(2, 3, *size)
    with torch.no_grad():
        torch.testing.assert_close(ours(x), theirs(x), rtol=1e-5, atol=1e-5)


def _carried(family: str, target: Architecture) -> tuple[Transferred, float, float]:
    """The report, the largest difference of logits, and their scale."""
    source = published(FAMILIES[family][0](), _theirs(family).state_dict()).eval()
    network = build(target)
    report = transfer(source, network)
    network.eval()
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        expected = source(x)
        return report, float((network(x) - expected).abs().max()), float(expected.abs().max())


BASE = mobilenetv2()
PRESERVING = {
    "the same": BASE,
    "se": mobilenetv2(attention=Attention("se", 8)),
    "ca": mobilenetv2(attention=Attention("ca", 32)),
    "wider stage": _changed(BASE, 3, width=88),
    "all wider": mobilenetv2(1.4),
    "deeper": _changed(BASE, 2, attention=(NO_ATTENTION,) * 5),
    "larger kernels": _changed(BASE, 4, kernel_size=7),
    "larger expansion": _changed(BASE, 1, expansion=8),
}


@pytest.mark.parametrize("name", PRESERVING)
def test_what_can_be_preserved_is(name: str) -> None:
    report, difference, scale = _carried("mobilenetv2", PRESERVING[name])
    assert report.preserved
    assert bool(report.notes) == (name != "the same")
    assert difference <= 1e-4 * scale
    assert report.copied >= 3_400_000


def test_larger_squeeze_is_preserved() -> None:
    report, difference, scale = _carried("efficientnet_b0", efficientnet_b0(attention=Attention("se", 12)))
    assert report.preserved
    assert difference <= 1e-4 * scale


@pytest.mark.parametrize(
    ("family", "target"),
    [
        ("mobilenetv2", mobilenetv2(0.5)),
        ("mobilenetv2", _changed(BASE, 2, attention=(NO_ATTENTION,))),
        ("mobilenetv2", _changed(BASE, 1, expansion=1)),
        ("efficientnet_b0", _changed(efficientnet_b0(), 2, kernel_size=3)),
        ("efficientnet_b0", efficientnet_b0(attention=Attention("ca", 32))),
        ("efficientnet_b0", efficientnet_b0(attention=NO_ATTENTION)),
    ],
)
def test_what_cannot_be_preserved_is_said(family: str, target: Architecture) -> None:
    report, difference, _ = _carried(family, target)
    assert not report.preserved
    assert report.notes
    assert 0 < report.copied < report.total + 1
    assert difference == difference  # not NaN
    assert "not preserved" in str(report)


def test_other_classes_leave_the_features() -> None:
    source = published(BASE, _theirs("mobilenetv2").state_dict())
    network = build(BASE, 10)
    report = transfer(source, network)
    assert report.notes == {"classifier": "fresh: 10 classes instead of 1000"}
    assert torch.equal(network.head.conv.weight, source.head.conv.weight)


@pytest.mark.parametrize(
    ("architecture", "message"),
    [
        (mobilenext(), "no published weights for sandglass, sandglass_thin blocks"),
        (dataclasses.replace(BASE, stages=BASE.stages[:5]), "has 5 stages, the published one 7"),
    ],
)
def test_other_families_are_refused(architecture: Architecture, message: str) -> None:
    with pytest.raises(InputError, match=message):
        published(architecture, {})


def test_weights_that_cannot_be_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(url: str, **settings: Any) -> Any:
        assert settings["weights_only"]
        raise OSError("no network")

    monkeypatch.setattr("torch.hub.load_state_dict_from_url", offline)
    with pytest.raises(InputError, match=r"cannot fetch https://.*mobilenet_v2.*no network.*`init` scratch"):
        published(BASE)
