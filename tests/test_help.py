"""What `--help` says: an example first, a screen a group, and of every flag its default."""

import dataclasses
import re
import shlex
from collections.abc import Mapping
from typing import Any

import pytest

from commands import adaptations, command_line, presets, pretraining, recipes, search_settings
from commands.command_line import flag, positional
from commands.settings import MEASURE_LATENCY
from commands.values import whole
from foundation.amounts import human
from foundation.errors import InputError

COMMANDS = {
    f"{command.name}.py": (command.settings, command.example)
    for command in (search_settings.SEARCH, recipes.RETRAIN, pretraining.PRETRAIN, adaptations.ADAPT, MEASURE_LATENCY)
}
SCREEN = 40  # lines of 80 columns


def _help(capsys: pytest.CaptureFixture[str], settings: type, *arguments: str, example: str = "example: x") -> str:
    defaults = search_settings.usual if settings is search_settings.SearchSettings else None
    with pytest.raises(SystemExit) as ended:
        command_line.parse_settings(settings, ["--help", *arguments], example=example, defaults=defaults)
    assert not ended.value.code
    return capsys.readouterr().out


def _flags(text: str) -> list[str]:
    """The flags that a help text explains, each at the beginning of a line."""
    return re.findall(r"^  (--(?!help )[a-z0-9-]+)", text, re.MULTILINE)


def _names(settings: type) -> set[str]:
    fields = [field for field in dataclasses.fields(settings) if not field.metadata.get("positional")]
    return {"--" + field.name.replace("_", "-") for field in fields} | {"--plugin"}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_group_fits_a_screen_and_every_flag_is_in_one(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    settings, example = COMMANDS[command]
    first = _help(capsys, settings, example=example)
    assert first.splitlines()[0] == example
    assert example.startswith(f"example: python {command} ")
    others = [name for name in re.findall(r"^  --help (\w+)", first, re.MULTILINE) if name != "all"]
    found = _flags(first)
    for name in others:
        text = _help(capsys, settings, name, example=example)
        assert text.splitlines()[0] == example
        found += _flags(text)
        assert set(_flags(text)) == set(re.findall(r"--[a-z-]+", _line_of(first, name)))
        _check_screen(text)
    _check_screen(first)
    assert sorted(found) == sorted(_names(settings))
    assert set(_flags(_help(capsys, settings, "all", example=example))) == _names(settings)


def _line_of(text: str, group: str) -> str:
    """What the main help says of another group's flags."""
    match = re.search(rf"^  --help {group} +(.*?)(?=^  --help )", text, re.MULTILINE | re.DOTALL)
    assert match
    return match[1]


def _check_screen(text: str) -> None:
    lines = text.splitlines()
    assert len(lines) <= SCREEN
    assert all(len(line) <= 80 for line in lines[1:])


@pytest.mark.parametrize("command", COMMANDS)
def test_every_flag_says_its_default(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = _help(capsys, COMMANDS[command][0], "all")
    entries = [" ".join(entry.split()) for entry in re.split(r"\n  (?=--)", text)[1:]]
    assert len(entries) == len(_names(COMMANDS[command][0]))
    assert [entry for entry in entries if "(default: " not in entry] == []


def test_defaults_are_those_of_presets_and_recipes(capsys: pytest.CaptureFixture[str]) -> None:
    text = " ".join(_help(capsys, recipes.RetrainSettings, "all").split())
    paper = recipes.RECIPES["paper"]
    assert (
        f"(default: quick 12, photos 40, dense/tokens 20, clips/control 10, adversarial 120, "
        f"paper {paper.epochs}, modern 300, t2t-small/t2t 310)" in text
    )
    assert f"momentum of SGD, β₁ of AdamW (default: {paper.momentum})" in text
    assert "(default: yes, adversarial/paper no)" in text
    for name, preset in presets.PRESETS.items():
        with pytest.raises(SystemExit):
            command_line.parse_settings(
                search_settings.SearchSettings,
                [name, "--help", "all"],
                example="example: x",
                defaults=search_settings.usual,
            )
        text = " ".join(capsys.readouterr().out.split())
        assert f"shared weights (default: {preset.recipe.epochs})" in text
        assert f"(default: {','.join(map(str, preset.proxy.halving.epochs))})" in text
        max_macs = search_settings.settings_of(name).max_macs
        assert max_macs
        assert f"a picture, e.g. 300M; none if another is given (default: {human(max_macs)})" in text


def _typed(value: object) -> str | None:
    return " ".join(value) or "nothing" if isinstance(value, list) else None


@pytest.mark.parametrize(
    ("arguments", "macs"),
    [
        ([], 1_200_000),
        (["imagenet"], 300_000_000),
        (["--max-params", "20k"], None),
        (["imagenet", "--max-latency-ms", "20"], None),
        (["--max-macs", "1M", "--max-params", "20k"], 1_000_000),
        (["--max-macs", "none"], None),
        (["--max-params", "none"], 1_200_000),
    ],
    ids=_typed,
)
def test_the_presets_bound_of_macs_goes_where_another_is_given(arguments: list[str], macs: int | None) -> None:
    assert _settings(arguments).max_macs == macs


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["cifar10", "--seed", "3", "--max-macs", "2M", "--evaluator", "proxy", "--proxy-epochs", "2,6"],
        ["--max-params", "20k", "--max-latency-ms", "1.123456", "--objectives", "accuracy,latency", "--skip-corrupt"],
        ["--max-macs", "1200000", "--max-params", "20k", "--space", "my own.toml"],
        ["--latency-table", "latency_ns.json", "--objectives", "accuracy,params,latency"],
        ["imagenet", "--max-macs", "none", "--framework", "nni", "--sampler", "tpe", "--prior", "none"],
    ],
    ids=_typed,
)
def test_a_runs_command_makes_its_settings_again(arguments: list[str]) -> None:
    elsewhere = ["--workers", "2", "--storage", "sqlite:///s.db", "--out", "x", "--trials", "7", "--quiet"]
    words = shlex.split(search_settings.command(_settings([*arguments, *elsewhere]), ["mine.py"]))
    assert words[:2] == ["python", "search.py"]
    assert words[-2:] == ["--plugin", "mine.py"]
    assert _settings(words[2:-2]) == _settings(arguments)


