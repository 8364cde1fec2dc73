"""The headline obeys the evidence: which training leads, what contradicts the search, which command is shown."""

import html
import random
import re
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from commands.recipes import RETRAIN as COMMAND
from commands.same_training import same_training
from commands.values import fraction, typed
from evaluators.base import Metrics
from foundation.files import write_json
from foundation.metric import ACCURACY
from reports.html.answer import answer
from reports.html.search_course import trust
from reports.record import Record
from reports.terminal.comparison import ComparedNetwork, Lead, comparison_table
from reports.trainings import Place, Retrained, read_place
from reports.verdict import comparing, rival
from search_space.cost.priced_space import PricedSpace
from studies.finalists import Decided, Final
from studies.trials import Candidate


@pytest.fixture
def record(tiny_space: PricedSpace) -> Record:
    rng = random.Random(0)
    found = [tiny_space.sample(rng) for _ in range(3)]
    candidates = [Candidate(one, tiny_space.cost(one), Metrics(0.8 - 0.1 * i, 0.1)) for i, one in enumerate(found)]
    return Record(
        folder=Path("runs/mine"),
        identity={"evaluator": {"name": "supernet"}, "budget": {"max_macs": 2_000_000}},
        best=candidates[0],
        front=tuple(candidates),
        data="digits",
    )


def _trained(record: Record, values: dict[str, float], place: str = "retrain", seeds: int = 1) -> tuple[Retrained, ...]:
    assert record.best is not None
    networks = {"found": record.best, "uniform se": record.front[1], "random": record.front[2]}
    return tuple(
        Retrained(name, networks[name].architecture, networks[name].cost, seed, value, place)
        for name, value in values.items()
        for seed in range(seeds)
    )


def _words(record: Record) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", "".join(answer(record)))).split())


def test_the_winner_is_named_alone_where_nothing_does_better(record: Record) -> None:
    compared = replace(record, retrained=_trained(record, {"found": 0.9, "uniform se": 0.88}))
    assert rival(compared) is None
    assert "This one" in _words(compared)
    assert "contradicts" not in _words(compared)


@pytest.mark.parametrize(
    ("half_width", "says"),
    [
        (0.01, "The comparison contradicts the search: of these networks take uniform se."),
        (0.03, "which does not tell them apart. So the comparison does not confirm the search"),
        (None, "too few to tell them apart. So the comparison does not confirm the search"),
    ],
)
def test_where_another_wins_the_headline_says_so(record: Record, half_width: float | None, says: str) -> None:
    leads = {} if half_width is None else {"uniform se": Lead(-0.02, half_width, 0.01, "a test")}
    compared = replace(
        record,
        retrained=2 * _trained(record, {"found": 0.9, "uniform se": 0.92, "random": 0.91}),
        places={"retrain": Place(epochs=12, leads=leads)},
    )
    words = _words(compared)
    alone = replace(compared, retrained=compared.retrained[:3])
    assert "which another seed can turn. So the comparison does not confirm the search: train more (--seeds 3)" in (
        _words(alone)
    )
    assert "train more (--seeds 4)" in words or "contradicts" in words
    assert "This one" not in words
    assert words.index("The search says this one") < words.index("uniform se comes to 92.00 %") < words.index(says)
    assert "for 12 epochs" in words
    assert "+2.00 points" in words


def test_a_short_look_is_no_headline(record: Record) -> None:
    """32 % after two epochs stood beside the 93 % of the finalist's own training."""
    assert record.best is not None
    decided = Decided((Final(record.best, (0.9, 0.93)),), {"epochs": [5, 8]}, ACCURACY)
    look = replace(
        record,
        decided=decided,
        retrained=_trained(record, {"found": 0.32, "uniform se": 0.34}, "retrain-look"),
        places={"retrain-look": Place({"epochs": 2}, 2)},
    )
    words = _words(look)
    figures, table = words.split("Beside hand-designed networks, after 2 epochs: a look")
    assert "validation accuracy by itself, 8 epochs 93.00 %" in figures
    assert "test accuracy" not in figures
    assert "after a short look" in figures
    assert "found 32.00 %" in table
    # The longer training leads as soon as there is one; the look is listed.
    longer = replace(
        look,
        retrained=(*look.retrained, *_trained(record, {"found": 0.94})),
        places={**look.places, "retrain": Place({"epochs": 12}, 12)},
    )
    words = _words(longer)
    assert "test accuracy, trained from scratch for 12 epochs 94.00 %" in words
    assert "The folder retrain-look has other trainings for 2 epochs" in words


