"""Messages name what a user typed, or could: each setting by its flag, never by its place in a dataclass or a file."""

import ast
import dataclasses
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from commands import another_run, search
from commands.adaptations import AdaptSettings
from commands.another_run import ADAPTED, PRETRAINED, RETRAINED, SEARCHED
from commands.command_line import flag_name
from commands.main import _command
from commands.pretraining import PretrainSettings
from commands.recipes import RetrainSettings
from commands.search_settings import SearchSettings
from foundation.errors import InputError
from foundation.printed import with_flags
from foundation.started_as import NAMES
from studies.runs import run_folder
from studies.runs.identity import Asked, difference
from training.adaptation.settings import Adaptation
from training.methods.settings import OWN
from training.recipe import Recipe
from training.setting import check

ROOT = Path(__file__).parent.parent
ROOMS = ("commands", "deployment", "evaluators", "foundation", "search_space", "studies", "tasks", "training")
COMMANDS = {name: _command(name) for name in NAMES}
FIELDS = {field.name for command in COMMANDS.values() for field in dataclasses.fields(command.settings)} | {"plugin"}

OF_CODE = {"on", "prepare"}
"""What an error for a programmer names: of a task's protocol."""


@cache
def _texts() -> tuple[tuple[str, str], ...]:
    """Each text of the program that is no docstring, with where it stands; what differs in it is {…}."""
    return tuple(_read())


def _read() -> Iterator[tuple[str, str]]:
    for path in (file for room in ROOMS for file in (ROOT / room).rglob("*.py")):
        if not re.search("`|--", text := path.read_text()):
            continue
        nodes = list(ast.walk(ast.parse(text)))
        statements = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
        parts = {id(part) for node in nodes if isinstance(node, ast.JoinedStr) for part in node.values}
        for node in nodes:
            where = f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.JoinedStr):
                yield (
                    where,
                    "".join(str(part.value) if isinstance(part, ast.Constant) else "{…}" for part in node.values),
                )
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in statements | parts:
                yield where, node.value


def test_what_stands_in_backquotes_is_a_flag() -> None:
    """A command writes it as a flag (`foundation.printed.with_flags`), so that there has to be one."""
    named = [(where, name) for where, text in _texts() for name in re.findall(r"`([a-z][a-z0-9_]*)`", text)]
    assert len(named) > 150
    assert [one for one in named if one[1] not in FIELDS | OF_CODE] == []


def test_flags_that_commands_name_are_there() -> None:
    flags = {flag_name(name) for name in FIELDS} | {"--help"}
    found = [
        (where, name)
        for where, text in _texts()
        if where.startswith("commands/")
        for name in re.findall(r"(?<![\w-])--[a-z][a-z-]*[a-z]", text)
    ]
    assert len(found) > 50
    assert [one for one in found if one[1] not in flags] == []


@pytest.mark.parametrize("name", NAMES)
def test_a_setting_is_called_as_its_flag(name: str) -> None:
    """Where a flag overrides a dataclass's field, the field's check names the flag."""
    for field in dataclasses.fields(COMMANDS[name].settings):
        told = field.metadata.get("overrides")
        if told is not None:
            assert (told.called or field.metadata["place"].rpartition(".")[2]) == field.name


@pytest.mark.parametrize("settings", [Recipe, Adaptation, *OWN.values()])
def test_a_value_out_of_range_is_refused_by_its_flag(settings: type[Any]) -> None:
    for field in dataclasses.fields(settings):
        told = field.metadata["setting"]
        if told.low is not None or told.choices:
            with pytest.raises(InputError, match=rf"^([\w-]+: )?`{field.name}`: "):
                check(dataclasses.replace(settings(), **{field.name: "none of them" if told.choices else 1e30}))


TABLES = [
    (SEARCHED, SearchSettings, another_run.OF_SEARCH),
    (RETRAINED, RetrainSettings, another_run.OF_RETRAINING),
    (PRETRAINED, PretrainSettings, another_run.OF_PRETRAINING),
    (ADAPTED, AdaptSettings, another_run.OF_ADAPTATION),
]

SEEN_IN_OTHERS = {
    "preset", "source", "plugin",  # no flags, or what all the others follow from
    "head", "output_stride", "runtime", "target", "framework",  # in task, space, table of times, data, sampler
    "finalists",  # which have a file of their own
    "skip_corrupt", "loaders", "device", "quiet", "out", "storage", "dry_run",  # change nothing of what a run comes to
    "evaluator", "network", "export", "compare", "seeds", "recipe", "labelling_transfer",
}  # fmt: skip


@pytest.mark.parametrize(("asked", "settings", "names"), TABLES)
def test_every_setting_has_its_place(asked: Asked, settings: type, names: dict[str, str]) -> None:
    """What makes a run another is called by the flag that says it, and each such flag has its place."""
    fields = {field.name: field for field in dataclasses.fields(settings)}
    for place, name in names.items():
        told = asked.named(place)
        assert told == f"`{name}`" if name in fields else "`" not in told
    for name, field in fields.items():
        if name not in SEEN_IN_OTHERS and field.metadata.get("reproduced", True):
            assert name in names.values() or name == "seed", name


