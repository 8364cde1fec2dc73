"""MobileNetV4's convolutional networks against timm's, its block, and the spaces around it."""

import dataclasses
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from evaluators.supernet.store import WeightStore
from foundation.errors import InputError
from search_space import Architecture, Attention, Stage, build, measure
from search_space.backbones import mobilenetv2, mobilenetv4_conv_large, mobilenetv4_conv_medium, mobilenetv4_conv_small
from search_space.families.mobile.architecture import MobileArchitecture
from search_space.families.mobile.blocks import BlockPart, attend, stage_blocks
from search_space.families.mobile.mobilenetv4 import CONV, FUSED, UNIVERSAL
from search_space.families.mobile.space import MobileSpace
from search_space.families.mobile.stage_options import StageOptions
from search_space.first_weights import TIMM, TORCHVISION
from search_space.network import parts
from search_space.parts import NO_ATTENTION
from search_space.pretrained import at_hand
from search_space.spaces import priced_space

NETWORKS: dict[str, Callable[..., MobileArchitecture]] = {
    "mobilenetv4_conv_small": mobilenetv4_conv_small,
    "mobilenetv4_conv_medium": mobilenetv4_conv_medium,
    "mobilenetv4_conv_large": mobilenetv4_conv_large,
}
CA = Attention("ca", 16)


def _theirs(name: str) -> nn.Module:
    """timm's network, in which nothing is as an untrained one has it."""
    network: nn.Module = timm.create_model(name)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, 0, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.1)
    return network.eval()


# As timm's documentation prints them; MACs at 224×224 and 1000 classes.
@pytest.mark.parametrize(
    ("name", "params", "macs"),
    [
        ("mobilenetv4_conv_small", 3.77, 0.19),
        ("mobilenetv4_conv_medium", 9.72, 0.83),
        ("mobilenetv4_conv_large", 32.59, 2.17),
    ],
)
def test_costs_equal_timm(name: str, params: float, macs: float) -> None:
    with torch.device("meta"):
        theirs = timm.create_model(name).eval()
        with FlopCounterMode(display=False) as counter:
            theirs(torch.empty(1, 3, 224, 224))
    cost = measure(NETWORKS[name]())
    assert cost.params == sum(parameter.numel() for parameter in theirs.parameters())
    assert cost.macs * 2 == counter.get_total_flops()
    assert (round(cost.params / 1e6, 2), round(cost.macs / 1e9, 2)) == (params, macs)


@pytest.mark.parametrize("name", NETWORKS)
def test_logits_equal_timm(name: str) -> None:
    theirs = _theirs(name)
    ours = build(NETWORKS[name]()).eval()
    ours.load_state_dict(dict(zip(ours.state_dict(), theirs.state_dict().values(), strict=True)))
    x = torch.randn(2, 3, 65, 97)
    with torch.no_grad():
        expected = theirs(x)
        torch.testing.assert_close(ours(x), expected, rtol=1e-5, atol=1e-6 * float(expected.abs().max()))


def _block(start: int, kernel: int, stride: int = 1, block: str = UNIVERSAL) -> BlockPart:
    stage = Stage(block, 16, stride, 4, kernel, (CA,), start_kernel_size=start)
    return stage_blocks(stage, 16, "relu")[0]


@pytest.mark.parametrize(
    ("start", "kernel", "pieces"),
    [
        (0, 3, ["expand", "depthwise", "attention", "project"]),
        (5, 0, ["start", "expand", "attention", "project"]),
        (3, 5, ["start", "expand", "depthwise", "attention", "project"]),
        (0, 0, ["expand", "attention", "project"]),
    ],
)
def test_attention_stands_on_the_expanded_channels(start: int, kernel: int, pieces: list[str]) -> None:
    part = _block(start, kernel)
    assert [name for name, _ in part.pieces] == pieces
    assert part.attention_channels == 64
    assert part.skips


