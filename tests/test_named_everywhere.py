"""Whatever can be chosen has one name, and it stands in the help of each command that takes it, and in the docs."""

import dataclasses
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import pytest

from commands.adaptations import RECIPES as ADAPTATIONS
from commands.main import _command
from commands.presets import PRESETS
from commands.pretraining import SIMCLR
from commands.recipes import RECIPES
from commands.registered import told
from deployment.choices import COMPARED, FORMATS, RUNTIMES
from evaluators import zero_cost
from evaluators.choice import EVALUATORS
from search_space.attention import OPS
from search_space.backbones import BACKBONES
from search_space.spaces import SPACES
from studies.samplers.base import SAMPLERS
from tasks.choice import TASKS
from training.attacks.registry import ATTACKS
from training.methods.choice import METHODS

ROOT = Path(__file__).parent.parent
OF_TESTS = {"anywhere", "pooled-32", "centre", "with-projector", "corners", "grey"}
"""Registered by the tests themselves."""

PLACES: dict[str, tuple[Iterable[str], tuple[tuple[str, str], ...]]] = {
    "task": (TASKS, tuple((name, "task") for name in ("search", "retrain", "describe", "measure-latency"))),
    "head": (
        {head for kind in TASKS for head in getattr(TASKS[kind], "heads", ())},
        tuple((name, "head") for name in ("search", "retrain", "describe", "measure-latency")),
    ),
    "method": (set(METHODS) - {SIMCLR}, (("retrain", "method"),)),
    "evaluator": (EVALUATORS, (("search", "evaluator"),)),
    "score": (zero_cost.names(), (("search", "score"),)),
    "sampler": ({name for name in SAMPLERS if ":" not in name}, (("search", "sampler"),)),
    "space": (SPACES, (("search", "space"), ("measure-latency", "space"))),
    "backbone": (BACKBONES, (("describe", ""), ("pretrain", ""))),
    "attack": (ATTACKS, (("evaluate", "attack"),)),
    "recipe": (RECIPES, (("retrain", "recipe"),)),
    "preset": (PRESETS, (("search", ""),)),
    "recipe of adaptation": (ADAPTATIONS, (("adapt", "recipe"),)),
    "format": (FORMATS, (("retrain", "export"),)),
    "runtime": (RUNTIMES, (("search", "runtime"), ("measure-latency", "runtime"))),
    "compared runtime": (COMPARED, (("evaluate", "runtimes"),)),
    "attention": (OPS, ()),
    "family": ({path.parent.name for path in (ROOT / "search_space/families").glob("*/__init__.py")}, ()),
}
"""What there is by sort, and the flags (or what is given first) that it is a value of."""


def _help(command: str, flag: str) -> str:
    """What the help says of the flag; of what is given first where none is named."""
    fields = {field.name: field for field in dataclasses.fields(_command(command).settings)}
    if flag:
        return str(fields[flag].metadata["help"])
    return " ".join(str(one.metadata["help"]) for one in fields.values() if one.metadata.get("positional"))


@cache
def _code() -> str:
    """All that stands as code in the docs, in a line or in a block."""
    texts = [path.read_text() for path in (ROOT / "docs").glob("*.md")]
    return "\n".join(part for text in texts for part in re.findall(r"```.*?```|`[^`\n]+`", text, re.DOTALL))


def _named(name: str, text: str) -> bool:
    return re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text) is not None


CASES = [(sort, name) for sort, (names, _) in PLACES.items() for name in sorted(set(names) - OF_TESTS)]


@pytest.mark.parametrize("sort", PLACES)
def test_it_is_in_the_help_of_each_command_that_takes_it(sort: str) -> None:
    names, places = PLACES[sort]
    known = sorted(set(names) - OF_TESTS)
    assert known
    for command, flag in places:
        text = _help(command, flag)
        lacking = [name for name in known if not _named(name, text)]
        numbered = [part for part in told(names).split(", ") if "…" in part]  # several in a word: t2t_vit_7…24
        lacking = [
            name
            for name in lacking
            if not any(name.startswith(part.rpartition("_")[0]) and part in text for part in numbered)
        ]
        assert lacking == [], (command, flag)


@pytest.mark.parametrize(("sort", "name"), CASES)
def test_it_is_in_the_docs(sort: str, name: str) -> None:
    assert _named(name, _code()), f"{sort} {name}: in no page of docs/"


def test_every_command_is_in_the_docs_and_says_what_it_does() -> None:
    for path in ROOT.glob("*.py"):
        if path.stem != "coordnas":
            assert _named(path.name, _code()), path.name
            first = (_command(path.stem.replace("_", "-")).settings.__doc__ or "").partition(". ")[0]
            assert len(first.split()) >= 5, path.name


def test_pages_are_in_the_navigation_once() -> None:
    listed = re.findall(r"^ +- ([\w/-]+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)
    there = [path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")]
    assert sorted(listed) == sorted(there)
