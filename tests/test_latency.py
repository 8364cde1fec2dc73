"""Latency as a cost: the table and its file, the budget, measuring, pieces as ONNX, and the commands that use them."""

import json
import math
import random
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from commands import ending, measure_latency, search
from deployment.latency import calibrators, measure_table
from deployment.runtimes import Runtime, device_name
from evaluators.best_predicted import best_within
from evaluators.predictor import Predictor
from foundation.progress import Reporter
from foundation.seeds import derive
from search_space import Architecture, Budget, InputError, build
from search_space.cost.cost import measure
from search_space.cost.encoding import encoding
from search_space.cost.latency import LatencyTable, fitted, read_latency_table, timed_pieces
from search_space.cost.priced_space import PricedSpace
from search_space.cost.space_pieces import check_complete, space_pieces
from search_space.dilation import dilated
from search_space.network import parts
from search_space.space import SearchSpace
from search_space.spaces import SPACES, named_space, priced_space
from studies.runs.source import read_source
from tasks.choice import task

CPU = torch.device("cpu")


def _table(space: PricedSpace, **fields: Any) -> LatencyTable:
    """A table of the space with times that follow from the pieces' names."""
    times = {name: 1000 + derive("time", name) % 50_000 for name in space_pieces(space.space, space.head)}
    return LatencyTable(**{"device": "a phone", "runtime": "some", "threads": 1, "pieces": times, **fields})


@pytest.fixture(scope="module")
def timed_space(tiny_space: PricedSpace) -> PricedSpace:
    return replace(tiny_space, latency=_table(tiny_space, call_ns=300, scale=1.25, constant_ns=-700))


@pytest.fixture(scope="module")
def every(timed_space: PricedSpace) -> list[Architecture]:
    return list(timed_space.space.enumerate())


