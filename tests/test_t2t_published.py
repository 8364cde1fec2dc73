"""T2T-ViTs from the authors' state dictionaries: their logits, by a forward pass that is written down here."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor
from torch.nn import functional as F

from evaluators.weight_sources import weights_in
from foundation.errors import InputError
from search_space import Architecture, build
from search_space.backbones import hand_designed
from search_space.families.t2t.architecture import T2TArchitecture
from search_space.families.t2t.published import from_published
from search_space.families.t2t.transformer import sine_table
from search_space.first_weights import TORCHVISION

State = dict[str, Tensor]

# Name: tokens, width, depth, heads, expansion.
SIZES = {
    "t2t_vit_7": ("performer", 256, 7, 4, 2),
    "t2t_vit_10": ("performer", 256, 10, 4, 2),
    "t2t_vit_12": ("performer", 256, 12, 4, 2),
    "t2t_vit_14": ("performer", 384, 14, 6, 3),
    "t2t_vit_t_14": ("transformer", 384, 14, 6, 3),
}
LARGE = {
    "t2t_vit_19": ("performer", 448, 19, 7, 3),
    "t2t_vit_24": ("performer", 512, 24, 8, 3),
    "t2t_vit_t_19": ("transformer", 448, 19, 7, 3),
    "t2t_vit_t_24": ("transformer", 512, 24, 8, 3),
}


def drawn(name: str, num_classes: int = 5, device: str = "cpu") -> State:
    """A state dictionary of the authors' names and shapes."""
    tokens, width, depth, _, expansion = {**SIZES, **LARGE}[name]
    shapes: dict[str, tuple[int, ...]] = {"cls_token": (1, 1, width)}

    def linear(place: str, out: int, inputs: int, bias: bool = True) -> None:
        shapes[f"{place}.weight"] = (out, inputs)
        if bias:
            shapes[f"{place}.bias"] = (out,)

    def norm(place: str, channels: int) -> None:
        shapes[f"{place}.weight"] = shapes[f"{place}.bias"] = (channels,)

    for number, inputs in ((1, 147), (2, 576)):
        place = f"tokens_to_token.attention{number}"
        norm(f"{place}.norm1", inputs)
        norm(f"{place}.norm2", 64)
        if tokens == "performer":
            shapes[f"{place}.w"] = (32, 64)
            linear(f"{place}.kqv", 192, inputs)
            linear(f"{place}.proj", 64, 64)
            linear(f"{place}.mlp.0", 64, 64)
            linear(f"{place}.mlp.2", 64, 64)
        else:
            linear(f"{place}.attn.qkv", 192, inputs, bias=False)
            linear(f"{place}.attn.proj", 64, 64)
            linear(f"{place}.mlp.fc1", 64, 64)
            linear(f"{place}.mlp.fc2", 64, 64)
    linear("tokens_to_token.project", width, 576)
    for number in range(depth):
        place = f"blocks.{number}"
        norm(f"{place}.norm1", width)
        linear(f"{place}.attn.qkv", 3 * width, width, bias=False)
        linear(f"{place}.attn.proj", width, width)
        norm(f"{place}.norm2", width)
        linear(f"{place}.mlp.fc1", expansion * width, width)
        linear(f"{place}.mlp.fc2", width, expansion * width)
    norm("norm", width)
    linear("head", num_classes, width)
    state = {key: torch.randn(shape, device=device) * 0.1 for key, shape in shapes.items()}
    state["pos_embed"] = sine_table(197, width, torch.device("cpu"))[None].to(device)
    return state


