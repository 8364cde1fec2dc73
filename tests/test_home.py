"""`~` is the home folder wherever a path begins, as in a shell."""

import dataclasses
import os
import pwd
from pathlib import Path

import pytest

from commands import command_line, describe, recipes, search_settings, settings
from commands.values import word

COMMANDS = (
    search_settings.SearchSettings,
    recipes.RetrainSettings,
    settings.DescribeSettings,
    settings.EvaluateSettings,
    settings.PredictSettings,
    settings.LatencySettings,
)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("~", "HOME"),
        ("~/x", "HOME/x"),
        ("--out=~/x", "--out=HOME/x"),
        ("--out=~", "--out=HOME"),
        ("--plugin=~/x.py", "--plugin=HOME/x.py"),
        ("folder:~/pictures", "folder:HOME/pictures"),
        ("--data=cifar10:~/data", "--data=cifar10:HOME/data"),
        ("torchvision:resnet18=~/w.pth", "torchvision:resnet18=HOME/w.pth"),
        ("--teacher=timm:resnet18.a1_in1k=~/w.pth", "--teacher=timm:resnet18.a1_in1k=HOME/w.pth"),
        ("~/mine.py:NAME", "HOME/mine.py:NAME"),
        ("sqlite:///~/study.db", "sqlite:///HOME/study.db"),
        ("journal:~/study.log", "journal:HOME/study.log"),
        # None of these begins a path.
        ("./~", "./~"),
        ("./~/x", "./~/x"),
        ("a/~/x", "a/~/x"),
        ("x~", "x~"),
        ("x~/y", "x~/y"),
        ("~nobody-of-that-name/x", "~nobody-of-that-name/x"),
        ("postgresql://user:~word@host/studies", "postgresql://user:~word@host/studies"),
        ("postgresql://~host/studies", "postgresql://~host/studies"),
    ],
)
def test_where_a_path_begins(typed: str, meant: str, home: Path) -> None:
    assert command_line.at_home([typed]) == [meant.replace("HOME", str(home))]


def test_another_users_home() -> None:
    user = pwd.getpwuid(os.getuid())
    assert command_line.at_home([f"--out=~{user.pw_name}/x"]) == [f"--out={user.pw_dir}/x"]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_text_of_every_command(command: type, home: Path) -> None:
    positionals = [field for field in dataclasses.fields(command) if field.metadata.get("positional")]
    given = ["~/x"] * sum(field.default is dataclasses.MISSING for field in positionals)
    parsed = command_line.parse_settings(command, given, example="example: x")
    for field in positionals[: len(given)]:
        assert vars(parsed)[field.name] in (f"{home}/x", [f"{home}/x"])
    for field in dataclasses.fields(command):
        if (
            field.metadata["parse"] is word
            and not field.metadata.get("choices")
            and field.default is not False
            and field not in positionals
        ):
            for flag in (["--" + field.name.replace("_", "-"), "~/x"], [f"--{field.name.replace('_', '-')}=~/x"]):
                parsed = command_line.parse_settings(command, [*given, *flag], example="example: x")
                assert vars(parsed)[field.name] == f"{home}/x"


def test_a_plugin_at_home_is_run(home: Path) -> None:
    (home / "own.py").write_bytes(b"\xef\xbb\xbfPLACE = __file__\nopen(__file__ + '.ran', 'w').close()\n")
    command_line.parse_settings(search_settings.SearchSettings, ["--plugin=~/own.py"], example="example: x")
    assert (home / "own.py.ran").exists()


def test_nothing_is_called_tilde(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "here").mkdir()
    monkeypatch.chdir(home / "here")
    describe.main(["mobilenetv2-ca", "--json=~/network.json", "--quiet"])
    describe.main(["~/network.json", "--svg=~/drawing.svg", "--quiet"])
    assert {path.name for path in home.iterdir()} == {"here", "network.json", "drawing.svg"}
    assert not list((home / "here").iterdir())
