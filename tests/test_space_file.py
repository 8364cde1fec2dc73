"""Spaces from TOML files: the examples, and what is wrong with a file."""

import random
from pathlib import Path

import pytest

from search_space import Attention, InputError, build
from search_space.space_file import SpaceFile
from search_space.spaces import priced_space
from search_space.variation import mutate

EXAMPLES = sorted((Path(__file__).parent.parent / "examples" / "spaces").glob("*.toml"))

GOOD = """
name = "mine"
resolution = [32]
activation = "relu6"
stem = { width = 8, stride = 2 }

[[stage]]
block = "inverted_residual"
stride = 2
width = [8, 16]
depth = [1, 2]
expansion = [2]
kernel_size = [3, 5]
attention = ["none", "se/4", "ca/8"]

[[stage]]
block = "inverted_residual"
stride = 1
width = [16]
depth = [1]
expansion = [3]
kernel_size = [3]
attention = ["none"]
"""


def test_each_kind_of_table_is_counted_by_itself() -> None:
    """A family's own file may have several kinds."""
    file = SpaceFile("mine.toml", "[[stage]]\nwidth = 1\n[[head]]\nwidth = 2\n[[stage]]\nwidth = 3\n", {})
    assert str(file.error("head[0].width", "bad")) == "`space` mine.toml: line 4: head[0].width: bad"
    assert str(file.error("stage[1].width", "bad")) == "`space` mine.toml: line 6: stage[1].width: bad"


def test_there_are_four_examples() -> None:
    assert len(EXAMPLES) == 4


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples(path: Path) -> None:
    space = priced_space(str(path))
    low, high = space.count()
    assert low == high > 10_000
    rng = random.Random(0)
    for _ in range(5):
        architecture = space.sample(rng)
        assert space.space.choices(architecture)
        build(architecture, 3)