def _settings(arguments: list[str]) -> search_settings.SearchSettings:
    return command_line.parse_settings(
        search_settings.SearchSettings, arguments, example="", defaults=search_settings.usual
    )


@dataclasses.dataclass(frozen=True)
class _Few:
    """A command of few flags."""

    source: str = positional("where from")
    times: int = flag(3, "how often, 100% sure", whole(1))
    loud: bool = flag(False, "say more")


@dataclasses.dataclass(frozen=True)
class _Grouped:
    """Another."""

    preset: str = positional("which", "small")
    size: int = flag(1, "how large", whole(1), group="main")
    new: int = flag(2, "a flag of no group", whole(1))


def test_a_command_of_few_flags_shows_them_all(capsys: pytest.CaptureFixture[str]) -> None:
    text = _help(capsys, _Few)
    assert "example: x\n\nA command of few flags.\n" in text
    assert re.search(r"^  SOURCE +where from$", text, re.MULTILINE)
    assert re.search(r"^  --times N +how often, 100% sure \(default: 3\)$", text, re.MULTILINE)
    assert re.search(r"^  --loud +say more \(default: no\)$", text, re.MULTILINE)
    assert "--help" not in text


def test_a_flag_without_a_group_is_among_the_others(capsys: pytest.CaptureFixture[str]) -> None:
    text = _help(capsys, _Grouped)
    assert _flags(text) == ["--size"]
    assert re.search(r"^  --help other +--new --plugin$", text, re.MULTILINE)
    assert _flags(_help(capsys, _Grouped, "other")) == ["--new", "--plugin"]


def test_defaults_follow_the_preset_before_help(capsys: pytest.CaptureFixture[str]) -> None:
    def made(given: Mapping[str, Any]) -> _Grouped:
        name = given.get("preset", "small")
        return _Grouped(preset=name, size={"small": 1, "large": 1000}[name])

    with pytest.raises(SystemExit):
        command_line.parse_settings(_Grouped, ["large", "--help"], example="example: x", defaults=made)
    assert "how large (default: 1000)" in capsys.readouterr().out
    assert command_line.parse_settings(_Grouped, ["large", "--new", "5"], example="", defaults=made) == _Grouped(
        "large", 1000, 5
    )


def test_an_unknown_group_is_named() -> None:
    with pytest.raises(InputError, match=r"--help sampling: unknown; known: main, other, all"):
        command_line.parse_settings(_Grouped, ["--help", "sampling"], example="")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--trails", "3"], "unrecognized arguments: --trails; did you mean --trials?"),
        (["--trial=3"], "unrecognized arguments: --trial=3; did you mean --trials?"),
        (["--max_macs=1M"], "unrecognized arguments: --max_macs=1M; did you mean --max-macs?"),
        (["--proxy-epoch=3"], "unrecognized arguments: --proxy-epoch=3; did you mean --proxy-epochs?"),
        (["--pluging=x.py"], "unrecognized arguments: --pluging=x.py; did you mean --plugin?"),
        (["--sede=1", "--quite"], "unrecognized arguments: --sede=1 --quite; did you mean --seed, --quiet?"),
        (["--frobnicate"], "unrecognized arguments: --frobnicate; see "),
        (["digits", "trials"], "unrecognized arguments: trials; see "),
        (["-t"], "unrecognized arguments: -t; see "),
    ],
    ids=_typed,
)
def test_a_misspelt_flag_has_the_near_one_named(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        search_settings.SEARCH.check(arguments)
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert told.startswith(f"error: {said}")
    assert told.count("\n") == 1
    assert told.endswith("?\n") == said.endswith("?")
