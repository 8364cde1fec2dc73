"""Whatever a file holds that a command reads: it ends with 0, or with 2 and one line, and writes where it was told."""

import contextlib
import io
import json
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from commands import describe, ending, evaluate, predict, retrain, search
from evaluators.tabular.table import TABLES, read_table
from foundation.files import write_json
from foundation.progress import Reporter
from reports.report import REPORT, write_report
from search_space.architecture import Architecture
from search_space.cost.latency import LatencyTable, read_latency_table
from search_space.network import build
from search_space.space_file import read_space
from tests.conftest import NARROW_SPACE
from training.checkpoint import load_weights, save_weights
from training.model_file import ModelInfo, save_model

onnx = pytest.importorskip("onnx")

DEEP = "[" * 99_999 + "]" * 99_999
HOSTILE = (
    "null", "true", "-1", "0", "1", "0.5", "1e-320", "1e999", "NaN", "-Infinity", "1" * 400, "1" * 5_000, '""', '"x"',
    '"../../elsewhere"', '"sqlite:////elsewhere/victim.db"', '"\\ud800"', '"\\u001b[31m\\u0007"', '"\\u0000"',
    '"<script>"', f'"{"y" * 5_000}"', "[]", "{}", "[[]]", '[null, "1", 2]', '{"a": {"b": [1]}}', "[" * 70 + "]" * 70,
    DEEP,
)  # fmt: skip
"""JSON texts that may stand in the place of another value."""

BYTES = (b"", b"\x00" * 50, b"\xff\xfe{}", b"[", b'{"a": 1, "a": 2}', b"null", DEEP.encode(), b" " * 5_000_000)
"""What may stand in the place of a whole file."""