@pytest.fixture
def identity(narrow_space_file: Path, picture_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes the identity of the search that the flags say, which goes no further."""
    monkeypatch.chdir(narrow_space_file.parent)

    class SeenError(Exception):
        pass

    def seen(folder: Path, identity: dict[str, Any], *arguments: Any, **more: Any) -> None:
        raise SeenError(identity)

    monkeypatch.setattr(run_folder, "check_same", seen)

    def made(*flags: str) -> dict[str, Any]:
        given = {"--space": str(narrow_space_file), "--data": f"folder:{picture_folder}", "--init": "scratch"}
        given |= dict(zip(flags[::2], flags[1::2], strict=True))
        with pytest.raises(SeenError) as found:
            search.main(["photos", *(word for pair in given.items() for word in pair), "--dry-run", "--quiet"])
        known: dict[str, Any] = found.value.args[0]
        return known

    return made


PROXY, ZERO = ("--evaluator", "proxy", "--proxy-epochs", "1,3,9"), ("--evaluator", "zero-cost")
CHANGES = [
    ((), ("--seed", "1")),
    ((), ("--max-macs", "50M")),
    (("--max-params", "8M"), ("--max-params", "9M")),
    ((), ("--sampler", "random")),
    ((), ("--startup", "3")),
    ((), ("--front-share", "0.25")),
    ((), ("--objectives", "accuracy,params")),
    ((), ("--supernet-epochs", "3")),
    (("--supernet-epochs", "3", "--batch-size", "32"), ("--supernet-epochs", "3", "--batch-size", "16")),
    ((), ("--prior", "none")),
    ((), ("--space", "mobilenetv2-32")),
    (("--space", "mobile-32", "--anchors", "10"), ("--space", "mobile-32", "--anchors", "11")),
    ((), ("--evaluator", "zero-cost")),
    (ZERO, ("--score", "params")),
    (PROXY, ("--proxy-epochs", "1,2,4")),
    (PROXY, ("--proxy-pictures", "0.25")),
    (PROXY, ("--proxy-resolution", "0.5")),
    (PROXY, ("--generation", "9")),
]


def test_another_search_is_told_by_its_flag(identity: Any) -> None:
    known: dict[tuple[str, ...], dict[str, Any]] = {}
    for given, changed in CHANGES:
        if given not in known:
            known[given] = identity(*given)
        found = difference(known[given], identity(*given, *changed))
        assert found is not None, changed
        told = with_flags(found.told(asked=SEARCHED))
        assert re.match(rf"{changed[-2]}(: .*)? is ", told), (changed, told)
    for whole in known.values():  # and what no flag sets is in words
        for place in _places(whole):
            told = SEARCHED.named(place)
            assert told.startswith("`") or not re.search(r"[._]", told), told


def _places(value: Any, place: str = "") -> Iterator[str]:
    if isinstance(value, dict):
        for name, one in value.items():
            yield from _places(one, f"{place}.{name}" if place else name)
    else:
        yield place


@pytest.mark.parametrize(
    ("asked", "within", "value"),
    [
        (RETRAINED, "recipe", Recipe()),
        (PRETRAINED, "recipe", Recipe()),
        (ADAPTED, "recipe", Recipe()),
        (ADAPTED, "adaptation", Adaptation()),
        *((RETRAINED, "method_settings", own()) for name, own in OWN.items() if name != "simclr"),
    ],
)
def test_another_training_is_told_by_its_flag(asked: Asked, within: str, value: Any) -> None:
    settings = next(settings for one, settings, _ in TABLES if one is asked)
    flags = {field.name for field in dataclasses.fields(settings)}
    for name, was in dataclasses.asdict(value).items():
        found = difference({within: {name: was}}, {within: {name: "another"}})
        assert found is not None
        told = with_flags(found.told(asked=asked))
        words = f"{within.replace('_', ' ')}'s {name.replace('_', ' ')}"
        assert told.startswith(f"{flag_name(name) if name in flags else words} is "), told


def test_times_are_in_the_flags_unit() -> None:
    found = difference({"budget": {"max_latency_ns": 1_500_000}}, {"budget": {"max_latency_ns": None}})
    assert found is not None
    assert found.told(asked=SEARCHED).startswith("`max_latency_ms` is 1.50 ms there and none here; ")


def test_anchors_are_named_where_one_search_has_none() -> None:
    plain = {"evaluator": {"name": "supernet"}}
    corrected = {"evaluator": {"name": "anchored", "supernet": {"name": "supernet"}, "count": 12}}
    assert SEARCHED.flags(plain, corrected) == "--anchors 0"
    assert SEARCHED.flags(corrected, plain) == "--anchors 12"