def reference(state: State, heads: int, images: Tensor) -> Tensor:
    """The authors' forward pass in evaluation, for square pictures."""

    def linear(x: Tensor, place: str) -> Tensor:
        return F.linear(x, state[f"{place}.weight"], state.get(f"{place}.bias"))

    def norm(x: Tensor, place: str) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], state[f"{place}.weight"], state[f"{place}.bias"])

    def performer(x: Tensor, place: str) -> Tensor:
        w = state[f"{place}.w"]
        k, q, v = linear(norm(x, f"{place}.norm1"), f"{place}.kqv").split(64, -1)

        def phi(x: Tensor) -> Tensor:
            return (x @ w.T - x.square().sum(-1, keepdim=True) / 2).exp() / math.sqrt(len(w))

        y = phi(q) @ (phi(k).transpose(1, 2) @ v) / (phi(q) @ phi(k).sum(1)[..., None] + 1e-8)
        y = v + linear(y, f"{place}.proj")
        return y + linear(F.gelu(linear(norm(y, f"{place}.norm2"), f"{place}.mlp.0")), f"{place}.mlp.2")

    def transformer(x: Tensor, place: str) -> Tensor:
        x = norm(x, f"{place}.norm1")
        q, k, v = linear(x, f"{place}.attn.qkv").chunk(3, -1)
        y = (q @ k.transpose(1, 2) * x.shape[-1] ** -0.5).softmax(-1) @ v
        y = v + linear(y, f"{place}.attn.proj")
        return y + linear(F.gelu(linear(norm(y, f"{place}.norm2"), f"{place}.mlp.fc1")), f"{place}.mlp.fc2")

    block: Callable[[Tensor, str], Tensor] = performer if "tokens_to_token.attention1.w" in state else transformer
    x = F.unfold(images, 7, padding=2, stride=4).transpose(1, 2)
    for number in (1, 2):
        x = block(x, f"tokens_to_token.attention{number}").transpose(1, 2)
        side = math.isqrt(x.shape[2])
        x = F.unfold(x.unflatten(2, (side, side)), 3, padding=1, stride=2).transpose(1, 2)
    x = linear(x, "tokens_to_token.project")
    x = torch.cat((state["cls_token"].expand(len(x), -1, -1), x), 1) + state["pos_embed"][:, : 1 + x.shape[1]]
    depth = 1 + max(int(name.split(".")[1]) for name in state if name.startswith("blocks."))
    for number in range(depth):
        place = f"blocks.{number}"
        q, k, v = (
            part.unflatten(2, (heads, -1)).transpose(1, 2)
            for part in linear(norm(x, f"{place}.norm1"), f"{place}.attn.qkv").chunk(3, -1)
        )
        y = (q @ k.transpose(2, 3) * 64**-0.5).softmax(-1) @ v
        x = x + linear(y.transpose(1, 2).flatten(2), f"{place}.attn.proj")
        x = x + linear(F.gelu(linear(norm(x, f"{place}.norm2"), f"{place}.mlp.fc1")), f"{place}.mlp.fc2")
    return linear(norm(x, "norm")[:, 0], "head")


@pytest.mark.parametrize("name", SIZES)
def test_it_gives_the_authors_logits(name: str) -> None:
    state = drawn(name)
    network = from_published(state, 5).eval()
    assert network.architecture == hand_designed(name)
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(network(images), reference(state, SIZES[name][3], images), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", LARGE)
def test_larger_ones_are_recognised(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    state = drawn(name, device="meta")
    state["pos_embed"] = sine_table(197, LARGE[name][1], torch.device("cpu"))[None]
    with torch.device("meta"):
        network = from_published(state, 5)
    assert network.architecture == hand_designed(name)


def test_names_of_parallel_training_and_another_number_of_classes() -> None:
    state = drawn("t2t_vit_7")
    network = from_published({f"module.{name}": tensor for name, tensor in state.items()}, 3)
    assert torch.equal(network.embedding.class_token, state["cls_token"].flatten())
    assert network(torch.randn(1, 3, 32, 32)).shape == (1, 3)


def _without(state: State, name: str) -> State:
    return {key: tensor for key, tensor in state.items() if key != name}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: _without(state, "norm.bias"), "norm.bias: missing"),
        (lambda state: _without(state, "cls_token"), "cls_token: missing"),
        (lambda state: {**state, "extra": torch.zeros(1)}, "'extra': unknown in t2t_vit_7"),
        (lambda state: {**state, "norm.bias": torch.zeros(3)}, r"norm.bias: expected 256 numbers, got \(3,\)"),
        (lambda state: {**state, "pos_embed": state["pos_embed"] + 0.1}, "pos_embed: not the sine table of width 256"),
        (
            lambda state: {**state, "blocks.7.norm1.weight": torch.zeros(256)},
            "8 blocks of width 256, expansion 2, performer tokens: no published T2T-ViT; known: t2t_vit_7, ",
        ),
    ],
)
def test_what_is_wrong_is_named(change: Callable[[State], State], message: str) -> None:
    with pytest.raises(InputError, match=message):
        from_published(change(drawn("t2t_vit_7")), 5)