def test_a_file_is_read_as_it_was_written(tiny_space: PricedSpace, tmp_path: Path) -> None:
    table = _table(tiny_space, call_ns=5, scale=1.5, constant_ns=-3, networks=4)
    path = tmp_path / "table.json"
    path.write_text(json.dumps(table.to_dict()))
    again = read_latency_table(path)
    assert again == table
    assert again.to_dict() == table.to_dict()
    assert again != replace(table, scale=1.6)
    assert hash(again) == hash(table)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"device": ""}, "device: expected one line of 1 to 200 characters, got ''"),
        ({"device": "a\nb"}, "device: expected one line"),
        ({"runtime": None}, "runtime: expected one line"),
        ({"threads": 0}, "threads: expected an integer from 1 to 4096, got 0"),
        ({"threads": True}, "threads: expected an integer from 1 to 4096, got True"),
        ({"scale": 0}, "scale: expected a number from 0.01 to 100, got 0"),
        ({"scale": float("nan")}, "scale: expected a finite number, got nan"),
        ({"scale": "1"}, "scale: expected a number from 0.01 to 100, got '1'"),
        ({"call_ns": -1}, "call_ns: expected an integer from 0"),
        ({"constant_ns": 10**13}, "constant_ns: expected an integer from -1000000000000"),
        ({"pieces": []}, "pieces: expected an object of at most 50000 times by name"),
        ({"pieces": {"add 8 @4": None}}, "pieces['add 8 @4']: null; fill in the time that it takes, in nanoseconds"),
        ({"pieces": {"add 8 @4": 1.5}}, "pieces['add 8 @4']: expected an integer from 1"),
        ({"pieces": {"add 8 @4": 0}}, "pieces['add 8 @4']: expected an integer from 1"),
        ({"pieces": {"x" * 121: 1}}, "pieces: expected names of at most 120 characters"),
        ({"extra": 1}, "'extra': unknown field; a latency table has device, runtime, threads"),
    ],
)
def test_a_bad_file_ends_in_one_line(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    good = {"device": "a phone", "runtime": "some", "threads": 1, "pieces": {"add 8 @4": 100}}
    path = tmp_path / "table.json"
    path.write_text(json.dumps({**good, **changes}))
    with pytest.raises(InputError) as raised:
        read_latency_table(path)
    assert str(raised.value).startswith(f"{path}: {message}")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(("text", "message"), [("[]", "not a latency table"), ("{}", "device: missing"), ("{", "JSON")])
def test_a_file_that_is_no_table(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "table.json"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_latency_table(path)


@pytest.mark.parametrize("name", SPACES)
def test_pieces_cover_every_architecture(name: str, covering: Callable[[SearchSpace, int], list[Architecture]]) -> None:
    space = priced_space(name)
    table = _table(space)
    for architecture in covering(space.space, 20):
        size = architecture.resolution
        for _, part in parts(architecture, space.num_classes):
            # InputError for a piece that is missing
            assert all(table.nanoseconds(*each) >= 0 for each in timed_pieces(part, size))
            size = part.output_size(size)


def test_the_spaces_costs_are_those_of_its_parts(timed_space: PricedSpace, every: list[Architecture]) -> None:
    for architecture in every[::37]:
        alone = measure(architecture, timed_space.num_classes, timed_space.latency)
        assert timed_space.cost(architecture).latency_ns == alone.latency_ns > 0


def test_pieces_are_those_of_the_space_and_no_more(tiny_space: PricedSpace, every: list[Architecture]) -> None:
    met = set()
    for architecture in every:
        size = architecture.resolution
        for _, part in parts(architecture, tiny_space.num_classes):
            met |= {(piece, side) for piece, side in timed_pieces(part, size)}
            size = part.output_size(size)
    listed = {(piece, side) for piece, side in space_pieces(tiny_space.space, tiny_space.head).values()}
    assert met <= listed
    # Listed beside them are only ratios that a space does not offer, being twins of others.
    assert all(
        "attention" in name
        for name, entry in space_pieces(tiny_space.space, tiny_space.head).items()
        if entry not in met
    )


def test_pieces_do_what_the_network_does(timed_space: PricedSpace) -> None:
    """The pieces' shapes chain: each takes what the one before gave."""
    architecture = timed_space.largest
    size, x = architecture.resolution, torch.rand(1, 3, architecture.resolution, architecture.resolution)
    for _, part in parts(architecture, timed_space.num_classes):
        for piece, side in timed_pieces(part, size):
            if type(piece).__name__ != "Addition":
                assert x.shape == (1, piece.in_channels, side, side)
                x = piece.create().eval()(x)
        size = part.output_size(size)
    assert x.shape == build(architecture, 4).eval()(torch.rand(1, 3, 24, 24)).shape


def test_a_sum_by_hand(tiny_space: PricedSpace) -> None:
    space = PricedSpace(replace(tiny_space.space, resolution=(16,), stages=tiny_space.space.stages[:1]), 4)
    pieces = {
        "conv 3>8 k3 s2 relu6 @16": 1000,
        "depthwise 8 k3 s2 relu6 @8": 2000,
        "conv 8>8 k1 s1 linear @4": 300,
        "conv 8>16 k1 s1 relu6 @4": 400,
        "classifier 16>4 @4": 50,
    }
    table = _table(space, pieces=pieces, call_ns=100, scale=2.0, constant_ns=7)
    cost = measure(space.smallest, 4, table)
    assert cost.latency_ns == 7 + 2 * (900 + 1900 + 200 + 300 + 0)
    assert cost == measure(space.smallest, 4)
    with pytest.raises(InputError, match=r"^latency table of a phone, some, 1 thread: lacks '.*'; measure it"):
        measure(space.largest, 4, table)


@pytest.mark.parametrize("others", [(), ("macs",), ("macs", "params")])
def test_budgets_hold_and_are_counted(
    timed_space: PricedSpace, every: list[Architecture], others: tuple[str, ...]
) -> None:
    """Latency alone, with MACs, and with both others: the same architectures as by listing all."""
    costs = [timed_space.cost(architecture) for architecture in every]
    bounds = {
        f"max_{name}": int(np.quantile([getattr(cost, name) for cost in costs], 0.3 if not others else 0.6))
        for name in ("latency_ns", *others)
    }
    budget = Budget(**bounds)
    within = {architecture for architecture, cost in zip(every, costs, strict=True) if budget.allows(cost)}
    assert 0 < len(within) < len(every)
    low, high = timed_space.within(budget).count()
    assert low <= len(within) <= high
    if not others:
        assert high <= 1.02 * len(within)
    rng = random.Random(0)
    drawn = [timed_space.within(budget).sample(rng) for _ in range(300)]
    assert set(drawn) <= within
    assert len(set(drawn)) > 0.8 * len(within) * (1 - math.exp(-300 / len(within)))
    assert set(timed_space.within(budget).table.all()) == within


def test_a_budget_below_the_quickest_network(timed_space: PricedSpace, every: list[Architecture]) -> None:
    least = min(timed_space.cost(architecture).latency_ns for architecture in every)
    with pytest.raises(InputError, match=rf"has .* ms \({least / 10**6}\); raise `max_latency_ms` to at least that"):
        _ = timed_space.within(Budget(max_latency_ns=least - 1)).table
    assert timed_space.within(Budget(max_latency_ns=least)).count()[1] >= 1
    assert str(Budget(max_macs=1_200_000, max_latency_ns=2_500_000)) == "1.20M MACs and 2.50 ms"


def test_a_table_changes_no_network(tiny_space: PricedSpace, timed_space: PricedSpace) -> None:
    assert timed_space.to_dict() == tiny_space.to_dict()
    assert timed_space != tiny_space
    assert PricedSpace.from_dict(json.loads(json.dumps(timed_space.to_dict()))) == tiny_space
    assert timed_space.count() == tiny_space.count()


def test_encoded_costs_are_those_of_the_table(timed_space: PricedSpace) -> None:
    own = encoding(timed_space.within(Budget(max_latency_ns=1)))  # which is the same whatever the budget
    assert own is encoding(timed_space)
    assert own.columns == ("macs", "params", "latency_ns")
    rng = random.Random(2)
    architectures = [timed_space.sample(rng) for _ in range(50)]
    for architecture, row in zip(architectures, own.costs(own.encode(architectures)).tolist(), strict=True):
        cost = timed_space.cost(architecture)
        assert row == [cost.macs, cost.params, cost.latency_ns]


def test_what_is_ranked_is_within_the_bound_of_latency(timed_space: PricedSpace) -> None:
    rng = random.Random(3)
    drawn = [timed_space.sample(rng) for _ in range(60)]
    times = sorted(timed_space.cost(architecture).latency_ns for architecture in drawn)
    tight = timed_space.within(Budget(max_latency_ns=times[len(times) // 3]))
    predictor = Predictor(tight).fit(drawn, [float(timed_space.cost(one).macs) for one in drawn])
    found = best_within(tight, predictor, 3000, seed=0, keep=20)
    assert len(found) == 20
    assert all(tight.allows(architecture) for architecture in found)


def test_fitting_finds_scale_and_constant() -> None:
    sums = [1_000_000, 2_000_000, 5_000_000]
    assert fitted(sums, [round(1.3 * value + 40_000) for value in sums]) == (1.3, 40_000)
    assert fitted([100, 100], [150, 150]) == (1.5, 0)


@pytest.fixture(scope="module")
def measured(tiny_space: PricedSpace, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, LatencyTable]:
    path = tmp_path_factory.mktemp("measured") / "table.json"
    return path, measure_table(tiny_space, Runtime("eager", 1, CPU), path, Reporter(quiet=True), rounds=5)


def test_measuring_a_space(tiny_space: PricedSpace, measured: tuple[Path, LatencyTable]) -> None:
    path, table = measured
    assert set(table.pieces) == set(space_pieces(tiny_space.space, tiny_space.head))
    assert read_latency_table(path) == table
    assert table.device == device_name(CPU)
    assert table.networks == len(calibrators(tiny_space)) == 12
    # Of the networks that it was fitted on, the largest takes longer than the smallest.
    small, large = (measure(network, 4, table).latency_ns for network in calibrators(tiny_space)[:2])
    assert 0 < small < large


def test_a_killed_measurement_goes_on(
    tiny_space: PricedSpace, measured: tuple[Path, LatencyTable], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = measured[1]
    known = dict(list(whole.pieces.items())[:-3])
    path = tmp_path / "table.json"
    path.write_text(json.dumps(replace(whole, pieces=known, networks=0).to_dict()))
    counted: list[int] = []
    calls = Runtime.calls
    monkeypatch.setattr(Runtime, "calls", lambda self, m, x: counted.append(len(m)) or calls(self, m, x))  # type: ignore[func-returns-value]
    table = measure_table(tiny_space, Runtime("eager", 1, CPU), path, Reporter(quiet=True), rounds=1)
    assert counted == [1 + 3] + [1] * 12  # a call of nothing, what was missing, and the networks
    assert {name: table.pieces[name] for name in known} == known
    counted.clear()
    assert measure_table(tiny_space, Runtime("eager", 1, CPU), path, Reporter(quiet=True)) == table
    assert not counted


def test_another_device_is_refused(
    tiny_space: PricedSpace, measured: tuple[Path, LatencyTable], tmp_path: Path
) -> None:
    path = tmp_path / "table.json"
    for change in ({"device": "a phone"}, {"runtime": "another"}, {"threads": 2}):
        path.write_text(json.dumps(replace(measured[1], **change).to_dict()))  # type: ignore[arg-type]
        with pytest.raises(InputError, match=r"a latency table of another device: .*; here it is .*; use it with"):
            measure_table(tiny_space, Runtime("eager", 1, CPU), path, Reporter(quiet=True))


def test_settings_are_as_they_were_after_measuring(measured: tuple[Path, LatencyTable]) -> None:
    threads = torch.get_num_threads()
    with Runtime("eager", 3, CPU).settled():
        assert torch.get_num_threads() == 3
        assert torch.is_inference_mode_enabled()
    assert torch.get_num_threads() == threads
    assert not torch.is_inference_mode_enabled()


def _ended(main: Any, arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> int | str | None:
    monkeypatch.setattr("sys.argv", ["command", *arguments])
    with pytest.raises(SystemExit) as ended:
        ending.run(main, continues=True)
    return ended.value.code


@pytest.fixture
def space_file(narrow_space_file: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(narrow_space_file.parent)
    return narrow_space_file.name


def test_the_command_measures(space_file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ["--space", space_file, "--classes", "4", "--rounds", "2", "--out", "here.json", "--quiet"]
    assert _ended(measure_latency.main, arguments, monkeypatch) == 0
    table = read_latency_table(Path("here.json"))
    assert "classifier 12>4 @4" in table.pieces


def test_the_command_measures_the_head_of_a_task(space_file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ["--space", space_file, "--task", "segmentation", "--head", "conv/16", "--classes", "4"]
    arguments += ["--output-stride", "2", "--rounds", "2", "--out", "here.json", "--quiet"]
    assert _ended(measure_latency.main, arguments, monkeypatch) == 0
    table = read_latency_table(Path("here.json"))
    space, chosen = dilated(named_space(space_file), 2), task("segmentation", "conv/16")
    head = chosen.head(4, space.widest(own_kernels=False)[0][1])
    priced = PricedSpace(space, head, table)
    assert priced.cost(priced.largest).latency_ns > 0  # every piece is in the table


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--task", "tracking"], "--task tracking: unknown; known: "),
        (
            ["--head", "conv"],
            "--head conv: unknown to task classification; known: bottleneck",
        ),
        (["--output-stride", "3"], "--output-stride: expected 2, 4 (the network"),
        (["--runtime", "tflite"], "--runtime tflite: unknown; known: eager, compile, onnxruntime"),
        (["--resolution", "64"], "--resolution 64: not in space mobile-32; it has 32"),
        (["--out", "absent/here.json"], "--out absent/here.json: there is no folder absent; make it first"),
        (["--space", "resnet"], "--space resnet: unknown"),
        (["--threads", "0"], "argument --threads: '0': expected an integer from 1"),
    ],
)
def test_bad_input_to_the_command(
    space_file: str,
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert _ended(measure_latency.main, arguments, monkeypatch) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {message}")


def _search(space_file: str, pictures: Path, *more: str) -> list[str]:
    small = ["--supernet-epochs", "1", "--trials", "4", "--startup", "2", "--batch-size", "8", "--out", "run"]
    return ["--space", space_file, "--data", f"folder:{pictures}", *small, "--max-macs", "1M", *more]


def test_a_search_within_a_latency(
    space_file: str, picture_folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Measured before the search, kept in its folder, used when it goes on; another device's is refused."""
    arguments = _search(space_file, picture_folder, "--max-latency-ms", "100")
    assert _ended(search.main, arguments, monkeypatch) == 0
    printed = capsys.readouterr().out
    assert "within 1.00M MACs and 100.0 ms: " in printed
    assert " latency " in printed
    path = Path("run/latency.json")
    table = read_latency_table(path)
    config = json.loads(Path("run/config.json").read_text())
    assert config["identity"]["latency"] == table.digest
    front = json.loads(Path("run/front.json").read_text())
    assert front["budget"] == {"macs": 1_000_000, "latency_ns": 100_000_000}
    for entry in front["front"]:
        expected = measure(Architecture.from_dict(entry["architecture"]), 4, table).latency_ns
        assert 0 < entry["cost"]["latency_ns"] == expected
    assert _ended(search.main, arguments, monkeypatch) == 0
    again = capsys.readouterr().out
    assert [line for line in again.splitlines() if " % " in line] == [
        line for line in printed.splitlines() if " % " in line
    ]
    assert _ended(search.main, [*arguments, "--latency-table", "run/latency.json"], monkeypatch) == 0
    assert f"latency by run/latency.json: {table}" in capsys.readouterr().out

    path.write_text(json.dumps(replace(table, device="a phone").to_dict()))
    assert _ended(search.main, arguments, monkeypatch) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "run/latency.json: a latency table of another device: a phone, eager, torch" in line
    path.write_text(json.dumps(replace(table, constant_ns=table.constant_ns + 1).to_dict()))
    assert _ended(search.main, arguments, monkeypatch) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "--out run: holds another run: the latency table is not the one that it began with" in line


def test_a_search_by_another_devices_table(
    space_file: str, picture_folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    space = replace(priced_space(space_file), num_classes=4)
    table = _table(space)
    pieces = dict(table.pieces)
    Path("phone.json").write_text(json.dumps({**table.to_dict(), "pieces": pieces}))
    given = _search(space_file, picture_folder, "--latency-table", "phone.json")
    assert _ended(search.main, [*given, "--max-latency-ms", "0.001"], monkeypatch) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: budget 0.001 ms: the smallest network of space narrow (4 classes) has ")
    assert not Path("run").exists()

    # The run keeps the table that it was priced by, and a retraining prices by it what it trains beside.
    assert _ended(search.main, [*given, "--max-latency-ms", "100"], monkeypatch) == 0
    assert read_latency_table(Path("run/latency.json")) == table
    source = read_source("run", None)
    assert source.priced is not None
    assert source.priced.latency == table
    Path("run/latency.json").write_text(json.dumps(replace(table, constant_ns=table.constant_ns + 1).to_dict()))
    with pytest.raises(InputError, match=r"run/latency\.json: not the table that the search began with"):
        read_source("run", None)
    capsys.readouterr()

    del pieces["classifier 12>4 @4"]
    Path("phone.json").write_text(json.dumps({**table.to_dict(), "pieces": pieces}))
    assert _ended(search.main, given, monkeypatch) == 2
    (line,) = capsys.readouterr().err.splitlines()
    needed = len(table.pieces)
    assert f"phone.json: lacks 1 of the {needed} pieces of space narrow (4 classes), the first of them " in line
    assert "'classifier 12>4 @4'; measure it further by measure_latency.py" in line


def test_pieces_as_onnx(space_file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    arguments = ["--space", space_file, "--export", "pieces", "--quiet"]
    assert _ended(measure_latency.main, arguments, monkeypatch) == 0
    space = priced_space(space_file)
    files = json.loads(Path("pieces/files.json").read_text())
    assert (
        set(files)
        == set(space_pieces(space.space, space.head))
        == set(json.loads(Path("pieces/latency.json").read_text())["pieces"])
    )
    with pytest.raises(InputError, match="device: expected one line"):
        read_latency_table(Path("pieces/latency.json"))
    for name, (piece, _) in space_pieces(space.space, space.head).items():
        path = Path("pieces") / files[name]["file"]
        onnx.checker.check_model(onnx.load(path), full_check=True)
        assert b"/work" not in path.read_bytes()
        x = np.random.default_rng(0).random(files[name]["input"], dtype=np.float32)
        (result,) = runtime.InferenceSession(path).run(None, {"images": x})
        assert result.shape == piece.create().eval()(torch.from_numpy(x)).shape

    page = (Path(__file__).parent.parent / "docs/latency.md").read_text()
    (program,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    exec(compile(program, "docs/latency.md", "exec"), {})
    table = read_latency_table(Path("pieces/latency.json"))
    check_complete(table, space.space, space.head, "pieces/latency.json")
    assert (table.threads, table.scale, table.constant_ns, table.networks) == (1, 1.0, 0, 0)
    assert 0 < table.call_ns < max(table.pieces.values())


def test_measuring_in_onnxruntime(space_file: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    pytest.importorskip("onnxscript", reason="onnxscript is not installed")
    space = priced_space(space_file)
    runtime = Runtime("onnxruntime", 1, CPU)
    table = measure_table(space, runtime, tmp_path / "t.json", Reporter(quiet=True), rounds=2, networks=3)
    assert set(table.pieces) == set(space_pieces(space.space, space.head))
    assert table.runtime.startswith("onnxruntime, onnxruntime ")
    assert table.networks == 3


def test_without_onnx(space_file: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("onnx", "onnxruntime", "onnxscript"):
        monkeypatch.setitem(sys.modules, name, None)
    for arguments in (["--runtime", "onnxruntime"], ["--export", "pieces"]):
        assert _ended(measure_latency.main, ["--space", space_file, *arguments], monkeypatch) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.endswith("is not installed; get it by: pip install 'coordnas[export]'")
