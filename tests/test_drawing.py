"""Drawings of architectures: whole, within their bounds, and told in words as well as in colour."""

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reports.html.drawing import WIDTH, draw, kinds_of, legend
from reports.html.palette import patterns
from reports.notation import short_number
from reports.palette import DEEP, INK, PAPER, PATTERNS, look, short, strength
from search_space import attention
from search_space.architecture import Architecture, Attention
from search_space.backbones import BACKBONES, COMPARED_ATTENTIONS
from search_space.families.mobile.architecture import Stage

NAMESPACE = "{http://www.w3.org/2000/svg}"


def _svg(architecture: Architecture, title: str = "a network") -> ElementTree.Element:
    return ElementTree.fromstring(draw(architecture, title, 1000, standalone=True))


def _texts(root: ElementTree.Element) -> list[str]:
    return ["".join(node.itertext()) for node in root.iter(f"{NAMESPACE}text")]


def _blocks(root: ElementTree.Element) -> Iterator[str]:
    """The labels of blocks with attention: what stands in a field."""
    return (words for words in _texts(root) if re.fullmatch(r"[A-Za-z_…]\S*( /\d+)?", words))


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("kind", COMPARED_ATTENTIONS)
def test_a_drawing_says_everything(backbone: str, kind: str) -> None:
    architecture = BACKBONES[backbone](attention=COMPARED_ATTENTIONS[kind])
    root = _svg(architecture)
    texts = _texts(root)
    told = [node.text or "" for node in root.iter(f"{NAMESPACE}title")]
    rows = architecture.stage_rows()
    for number, stage in enumerate(rows, 1):
        assert f"{stage.width}" in texts
        facts = [*(short_number(name, value) for name, value in stage.numbers), f"s{stage.stride}"]
        # In two lines where a column is narrow.
        assert " ".join(facts) in texts or {facts[0], " ".join(facts[1:])} <= set(texts)
        described = next(line for line in told if line.startswith(f"stage {number}: "))
        assert f"{stage.depth} × {stage.kind}" in described
        assert not stage.attention or stage.attention_label in described
    everything = [one for stage in rows for one in stage.attention]
    for one in set(everything):
        label = "none" if one.kind == "none" else f"{short(one.kind)} /{one.reduction}"
        in_legend = one.kind == "none"  # there a kind stands without a ratio
        assert texts.count(label) == everything.count(one) + in_legend


def test_each_block_has_its_own_attention() -> None:
    mixed = (Attention("ca", 8), Attention("none"), Attention("se", 4), Attention("simam"))
    stage = Stage("inverted_residual", 24, 1, 4, 3, mixed)
    root = _svg(Architecture(32, 8, 2, (stage,), None, "relu6"))
    labels = [words for words in _texts(root) if words in ("CA /8", "none", "SE /4", "simam")]
    assert labels[:4] == ["CA /8", "none", "SE /4", "simam"]  # from top to bottom


def test_kinds_are_told_apart_without_colour() -> None:
    known = [kind for kind in attention.kinds() if kind in ("ca", "se", "eca", "cbam", "ela", "simam", "triplet")]
    assert len({look(kind).pattern for kind in known}) == len(known) == 7
    assert len({look(kind).light for kind in known}) == len(known)


def test_a_kind_of_the_users_own_looks_the_same_in_every_run() -> None:
    # Golden: taken from a hash of the name, not from Python's own, which differs from run to run.
    assert look("my_own_op") == look("my_own_op")
    assert look("my_own_op") == ("#4d5fc1", "#97a4ee", "grid")
    stage = Stage("inverted_residual", 24, 1, 4, 3, (Attention("my_own_op"),))
    assert "my_own_op" in draw(Architecture(32, 8, 2, (stage,), None, "relu6"), "", standalone=True)


