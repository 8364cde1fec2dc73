"""An architecture as a value: identity, JSON, and files that were not written by us."""

import dataclasses
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundation.errors import InputError
from foundation.json_files import read_json
from search_space.architecture import Architecture, Attention
from search_space.backbones import mobilenetv2
from search_space.families.mobile.architecture import Stage

attentions = st.builds(Attention, st.sampled_from(["none", "se", "ca"]), st.none() | st.integers(1, 1024))
stages = st.builds(
    Stage,
    block=st.just("inverted_residual"),
    width=st.integers(1, 8192),
    stride=st.integers(1, 2),
    expansion=st.integers(1, 16),
    kernel_size=st.sampled_from([1, 3, 5, 7, 9, 11]),
    attention=st.lists(attentions, min_size=1, max_size=4).map(tuple),
)
architectures = st.builds(
    Architecture,
    resolution=st.integers(1, 4096),
    stem_width=st.integers(1, 8192),
    stem_stride=st.integers(1, 2),
    stages=st.lists(stages, min_size=1, max_size=4).map(tuple),
    head_width=st.none() | st.integers(1, 8192),
    activation=st.sampled_from(["relu6", "silu"]),
)


@given(architectures)
def test_json_round_trip(architecture: Architecture) -> None:
    text = architecture.to_json()
    again = Architecture.from_json(text)
    assert again == architecture
    assert hash(again) == hash(architecture)
    assert again.digest() == architecture.digest()
    assert json.dumps(json.loads(text), sort_keys=True, separators=(",", ":")) == text


@given(architectures, architectures)
def test_identity_and_order(one: Architecture, other: Architecture) -> None:
    assert (one == other) == (one.digest() == other.digest())
    assert (one < other) + (other < one) + (one == other) == 1


def test_digest_is_stable() -> None:
    # Run folders and caches of earlier versions hold this digest.
    assert mobilenetv2().digest() == "b2834e33f2a27e6c33537933b1c8c98833182f7aa84151a9a705dd232f5a37e4"


def _broken(**changes: object) -> str:
    return json.dumps({**mobilenetv2().to_dict(), **changes})


def _broken_stage(**changes: object) -> str:
    data = mobilenetv2().to_dict()
    data["stages"][2] |= changes
    return json.dumps(data)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "JSON text"),
        ("nonsense", "JSON text"),
        ("[1]", "architecture: expected an object"),
        ("[" * 100_000, "nested too deeply"),
        (" " * 2_000_000, "at most 1000000"),
        ('{"resolution": 1, "resolution": 2}', "repeated key 'resolution'"),
        (_broken(resolution="224"), "resolution: expected an integer from 1 to 4096, got '224'"),
        (_broken(resolution=224.0), "resolution: expected an integer"),
        (_broken(resolution=True), "resolution: expected an integer"),
        (_broken(resolution=float("nan")), "resolution: expected a finite number, got nan"),
        (_broken(resolution=10**60), "resolution: an integer of more than 64 bits"),
        (_broken(resolution=10**4000), "resolution: an integer of more than 64 bits"),
        (_broken(stem_width=0), "stem_width"),
        (_broken(stem_stride=3), "stem_stride"),
        (_broken(head_width=-1), "head_width"),
        (_broken(activation=None), "activation"),
        (_broken(activation="Os.System('x')"), "activation"),
        (_broken(stages=[]), "stages: expected a list of 1 to 32 entries, got 0 entries"),
        (_broken(stages=mobilenetv2().to_dict()["stages"] * 9), "stages: expected a list of 1 to 32"),
        (_broken(stages={}), "stages: expected a list"),
        (_broken(surprise=1), "'surprise': unknown field"),
        (json.dumps({"resolution": 224}), "activation: missing"),
        (_broken_stage(width=9000), "stages[2].width: expected an integer from 1 to 8192, got 9000"),
        (_broken_stage(kernel_size=4), "stages[2].kernel_size: expected an odd integer, got 4"),
        (_broken_stage(expansion=17), "stages[2].expansion"),
        (_broken_stage(attention=[]), "stages[2].attention: a stage of stride 2 has at least one block"),
        (_broken_stage(attention=[], stride=1), "stages[2].width: expected 24, as before the stage"),
        (_broken_stage(attention=[{"kind": "ca", "reduction": 0}]), "stages[2].attention[0].reduction"),
        (_broken_stage(attention=[{"kind": "ca"}]), "stages[2].attention[0].reduction: missing"),
        (_broken_stage(attention=["ca"]), "stages[2].attention[0]: expected an object"),
        (_broken_stage(attention=[{"kind": "ca", "reduction": 8}] * 33), "stages[2].attention: expected a list"),
    ],
)
def test_hostile_json_is_refused_by_field(text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        Architecture.from_json(text)
    assert message in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert len(str(caught.value)) < 300


def test_values_are_checked_without_json() -> None:
    with pytest.raises(InputError, match="resolution"):
        dataclasses.replace(mobilenetv2(), resolution=0)
    with pytest.raises(InputError, match="stages: expected a tuple"):
        dataclasses.replace(mobilenetv2(), stages=list(mobilenetv2().stages))  # type: ignore[arg-type]


def test_read_json_names_the_file(tmp_path: Path) -> None:
    folder = tmp_path
    with pytest.raises(InputError, match=r"absent\.json: no such file"):
        read_json(folder / "absent.json")
    (folder / "binary.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"binary\.json: not UTF-8 text; save it as UTF-8"):
        read_json(folder / "binary.json")
    with pytest.raises(InputError, match="cannot be read"):
        read_json(folder)


def test_a_byte_order_mark_is_no_part_of_a_json_file(tmp_path: Path) -> None:
    path = tmp_path / "marked.json"
    path.write_text(mobilenetv2().to_json(), encoding="utf-8-sig")
    assert path.read_bytes().startswith(b"\xef\xbb\xbf{")
    assert Architecture.from_dict(read_json(path)) == mobilenetv2()


def test_labels() -> None:
    assert Attention("ca", 16).label == "ca/16"
    assert Attention("none").label == "–"
    stage = Stage("inverted_residual", 8, 1, 2, 3, (Attention("ca", 8), Attention("none")))
    assert stage.attention_label == "ca/8+–"
    assert dataclasses.replace(stage, attention=(Attention("se", 4),) * 2).attention_label == "se/4"