def test_the_command_is_of_the_training_it_speaks_of(record: Record) -> None:
    long = "python retrain.py --epochs 100 --seeds 3"
    places = {
        "retrain-long": Place({"epochs": 100, "init": "scratch"}, 100, command=long),
        "retrain-older": Place({"epochs": 90}, 90),
        "retrain-shared": Place({"epochs": 80, "init": "supernet 12ab"}, 80),
        "retrain": Place({"epochs": 12}, 12, command="python retrain.py --epochs 12"),
    }
    known = replace(record, places=places)
    assert comparing(record, "") == "python retrain.py runs/mine --compare"
    assert comparing(known, "retrain") == "python retrain.py runs/mine --compare --epochs 12"
    wanted = "python retrain.py runs/mine --epochs 100 --seeds 3 --out runs/mine/retrain-long --compare"
    assert comparing(known, "retrain-long") == wanted
    assert comparing(known, "retrain-older") is None
    scratch = "python retrain.py runs/mine --init scratch --compare --out runs/mine/retrain-compared"
    assert comparing(known, "retrain-shared") == scratch
    for place, says in (
        ("retrain-long", wanted),
        ("retrain-older", "given again with --compare"),
        ("retrain-shared", scratch),
    ):
        trained = replace(known, retrained=_trained(record, {"found": 0.9}, place))
        assert says in _words(trained)


def test_what_a_training_began_from_is_told(record: Record) -> None:
    places = {"retrain": Place({"epochs": 12, "init": "torchvision"}, 12)}
    words = _words(replace(record, places=places, retrained=_trained(record, {"found": 0.9})))
    assert "trained from the weights torchvision for 12 epochs" in words
    assert "from scratch" not in words


@pytest.mark.parametrize(
    "arguments",
    [
        ["runs/mine"],
        ["runs/mine", "--epochs", "100", "--learning-rate", "0.05", "--nesterov", "no", "--seeds", "3"],
        ["runs/mine", "--nesterov", "yes", "--sync-batch-norm", "yes", "--compile", "yes", "--skip-corrupt"],
        ["runs/mine", "--recipe", "paper", "--data", "folder:/my pictures", "--network", "2"],
    ],
)
def test_a_training_records_its_command(arguments: list[str], tmp_path: Path) -> None:
    """Without what changes nothing that is trained; read back, it asks for the same."""
    settings = COMMAND.parse([*arguments, "--compare", "--out", "elsewhere", "--quiet", "--export", "onnx"])
    again = same_training(settings, ())
    read = COMMAND.parse(["runs/mine", *shlex.split(again)[2:]])
    assert read == COMMAND.parse(arguments)
    write_json(tmp_path / "config.json", {"identity": {}, "free": {"command": again}})
    assert read_place(tmp_path, None).command == again
    for hostile in ("python retrain.py; rm -rf ~", "python search.py", "rm retrain.py", 3):
        write_json(tmp_path / "config.json", {"identity": {}, "free": {"command": hostile}})
        assert read_place(tmp_path, None).command is None


@pytest.mark.parametrize(
    ("values", "caption"),
    [
        ((0.9, 0.91), None),
        ((0.92, 0.92), None),
        (
            (0.92, 0.9),
            "by +2.00 points, which another seed can turn: --seeds 3 trains more of each",
        ),
        (((0.92, 0.92, 0.95), (0.9, 0.93, 0.9)), "which is not told apart: --seeds 6 trains more of each"),
        (((0.92, 0.92, 0.93), (0.9, 0.9, 0.9)), "uniform se does better than found by +2.33 points"),
    ],
)
def test_the_terminal_says_what_the_page_says(record: Record, values: tuple[object, ...], caption: str | None) -> None:
    assert record.best is not None
    rows = [
        ComparedNetwork(name, record.best.architecture, record.best.cost, many, (1.0,) * len(many))
        for name, value in zip(("uniform se", "found"), values, strict=True)
        for many in [value if isinstance(value, tuple) else (float(str(value)),)]
    ][::-1]
    told = comparison_table(rows, "a title").caption
    assert told is None if caption is None else caption in str(told)


def test_what_trust_needs_is_a_network_that_has_not_been_trained(record: Record) -> None:
    def asked(trained: tuple[Retrained, ...]) -> str:
        places = {"retrain": Place({"epochs": 12}, 12, command="python retrain.py --epochs 12")}
        section = trust(replace(record, retrained=trained, places=places))
        assert section is not None
        return "".join(section.content)

    assert "retrain.py runs/mine --network 2" in asked(())
    assert "retrain.py runs/mine --network 2 --epochs 12" in asked(_trained(record, {"found": 0.9}))
    both = _trained(record, {"found": 0.9, "uniform se": 0.8})
    assert "retrain.py runs/mine --network 3 --epochs 12" in asked(both)


@pytest.mark.parametrize("value", [0.00005, 1e-9, 0.1, 0.0, 1.0])
def test_a_small_number_is_typed_as_it_is_read(value: float) -> None:
    assert fraction(typed(value)) == value
    assert float(typed(value / 7)) == value / 7