@pytest.mark.parametrize("kind", ["torch", "checkpoint", "safetensors"])
def test_a_file_of_theirs_is_first_weights(tmp_path: Path, kind: str) -> None:
    state = drawn("t2t_vit_7")
    path = tmp_path / "theirs"
    if kind == "safetensors":
        safetensors.torch.save_file(state, path)
    else:
        torch.save({"state_dict_ema": state, "epoch": 3} if kind == "checkpoint" else state, path)
    init = weights_in(path)
    assert init.name.startswith("authors ")
    target = build(_named("t2t_vit_7"), 5).eval()
    report = init.fill(target)
    assert report.preserved
    images = torch.randn(1, 3, 32, 32)
    torch.testing.assert_close(target(images), reference(state, 4, images), rtol=1e-4, atol=1e-4)
    other = build(_named("t2t_vit_7"), 7)
    assert not init.fill(other).preserved  # another head
    deeper = build(_named("t2t_vit_10"), 5).eval()
    assert init.fill(deeper).preserved  # new blocks start as their skips
    torch.testing.assert_close(deeper(images), target(images))
    wider = init.fill(build(_named("t2t_vit_14"), 5))
    assert not wider.preserved
    assert wider.copied > 0.9 * report.copied


def _named(name: str) -> Architecture:
    found = hand_designed(name)
    assert isinstance(found, T2TArchitecture)
    return found


@pytest.mark.parametrize("protocol", [2, 4])
def test_torch_s_old_format_is_named_with_its_remedy(tmp_path: Path, protocol: int) -> None:
    path = tmp_path / "old.pth.tar"
    state = {"state_dict_ema": drawn("t2t_vit_7")}
    torch.save(state, path, pickle_protocol=protocol, _use_new_zipfile_serialization=False)
    with pytest.raises(InputError) as refused:
        weights_in(path)
    assert str(refused.value) == (
        f"{path}: in the format that torch wrote before its version 1.6, which is not read here; load it with torch "
        "where you trust it, and save its state dictionary again by torch.save, or as safetensors"
    )
    torch.save(state, path)  # the remedy
    assert weights_in(path).fill(build(_named("t2t_vit_7"), 5)).preserved


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other"
    torch.save({"weight": torch.zeros(3)}, path)
    with pytest.raises(InputError, match=r"`init` /.*/other: neither this program wrote it, nor are its tensors named"):
        weights_in(path).fill(build(_named("t2t_vit_7"), 5))
    torch.save({"model": Path("code")}, path)
    with pytest.raises(InputError, match=r"`init` /.*/other: .*cannot be read"):
        weights_in(path).fill(build(_named("t2t_vit_7"), 5))
    torch.save({"state_dict": {"a": 3}}, path)
    with pytest.raises(InputError, match=r"holds no tensors by name"):
        weights_in(path).fill(build(_named("t2t_vit_7"), 5))
    torch.save(_without(drawn("t2t_vit_7"), "norm.bias"), path)
    with pytest.raises(InputError, match=r"`init` /.*/other: norm.bias: missing; give another file, or `init` scratch"):
        weights_in(path).fill(build(_named("t2t_vit_7"), 5))
    with pytest.raises(InputError, match="`init` torchvision: no published weights for networks of family t2t; use"):
        TORCHVISION.check(5, _named("t2t_vit_7"))
