"""T2T-ViT: the published counts, and what its parts are equal to."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from search_space import Architecture, Attention, InputError, build, measure
from search_space.backbones import hand_designed
from search_space.cost.cost import part_cost
from search_space.families.t2t.architecture import T2TArchitecture, TransformerBlock
from search_space.families.t2t.network import T2TNetwork
from search_space.families.t2t.network_parts import embedding_part, token_parts
from search_space.families.t2t.token_blocks import FullAttention, PerformerAttention, TokenPart, TokenStep, margins
from search_space.families.t2t.transformer import Embedding, EmbeddingPart, MixPart, SelfAttention, sine_table
from search_space.parts import NO_ATTENTION
from tasks.detection.ssdlite import SSDLiteHead

# Trainable parameters, all of them, MACs of linear layers, MACs with matrix products; 224 pixels, 1000 classes.
PUBLISHED = {
    "t2t_vit_7": (4_255_694, 4_310_222, 975_534_080, 1_146_863_616),
    "t2t_vit_10": (5_834_702, 5_889_230, 1_285_388_288, 1_516_328_448),
    "t2t_vit_12": (6_887_374, 6_941_902, 1_491_957_760, 1_762_638_336),
    "t2t_vit_14": (21_465_806, 21_545_550, 4_333_956_096, 4_783_468_544),
    "t2t_vit_19": (39_085_070, 39_177_422, 7_786_759_680, 8_479_682_176),
    "t2t_vit_24": (64_000_974, 64_105_934, 12_675_866_624, 13_661_874_688),
    "t2t_vit_t_14": (21_465_422, 21_541_070, 4_333_956_096, 6_088_721_920),
    "t2t_vit_t_19": (39_084_686, 39_172_942, 7_786_759_680, 9_784_935_552),
    "t2t_vit_t_24": (64_000_590, 64_101_454, 12_675_866_624, 14_967_128_064),
}


def published(name: str) -> T2TArchitecture:
    found = hand_designed(name)
    assert isinstance(found, T2TArchitecture)
    return found


def tiny(tokens: str = "performer", attention: Attention = NO_ATTENTION, resolution: int = 32) -> T2TArchitecture:
    blocks = (TransformerBlock(2, 2, attention), TransformerBlock(1, 3, NO_ATTENTION))
    return T2TArchitecture(resolution, tokens, 7, (2, 2, 2), 8, 24, 8, 32, blocks)


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.parametrize("num_classes", [1000, 10, 1])
def test_counts_are_the_published_ones(name: str, num_classes: int) -> None:
    trainable, everything, linear, macs = PUBLISHED[name]
    architecture = published(name)
    cost = measure(architecture, num_classes)
    fewer = 1000 - num_classes
    assert cost.params == trainable - fewer * (architecture.width + 1)
    assert cost.macs == macs - fewer * architecture.width
    with torch.device("meta"):
        network = build(architecture, num_classes)
    fixed = sum(buffer.numel() for buffer in network.buffers()) + sine_table(197, architecture.width, CPU).numel()
    assert cost.params + fixed == everything - fewer * (architecture.width + 1)
    assert _linear_macs(network) == linear - fewer * architecture.width


CPU = torch.device("cpu")


def _linear_macs(network: nn.Module) -> int:
    """By hand: each layer's weights, times how often they are used."""
    found = []

    def count(layer: nn.Module, _inputs: object, output: Tensor) -> None:
        assert isinstance(layer, nn.Linear | nn.Conv2d)
        found.append(layer.weight.numel() * output[0].numel() // layer.weight.shape[0])

    for layer in network.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            layer.register_forward_hook(count)
    with torch.no_grad():
        network.eval()(torch.empty(1, 3, 224, 224, device="meta"))
    return sum(found)


@pytest.mark.parametrize(("depth", "more"), [(7, 8), (10, 11)])
def test_a_block_costs_what_the_formula_says(depth: int, more: int) -> None:
    base = published("t2t_vit_7")
    costs = [measure(replace(base, blocks=base.blocks[:1] * count)) for count in (depth, more)]
    width, expansion, tokens = base.width, 2, 197
    assert costs[1].params - costs[0].params == (4 + 2 * expansion) * width**2 + (6 + expansion) * width == 526_336
    macs = tokens * (4 + 2 * expansion) * width**2 + 2 * tokens**2 * width
    assert costs[1].macs - costs[0].macs == macs == 123_154_944


@pytest.mark.parametrize(
    ("kind", "inputs", "params"),
    [("performer", 3, 41_318), ("performer", 64, 124_544), ("transformer", 3, 41_126), ("transformer", 64, 124_352)],
)
def test_a_token_block_has_as_many_parameters(kind: str, inputs: int, params: int) -> None:
    step = TokenPart(inputs, 64, 7 if inputs == 3 else 3, 2, kind).create()
    assert sum(parameter.numel() for parameter in step.parameters()) == params


@pytest.mark.parametrize("tokens", ["performer", "transformer", "convolution", "patch"])
def test_the_cost_is_that_of_a_direct_count(tokens: str) -> None:
    changed = PATCHES if tokens == "patch" else {"tokens": tokens}
    architecture = replace(tiny(), **changed)
    network = build(architecture, 5).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.randn(1, 3, 32, 32))
    cost = measure(architecture, 5)
    assert cost.macs == counter.get_total_flops() // 2
    assert cost.params == sum(parameter.numel() for parameter in network.parameters())


