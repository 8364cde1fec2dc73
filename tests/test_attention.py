"""Contracts that every registered attention op keeps, and what is known of each."""

import math
import random
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pytest
import torch
import torchvision
from timm.layers import EcaModule
from timm.layers.cbam import CbamModule
from timm.layers.coord_attn import CoordAttn
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from evaluators.supernet.store import WeightStore
from foundation.errors import InputError
from search_space import Architecture, Stage, build, measure
from search_space import attention as attention_ops
from search_space.architecture import Attention
from search_space.attention import CoordinateAttention, SqueezeExcitation
from search_space.attention.further import (
    BlockAttention,
    EfficientChannelAttention,
    EfficientLocalAttention,
    EnergyAttention,
    PlaneGate,
    TripletAttention,
)
from search_space.attention.probes import asked
from search_space.cost.cost import Counter
from search_space.cost.priced_space import PricedSpace
from search_space.decisions import dimension
from search_space.families.mobile.space import MobileSpace
from search_space.families.mobile.stage_options import StageOptions
from search_space.rounding import divisible
from search_space.space import SearchSpace
from search_space.spaces import SPACES, priced_space

RATIOS = (4, 16)
CLASSES = 10


def _every_op() -> list[Attention]:
    found = []
    for kind in attention_ops.kinds():
        ratios = RATIOS if attention_ops.takes_reduction(kind) else (None,)
        found += [Attention(kind, ratio) for ratio in ratios]
    return found


def _randomise(op: nn.Module) -> None:
    """Parameters and batch statistics of a trained network: no two alike, and none at its initial value."""
    with torch.no_grad():
        for parameter in op.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
        for name, buffer in op.named_buffers():
            if name.endswith("running_mean"):
                buffer.copy_(torch.randn_like(buffer) * 0.3)
            elif name.endswith("running_var"):
                buffer.copy_(torch.rand_like(buffer) + 0.5)


def _learn(op: nn.Module, x: Tensor) -> None:
    """Gradients of something that depends on the output, and on what probes make of classes."""
    labels = torch.arange(len(x)) % CLASSES
    with asked(labels) as logits:
        out = op(x)
    loss = (out * torch.randn_like(x)).sum()
    for one in logits:
        loss = loss + nn.functional.cross_entropy(one, labels)
    loss.backward()


def test_registry_holds_the_searched_kinds() -> None:
    assert attention_ops.kinds()[:3] == ("none", "se", "ca")
    further = {"cifs", "cifs_mlp", "probe", "eca", "cbam", "ela", "simam", "triplet", "se_hard"}
    assert set(attention_ops.kinds()) == {"none", "se", "ca", *further}


def test_no_named_space_offers_more_than_none_se_and_ca() -> None:
    """But that around MobileNetV3, which holds its own squeeze-and-excitation too."""
    for name in SPACES:
        space = priced_space(name).space
        if isinstance(space, MobileSpace):
            offered = {attention.kind for options in space.stages for attention in options.attention}
            assert offered == {"none", "se", "ca"} | ({"se_hard"} if name == "mobilenetv3" else set()), name


