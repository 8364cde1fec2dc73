"""A setting is written once: its flag, its help and its check are made from the dataclass's field."""

import dataclasses
from typing import Any

import pytest

from commands import recipes
from commands.command_line import flag, for_one_alone, overriding, parse_settings
from commands.presets import PRESETS, Preset
from commands.search_settings import SearchSettings, overridden, settings_of
from commands.values import typed
from evaluators.halving import Halving
from evaluators.supernet.settings import SupernetRecipe
from foundation.errors import InputError
from training.augmentation.recipe import Augmentation
from training.recipe import Recipe
from training.setting import Setting, check, field_of, same, setting


@dataclasses.dataclass(frozen=True)
class _Oven:
    """What is overridden."""

    loaves: int = setting(3, "loaves at a time", 1, 12)
    heat: float = setting(200.0, "degrees", 50.0, 300.0)
    steam: float = setting(0.5, "share of steam", share=True)
    fan: bool = setting(True, "whether its fan turns")
    grain: str = setting("rye", "rye, oat", choices=("rye", "oat"))
    turns: tuple[int, ...] = setting((1, 2), "turns", 0, 9)
    note: str = "a field that is no setting"

    def __post_init__(self) -> None:
        check(self, "oven ")


def _of_oven(name: str) -> Any:
    return overriding(_Oven, name, group="main", shown=lambda name, _: typed(getattr(_Oven(), name)))


@dataclasses.dataclass(frozen=True)
class _Bake:
    """A command."""

    loaves: int | None = _of_oven("loaves")
    heat: float | None = _of_oven("heat")
    steam: float | None = _of_oven("steam")
    fan: bool | None = _of_oven("fan")
    grain: str | None = _of_oven("grain")
    turns: tuple[int, ...] | None = _of_oven("turns")
    shape: str = flag("round", "round, long", choices=("round", "long"))
    rolls: int = flag(0, "rolls", int, only_for=("shape", "round"))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"loaves": 13}, "oven `loaves`: expected 1 to 12, got 13"),
        ({"heat": float("nan")}, r"oven `heat`: expected 50\.0 to 300\.0, got nan"),
        ({"steam": 0.0}, r"oven `steam`: expected a share above 0 and up to 1, got 0\.0"),
        ({"grain": "corn"}, "oven `grain`: 'corn' is unknown; known: rye, oat"),
        ({"turns": (1, 10)}, r"oven `turns`: expected 0 to 9 for each, got \(1, 10\)"),
        ({"turns": ()}, r"oven `turns`: expected 0 to 9 for each, got \(\)"),
    ],
)
def test_what_is_out_of_a_settings_range_is_named(given: dict[str, Any], message: str) -> None:
    check(_Oven())
    with pytest.raises(InputError, match=f"^{message}$"):
        _Oven(**given)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--loaves", "12"], {"loaves": 12}),
        (["--heat", "1e2"], {"heat": 100.0}),
        (["--steam", "1"], {"steam": 1.0}),
        (["--fan", "no"], {"fan": False}),
        (["--grain", "oat"], {"grain": "oat"}),
        (["--turns", "0,9"], {"turns": (0, 9)}),
    ],
)
def test_a_flag_takes_what_its_setting_takes(arguments: list[str], expected: dict[str, Any]) -> None:
    parsed = parse_settings(_Bake, arguments, example="")
    assert {name: getattr(parsed, name) for name in expected} == expected
    assert _Oven(**expected)  # is not refused there either


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--loaves", "13"], "argument --loaves: '13': expected an integer from 1 to 12"),
        (["--turns", "1,10"], "argument --turns: '1,10': expected an integer from 0 to 9"),
        (["--steam", "0"], "argument --steam: '0': expected a share above 0 and up to 1"),
        (["--fan", "true"], "argument --fan: 'true': expected yes or no"),
    ],
)
def test_a_flag_refuses_what_its_setting_refuses(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parse_settings(_Bake, arguments, example="")
    assert message in capsys.readouterr().err


def test_a_flags_help_is_its_settings(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse_settings(_Bake, ["--help"], example="")
    text = " ".join(capsys.readouterr().out.split())
    assert "--loaves N loaves at a time (default: 3)" in text
    assert "--fan YES|NO yes or no: whether its fan turns (default: yes)" in text
    assert "--turns N,N,… turns (default: 1,2)" in text


def test_a_flag_of_choices() -> None:
    assert parse_settings(_Bake, ["--shape", "long"], example="").shape == "long"
    with pytest.raises(InputError, match=r"^--shape flat: unknown; known: round, long$"):
        parse_settings(_Bake, ["--shape", "flat"], example="")
    assert for_one_alone(_Bake, "shape") == {"rolls": "round"}
    assert for_one_alone(_Bake, "grain") == {}


BY_METHODS = {"colour", "views"}
"""Of augmentation, what a method sets and no user."""


def test_a_setting_of_another_dataclass() -> None:
    assert field_of(Recipe, "erasing").metadata == field_of(Augmentation, "erasing").metadata
    assert same(_Oven, "loaves").default == 3
    with pytest.raises(KeyError):
        field_of(_Oven, "note")
    for settings in (Recipe, SupernetRecipe, Halving, Augmentation):
        for field in dataclasses.fields(settings):
            if field.name not in BY_METHODS:
                assert isinstance(field.metadata["setting"], Setting), field.name


def test_every_setting_of_a_recipe_is_a_flag_of_its_text() -> None:
    flags = {field.name: field.metadata for field in dataclasses.fields(recipes.RetrainSettings)}
    for field in dataclasses.fields(Recipe):
        if field.name != "micro_batch":  # which may be `auto`
            assert flags[field.name]["help"].removeprefix("yes or no: ") == field.metadata["setting"].text


def _at(value: Any, place: str) -> Any:
    for name in place.split("."):
        value = getattr(value, name)
    return value


@pytest.mark.parametrize("name", PRESETS)
def test_flags_override_the_preset_at_their_places(name: str) -> None:
    preset: Preset = PRESETS[name]
    settings = settings_of(name)
    given: dict[str, Any] = {
        "proxy_epochs": (2, 5, 7),
        "proxy_pictures": 0.25,
        "proxy_resolution": 0.5,
        "generation": 11,
        "supernet_epochs": 3,
        "batch_size": 7,
    }
    places = {field.name: field.metadata.get("place") for field in dataclasses.fields(SearchSettings)}
    assert {flag for flag, place in places.items() if place} == given.keys()
    assert overridden(preset, settings) == preset
    changed = overridden(preset, dataclasses.replace(settings, **given))
    assert {flag: _at(changed, str(places[flag])) for flag in given} == given
    back: dict[str, Any] = {flag: _at(preset, str(places[flag])) for flag in given}
    assert overridden(changed, dataclasses.replace(settings, **back)) == preset
