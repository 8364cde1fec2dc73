"""Contracts that every registered attention op keeps, and what is known of each."""

import pytest
import torch
import torchvision
from timm.layers.coord_attn import CoordAttn
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from search_space import attention as attention_ops
from search_space.architecture import Attention
from search_space.attention import CoordinateAttention, SqueezeExcitation
from search_space.errors import InputError

RATIOS = (4, 16)


def _every_op() -> list[Attention]:
    found = []
    for kind in attention_ops.kinds():
        ratios = RATIOS if attention_ops.takes_reduction(kind) else (None,)
        found += [Attention(kind, ratio) for ratio in ratios]
    return found


def test_registry_holds_the_searched_kinds() -> None:
    assert attention_ops.kinds()[:3] == ("none", "se", "ca")


@pytest.mark.parametrize("attention", _every_op(), ids=lambda attention: attention.label)
class TestEveryOp:
    """The contract of the registry."""

    @pytest.mark.parametrize("size", [(7, 7), (5, 9), (1, 1), (1, 6)])
    def test_keeps_the_shape(self, attention: Attention, size: tuple[int, int]) -> None:
        op = attention_ops.create(attention, 32, nn.ReLU6).eval()
        x = torch.randn(3, 32, *size)
        assert op(x).shape == x.shape

    def test_gradient_reaches_every_parameter_and_the_input(self, attention: Attention) -> None:
        # In evaluation mode: in training, batch normalisation makes the bias before it irrelevant.
        op = attention_ops.create(attention, 32, nn.ReLU6).eval()
        x = torch.randn(4, 32, 6, 5, requires_grad=True)
        (op(x) * torch.randn_like(x)).sum().backward()
        assert x.grad is not None
        for name, parameter in op.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.abs().sum() > 0, name

    def test_same_result_channels_last(self, attention: Attention) -> None:
        op = attention_ops.create(attention, 32, nn.ReLU6).eval()
        x = torch.randn(2, 32, 6, 5)
        torch.testing.assert_close(op(x), op(x.contiguous(memory_format=torch.channels_last)))

    def test_narrower_nests_in_wider(self, attention: Attention) -> None:
        wide = dict(attention_ops.create(attention, 64, nn.ReLU6).named_parameters())
        narrow = dict(attention_ops.create(attention, 32, nn.ReLU6).named_parameters())
        assert narrow.keys() == wide.keys()
        for name, parameter in narrow.items():
            assert all(n <= m for n, m in zip(parameter.shape, wide[name].shape, strict=True)), name


@pytest.mark.parametrize("channels", [16, 96, 100])
@pytest.mark.parametrize("reduction", [4, 32])
def test_formulas_of_parameters_and_macs(channels: int, reduction: int) -> None:
    height, width = 6, 9
    m = max(8, channels // reduction)
    q = max(1, channels // reduction)
    expected = {
        "none": (0, 0),
        "se": (2 * channels * q + channels + q, 2 * channels * q),
        "ca": (3 * channels * m + 3 * m + 2 * channels, 2 * channels * m * (height + width)),
    }
    for kind, (params, macs) in expected.items():
        ratio = reduction if attention_ops.takes_reduction(kind) else None
        op = attention_ops.create(Attention(kind, ratio), channels, nn.ReLU6).eval()
        assert sum(parameter.numel() for parameter in op.parameters()) == params
        with FlopCounterMode(display=False) as counter:
            op(torch.randn(1, channels, height, width))
        assert counter.get_total_flops() == 2 * macs


@pytest.mark.parametrize("size", [(7, 7), (5, 12)])
@pytest.mark.parametrize("training", [False, True])
def test_coordinate_attention_equals_timm_with_the_authors_settings(size: tuple[int, int], training: bool) -> None:
    channels, reduction = 96, 4
    ours = CoordinateAttention(channels, reduction).train(training)
    theirs = CoordAttn(channels, rd_channels=max(8, channels // reduction), bias=True, act_layer=nn.Hardswish).train(
        training
    )
    # The block's order of parameters is the contract: reducing convolution, norm, height, width.
    names = ["reduce", "norm", "height", "width"]
    assert [name.partition(".")[0] for name, _ in ours.named_parameters()][::2] == names
    pairs = {"conv1": "reduce", "bn1": "norm", "conv_h": "height", "conv_w": "width"}
    renamed = {}
    for name, tensor in theirs.state_dict().items():
        first, _, rest = name.partition(".")
        renamed[f"{pairs[first]}.{rest}"] = tensor
    ours.load_state_dict(renamed)
    x = torch.randn(4, channels, *size)
    a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
    weight = torch.randn_like(x)
    torch.testing.assert_close(ours(a), theirs(b), rtol=1e-5, atol=1e-6)
    (ours(a) * weight).sum().backward()
    (theirs(b) * weight).sum().backward()
    torch.testing.assert_close(a.grad, b.grad, rtol=1e-4, atol=1e-5)


def test_squeeze_excitation_equals_torchvision() -> None:
    ours = SqueezeExcitation(96, 24, nn.SiLU)
    theirs = torchvision.ops.SqueezeExcitation(96, 4, activation=nn.SiLU)
    ours.load_state_dict(dict(zip(ours.state_dict(), theirs.state_dict().values(), strict=True)))
    x = torch.randn(2, 96, 5, 8)
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-5, atol=1e-6)


def test_a_new_op_is_one_class_and_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention_ops, "_REGISTRY", dict(attention_ops._REGISTRY))

    @attention_ops.register("gate")
    class Gate(nn.Module):
        def __init__(self, channels: int):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(channels, 1, 1))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * self.weight.sigmoid()

    assert "gate" in attention_ops.kinds()
    assert not attention_ops.takes_reduction("gate")
    x = torch.randn(1, 4, 3, 3)
    torch.testing.assert_close(attention_ops.create(Attention("gate"), 4, nn.ReLU6)(x), x / 2)
    with pytest.raises(ValueError, match="registered already"):
        attention_ops.register("gate")(Gate)


@pytest.mark.parametrize(
    ("attention", "message"),
    [
        (Attention("cbam", 4), "attention 'cbam' is unknown; known: none, se, ca"),
        (Attention("ca"), "attention 'ca' needs a reduction ratio, got None"),
        (Attention("none", 4), "attention 'none' takes no reduction ratio, got 4"),
    ],
)
def test_unknown_kinds_and_ratios_are_refused(attention: Attention, message: str) -> None:
    with pytest.raises(InputError, match=message):
        attention_ops.create(attention, 32, nn.ReLU6)