@pytest.mark.parametrize("attention", _every_op(), ids=lambda attention: attention.label)
class TestEveryOp:
    """The contract of the registry."""

    @pytest.mark.parametrize("size", [(7, 7), (5, 9), (1, 1), (1, 6)])
    def test_keeps_the_shape(self, attention: Attention, size: tuple[int, int]) -> None:
        op = attention_ops.create(attention, 32, nn.ReLU6, CLASSES).eval()
        x = torch.randn(3, 32, *size)
        assert op(x).shape == x.shape

    @pytest.mark.parametrize("channels", [1, 5, 16, 100])
    @pytest.mark.parametrize("size", [(1, 1), (1, 6), (4, 3)])
    def test_takes_any_channels_and_a_single_picture(
        self, attention: Attention, channels: int, size: tuple[int, int]
    ) -> None:
        op = attention_ops.create(attention, channels, nn.ReLU6, CLASSES).eval()
        x = torch.randn(1, channels, *size)
        assert op(x).shape == x.shape
        assert op(x).isfinite().all()

    def test_gradient_reaches_every_parameter_and_the_input(self, attention: Attention) -> None:
        # In evaluation mode: in training, batch normalisation makes the bias before it irrelevant.
        op = attention_ops.create(attention, 32, nn.ReLU6, CLASSES).eval()
        x = torch.randn(4, 32, 6, 5, requires_grad=True)
        _learn(op, x)
        assert x.grad is not None
        for name, parameter in op.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.abs().sum() > 0, name

    def test_same_result_channels_last(self, attention: Attention) -> None:
        op = attention_ops.create(attention, 32, nn.ReLU6, CLASSES).eval()
        x = torch.randn(2, 32, 6, 5)
        torch.testing.assert_close(op(x), op(x.contiguous(memory_format=torch.channels_last)))

    def test_narrower_nests_in_wider(self, attention: Attention) -> None:
        wide = dict(attention_ops.create(attention, 64, nn.ReLU6, CLASSES).named_parameters())
        narrow = dict(attention_ops.create(attention, 32, nn.ReLU6, CLASSES).named_parameters())
        assert narrow.keys() == wide.keys()
        for name, parameter in narrow.items():
            assert all(n <= m for n, m in zip(parameter.shape, wide[name].shape, strict=True)), name

    def test_exported_program_is_right_at_other_sizes(self, attention: Attention) -> None:
        op = attention_ops.create(attention, 32, nn.ReLU6, CLASSES).eval()
        dynamic = torch.export.Dim.DYNAMIC
        sizes = ({0: dynamic, 2: dynamic, 3: dynamic},)
        program = torch.export.export(op, (torch.randn(2, 32, 6, 5),), dynamic_shapes=sizes).module()
        for shape in ((2, 32, 6, 5), (3, 32, 9, 14), (2, 32, 4, 2)):
            x = torch.randn(shape)
            torch.testing.assert_close(program(x), op(x))

    @pytest.mark.parametrize("training", [False, True])
    def test_made_constant_it_scales_and_can_still_learn(self, attention: Attention, training: bool) -> None:
        op: Any = attention_ops.create(attention, 32, nn.ReLU6, CLASSES).train(training)
        _randomise(op)
        if not hasattr(op, "make_constant"):
            assert not list(op.parameters())
            return
        constant = op.make_constant()
        assert type(constant) is float
        x = torch.randn(4, 32, 6, 5)
        assert torch.equal(op(x), constant * x)
        _learn(op, x)
        assert any(parameter.grad.abs().sum() > 0 for parameter in op.parameters())

    @pytest.mark.parametrize("block", ["inverted_residual", "sandglass"])
    def test_network_costs_what_is_counted(self, attention: Attention, block: str) -> None:
        stages = tuple(Stage(block, width, 2, 2, 3, (attention,) * 2) for width in (16, 40))
        architecture = Architecture(64, 16, 2, stages, 64, "relu6")
        network = build(architecture, 5).eval()
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            logits = network(torch.randn(1, 3, 64, 64))
        assert logits.shape == (1, 5)
        cost = measure(architecture, 5)
        assert counter.get_total_flops() == 2 * cost.macs
        assert sum(parameter.numel() for parameter in network.parameters()) == cost.params