def test_the_last_depthwise_convolution_that_is_there_has_the_stride() -> None:
    assert [piece.stride for name, piece in _block(3, 5, 2).pieces if name in ("start", "depthwise")] == [1, 2]  # type: ignore[attr-defined]
    assert [piece.stride for name, piece in _block(3, 0, 2).pieces if name in ("start", "depthwise")] == [2]  # type: ignore[attr-defined]
    assert _block(3, 5, 2).expanded_channels == 64
    assert _block(3, 0, 2).expanded_channels == 16  # its expansion is after the stride: a head is given the input


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ((0, 0, 2), "kernel_size: 0 before and after the expansion, so nothing can have stride 2"),
        ((3, 3, 1, "inverted_residual"), "start_kernel_size: block 'inverted_residual' has no depthwise"),
        ((0, 0, 1, "inverted_residual"), "kernel_size: 0, but that convolution is always there"),
        ((0, 0, 1, FUSED), "kernel_size: 0, but that convolution is always there"),
    ],
)
def test_kernels_that_a_block_cannot_have_are_refused(part: tuple[Any, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        _ = _block(*part).pieces
    start, kernel, stride, *block = part
    with pytest.raises(InputError, match=message):
        StageOptions(*(block or [UNIVERSAL]), stride, (16,), (1,), (4,), (kernel,), (NO_ATTENTION,), None, (start,))


def test_a_convolution_has_neither_skip_nor_attention() -> None:
    stage = Stage(CONV, 16, 1, 1, 3, (NO_ATTENTION,))
    (part,) = stage_blocks(stage, 16, "relu")
    assert not part.skips
    assert attend((stage,), 16, "relu", lambda *_: CA) == (stage,)


def _layers(architecture: Architecture) -> tuple[object, ...]:
    """All that makes a difference between networks: the pieces and the skips, one after the other."""
    found = [(part.skips, *(piece for _, piece in part.pieces)) for _, part in parts(architecture, 4)]
    return architecture.resolution, *found


def _mixed() -> MobileSpace:
    """Every block that has two kernels, one or none, in stages that may choose between blocks."""
    attention = (NO_ATTENTION, Attention("se", 4), Attention("ca", 8))
    mixed = StageOptions((UNIVERSAL, FUSED, CONV), 2, (8, 16), (1, 2), (2, 3), (0, 3, 5), attention, None, (0, 3))
    kept = StageOptions((UNIVERSAL, "sandglass"), 1, (), (0, 1), (2,), (0, 3), attention, "hardswish", (0, 5))
    return MobileSpace("mixed", (16, 24), None, 1, (mixed, kept), None, "relu", "stage", None, (16,), True)


def test_no_network_of_a_mixed_space_is_there_twice() -> None:
    space = _mixed()
    everything = list(space.enumerate())
    structures = {_layers(one) for one in everything}
    assert len(structures) == len(everything) > 5000
    assert {stage.block for one in everything for stage in one.stages} == {UNIVERSAL, FUSED, CONV, "sandglass"}
    for one in random.Random(0).sample(everything, 100):
        assert space.canonical(one) == one
        assert Architecture.from_json(one.to_json()) == one


def test_shared_weights_of_a_mixed_space_hold_every_network() -> None:
    space = _mixed()
    rng = random.Random(1)
    for own_kernels in (False, True):
        store = WeightStore(space, 4, own_kernels=own_kernels)
        for _ in range(25):
            architecture = space.assemble(lambda name, options: rng.choice(options))
            network = store.extract(architecture).train()
            x = torch.randn(4, 3, 16, 24)
            assert torch.equal(store(architecture, x), network(x))


def test_networks_of_the_named_space_are_hardly_twins() -> None:
    space = priced_space("mobilenetv4").space
    rng = random.Random(0)
    seen: dict[tuple[object, ...], Architecture] = {}
    twins = 0
    for _ in range(1000):
        # Few options and no attention, so that equal networks would meet.
        architecture = space.assemble(lambda name, options: "none" if "none" in options else rng.choice(options[:2]))
        twins += seen.setdefault(_layers(architecture), architecture) != architecture
    assert twins == 0


@pytest.mark.parametrize("name", NETWORKS)
def test_the_space_holds_the_blocks_in_other_stages(name: str) -> None:
    """A row of equal blocks is cut into two stages of the space, others are left out."""
    space = priced_space("mobilenetv4").space
    architecture = NETWORKS[name](attention=Attention("ca", 8))
    own = space.canonical(architecture)
    assert isinstance(own, MobileArchitecture)
    assert len(own.stages) == 24 > len(architecture.stages)
    assert _layers(own) == _layers(architecture)
    assert space.canonical(own) == own


def test_what_does_not_fit_the_space_is_refused() -> None:
    space = priced_space("mobilenetv4").space
    for wrong in (
        mobilenetv4_conv_small(1.5),
        dataclasses.replace(mobilenetv4_conv_small(), pooled_width=640),
        dataclasses.replace(mobilenetv4_conv_small(), stages=mobilenetv4_conv_small().stages[:-1]),
    ):
        with pytest.raises(InputError, match="is not in space mobilenetv4"):
            space.canonical(wrong)


def test_without_a_stem_the_first_stage_sees_the_picture() -> None:
    architecture = mobilenetv4_conv_small()
    assert architecture.rows()[0].name == "1"
    assert architecture.strides == (2, 4, 8, 16, 32)
    network = build(architecture, 10).eval()
    with torch.no_grad():
        maps = network.features(torch.randn(1, 3, 64, 64))
    assert [(one.shape[1], 64 // one.shape[2]) for one in maps] == [
        (info.channels, info.stride) for info in network.info
    ]
    with pytest.raises(InputError, match="stem_stride: expected an integer from 1 to 1, got 2"):
        dataclasses.replace(architecture, stem_stride=2)


def _given(state: dict[str, torch.Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub gives these weights, in a file that is in no order of modules."""
    path = tmp_path / "model.safetensors"
    save_file({name: state[name].contiguous() for name in sorted(state)}, path)

    def downloaded(repository: str, file: str) -> str:
        assert repository.startswith("timm/mobilenetv4_conv_")
        assert file == "model.safetensors"
        return str(path)

    monkeypatch.setattr("huggingface_hub.hf_hub_download", downloaded)


@torch.no_grad()
def _same(ours: nn.Module, theirs: nn.Module) -> bool:
    x = torch.randn(2, 3, 64, 64)
    expected = theirs(x)
    return bool((ours.eval()(x) - expected).abs().max() <= 1e-4 * expected.abs().max())


def test_weights_of_timm_carry_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = _theirs("mobilenetv4_conv_small")
    state = {name: tensor for name, tensor in theirs.state_dict().items() if "num_batches" not in name}
    _given(state, tmp_path, monkeypatch)
    network = build(mobilenetv4_conv_small())
    assert TIMM.begin(network) == "init timm: 3.77M of 3.77M parameters copied; the function is preserved"
    assert _same(network, theirs)
    # In the stages of the space, with attention, larger kernels and a depthwise convolution that it has not.
    space = priced_space("mobilenetv4").space
    own = space.canonical(mobilenetv4_conv_small(attention=CA))
    assert isinstance(own, MobileArchitecture)
    stages = [
        dataclasses.replace(stage, kernel_size=5, start_kernel_size=stage.start_kernel_size or 3)
        if stage.block == UNIVERSAL and stage.depth and stage.kernel_size and stage.stride == 1
        else stage
        for stage in own.stages
    ]
    network = build(dataclasses.replace(own, stages=tuple(stages)))
    told = TIMM.begin(network)
    assert told.startswith("init timm: 3.77M of ")
    assert "starts as the identity" in str(TIMM.fill(network).notes)
    assert told.endswith("the function is preserved")
    assert _same(network, theirs)


def test_weights_of_timm_that_are_others_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = build(mobilenetv4_conv_small())
    state = timm.create_model("mobilenetv4_conv_small").state_dict()
    del state["conv_head.weight"]
    _given(state, tmp_path, monkeypatch)
    with pytest.raises(InputError, match=r"lacks conv_head.weight: not the network meant"):
        TIMM.begin(network)

    def offline(repository: str, file: str) -> str:
        raise OSError("no network")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", offline)
    with pytest.raises(InputError, match=r"`init` timm: cannot fetch model.safetensors of timm/.*no network.*scratch"):
        TIMM.begin(network)
    with pytest.raises(InputError, match="`init` timm: no published weights for inverted_residual blocks with relu6"):
        TIMM.check(10, mobilenetv2())
    with pytest.raises(InputError, match=r"`init` torchvision: no published weights for conv_norm, universal.*Conv-S"):
        TORCHVISION.check(10, mobilenetv4_conv_small())


def test_what_auto_stands_for_downloads_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    cached: list[str | None] = [None]
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda repository, file: cached[0])
    assert at_hand(mobilenetv4_conv_large())[0] == "scratch"
    cached[0] = "/some/where"
    told = "published weights of mobilenetv4_conv_large are in timm's cache"
    assert at_hand(mobilenetv4_conv_large()) == ("timm", told)
    assert at_hand(priced_space("mobilenetv4-32").smallest)[0] == "scratch"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('width = "kept"', 'width = "same"', r"stage\[3\].width: expected a list of integers, got 'same'"),
        ('"fused_inverted_bottleneck", ', '"fused", ', r"stage\[1\].block: 'fused' is unknown; known: inverted"),
        ("width = [640]", "width = [640, 1280]", r"pooled.width: 2 values; offer one, or as many as the last stage"),
        ("width = [640]", "width = [0]", r"pooled.width: expected an integer from 1 to 8192, got 0"),
        ("norm = true", 'norm = "yes"', r"pooled.norm: expected false, or with a pooled_width true, got 'yes'"),
        (
            'activation = "hardswish"',
            'activation = ["relu"]',
            r"stage\[4\].activation: expected a name in lower case, got",
        ),
        ('activation = "hardswish"', 'activation = "relu"', r"stages\[4\].activation: relu is the network's own"),
        ("[2.5, 4]", "[2.0, 4]", r"stage\[4\].expansion: expected an integer from 1 to 16, or 2.25 and the like"),
        ("start_kernel_size = [0, 3, 5]", "start_kernel_size = [2]", r"stage\[2\].start_kernel_size: expected an odd"),
    ],
)
def test_mistakes_in_a_file_are_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    text = (Path(__file__).parent.parent / "examples" / "spaces" / "universal.toml").read_text()
    assert old in text
    path = tmp_path / "wrong.toml"
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(InputError, match=message):
        priced_space(str(path))
