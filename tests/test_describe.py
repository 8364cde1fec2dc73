"""describe.py: costs that add up, the drawing, the architecture's file; no data, nothing else written."""

import json
import random
from pathlib import Path

import pytest

from commands import describe
from foundation.errors import InputError
from foundation.files import write_json
from reports.terminal.description import attention_table, lines, stage_table
from search_space.architecture import Architecture
from search_space.backbones import BACKBONES, COMPARED_ATTENTIONS, hand_designed
from search_space.cost.cost import Cost, measure
from search_space.cost.priced_space import PricedSpace
from search_space.spaces import priced_space
from studies.runs.source import read_source
from training.model_file import ModelInfo, save_model


def _whole(cost: Cost) -> tuple[int, int, int]:
    return cost.macs, cost.params, cost.elementwise


@pytest.mark.parametrize("name", ["mobilenetv2-ca", "mobilenext-se", "efficientnet_b0"])
def test_the_lines_add_up(name: str) -> None:
    architecture = hand_designed(name)
    assert architecture is not None
    rows = lines(architecture, 1000)
    assert _whole(sum((row.cost for row in rows), Cost())) == _whole(measure(architecture, 1000))
    stages = [row.name for row in rows if row.row is not None and not row.row.end]
    assert stages == [str(i + 1) for i in range(len(architecture.stages))]


def test_the_lines_of_any_network_add_up(tiny_space: PricedSpace) -> None:
    rng = random.Random(0)
    for _ in range(20):
        architecture = tiny_space.sample(rng)
        rows = lines(architecture, 4)
        assert _whole(sum((row.cost for row in rows), Cost())) == _whole(measure(architecture, 4))


@pytest.mark.parametrize("kind", ["ca", "se"])
def test_attention_costs_what_the_network_without_it_costs_less(kind: str) -> None:
    attended = BACKBONES["mobilenetv2"](attention=COMPARED_ATTENTIONS[kind])
    plain = BACKBONES["mobilenetv2"]()
    attention = sum((row.attention for row in lines(attended, 1000)), Cost())
    assert _whole(attention + measure(plain)) == _whole(measure(attended))


def test_a_network_without_attention_has_no_second_table() -> None:
    rows = lines(BACKBONES["mobilenetv2"](), 10)
    assert attention_table(rows) is None
    assert stage_table(rows, "").row_count == len(rows) + 1


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """What a run's folder needs to be described."""
    folder = tmp_path / "run"
    folder.mkdir()
    architectures = [BACKBONES["mobilenetv2"](width, resolution=64) for width in (0.35, 0.5)]
    identity = {"space": priced_space("mobilenetv2-32").to_dict(), "budget": {"max_macs": 10**9}}
    write_json(folder / "config.json", json.loads(json.dumps({"identity": identity, "free": {"data": "digits"}})))
    write_json(folder / "best.json", {"architecture": architectures[1].to_dict(), "classes": ["a", "b", "c"]})
    write_json(folder / "front.json", {"front": [{"architecture": one.to_dict()} for one in architectures]})
    return folder


def _said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    describe.main(arguments)
    return capsys.readouterr().out


def test_a_hand_designed_network(capsys: pytest.CaptureFixture[str]) -> None:
    printed = _said(capsys, "mobilenetv2-ca")
    assert "306.7M MACs (306,666,368), 3.95M parameters (3,950,648)" in printed
    assert hand_designed("mobilenetv2-ca").digest() in printed  # type: ignore[union-attr]
    assert "224 pixels, 1000 classes" in printed
    assert "where attention's cost goes" in printed


def test_resolution_and_classes(capsys: pytest.CaptureFixture[str]) -> None:
    cost = measure(BACKBONES["mobilenetv2"](resolution=64), 7)
    assert f"({cost.macs:,})" in _said(capsys, "mobilenetv2", "--resolution", "64", "--classes", "7")


def test_the_heads_of_other_tasks(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "found.json"
    flags = ["--task", "detection", "--classes", "80", "--resolution", "320", "--json", str(file)]
    printed = _said(capsys, "mobilenetv2", *flags)
    assert "4.48M parameters (4,484,148)" in printed  # torchvision's SSDLite on MobileNetV2
    assert "--task detection" in printed
    assert "--head" not in printed.rpartition("next:")[2]
    flags = ["--task", "segmentation", "--head", "deeplabv3", "--classes", "21", "--output-stride", "16"]
    printed = _said(capsys, "mobilenetv2", *flags, "--json", str(file))
    assert "5.11M parameters (5,113,877)" in printed  # DeepLabV3 on MobileNetV2
    assert "--task segmentation --head deeplabv3" in printed
    assert Architecture.from_json(file.read_text()).to_dict()["output_stride"] == 16


def test_a_run_and_the_networks_of_its_front(capsys: pytest.CaptureFixture[str], run: Path) -> None:
    best = measure(BACKBONES["mobilenetv2"](0.5, resolution=64), 3)
    assert f"({best.macs:,})" in _said(capsys, str(run))
    first = BACKBONES["mobilenetv2"](0.35, resolution=64)
    svg, file = run / "first.svg", run / "first.json"
    printed = _said(capsys, str(run), "--network", "1", "--svg", str(svg), "--json", str(file))
    assert first.digest() in printed
    assert f"python retrain.py {file} --data digits" in printed
    assert svg.read_text().startswith("<svg")
    assert Architecture.from_json(file.read_text()) == first
    assert first.digest() in _said(capsys, str(file))


def test_the_folder_of_a_training(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    architecture = BACKBONES["mobilenetv2"](0.35, resolution=64)
    folder = tmp_path / "retrain" / "found-0"
    folder.mkdir(parents=True)
    (folder / "architecture.json").write_text(architecture.to_json())
    assert f"({measure(architecture, 1000).macs:,})" in _said(capsys, str(folder))
    info = ModelInfo(architecture, ("a", "b", "c"), (0.5,), (0.5,), "folder")
    save_model(folder / "weights.safetensors", {}, info)
    assert f"({measure(architecture, 3).macs:,})" in _said(capsys, str(folder))
    with pytest.raises(InputError, match="does not say which data to train on; give `data`"):
        read_source(str(folder), None)
    write_json(folder.parent / "config.json", {"identity": {}, "free": {"data": "digits"}})
    assert read_source(str(folder), None).data == "digits"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["absent"], "absent: no such file"),
        (["mobilenetv2", "--svg", "absent/a.svg"], "--svg absent/a.svg: there is no folder absent; make it first"),
        (["mobilenetv2", "--network", "1"], "`network` 1: mobilenetv2 is one network"),
        (["RUN", "--network", "3"], "has networks 1 to 2"),
    ],
)
def test_bad_input(
    run: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InputError, match=message):
        describe.main([str(run) if word == "RUN" else word for word in arguments])
    assert sorted(tmp_path.rglob("*")) == before