@pytest.mark.parametrize("channels", [16, 96, 100, 160])
@pytest.mark.parametrize("reduction", [4, 32])
def test_formulas_of_parameters_and_macs(channels: int, reduction: int) -> None:
    height, width = 6, 9
    m = max(8, channels // reduction)
    q = max(1, channels // reduction)
    r = divisible(channels // reduction)
    k = 5 if channels >= 128 else 3
    planes = height * width + channels * height + channels * width
    expected = {
        "none": (0, 0),
        "se": (2 * channels * q + channels + q, 2 * channels * q),
        "ca": (3 * channels * m + 3 * m + 2 * channels, 2 * channels * m * (height + width)),
        "eca": (k, k * channels),
        "cbam": (2 * channels * q + 100, 4 * channels * q + 98 * height * width),
        "ela": (2 * 7 * channels + 4 * channels, 7 * channels * (height + width)),
        "simam": (0, 0),
        "triplet": (300, 98 * planes),
        "se_hard": (2 * channels * r + channels + r, 2 * channels * r),
        "probe": (channels * CLASSES + CLASSES, 0),
        "cifs": (channels * CLASSES + CLASSES, channels * CLASSES),
        "cifs_mlp": (128 * (channels + CLASSES) + 128 + CLASSES, 128 * (2 * channels + CLASSES)),
    }
    assert expected.keys() == set(attention_ops.kinds())
    for kind, (params, macs) in expected.items():
        ratio = reduction if attention_ops.takes_reduction(kind) else None
        op = attention_ops.create(Attention(kind, ratio), channels, nn.ReLU6, CLASSES).eval()
        assert sum(parameter.numel() for parameter in op.parameters()) == params
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            op(torch.randn(1, channels, height, width))
        assert counter.get_total_flops() == 2 * macs
        with torch.no_grad(), Counter() as own:
            op(torch.randn(1, channels, height, width))
        assert own.macs == macs


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


Op = Callable[[Tensor], Tensor]


def _gradients(op: Op, x: Tensor, parameters: Iterable[Tensor]) -> tuple[Tensor, list[Tensor]]:
    """The output, and the gradients of a weighted sum of it by the input and the parameters."""
    x = x.clone().requires_grad_()
    out = op(x)
    weights = torch.randn(out.shape, generator=torch.Generator().manual_seed(5), dtype=x.dtype)
    return out, list(torch.autograd.grad((out * weights).sum(), [x, *parameters]))


def _assert_same(
    ours: nn.Module, theirs: Op, x: Tensor, their_parameters: Sequence[Tensor] | None = None, **tolerance: float
) -> None:
    """Outputs and gradients by input and parameters agree; by default the peer reads our parameters."""
    mine = list(ours.parameters())
    out, gradients = _gradients(ours, x, mine)
    other_out, other_gradients = _gradients(theirs, x, mine if their_parameters is None else their_parameters)
    torch.testing.assert_close(out, other_out, **tolerance)
    for gradient, other in zip(gradients, other_gradients, strict=True):
        torch.testing.assert_close(gradient, other.view_as(gradient), **tolerance)


@pytest.mark.parametrize("channels", [8, 100, 127, 128, 2047, 2048])
def test_efficient_channel_attention_equals_timm(channels: int) -> None:
    ours, theirs = EfficientChannelAttention(channels), EcaModule(channels)
    assert theirs.conv.weight.shape == (1, 1, ours.conv.kernel_size[0])
    theirs.load_state_dict({"conv.weight": ours.conv.weight.detach().squeeze(3)})
    _assert_same(ours, theirs, torch.randn(2, channels, 5, 8), [theirs.conv.weight], rtol=1e-5, atol=1e-5)


def test_efficient_channel_attention_has_the_nearest_odd_kernel() -> None:
    for channels in [*range(1, 300), *range(2040, 2056), 8192]:
        wanted = math.log2(channels) / 2 + 0.5
        nearest = min(range(1, 13, 2), key=lambda odd: (abs(odd - wanted), -odd))
        with torch.device("meta"):
            assert EfficientChannelAttention(channels).conv.kernel_size == (nearest, 1), channels


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("size", [(7, 7), (5, 12), (1, 2)])
def test_block_attention_equals_timm(size: tuple[int, int], training: bool) -> None:
    channels, reduction = 100, 8
    ours = BlockAttention(channels, reduction).train(training)
    _randomise(ours)
    theirs = CbamModule(channels, rd_channels=channels // reduction).train(training)  # timm rounds, the paper divides
    names = {
        "channel.fc1": "reduce",
        "channel.fc2": "expand",
        "spatial.conv.conv": "positions.conv",
        "spatial.conv.bn": "positions.norm",
    }
    state = ours.state_dict()
    renamed = {}
    for name in theirs.state_dict():
        module, _, tensor = name.rpartition(".")
        renamed[name] = state[f"{names[module]}.{tensor}"]
    theirs.load_state_dict(renamed)
    ours, theirs = ours.double(), theirs.double()  # what float32 rounds away is the processor's
    x = torch.randn(3, channels, *size, dtype=torch.float64)
    _assert_same(ours, theirs, x, list(theirs.parameters()), rtol=1e-9, atol=1e-9)


def _correlated(planes: Tensor, kernel: Tensor) -> Tensor:
    """Sum over input planes and kernel places, zeros beyond the border: N×I×A×B and I×h×w to N×A×B."""
    count, _, height, width = planes.shape
    above, left = kernel.shape[1] // 2, kernel.shape[2] // 2
    rows = []
    for a in range(height):
        row = []
        for b in range(width):
            total = planes.new_zeros(count)
            for i in range(kernel.shape[1]):
                for j in range(kernel.shape[2]):
                    y, x = a + i - above, b + j - left
                    if 0 <= y < height and 0 <= x < width:
                        total = total + torch.einsum("ni,i->n", planes[:, :, y, x], kernel[:, i, j])
            row.append(total)
        rows.append(torch.stack(row, 1))
    return torch.stack(rows, 1)


def _plane_gate(gate: PlaneGate, mean: Tensor, maximum: Tensor) -> Tensor:
    """The gate of a plane from its pooled values, N×A×B each."""
    plane = _correlated(torch.stack((mean, maximum), 1), gate.conv.weight[0])
    norm = gate.norm
    assert norm.running_mean is not None
    assert norm.running_var is not None
    if norm.training:
        centre, variance = plane.mean(), ((plane - plane.mean()) ** 2).mean()
    else:
        centre, variance = norm.running_mean[0], norm.running_var[0]
    return 1 / (1 + torch.exp(-((plane - centre) / (variance + 1e-5).sqrt() * norm.weight[0] + norm.bias[0])))


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("shape", [(2, 5, 4, 3), (2, 3, 1, 9), (1, 9, 2, 1)])
def test_triplet_attention_equals_its_formula(shape: tuple[int, ...], training: bool) -> None:
    op = TripletAttention(shape[1]).double().train(training)
    _randomise(op)

    def formula(x: Tensor) -> Tensor:
        on_hw = _plane_gate(op.height_width, x.mean(1), x.max(1).values)
        on_cw = _plane_gate(op.channel_width, x.mean(2), x.max(2).values)
        on_ch = _plane_gate(op.height_channel, x.mean(3).mT, x.max(3).values.mT)  # the kernel's first side is height
        total = torch.einsum("nchw,nhw->nchw", x, on_hw)
        total = total + torch.einsum("nchw,ncw->nchw", x, on_cw)
        return (total + torch.einsum("nchw,nhc->nchw", x, on_ch)) / 3

    _assert_same(op, formula, torch.randn(shape, dtype=torch.float64))


@pytest.mark.parametrize(("channels", "groups"), [(32, 16), (16, 16), (48, 16), (24, 8), (10, 2), (5, 1)])
@pytest.mark.parametrize("size", [(4, 3), (1, 9), (8, 1), (1, 1)])
def test_efficient_local_attention_equals_its_formula(channels: int, groups: int, size: tuple[int, int]) -> None:
    op = EfficientLocalAttention(channels).double()
    _randomise(op)

    def gate(line: Tensor, kernel: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """N×C×L and C×7 to N×C×L."""
        channel = [_correlated(line[:, c : c + 1, None], kernel[c][None, None])[:, 0] for c in range(channels)]
        result = []
        for group in torch.stack(channel, 1).split(channels // groups, 1):
            centre = group.mean((1, 2), keepdim=True)
            variance = ((group - centre) ** 2).mean((1, 2), keepdim=True)
            result.append((group - centre) / (variance + 1e-5).sqrt())
        return 1 / (1 + torch.exp(-torch.einsum("ncl,c->ncl", torch.cat(result, 1), weight) - bias[:, None]))

    def formula(x: Tensor) -> Tensor:
        rows = gate(x.mean(3), op.height.conv.weight.view(channels, 7), op.height.norm.weight, op.height.norm.bias)
        columns = gate(x.mean(2), op.width.conv.weight.view(channels, 7), op.width.norm.weight, op.width.norm.bias)
        return torch.einsum("nchw,nch,ncw->nchw", x, rows, columns)

    _assert_same(op, formula, torch.randn(2, channels, *size, dtype=torch.float64))


@pytest.mark.parametrize("size", [(4, 3), (1, 2), (1, 1)])
def test_energy_attention_equals_its_formula(size: tuple[int, int]) -> None:
    def formula(x: Tensor) -> Tensor:
        """The paper's minimal energy of a neuron, neuron by neuron."""
        pictures = []
        for picture in x:
            channels = []
            for neurons in picture.flatten(1):
                centre = sum(neurons) / len(neurons)
                variance = sum((neuron - centre) ** 2 for neuron in neurons) / max(1, len(neurons) - 1)
                gated = []
                for neuron in neurons:
                    energy = 4 * (variance + 1e-4) / ((neuron - centre) ** 2 + 2 * variance + 2 * 1e-4)
                    gated.append(neuron / (1 + torch.exp(-1 / energy)))
                channels.append(torch.stack(gated).view(size))
            pictures.append(torch.stack(channels))
        return torch.stack(pictures)

    _assert_same(EnergyAttention(3), formula, torch.randn(2, 3, *size, dtype=torch.float64))


def _space_of_every_op() -> PricedSpace:
    """Hidden widths of 4 to 128: all that an op's parameters may do with the channels happens."""
    options = StageOptions(
        block="inverted_residual",
        stride=2,
        width=(4, 64),
        depth=(1, 2),
        expansion=(1, 2),
        kernel_size=(3,),
        attention=tuple(_every_op()),
    )
    return PricedSpace(SearchSpace("every", (32,), 8, 2, (options, options), 16, "relu6"), 4)


def _drawn(space: PricedSpace, kind: str, seed: int) -> Architecture:
    rng = random.Random(seed)

    def choose(name: str, options: Sequence[Any]) -> Any:
        return kind if dimension(name) == "attention" else rng.choice(options)

    return space.space.assemble(choose)


def test_supernet_view_of_every_op_equals_the_extracted_module_bit_for_bit() -> None:
    space = _space_of_every_op()
    store = WeightStore(space.space, space.num_classes)
    _randomise(store)
    x = torch.randn(4, 3, 32, 24)
    kernels = set()
    for kind in attention_ops.kinds():
        for seed in range(8):
            architecture = _drawn(space, kind, seed)
            assert {attention.kind for stage in architecture.stages for attention in stage.attention} == {kind}
            network = store.extract(architecture).train()
            assert torch.equal(store(architecture, x), network(x)), architecture
            ecas = (module for module in network.modules() if isinstance(module, EfficientChannelAttention))
            kernels |= {eca.conv.kernel_size[0] for eca in ecas}
    assert kernels == {1, 3, 5}
    keys = set(store.tensors)
    for kind in attention_ops.kinds():
        assert any(f"/attention/{kind}/" in key for key in keys) == (kind not in ("none", "simam"))


def test_a_new_op_is_one_class_and_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention_ops.OPS, "_things", dict(attention_ops.OPS._things))

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
    torch.testing.assert_close(attention_ops.create(Attention("gate"), 4, nn.ReLU6, CLASSES)(x), x / 2)
    with pytest.raises(ValueError, match="registered already"):
        attention_ops.register("gate")(Gate)


@pytest.mark.parametrize(
    ("attention", "message"),
    [
        (Attention("halo", 4), "attention 'halo' is unknown; known: none, se, ca, eca, cbam"),
        (Attention("cbam"), "attention 'cbam' needs a reduction ratio, got None"),
        (Attention("simam", 4), "attention 'simam' takes no reduction ratio, got 4"),
        (Attention("ca"), "attention 'ca' needs a reduction ratio, got None"),
        (Attention("none", 4), "attention 'none' takes no reduction ratio, got 4"),
    ],
)
def test_unknown_kinds_and_ratios_are_refused(attention: Attention, message: str) -> None:
    with pytest.raises(InputError, match=message):
        attention_ops.create(attention, 32, nn.ReLU6, CLASSES)