PATCHES: dict[str, Any] = {"tokens": "patch", "kernel_size": 4, "token_strides": (4,), "token_width": 3}


@pytest.mark.parametrize(("width", "depth", "macs"), [(64, 6, 17_801_088), (96, 6, 35.7e6), (24, 2, 2.4e6)])
def test_small_ones_cost_what_was_worked_out_by_hand(width: int, depth: int, macs: float) -> None:
    """3×3 kernels, 16 channels between: 16², 8² and 8² tokens of 32×32 pixels."""
    assert measure(_small(width, depth), 10).macs == pytest.approx(macs, rel=0.01)


@pytest.mark.parametrize(("kernel", "channels", "macs"), [(3, 16, 1.78e6), (7, 64, 23.2e6)])
def test_the_published_steps_are_dear_on_small_pictures(kernel: int, channels: int, macs: float) -> None:
    architecture = replace(_small(64, 6), kernel_size=kernel, token_width=channels)
    parts = [*token_parts(architecture), embedding_part(architecture)]
    found = sum(part_cost(part, side).macs for part, side in zip(parts, (32, 16, 8), strict=True))
    assert found == pytest.approx(macs, rel=0.01)


def _small(width: int, depth: int) -> T2TArchitecture:
    blocks = (TransformerBlock(width // 8, 2, NO_ATTENTION),) * depth
    return T2TArchitecture(32, "performer", 3, (2, 2, 1), 16, width, 8, width, blocks)


@pytest.mark.parametrize(("kernel", "stride"), [(7, 4), (3, 2), (3, 1), (5, 2), (3, 4), (4, 4)])
def test_an_embedding_is_a_soft_split_and_a_linear_layer(kernel: int, stride: int) -> None:
    embedding = Embedding(EmbeddingPart(5, 12, kernel, stride, 12))
    x = torch.randn(2, 5, 16, 24)
    before, _ = margins(kernel, stride)
    split = F.unfold(x, kernel, padding=before, stride=stride).transpose(1, 2)
    tokens = F.linear(split, embedding.project.weight.flatten(1), embedding.project.bias)
    assert tokens.shape[1] == -(-16 // stride) * -(-24 // stride)  # as published, where the stride divides the sides
    table = sine_table(1 + tokens.shape[1], 12, CPU)
    torch.testing.assert_close(embedding(x)[:, 1:], tokens + table[1:])


def test_the_performer_is_attention_with_explicit_weights() -> None:
    torch.manual_seed(3)
    attention = PerformerAttention(20, 16)
    queries, keys, values = torch.randn(3, 2, 9, 16).double()
    w = attention.features.double()

    def phi(x: Tensor) -> Tensor:
        return (x @ w.T - x.square().sum(2, keepdim=True) / 2).exp() / math.sqrt(len(w))

    weights = phi(queries) @ phi(keys).transpose(1, 2)  # T×T
    weights = weights / weights.sum(2, keepdim=True)
    assert (weights > 0).all()
    torch.testing.assert_close(weights.sum(2), torch.ones(2, 9).double())
    found = attention.attended(queries, keys, values)
    torch.testing.assert_close(found, (weights @ values).float(), rtol=1e-4, atol=1e-5)
    same = torch.ones(2, 9, 16) * torch.arange(16)
    torch.testing.assert_close(attention.attended(queries, keys, same), same)


@pytest.mark.parametrize("width", [2, 16, 64])
def test_the_features_are_orthogonal_rows(width: int) -> None:
    w = PerformerAttention(5, width).features
    count = width // 2
    torch.testing.assert_close(w @ w.T, count * torch.eye(count), rtol=1e-4, atol=1e-4)
    assert torch.equal(w, PerformerAttention(7, width).features)  # whatever was drawn before


@pytest.mark.parametrize("scale", [1.0, 30.0, 1000.0])
def test_the_performer_stays_finite(scale: float) -> None:
    attention = PerformerAttention(20, 16)
    queries, keys, values = (scale * torch.randn(3, 2, 9, 16)).requires_grad_()
    found = attention.attended(queries, keys, values)
    assert found.isfinite().all()
    assert (found.abs() <= values.abs().amax() * 1.001).all()


def test_the_performer_s_kernel_is_not_of_half_precision() -> None:
    step = TokenStep(TokenPart(3, 16, 7, 4, "performer"))
    queries, keys, values = torch.randn(3, 2, 50, 16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = step.attention.attended(queries, keys, values)
    assert torch.equal(mixed, step.attention.attended(queries, keys, values))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert step(torch.randn(2, 3, 32, 32)).isfinite().all()


def test_full_attention_scales_by_its_input() -> None:
    attention = FullAttention(30, 8)
    x = torch.randn(2, 7, 30)
    queries, keys, values = (layer(x) for layer in (attention.query, attention.key, attention.value))
    seen = F.scaled_dot_product_attention(queries, keys, values, scale=30**-0.5)
    torch.testing.assert_close(attention(x), values + attention.project(seen))


def test_self_attention_is_torch_s() -> None:
    ours = SelfAttention(MixPart(24, 3, 8))
    theirs = nn.MultiheadAttention(24, 3, bias=True, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([layer.weight for layer in (ours.query, ours.key, ours.value)]))
        theirs.in_proj_bias.zero_()
        theirs.out_proj.load_state_dict(ours.project.state_dict())
    x = torch.randn(2, 10, 24)
    normed = ours.norm(x)
    torch.testing.assert_close(ours(x), theirs(normed, normed, normed)[0])


def test_the_number_of_heads_matters() -> None:
    one, two = SelfAttention(MixPart(16, 1, 16)), SelfAttention(MixPart(16, 2, 8))
    two.load_state_dict(one.state_dict())
    x = torch.randn(1, 9, 16)
    assert not torch.allclose(one(x), two(x))


def test_the_sine_table() -> None:
    table = sine_table(200, 10, CPU)
    for position in (0, 1, 57, 199):
        for column in range(10):
            angle = position / 10000 ** (2 * (column // 2) / 10)
            expected = math.cos(angle) if column % 2 else math.sin(angle)
            assert float(table[position, column]) == pytest.approx(expected, abs=1e-7)
    # A table of another width has other frequencies; a longer one begins with a shorter one.
    assert not torch.allclose(sine_table(200, 12, CPU)[:, :10], table)
    assert torch.equal(sine_table(300, 10, CPU)[:200], table)


def test_positions_are_what_tells_tokens_apart() -> None:
    """Permuting the tokens before the blocks changes the logits; without the table it does not."""
    network = build(tiny(), 5).eval()
    assert isinstance(network, T2TNetwork)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    grid = network.tokens(torch.randn(1, 3, 32, 32))
    order = torch.cat((torch.zeros(1, dtype=torch.long), 1 + torch.randperm(16)))

    def logits(tokens: Tensor) -> Tensor:
        for layer in network.layers:
            tokens = layer(tokens, 4, 4)
        return network.classifier(network.norm(tokens[:, :1]).transpose(1, 2).unsqueeze(3))

    placed = network.embedding(grid)
    bare = placed - sine_table(17, 32, CPU)[:, :24]
    moved = bare[:, order]
    torch.testing.assert_close(logits(moved), logits(bare))
    assert not torch.allclose(logits(moved + sine_table(17, 32, CPU)[:, :24]), logits(placed), atol=1e-4)


@pytest.mark.parametrize("size", [(32, 32), (64, 16), (8, 64), (40, 24), (33, 31), (1, 1)])
@pytest.mark.parametrize("kind", ["none", "se", "ca"])
def test_any_size_square_or_not(size: tuple[int, int], kind: str) -> None:
    network = build(tiny(attention=Attention(kind, None if kind == "none" else 4)), 5).eval()
    images = torch.randn(2, 3, *size)
    assert network(images).shape == (2, 5)
    for found, info in zip(network.features(images), network.info, strict=True):
        assert found.shape == (2, info.channels, -(-size[0] // info.stride), -(-size[1] // info.stride))


@pytest.mark.parametrize("kind", ["performer", "transformer"])
def test_where_a_stride_does_not_divide_a_side_the_map_goes_on_in_zeros(kind: str) -> None:
    step = TokenPart(3, 8, 7, 4, kind).create()
    x = torch.randn(1, 3, 30, 17)
    torch.testing.assert_close(step(x), step(F.pad(x, (0, 3, 0, 2))))


def test_the_grid_is_gated_and_the_class_token_is_not() -> None:
    network = build(tiny(attention=Attention("se", 4)), 5).eval()
    assert isinstance(network, T2TNetwork)
    block = network.layers[0]
    tokens = torch.randn(1, 1 + 3 * 5, 24)
    mixed = block.mix(tokens)
    grid = mixed[:, 1:].reshape(1, 3, 5, 24).permute(0, 3, 1, 2)
    gated = block.attention(grid).permute(0, 2, 3, 1).reshape(1, 15, 24)
    expected = block.mlp(tokens + torch.cat((mixed[:, :1], gated), 1))
    torch.testing.assert_close(block(tokens, 3, 5), expected)


def test_json_and_rows() -> None:
    architecture = tiny(attention=Attention("ca", 4))
    assert Architecture.from_json(architecture.to_json()) == architecture
    assert architecture.to_dict()["family"] == "t2t"
    assert [row.name for row in architecture.rows()] == ["1", "2", "3", "4", "norm"]
    assert architecture.rows()[3].attention_label == "ca/4+–"
    assert architecture.strides == (2, 4, 8)
    assert published("t2t_vit_7").digest().startswith(DIGEST)


DIGEST = "f509bde7dfd7"


BROKEN: list[tuple[dict[str, object], str]] = [
    ({"tokens": 3}, "tokens: expected a name"),
    ({"kernel_size": 4}, "kernel_size: expected an odd integer, got 4"),
    ({"token_strides": [2, 2]}, "token_strides: expected 3 for performer tokens, got 2"),
    ({"token_strides": [2, 2, 0]}, r"token_strides\[2\]: expected an integer from 1 to 32"),
    ({"table_width": 23}, "table_width: expected an integer from 24 to 8192, got 23"),
    ({"blocks": []}, "blocks: expected a list of 1 to 64 entries"),
    ({"blocks": [{"heads": 2}]}, r"blocks\[0\]"),
    ({"tokens": "patch", "token_strides": [4]}, "token_width: expected 3"),
    ({"more": 1}, "unknown field"),
]


@pytest.mark.parametrize(("changed", "message"), BROKEN)
def test_what_is_wrong_is_named(changed: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Architecture.from_dict({**tiny().to_dict(), **changed})


def test_unknown_tokens_are_refused() -> None:
    with pytest.raises(InputError, match="tokens 'pixels' is unknown; known: performer, transformer, convolution"):
        build(replace(tiny(), tokens="pixels"), 5)


def test_a_head_that_reads_finer_maps_is_refused() -> None:
    with pytest.raises(InputError, match="networks of family t2t give a head no map but the last"):
        measure(hand_designed("t2t_vit_7"), SSDLiteHead(10, 8))