FEW = settings(
    max_examples=20,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
FLAGS = ("--evaluator", "tabular", "--sampler", "random", "--trials", "6", "--startup", "6")

Change = tuple[int, str | bytes | None]
"""The number of the place that is changed, and what comes there: None for nothing."""

changes: st.SearchStrategy[Change] = st.tuples(
    st.integers(0, 400),
    st.one_of(st.none(), st.sampled_from(HOSTILE), st.sampled_from(HOSTILE), st.sampled_from(BYTES)),
)


def _places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The ways to all values within one."""
    if place:
        yield place
    for key, entry in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from _places(entry, (*place, key))


def _changed(text: str, change: Change) -> bytes:
    """A JSON text with one value in the place of another, or without it; or something else altogether."""
    number, new = change
    if isinstance(new, bytes):
        return new
    value = json.loads(text)
    places = list(_places(value))
    if not places:
        return (new or "").encode()
    *way, last = places[number % len(places)]
    container = value
    for key in way:
        container = container[key]
    if new is None:
        del container[last]
        return json.dumps(value).encode()
    container[last] = "@here@"
    return json.dumps(value).replace('"@here@"', new).encode()


def _files(folder: Path, but: Sequence[Path]) -> dict[Path, tuple[int, int]]:
    found = {}
    for path in folder.rglob("*"):
        if not any(path.is_relative_to(one) for one in but):
            state = path.lstat()
            found[path] = (state.st_size, state.st_mtime_ns if path.is_file() else 0)
    return found


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """Runs a command as from the command line; it may write into the paths of `out` alone."""

    def run(main: Callable[[Sequence[str]], None], arguments: Sequence[object], *out: Path) -> None:
        before = _files(tmp_path, out)
        monkeypatch.setattr(sys, "argv", ["command", *map(str, arguments)])
        said, complained = io.StringIO(), io.StringIO()
        with (
            contextlib.redirect_stdout(said),
            contextlib.redirect_stderr(complained),
            pytest.raises(SystemExit) as end,
        ):
            ending.run(main, continues=False)
        lines = complained.getvalue().splitlines()
        assert end.value.code in (0, 2), lines
        assert len(lines) == (end.value.code != 0) or main is predict.main
        assert all(line.startswith("error: ") and len(line) < 2_000 for line in lines)
        assert "\x1b" not in said.getvalue() + complained.getvalue()
        assert "nan %" not in said.getvalue()
        assert _files(tmp_path, out) == before

    return run


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A run with a retraining, of which the trained network is not trained."""
    run = tmp_path_factory.mktemp("runs") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("training.data.digits.SIZES", {"train": 60, "validation": 30, "test": 30})
        patch.setattr("commands.retrain_told.show_retraining", lambda *_, **__: None)
        search.main([*FLAGS, "--quiet", "--out", str(run)])
        best = json.loads((run / "best.json").read_text())
        place = run / "retrain" / "found-0"
        place.mkdir(parents=True)
        architecture = Architecture.from_dict(best["architecture"])
        info = ModelInfo(architecture, tuple(best["classes"]), (0.5,), (0.25,), "digits")
        torch.manual_seed(0)
        save_model(place / "weights.safetensors", build(architecture, 10).state_dict(), info)
        write_json(place / "architecture.json", architecture.to_dict())
        entry = {"epoch": 1, "loss": 2.0, "seconds": 1.0, "validation_accuracy": 0.5}
        (place / "metrics.jsonl").write_text(f"{json.dumps(entry)}\n{json.dumps({**entry, 'epoch': 2})}\n")
        test = {"accuracy": 0.5, "top5": 0.9, "loss": 1.0}
        results = [{**best, "network": name, "seed": 0, "test": test} for name in ("found", "mobilenetv2-ca")]
        write_json(place.parent / "results.json", results)
        ahead = {"difference": 0.1, "half_width": 0.05, "p": 0.01, "test": "McNemar"}
        told = {"macs": 1, "params": 1, "accuracies": [0.5]}
        compared = [{"network": "found", "digest": best["digest"], **told}]
        compared.append({"network": "other", "digest": "0" * 64, **told, "first_ahead": ahead})
        write_json(place.parent / "comparison.json", compared)
        recipe = {"recipe": {"epochs": 2}, "init": "scratch", "teacher": None}
        write_json(place.parent / "config.json", {"identity": recipe, "free": {"data": "digits"}})
        _onnx(run / "network.onnx", 10, info.to_metadata())
        Image.fromarray(np.full((32, 32), 128, dtype=np.uint8)).save(run / "picture.png")
        (run / ".lock").touch()
        yield run


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    return shutil.copytree(made, tmp_path / "run")


def _onnx(path: Path, outputs: int, metadata: dict[str, str]) -> None:
    """A network of one multiplication: the mean of each channel to logits."""
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        [
            helper.make_node("GlobalAveragePool", ["images"], ["pooled"]),
            helper.make_node("Flatten", ["pooled"], ["flat"]),
            helper.make_node("MatMul", ["flat", "weight"], ["logits"]),
        ],
        "network",
        [helper.make_tensor_value_info("images", kind, ["n", 3, "h", "w"])],
        [helper.make_tensor_value_info("logits", kind, ["n", outputs])],
        [helper.make_tensor("weight", kind, [3, outputs], [0.5] * 3 * outputs)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    helper.set_model_props(model, metadata)
    path.write_bytes(model.SerializeToString())


def _report(run: Path) -> Callable[[Sequence[str]], None]:
    """As `retrain.py` writes it at its end."""

    def main(_: Sequence[str]) -> None:
        write_report(run, Reporter())

    return main


@FEW
@given(change=changes, name=st.sampled_from(("config.json", "best.json", "front.json")))
def test_a_runs_files(run: Path, ended: Callable[..., None], name: str, change: Change) -> None:
    path = run / name
    before = path.read_bytes()
    path.write_bytes(_changed(before.decode(), change))
    ended(describe.main, [run, "--quiet"])
    ended(describe.main, [run, "--network", 1, "--json", run.parent / "out.json"], run.parent / "out.json")
    ended(retrain.main, [run, "--dry-run"])
    ended(_report(run), [], run / REPORT)
    path.write_bytes(before)


@settings(FEW, max_examples=10)
@given(change=changes, name=st.sampled_from(("config.json", "best.json", "front.json")))
def test_a_finished_search_again(made: Path, run: Path, ended: Callable[..., None], name: str, change: Change) -> None:
    """A broken result is written anew; another configuration is refused."""
    path = run / name
    before = path.read_bytes()
    path.write_bytes(_changed(before.decode(), change))
    ended(search.main, [*FLAGS, "--out", run], run)
    assert name != "best.json" or json.loads(path.read_bytes()) == json.loads(before)
    for other in ("best.json", "front.json"):
        shutil.copyfile(made / other, run / other)
    path.write_bytes(before)


@FEW
@given(
    change=changes,
    name=st.sampled_from(("results.json", "comparison.json", "config.json", "found-0/metrics.jsonl")),
)
def test_a_retrainings_files(run: Path, ended: Callable[..., None], name: str, change: Change) -> None:
    path = run / "retrain" / name
    before = path.read_bytes()
    lines = before.decode().splitlines(keepends=True) if name.endswith("l") else [before.decode()]
    path.write_bytes(_changed(lines[0], change) + "".join(lines[1:]).encode())
    ended(_report(run), [], run / REPORT)
    if name == "config.json":
        ended(evaluate.main, [run / "retrain", "--out", run / "out"], run / "out")
    path.write_bytes(before)


@FEW
@given(
    change=changes, field=st.sampled_from(("architecture", "classes", "normalisation", "data")), outputs=st.booleans()
)
def test_a_networks_metadata(run: Path, ended: Callable[..., None], change: Change, field: str, outputs: bool) -> None:
    weights = run / "retrain" / "found-0" / "weights.safetensors"
    tensors, metadata = load_weights(weights)
    text = metadata[field] if field != "data" else json.dumps([metadata["data"]])
    hostile = {**metadata, field: _changed(text, change).decode(errors="replace")}
    changed, picture, out = run / "changed.safetensors", run / "picture.png", run / "out"
    save_weights(changed, tensors, hostile)
    for source in (changed, run / "changed.onnx"):
        if source.suffix == ".onnx":
            _onnx(source, 10 if outputs else 7, hostile)
        ended(predict.main, [source, picture])
        ended(evaluate.main, [source, "--data", "digits", "--out", out], out)
    found = run / "retrain" / "found-0"
    before = weights.read_bytes()
    shutil.copyfile(changed, weights)
    ended(describe.main, [found])
    weights.write_bytes(before)


@FEW
@given(content=st.one_of(st.binary(max_size=200), st.sampled_from(BYTES)), cut=st.integers(0, 3_000))
def test_files_of_other_bytes(run: Path, ended: Callable[..., None], content: bytes, cut: int) -> None:
    weights = (run / "retrain" / "found-0" / "weights.safetensors").read_bytes()
    for name, whole in (("x.safetensors", weights), ("x.onnx", (run / "network.onnx").read_bytes())):
        (run / name).write_bytes(whole[:cut] + content + whole[cut + len(content) :])
        ended(predict.main, [run / name, run / "picture.png"])
    (run / "x.json").write_bytes(content)
    ended(describe.main, [run / "x.json"])
    (run / "x.png").write_bytes(content)
    ended(predict.main, [run / "network.onnx", run / "x.png"])


COLUMNS = {
    "trials": ("number", "state", "datetime_start", "datetime_complete"),
    "trial_values": ("value", "value_type", "objective"),
    "trial_user_attributes": ("value_json", "key"),
    "trial_system_attributes": ("value_json", "key"),
    "trial_params": ("param_value", "distribution_json", "param_name"),
    "studies": ("study_name",),
    "study_directions": ("direction", "objective"),
    "study_user_attributes": ("value_json", "key"),
    "alembic_version": ("version_num",),
    "version_info": ("schema_version", "library_version"),
}


@settings(FEW, max_examples=25)
@given(
    column=st.sampled_from([(table, column) for table, columns in COLUMNS.items() for column in columns]),
    value=st.one_of(st.none(), st.sampled_from((0, -1, 7, 1e308, b"\xff")), st.sampled_from(HOSTILE)),
    row=st.integers(0, 80),
    again=st.booleans(),
)
def test_a_studys_rows(
    made: Path,
    tmp_path: Path,
    ended: Callable[..., None],
    column: tuple[str, str],
    value: object,
    row: int,
    again: bool,
) -> None:
    run = shutil.copytree(made, tmp_path / "run", dirs_exist_ok=True)
    table, name = column
    database = sqlite3.connect(run / "study.db")
    with contextlib.suppress(sqlite3.IntegrityError), database:
        count = database.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        chosen = f"SELECT rowid FROM {table} ORDER BY rowid LIMIT 1 OFFSET {row % max(1, count)}"
        database.execute(f"UPDATE {table} SET {name} = ? WHERE rowid = ({chosen})", (value,))
    database.close()
    ended(_report(run), [], run / REPORT)
    if again:
        ended(search.main, [*FLAGS, "--out", run], run)
    shutil.rmtree(run)


@settings(FEW, max_examples=100)
@given(
    line=st.integers(0, 20),
    value=st.sampled_from((*HOSTILE, "nan", "inf", "1979-05-27", "[1.5]", "'ca/8'", "[-1]", "= =")),
)
def test_a_spaces_file(tmp_path: Path, ended: Callable[..., None], line: int, value: str) -> None:
    lines = NARROW_SPACE.strip().splitlines()
    name, equals, _ = lines[line % len(lines)].partition("=")
    lines[line % len(lines)] = f"{name}{equals} {value}"
    path = tmp_path / "space.toml"
    path.write_text("\n".join(lines))
    ended(lambda _: print(read_space(str(path)).name), [])


TABLE = json.dumps({**json.loads((TABLES / "digits.json").read_text()), "networks": []})
NETWORK = json.loads((TABLES / "digits.json").read_text())["networks"][0]
TIMES = json.dumps(LatencyTable("a device", "eager", 1, {"add 24 @56": 9100}).to_dict())


@settings(FEW, max_examples=100)
@given(change=changes)
def test_tables(tmp_path: Path, ended: Callable[..., None], change: Change) -> None:
    path = tmp_path / "table.json"
    table = json.dumps({**json.loads(TABLE), "networks": [NETWORK]})
    for text, read in ((table, read_table), (TIMES, read_latency_table)):
        path.write_bytes(_changed(text, change))
        ended(lambda _, read=read: print(repr(read(path))[:80]), [])
