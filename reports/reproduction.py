"""How to do it again: configuration, versions, and the command that makes the same run."""

import math
import platform
import shlex
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from reports.markup import Markup, text
from reports.page import Row, Section, command, paragraph, table, titled
from reports.record import Record
from search_space.spaces import SPACES

PACKAGES = ("coordnas", "torch", "torchvision", "optuna", "numpy", "scikit-learn")


def search_command(record: Record) -> str:
    """`python search.py` with every flag that makes the run what it is."""
    identity, free = record.identity, record.free
    space = identity.get("space") or {}
    named = space.get("name")
    flags: list[tuple[str, Any]] = [
        ("space", named if named in SPACES else "FILE.toml"),
        ("data", free.get("data") or record.data),
        ("max-macs", record.bounds.get("macs")),
        ("max-params", record.bounds.get("params")),
        ("max-latency-ms", _milliseconds(record.bounds.get("latency_ns"))),
    ]
    flags += _evaluator(identity.get("evaluator") or {})
    sampler = identity.get("sampler") or {}
    objectives = [str(name).removesuffix("_ns") for name in sampler.get("objectives", ())]
    if objectives:
        objectives[0] = "accuracy"
    flags += [
        ("sampler", sampler.get("name")),
        ("startup", sampler.get("startup")),
        ("objectives", ",".join(objectives) or None),
        ("trials", free.get("trials")),
        ("seed", identity.get("seed")),
    ]
    words = [f"--{name} {shlex.quote(str(value))}" for name, value in flags if value is not None]
    return " ".join(["python search.py", *words])


def _evaluator(evaluator: Mapping[str, Any]) -> list[tuple[str, Any]]:
    name = evaluator.get("name")
    if name == "anchored":
        return [*_evaluator(evaluator.get("supernet") or {}), ("anchors", evaluator.get("count"))]
    flags: list[tuple[str, Any]] = [("evaluator", name), ("score", evaluator.get("score"))]
    recipe = evaluator.get("recipe") or {}
    if name == "supernet":
        flags += [("supernet-epochs", recipe.get("epochs")), ("batch-size", recipe.get("batch_size"))]
        flags.append(("prior", (evaluator.get("prior") or {"score": "none"}).get("score")))
    settings = evaluator.get("settings") or {}
    if name == "proxy":
        halving = settings.get("halving") or {}
        flags += [
            ("proxy-epochs", ",".join(map(str, halving.get("epochs", ()))) or None),
            ("proxy-pictures", settings.get("pictures")),
            ("proxy-resolution", settings.get("resolution")),
            ("generation", halving.get("generation")),
        ]
    return [*flags, ("init", evaluator.get("init"))]


def _milliseconds(nanoseconds: int | None) -> str | None:
    return None if nanoseconds is None else f"{nanoseconds / 10**6:g}"


def reproduction(record: Record) -> Section:
    """Configuration, versions, seeds and commands."""
    commands = []
    if record.identity:
        commands += [search_command(record), f"optuna-dashboard {record.storage}"]
        commands.append(f"python retrain.py {record.folder} --compare")
    content = [
        paragraph(text("On one CPU worker with the recorded number of threads these give the same files, bit for bit."))
        if commands
        else Markup(""),
        command(*commands) if commands else Markup(""),
    ]
    rows = [Row((name, value)) for name, value in _settings(record)]
    if rows:
        content.append(
            titled("Configuration", table(("setting", "value"), rows, words=("setting", "value"), sortable=False))
        )
    versions = [Row(("Python", platform.python_version()))]
    for package in PACKAGES:
        try:
            versions.append(Row((package, version(package))))
        except PackageNotFoundError:
            continue
    content.append(
        titled(
            "Versions, where this page was written",
            table(("package", "version"), versions, words=("package", "version"), sortable=False),
        )
    )
    return Section("reproduce", "Reproduce", "How to do it again", content)


def _settings(record: Record) -> list[tuple[str, str]]:
    """The configuration as lines, the space in short."""
    rows = []
    identity = {**record.identity}
    space = identity.pop("space", None)
    if isinstance(space, dict):
        rows.append(("space", f"{space.get('name')}, attention per {space.get('attention_per', 'stage')}"))
    for prefix, values in (("", identity), ("", record.free)):
        for name, value in _flat(prefix, values):
            if name not in ("processes",) and (name, value) not in rows:
                rows.append((name, value))
    seeds = sorted({one.seed for one in record.retrained})
    if seeds:
        rows.append(("retraining seeds", ", ".join(map(str, seeds))))
    return rows


def _flat(prefix: str, values: Any) -> list[tuple[str, str]]:
    if isinstance(values, dict):
        return [row for name in sorted(values) for row in _flat(f"{prefix}.{name}".strip("."), values[name])]
    if isinstance(values, list):
        return [(prefix, ", ".join(map(str, values)))]
    if values is None:
        return []
    number = isinstance(values, float) and math.isfinite(values)
    return [(prefix, f"{values:g}" if number else str(values))]