def _light(colour: Sequence[float]) -> float:
    """Relative luminance of sRGB in 0 to 1, as WCAG 2.2 has it."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _rgb(colour: str) -> list[float]:
    return [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]


def _contrast(one: Sequence[float], other: Sequence[float]) -> float:
    dark, light = sorted((_light(one), _light(other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("side", [0, 1], ids=["light", "dark"])
def test_words_on_fields_can_be_read(side: int) -> None:
    paper, ink = _rgb(PAPER[side]), _rgb(INK["ink"][side])
    assert _contrast(_rgb(INK["muted"][side]), paper) >= 4.5  # the word none, whose field is empty
    assert _contrast(_rgb(look("none")[side]), paper) >= 3  # a line
    for kind in ("ca", "se", "eca", "cbam", "ela", "simam", "triplet", *(f"own_{number}" for number in range(40))):
        for ratio in (None, 1, 2, 4, 16, 64):
            dense = strength(ratio) * DEEP[side]
            mixed = zip(_rgb(look(kind)[side]), paper, strict=True)
            field = [dense * own + (1 - dense) * behind for own, behind in mixed]
            assert _contrast(field, ink) >= 4.5, (kind, ratio)


def test_patterns_are_those_of_the_palette() -> None:
    assert set(re.findall(r'id="pattern-(.*?)"', patterns())) == set(PATTERNS)


def test_smaller_ratios_are_darker() -> None:
    shades = [strength(ratio) for ratio in (1, 2, 4, 8, 16, 32)]
    assert shades == sorted(shades, reverse=True)
    assert len(set(shades)) == len(shades)


def test_a_title_is_escaped() -> None:
    title = '</title><script>alert("1")</script>&'
    architecture = BACKBONES["mobilenetv2"]()
    assert "<script>" not in draw(architecture, title)
    assert _svg(architecture, title).find(f"{NAMESPACE}title").text == title  # type: ignore[union-attr]


def test_nothing_is_loaded_from_anywhere() -> None:
    drawn = draw(BACKBONES["mobilenetv2"](), "a network", standalone=True)
    assert re.findall(r"https?://[^\"']*", drawn) == ["http://www.w3.org/2000/svg"]
    assert set(re.findall(r"url\((.*?)\)", drawn)) <= {f"#{name}" for name in re.findall(r'id="(.*?)"', patterns())}
    assert "http" not in draw(BACKBONES["mobilenetv2"](), "a network")
    assert ElementTree.fromstring(legend(["ca", "none"])).tag == "svg"


attentions = st.builds(Attention, st.sampled_from(["none", "ca", "simam", "a" * 32]), st.sampled_from([None, 1, 1024]))
stages = st.builds(
    Stage,
    block=st.just("inverted_residual"),
    width=st.integers(1, 8192),
    stride=st.integers(1, 2),
    expansion=st.integers(1, 16),
    kernel_size=st.sampled_from([1, 3, 11]),
    attention=st.lists(attentions, min_size=1, max_size=6).map(tuple),
)
architectures = st.builds(
    Architecture,
    resolution=st.integers(1, 4096),
    stem_width=st.integers(1, 8192),
    stem_stride=st.integers(1, 2),
    stages=st.lists(stages, min_size=1, max_size=32).map(tuple),
    head_width=st.none() | st.integers(1, 8192),
    activation=st.just("relu6"),
)


@settings(max_examples=8, deadline=None)
@given(architectures)
def test_any_architecture_is_drawn_within_its_bounds(architecture: Architecture) -> None:
    root = _svg(architecture)
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    assert width <= WIDTH
    for node in root.iter():
        if node.tag == f"{NAMESPACE}rect":
            x, y = float(node.get("x", 0)), float(node.get("y", 0))
            assert x >= 0
            assert y >= 0
            assert x + float(node.attrib["width"]) <= width + 0.5
            assert y + float(node.attrib["height"]) <= height + 0.5
        if node.tag == f"{NAMESPACE}text":
            # As wide as its letters are on average: nothing reaches beyond the picture by more than a letter.
            reach = 0.56 * float(node.attrib["font-size"]) * len("".join(node.itertext()))
            left = float(node.attrib["x"]) - (reach / 2 if node.get("text-anchor") == "middle" else 0)
            assert left >= -12
            assert left + reach <= width + 12


def test_deep_networks_stand_in_several_rows() -> None:
    one = Stage("inverted_residual", 24, 1, 4, 3, (Attention("ca", 8),))
    few, many = Architecture(32, 8, 2, (one,) * 5, 64, "relu6"), Architecture(32, 8, 2, (one,) * 30, 64, "relu6")
    heights = [float(_svg(architecture).attrib["viewBox"].split()[3]) for architecture in (few, many)]
    assert heights[1] > 2 * heights[0]
    assert sum(words == "CA /8" for words in _texts(_svg(many))) == 30


def test_kinds_of() -> None:
    architecture = BACKBONES["mobilenetv2"](attention=Attention("se", 24))
    assert kinds_of([architecture, replace(architecture, resolution=32)]) == ("none", "se")