def test_what_a_file_says(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(GOOD)
    space = priced_space(str(path))
    assert space.space.name == "mine"
    assert space.space.resolution == (32,)
    assert space.space.stem_width == 8
    assert space.space.head_width is None
    assert space.space.stages[0].attention == (Attention("none"), Attention("se", 4), Attention("ca", 8))
    # Two widths, two depths, two kernels, three attentions; the second stage is fixed.
    assert space.count() == (24, 24)


def test_attention_per_block(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(GOOD.replace("resolution", 'attention_per = "block"\nresolution', 1))
    space = priced_space(str(path))
    assert space.space.attention_per == "block"
    # Two widths, two kernels, three attentions for one block and nine for two.
    assert space.count() == (2 * 2 * (3 + 9),) * 2


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("width = [8, 16]", "", r"line 7: stage\[0\].width: missing"),
        ("width = [8, 16]", "widht = [8, 16]", r"line 10: stage\[0\].widht: unknown key; known: activation, attention"),
        ("width = [8, 16]", "width = [8, 8]", r"line 10: stage\[0\].width: 8 is given twice"),
        ("width = [8, 16]", "width = [8, 0]", r"line 10: stage\[0\].width: expected an integer from 1 to 8192, got 0"),
        ("width = [8, 16]", "width = 8", r"line 10: stage\[0\].width: expected a list of integers, got 8"),
        ("width = [8, 16]", "width = []", r"line 10: stage\[0\].width: expected a list of integers"),
        ("width = [8, 16]", "width = [8, true]", r"line 10: stage\[0\].width: expected an integer .* got True"),
        ("width = [8, 16]", "width = [8]\nwidth = [16]", r"line 11: stage\[0\].width: given twice, first in line 10"),
        ("depth = [1, 2]", "depth = [1, 99]", r"line 11: stage\[0\].depth: expected integers from 0 to 32, got 99"),
        ("kernel_size = [3, 5]", "kernel_size = [3, 4]", r"line 13: stage\[0\].kernel_size: expected an odd integer"),
        ("expansion = [2]", "expansion = [17]", r"line 12: stage\[0\].expansion: expected an integer from 1 to 16"),
        ('"se/4"', '"se"', r"line 14: stage\[0\].attention: reduction: attention 'se' needs a reduction ratio"),
        ('"se/4"', '"cbm/4"', r"line 14: stage\[0\].attention: attention 'cbm' is unknown; known: none, se, ca"),
        ('"se/4"', '"se/0"', r"line 14: stage\[0\].attention.reduction: expected an integer from 1 to 1024, got 0"),
        ('"se/4"', '"SE 4"', r"line 14: stage\[0\].attention: expected an op and a ratio such as ca/16, got 'SE 4'"),
        ('"se/4"', '"ca/8"', r"line 14: stage\[0\].attention: ca/8 is given twice"),
        ("stride = 2\nwidth", "stride = 3\nwidth", r"line 9: stage\[0\].stride: expected an integer from 1 to 2"),
        (
            'block = "inverted_residual"\nstride = 1',
            'block = "res"\nstride = 1',
            r"line 17: stage\[1\].block: 'res'",
        ),
        ("[32]", "[99999]", r"line 3: resolution: expected an integer from 1 to 4096, got 99999"),
        ('"relu6"', '"gelu"', "line 4: activation: 'gelu' is unknown; known: relu, relu6"),
        ('"relu6"', '["relu6"]', r"line 4: activation: \['relu6'\] is unknown; known: relu, relu6"),
        ("width = 8, stride", "width = -1, stride", "line 5: stem.width: expected an integer from 1 to 8192, got -1"),
        ("width = 8, stride = 2", "width = 8", "line 5: stem.stride: missing"),
        ('name = "mine"', "", "name: missing"),
        (
            "resolution",
            'attention_per = "row"\nresolution',
            "line 3: attention_per: 'row' is unknown; known: stage, block",
        ),
        ("resolution", "attention_per = [2]\nresolution", r"line 3: attention_per: \[2\] is unknown"),
        (
            "depth = [1, 2]",
            'depth = [1, 2]\nattention_per = "block"',
            r"line 12: stage\[0\].attention_per: unknown key",
        ),
        ('name = "mine"', 'name = "a/b"', "line 2: name: expected a name of letters"),
        ('name = "mine"', 'name = "mine', "line 2"),
    ],
)
def test_errors_name_line_and_key(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = tmp_path / "mine.toml"
    assert old in GOOD
    path.write_text(GOOD.replace(old, new, 1))
    with pytest.raises(InputError, match=message) as raised:
        priced_space(str(path))
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        priced_space(str(tmp_path / "absent.toml"))
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"`space` .*binary\.toml: not UTF-8 text; save it as UTF-8"):
        priced_space(str(tmp_path / "binary.toml"))
    (tmp_path / "folder.toml").mkdir()
    with pytest.raises(InputError, match="cannot be read"):
        priced_space(str(tmp_path / "folder.toml"))


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_a_byte_order_mark_is_no_part_of_the_file(tmp_path: Path, newline: str) -> None:
    plain, marked = tmp_path / "plain.toml", tmp_path / "marked.toml"
    plain.write_text(GOOD)
    marked.write_text(GOOD, encoding="utf-8-sig", newline=newline)
    assert marked.read_bytes().startswith(b"\xef\xbb\xbf")
    assert priced_space(str(marked)) == priced_space(str(plain))
    broken = GOOD.replace("depth = [1, 2]", "depth = 1")
    assert broken != GOOD
    for path in (plain, marked):
        path.write_text(broken, encoding="utf-8-sig" if path == marked else "utf-8", newline=newline)
    said = []
    for path in (plain, marked):
        with pytest.raises(InputError) as raised:
            priced_space(str(path))
        said.append(str(raised.value).removeprefix(f"`space` {path}"))
    assert said[0] == said[1]  # the line's number too


def test_fractional_expansions_that_are_twins_replay_and_vary(tmp_path: Path) -> None:
    path = tmp_path / "fractions.toml"
    path.write_text(FRACTIONS)
    space = priced_space(str(path))
    rng = random.Random(0)
    for _ in range(100):
        drawn = space.sample(rng)
        made = space.space.choices(drawn)
        assert space.space.assemble(lambda key, _, made=made: made[key]) == drawn
        assert space.space.canonical(mutate(space, drawn, rng)) is not None


FRACTIONS = """
name = "fractions"
resolution = [16]
activation = "relu6"
stem = { width = 16, stride = 2 }

[[stage]]
block = "inverted_residual"
stride = 2
width = [16, 24]
depth = [1, 2]
expansion = [2.25, 2.5, 4]
kernel_size = [3, 5]
attention = ["none", "ca/8"]
"""


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("kernel_size = [3, 5]", 'kernel_size = [3, "5"]'),
        ("width = [8, 16]", 'width = [8, "16"]'),
    ],
)
def test_entries_of_several_kinds_are_refused(tmp_path: Path, before: str, after: str) -> None:
    assert before in GOOD
    path = tmp_path / "mine.toml"
    path.write_text(GOOD.replace(before, after, 1))
    with pytest.raises(
        InputError,
        match=r"`space` .*mine\.toml: line \d+: stage\[0\]\.(width|kernel_size): expected entries of one kind",
    ):
        priced_space(str(path))
