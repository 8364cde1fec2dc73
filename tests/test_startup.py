"""A command line is answered before torch is imported; names in a help are those of the registries all the same."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from commands import registered

ROOT = Path(__file__).parent.parent
COMMANDS = ("search", "retrain", "pretrain", "adapt", "evaluate", "predict", "track", "describe", "measure_latency")
HEAVY = {"torch", "torchvision", "numpy", "optuna", "sklearn", "scipy", "sqlalchemy", "rich", "PIL", "matplotlib"}


def _imported(command: str, *arguments: str) -> tuple[subprocess.CompletedProcess[str], set[str]]:
    """What the command came to, and the top packages that it imported, of which Python itself keeps the account."""
    result = subprocess.run(
        [sys.executable, str(ROOT / f"{command}.py"), *arguments],
        env={**os.environ, "PYTHONPROFILEIMPORTTIME": "1"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    return result, set(re.findall(r"^import time:.*\| +([a-zA-Z_]\w*)", result.stderr, re.MULTILINE))


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["--help"], 0), (["--help", "all"], 0), (["x", "x", "--devise", "cpu"], 2), (["x", "x", "--quiet=y"], 2)],
    ids=["help", "help all", "misspelt", "of no value"],
)
def test_help_and_mistakes_import_nothing_heavy(command: str, arguments: list[str], code: int) -> None:
    result, imported = _imported(command, *arguments)
    assert result.returncode == code, result.stderr
    assert {"argparse", "commands"} <= imported
    assert not imported & HEAVY


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("search", ["--trials", "many"]),
        ("search", ["imagenet", "--help", "scoring"]),
        ("search", ["--help", "absent"]),
        ("search", ["absent"]),
        ("search", ["--out="]),
        ("retrain", ["x", "--epochs", "0"]),
        ("retrain", ["x", "--export", "absent"]),
        ("retrain", ["x", "--contrast", "much"]),
        ("pretrain", ["x", "--epochs", "0"]),
        ("evaluate", ["x", "--runtimes", "absent"]),
        ("evaluate", ["x", "--pictures", "0"]),
        ("predict", ["x"]),
        ("track", ["x"]),
        ("describe", ["x", "--classes", "none"]),
        ("measure_latency", ["--threads", "0"]),
    ],
)
def test_a_wrong_value_is_told_as_early(command: str, arguments: list[str]) -> None:
    result, imported = _imported(command, *arguments)
    lines = [line for line in result.stderr.splitlines() if not line.startswith("import time:")]
    assert (result.returncode, len(lines)) == ((0, 0) if "scoring" in arguments else (2, 1))
    assert not imported & HEAVY


NAMES = """
from commands import registered
from deployment import choices, export
from evaluators import zero_cost
from evaluators.choice import EVALUATORS
from search_space.backbones import BACKBONES
from search_space.spaces import SPACES
from studies.samplers import sampler_names
from tasks.choice import TASKS
from training.attacks.registry import ATTACKS

assert registered.scores() == zero_cost.names()
assert set(registered.samplers()) == {name for name in sampler_names() if ":" not in name}
assert set(registered.evaluators()) == set(EVALUATORS)
assert set(registered.tasks()) == set(TASKS)
assert registered.attacks() == tuple(ATTACKS)
assert registered.spaces() == tuple(SPACES)
assert registered.backbones() == tuple(BACKBONES)
assert tuple(export._FORMATS) == choices.FORMATS
"""


def test_names_in_a_help_are_those_of_the_registries() -> None:
    """In a process of its own: other tests register samplers and evaluators of theirs."""
    done = subprocess.run([sys.executable, "-c", NAMES], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_a_dictionary_that_is_not_written_out() -> None:
    with pytest.raises(LookupError, match=r"search_space/spaces\.py: writes out no dictionary ABSENT"):
        registered.keys("search_space/spaces.py", "ABSENT")
