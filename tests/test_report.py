"""report.html: whole, self-contained, escaped, free of NaN, and there for every run, however little it holds."""

import json
import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import optuna
import pytest

from commands import search
from evaluators.base import Metric, Metrics, Score
from foundation.errors import InputError
from foundation.files import write_json
from foundation.metric import ACCURACY
from foundation.progress import Reporter
from reports import analysis
from reports.html.markup import VOID
from reports.record import Evaluated, Record, read_record
from reports.report import REPORT, report, write_report
from reports.terminal.comparison import Lead
from reports.trainings import Place, Retrained
from search_space.architecture import Architecture, Attention
from search_space.cost.cost import Cost
from search_space.cost.priced_space import PricedSpace
from studies.finalists import Decided, Final
from studies.trials import Candidate
from tests.report_records import candidates as _candidates
from tests.report_records import record_of as _record
from tests.report_records import retrained as _retrained

QUIET = Reporter(quiet=True)


class _Tree(HTMLParser):
    """Fails where an element is not closed in its turn; collects what tests look at."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.identities: list[str] = []
        self.links: list[str] = []
        self.shown: list[str] = []
        self.words: list[str] = []
        self.pictures: list[str] = []
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        assert len(given) == len(attrs), f"<{tag}> has an attribute twice: {attrs}"
        self.identities += [given["id"] or ""] if "id" in given else []
        self.links += [given[name] or "" for name in ("href", "src", "xlink:href") if name in given and tag != "img"]
        self.shown += [given["data-show"] or ""] if "data-show" in given else []
        assert not any(name.startswith("on") for name in given)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in VOID
        given = dict(attrs)
        if tag == "img":
            assert given["alt"]
            self.pictures.append(given["src"] or "")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("script", "style"):
            self.words.append(data.replace("\N{NO-BREAK SPACE}", " "))


def _checked(html: str) -> _Tree:
    """What every page must hold to."""
    tree = _Tree(html)
    for picture in set(tree.pictures):
        assert re.fullmatch(r"data:image/webp;base64,[A-Za-z0-9+/]+=*", picture)
        html = html.replace(picture, "")
    assert len(set(tree.identities)) == len(tree.identities)
    assert not re.search(r"https?:|//[a-z]", re.sub(r"<script>.*</script>|sqlite:///?\S*", "", html, flags=re.DOTALL))
    assert html.index("default-src &#x27;none&#x27;") < html.index("<style>")
    assert html.count('; img-src data:"') == 1
    assert "@import" not in html
    assert all(link.startswith("#") and link[1:] in tree.identities for link in tree.links)
    assert set(tree.shown) <= set(tree.identities)
    assert set(re.findall(r"url\(#(.*?)\)", html)) <= set(tree.identities)
    outside = re.sub(r"<(script|style)>.*?</\1>", "", html, flags=re.DOTALL)
    assert not re.search(r"(?<![\w-])(nan|NaN|inf|-inf|Infinity|None|undefined)(?![\w-])", outside)
    return tree


@pytest.fixture(scope="module")
def record(tiny_space: PricedSpace) -> Record:
    return _record(tiny_space, _candidates(tiny_space, 60))


NETWORKS = ("found", "uniform none", "uniform se", "uniform ca")


def test_the_first_screen_answers(record: Record) -> None:
    tree = _checked(report(replace(record, **_retrained(record, NETWORKS))))  # type: ignore[arg-type]
    words = " ".join(tree.words)
    answer = words[: words.index("What accuracy costs")]
    best = record.best
    assert best is not None
    assert "within 2.00M MACs is best for digits?" in answer
    assert f"{100 * best.score:.2f} %" in answer
    assert f"{100 * (best.score + 0.005):.2f} ± 0.71 %" in answer  # the mean of two seeds
    for name in NETWORKS:
        assert name in answer
    assert "points against the best of the hand-designed networks, " in answer
    assert "for 3 epochs" in answer


def test_each_network_of_the_front_is_drawn(record: Record) -> None:
    html = report(record)
    tree = _checked(html)
    names = [f"network-{number}" for number in range(1, len(record.front) + 1)]
    assert [name for name in tree.identities if name.startswith("network-")] == names
    assert {name: tree.shown.count(name) for name in names} == dict.fromkeys(
        names, 4
    )  # its points, its line and its row
    assert html.count('class="drawing"') == len(names) + 1
    # By their cost, and by their trial.
    assert html.count('class="faint"') == 2 * (len(record.evaluated) - len(names))
    won = [index for index, one in enumerate(record.front, 1) if one.architecture == record.best.architecture]  # type: ignore[union-attr]
    assert f'data-chosen="network-{won[0]}"' in html


@pytest.mark.parametrize("count", [1, 2, 3, 19, 35])
def test_few_candidates(tiny_space: PricedSpace, count: int) -> None:
    words = " ".join(_checked(report(_record(tiny_space, _candidates(tiny_space, count)))).words)
    assert ("with all other decisions held equal" in words) == (count > 30)
    assert ("How much each decision matters" in words) == (count >= analysis.LEAST_CANDIDATES)


def test_candidates_that_all_score_alike(tiny_space: PricedSpace) -> None:
    alike = [replace(one, measured=Metrics(0.5, 0.5)) for one in _candidates(tiny_space, 40)]
    _checked(report(_record(tiny_space, alike)))


def test_attention_per_block_and_a_kind_of_the_users_own(tiny_space: PricedSpace) -> None:
    attention = (Attention("none"), Attention("ca", 8), Attention("simam"))
    stages = tuple(replace(options, attention=attention) for options in tiny_space.space.stages)
    space = replace(tiny_space, space=replace(tiny_space.space, stages=stages, attention_per="block"))
    candidates = _candidates(space, 40)
    assert any("+" in stage.attention_label for one in candidates for stage in one.architecture.stages)
    html = report(_record(space, candidates))
    _checked(html)
    assert "var(--kind-simam)" in html
    assert "--kind-simam:" in html


def test_a_score_that_is_no_accuracy(tiny_space: PricedSpace) -> None:
    scored = [replace(one, measured=Score("naswot", 100 * one.score)) for one in _candidates(tiny_space, 30)]
    record = _record(tiny_space, scored, metric=Metric("naswot"))
    html = report(replace(record, identity={**record.identity, "evaluator": {"name": "zero-cost", "score": "naswot"}}))
    words = " ".join(_checked(html).words)
    assert "naswot, untrained" in words
    assert "validation accuracy" not in words


def test_latency_and_no_budget(tiny_space: PricedSpace) -> None:
    timed = [
        replace(one, cost=Cost(one.cost.macs, one.cost.params, latency_ns=one.cost.macs * 3))
        for one in _candidates(tiny_space, 30)
    ]
    record = _record(tiny_space, timed)
    sampler = {"objectives": ["accuracy", "latency_ns"]}
    record = replace(record, identity={**record.identity, "budget": {}, "sampler": sampler})
    words = " ".join(_checked(report(record)).words)
    assert "latency" in words
    assert "Which network is best for digits?" in words


HOSTILE = "\"><img src=x onerror=alert(1)></style></script><script>alert(1)</script>&'{}"


def test_hostile_names(record: Record) -> None:
    best = record.best
    assert best is not None
    hostile = replace(
        record,
        folder=Path("runs") / HOSTILE.replace("/", "-"),
        data=HOSTILE,
        classes=(HOSTILE,) * 4,
        retrained=tuple(Retrained(f"{HOSTILE}{i}", best.architecture, best.cost, 0, 0.5) for i in range(3)),
        curves={f"uniform-{HOSTILE}-0": [{"epoch": 1, "validation_accuracy": 0.5}]},
        identity={**record.identity, "evaluator": {"name": HOSTILE, "score": HOSTILE}},
        free={HOSTILE: HOSTILE},
        without_study=HOSTILE,
    )
    html = report(hostile)
    tree = _checked(html)
    assert "<img" not in html
    assert html.count("<script>") == 1
    assert HOSTILE in "".join(tree.words)


def test_equal_records_give_equal_pages_but_for_the_time(record: Record) -> None:
    first, second = (re.sub(r"on \d{4}-\d\d-\d\d \d\d:\d\d", "", report(record)) for _ in range(2))
    assert first == second


# A run that really was


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "tabular"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("training.data.digits.SIZES", {"train": 200, "validation": 100, "test": 100})
        flags = ["--evaluator", "tabular", "--sampler", "random", "--trials", "24", "--startup", "24", "--quiet"]
        search.main([*flags, "--out", str(folder)])
    return folder


def test_a_search_leaves_its_report(run: Path) -> None:
    html = (run / REPORT).read_text()
    words = " ".join(_checked(html).words)
    best = json.loads((run / "best.json").read_text())
    assert f"{100 * best['metrics']['accuracy']:.2f} %" in words
    assert "24 candidates were evaluated" in words
    assert f"python retrain.py {run} --compare" in words
    command = next(line for line in words.splitlines() if "python search.py" in line)
    for flag in (
        "search.py digits --evaluator tabular --sampler random --startup 24",
        "--trials 24",
        f"--out {run}-again",
    ):
        assert flag in command


def test_a_record_is_what_the_folder_holds(run: Path) -> None:
    record = read_record(run)
    front = json.loads((run / "front.json").read_text())["front"]
    assert [one.architecture.to_dict() for one in record.front] == [entry["architecture"] for entry in front]
    study = optuna.load_study(study_name="tabular", storage=f"sqlite:///{run}/study.db")
    assert [one.candidate.score for one in record.evaluated] == [trial.values[0] for trial in study.trials]
    assert record.bounds == {"macs": 1_200_000}
    assert record.without_study is None


def _copy(run: Path, folder: Path, *names: str) -> Path:
    folder.mkdir()
    for name in names:
        (folder / name).write_bytes((run / name).read_bytes())
    return folder


def _written(folder: Path) -> str:
    path = write_report(folder, QUIET)
    assert path == folder / REPORT
    return path.read_text()


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ((), "How to do it again"),
        (("config.json",), "The search has not finished"),
        (("config.json", "study.db"), "24 candidates were evaluated"),
        (("config.json", "front.json", "best.json"), "the folder holds no study"),
        (("front.json", "best.json"), "What accuracy costs"),
    ],
)
def test_whatever_is_absent(run: Path, tmp_path: Path, names: tuple[str, ...], words: str) -> None:
    folder = _copy(run, tmp_path / "part", *names)
    assert words in " ".join(_checked(_written(folder)).words)


def test_a_storage_out_of_reach(run: Path, tmp_path: Path) -> None:
    folder = _copy(run, tmp_path / "far", "front.json", "best.json")
    config = json.loads((run / "config.json").read_text())
    config["free"]["storage"] = storage = f"sqlite:///{tmp_path}/absent/study.db"
    write_json(folder / "config.json", config)
    assert f"the study is at {storage}, and is read from there with --storage ADDRESS" in _written(folder)
    assert "unable to open database file" in str(read_record(folder, storage).without_study)


def test_retraining_alone(run: Path, tmp_path: Path) -> None:
    """A hand-designed network's folder: there was no search."""
    best = json.loads((run / "best.json").read_text())
    place = tmp_path / "retrain" / "given-0"
    place.mkdir(parents=True)
    entry = {**best, "network": "given", "seed": 0, "test": {"accuracy": 0.5, "loss": 1.0}}
    write_json(place.parent / "results.json", [entry])
    lines = ['{"epoch": 1, "loss": 2.0, "validation_accuracy": 0.4, "seconds": 1.0}', '{"epoch": 2, "loss": NaN}', "{"]
    (place / "metrics.jsonl").write_text("\n".join(lines))
    words = " ".join(_checked(_written(tmp_path)).words)
    assert "50.00 %" in words
    assert "How the networks were trained" in words


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("config.json", "[]"),
        ("best.json", "{}}"),
        ("best.json", '{"architecture": 1}'),
        ("front.json", '{"front": [1]}'),
        ("retrain/results.json", '[{"network": 1}]'),
        ("retrain/comparison.json", '{"network": 1}'),
    ],
)
def test_a_broken_file_is_named(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, content: str
) -> None:
    folder = _copy(run, tmp_path / "broken", "config.json", "front.json", "best.json")
    (folder / "retrain").mkdir()
    (folder / "retrain" / "results.json").write_text("[]")
    (folder / name).write_text(content)
    assert write_report(folder, Reporter()) is None
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"no report: {folder / name}: ")
    assert not (folder / REPORT).exists()


# What is computed


def test_effects_find_what_was_planted(tiny_space: PricedSpace) -> None:
    found = analysis.effects(_candidates(tiny_space, 150), lambda attention: attention.kind)
    first, last = ({effect.label: effect for effect in stage} for stage in found)
    assert last["ca"].value == pytest.approx(0.06, abs=0.01)
    assert first["se"].value == pytest.approx(-0.04, abs=0.01)
    assert last["ca"].low > 0.04
    assert first["se"].high < -0.02
    assert first["ca"].value == pytest.approx(0, abs=0.01)
    assert last["se"].value == pytest.approx(0, abs=0.01)


def test_intervals_hold_the_truth_about_as_often_as_they_say(tiny_space: PricedSpace) -> None:
    held = [
        effect.low <= truth <= effect.high
        for seed in range(12)
        for stage, wanted in zip(
            analysis.effects(_candidates(tiny_space, 80, seed), lambda attention: attention.kind),
            ({"ca": 0.0, "se": -0.04}, {"ca": 0.06, "se": 0.0}),
            strict=True,
        )
        for effect in stage
        for truth in [wanted[effect.label]]
    ]
    assert len(held) == 48
    assert 0.85 < np.mean(held) <= 1


def test_the_course_ends_at_the_whole_area(tiny_space: PricedSpace) -> None:
    evaluated = [Evaluated(i, i, one, float(i)) for i, one in enumerate(_candidates(tiny_space, 50))]
    bound = 5_000_000
    steps = analysis.course(evaluated, "macs", bound)
    assert [step.hypervolume for step in steps] == sorted(step.hypervolume for step in steps)
    assert steps[-1].hypervolume == 1
    # Against Optuna's own hypervolume, over the whole course.
    floor = min(one.candidate.score for one in evaluated)
    losses = np.array([[one.candidate.cost.macs / bound, -one.candidate.score] for one in evaluated])
    wfg = pytest.importorskip("optuna._hypervolume").compute_hypervolume
    reference = np.array([1.0, -floor])
    areas = [wfg(losses[: count + 1], reference) for count in range(len(losses))]
    assert [step.hypervolume for step in steps] == pytest.approx([area / areas[-1] for area in areas])


def test_agreement() -> None:
    assert analysis.agreement([(1, 1), (2, 2), (3, 3)]) == pytest.approx(1)
    assert analysis.agreement([(1, 3), (2, 2), (3, 1)]) == pytest.approx(-1)
    assert analysis.agreement([(1, 1), (2, 2)]) is None
    assert analysis.agreement([(1, 1), (1, 2), (1, 3)]) is None


def test_trust_is_told_from_networks_that_have_both(record: Record) -> None:
    both = report(replace(record, **_retrained(record, NETWORKS)))  # type: ignore[arg-type]
    assert "of 4 networks that were trained by themselves is 1.00" in " ".join(_checked(both).words)
    one = report(replace(record, **_retrained(record, ("found",))))  # type: ignore[arg-type]
    words = " ".join(_checked(one).words)
    assert "Unknown for this run" in words
    assert "one network has both" in words


def test_shares_count_blocks(tiny_space: PricedSpace) -> None:
    architecture = tiny_space.smallest
    ca, none = Attention("ca", 8), Attention("none")

    def candidate(*attention: Attention) -> Candidate:
        stage = replace(architecture.stages[0], attention=attention)
        whole: Architecture = replace(architecture, stages=(stage, *architecture.stages[1:]))
        return Candidate(whole, Cost(1, 1), Metrics(0.5, 0.5))

    shares = analysis.attention_shares([candidate(ca), candidate(ca, none, none, none)], 0)
    assert shares == pytest.approx({ca: 0.625, none: 0.375})
    assert math.isclose(sum(shares.values()), 1)


def test_a_search_that_went_on_has_another_winner(record: Record) -> None:
    """What was trained as `found` before is not taken for the winner of now."""
    earlier = next(
        one.candidate
        for one in record.evaluated
        if one.candidate.architecture not in [other.architecture for other in record.front]
    )
    trained = (Retrained("found", earlier.architecture, earlier.cost, 0, 0.123),)
    words = " ".join(_checked(report(replace(record, retrained=trained))).words)
    assert "test accuracy, trained from scratch" not in words
    assert f"found, {earlier.architecture.digest()[:6]}" in words


@pytest.mark.parametrize(("kind", "compared"), [("supernet", False), ("network", True)])
def test_what_began_from_shared_weights_is_not_compared(record: Record, kind: str, compared: bool) -> None:
    init = {"path": "/elsewhere", "name": f"{kind} 0123456789abcdef"}
    assert ("--compare" in replace(record, free={**record.free, "init": init}).retraining) is compared


def test_networks_of_other_folders_are_not_compared_but_trusted(record: Record) -> None:
    best, front = record.best, record.front
    assert best is not None
    trained = [Retrained("found", best.architecture, best.cost, 0, best.score)]
    others = [one for one in front if one.architecture != best.architecture][:2]
    for number, one in enumerate(others, 1):
        trained.append(Retrained("given", one.architecture, one.cost, 0, one.score, f"retrain-{number}"))
    spaced = replace(record, retrained=tuple(trained), folder=Path("my runs"))
    words = " ".join(_checked(report(spaced)).words)
    assert "Not yet compared" in words
    assert "retrain.py my runs" not in words
    # Where everything is told how to do again; of the training that stands there no command was recorded.
    assert words.count("retrain.py 'my runs' --compare") == 1
    assert f"of {1 + len(others)} networks that were trained by themselves" in words


def test_trainings_by_other_recipes_are_no_seeds(record: Record) -> None:
    best, other = record.best, record.evaluated[0].candidate
    assert best is not None
    trained = []
    for place, accuracy in (("retrain", 0.9), ("retrain-quick", 0.5), ("retrain-older", 0.6)):
        trained.append(Retrained("found", best.architecture, best.cost, 0, accuracy, place))
        trained.append(Retrained("uniform se", other.architecture, other.cost, 0, accuracy - 0.1, place))
    recipe = {"epochs": 25, "learning_rate": 0.2}
    places = {
        "retrain": Place(recipe, 25, 200.0, {"uniform se": Lead(0.1, None, 0.011, "a test")}),
        "retrain-quick": Place({"epochs": 1, "learning_rate": 0.1}, 1, 300.0, {"uniform se": Lead(0.1, None, 0.9, "")}),
        "retrain-older": Place(recipe, 25, 100.0),
    }
    words = " ".join(_checked(report(replace(record, retrained=tuple(trained), places=places))).words)
    assert "test accuracy, trained from scratch for 25 epochs 90.00 %" in " ".join(words.split())
    assert " ± " not in words[: words.index("What accuracy costs")]
    assert "uniform se (p 0.011, a test)" in words
    assert "The recipe of retrain: 25 epochs, learning rate 0.2." in words
    said = "The folder {} has other trainings for {}, which the numbers above leave out: found {} (1 seed)"
    assert said.format("retrain-quick", "1 epoch (learning rate 0.1 for 0.2)", "50.00 %") in words
    assert said.format("retrain-older", "25 epochs", "60.00 %") in words
    alone = [trained[0], *trained[2:]]  # a comparison there is, but of a shorter training
    words = " ".join(_checked(report(replace(record, retrained=tuple(alone), places=places))).words)
    assert "90.00 %" in words
    assert "Not yet compared by this recipe" in words


def test_the_places_of_a_folder_say_their_recipes(run: Path, tmp_path: Path) -> None:
    folder = _copy(run, tmp_path / "both", "config.json", "front.json", "best.json")
    best = json.loads((run / "best.json").read_text())
    for place, epochs in ((folder / "retrain", 1), (folder / "retrain-long", 25), (tmp_path / "retrain", 3)):
        place.mkdir()
        write_json(place / "config.json", {"identity": {"recipe": {"epochs": epochs}, "init": "scratch"}, "free": {}})
        entry = {**best, "network": "found", "seed": 0, "test": {"accuracy": epochs / 100, "loss": 1.0}}
        write_json(place / "results.json", [entry])
    record = read_record(folder, retrained=tmp_path / "retrain")
    assert {name: place.epochs for name, place in record.places.items()} == {
        "retrain": 1,
        "retrain-long": 25,
        str(tmp_path / "retrain"): 3,
    }
    words = " ".join(_checked(report(record)).words)
    assert "for 25 epochs" in words
    assert f"The folder {tmp_path / 'retrain'} has other trainings for 3 epochs" in words


def test_trainings_by_several_methods_stand_side_by_side(run: Path, tmp_path: Path) -> None:
    folder = _copy(run, tmp_path / "tuned", "config.json", "front.json", "best.json")
    best = json.loads((run / "best.json").read_text())
    tuned = {"method": "core-tuning", "method_settings": {"contrast": 0.1}}
    for name, more, accuracies in (("retrain", {}, [0.5, 0.52]), ("retrain-tuned", tuned, [0.6])):
        place = folder / name
        (place / "found-0").mkdir(parents=True)
        (place / "found-0" / "metrics.jsonl").write_text('{"epoch": 1, "loss": 1, "validation_accuracy": 0.5}\n')
        identity = {"recipe": {"epochs": 7}, "init": "backbone 12ab" if more else "scratch", **more}
        write_json(place / "config.json", {"identity": identity, "free": {}})
        entry = {**best, "network": "found", "test": {"accuracy": 0.0, "loss": 1.0}}
        seeds = [
            {**entry, "seed": seed, "test": {**entry["test"], "accuracy": value}}
            for seed, value in enumerate(accuracies)
        ]
        write_json(place / "results.json", seeds)
    words = " ".join(" ".join(_checked(report(read_record(folder))).words).split())
    assert "retrain labels scratch 7 51.00 %" in words
    assert "retrain-tuned core-tuning (contrast 0.1) backbone 12ab 7 60.00 %" in words
    write_json(folder / "retrain" / "config.json", {"identity": {"method": 3}, "free": {}})
    with pytest.raises(InputError, match=r"identity\.method: expected a name, got 3"):
        read_record(folder)


def test_trust_names_no_numbers_of_other_runs(record: Record) -> None:
    sentence = "How far a ranking can be trusted is measured in docs/ranking.md"
    html = report(record)
    assert sentence in html
    assert "τ .42" not in html
    tabular = replace(record, identity={**record.identity, "evaluator": {"name": "tabular"}})
    assert sentence not in report(tabular)


def test_finalists_are_told_the_winner_first(record: Record) -> None:
    assert record.best is not None
    assert "The finalists" not in " ".join(_checked(report(record)).words)
    finals = (Final(record.best, (0.81, 0.92)), Final(record.front[0], (0.7,)))
    decided = Decided(finals, {"epochs": [5, 8]}, ACCURACY)
    words = " ".join(_checked(report(replace(record, decided=decided))).words)
    assert "and of 2 finalists trained by themselves" in words
    section = words[words.index("The finalists") :]
    assert "after epoch 5 after epoch 8" in section
    assert section.index("92.00 %") < section.index("70.00 %")


def test_a_random_network_is_not_hand_designed(record: Record) -> None:
    best, other = record.best, record.evaluated[0].candidate
    assert best is not None
    trained = (
        Retrained("found", best.architecture, best.cost, 0, 0.9),
        Retrained("uniform se", other.architecture, other.cost, 0, 0.8),
        Retrained("random", record.evaluated[1].candidate.architecture, other.cost, 0, 0.85),
    )
    words = " ".join(_checked(report(replace(record, retrained=trained))).words)
    assert "+10.00 points against the best of the hand-designed networks, uniform se" in words


def test_leads_are_told_with_their_intervals(run: Path, tmp_path: Path) -> None:
    folder = _copy(run, tmp_path / "compared", "config.json", "front.json", "best.json", "study.db")
    best = json.loads((run / "best.json").read_text())
    other = json.loads((run / "front.json").read_text())["front"][0]
    entries = [
        {**entry, "network": name, "seed": 0, "test": {"accuracy": accuracy, "loss": 1.0}}
        for name, entry, accuracy in (("found", best, 0.9), ("uniform se", other, 0.88))
    ]
    lead = {"difference": 0.02, "half_width": 0.005, "p": 0.0123, "test": "McNemar over 100 test pictures, one seed"}
    (folder / "retrain").mkdir()
    write_json(folder / "retrain" / "results.json", entries)
    compared = [
        {"network": "found", "digest": best["digest"]},
        {"network": "uniform se", "digest": other["digest"], "first_ahead": lead},
    ]
    write_json(folder / "retrain" / "comparison.json", compared)
    words = " ".join(_checked(_written(folder)).words)
    assert "+2.00 points against the best of the hand-designed networks, uniform se (95 % interval" in words
    assert "+1.50 to +2.50, p 0.012, McNemar over 100 test pictures, one seed)" in words
    assert "+2.00 ± 0.50" in words
    # One of another winner says nothing of this.
    write_json(folder / "retrain" / "comparison.json", [{**compared[0], "digest": "other"}, compared[1]])
    assert "McNemar" not in _written(folder)
    # The same folder named otherwise is read once.
    record = read_record(folder, retrained=tmp_path / "compared" / ".." / "compared" / "retrain")
    assert len(record.retrained) == 2


def test_lines_of_a_kind_look_alike(record: Record) -> None:
    epochs = [{"epoch": 1.0, "loss": 2.0, "validation_accuracy": 0.4}, {"epoch": 2.0, "loss": 1.0}]
    folders = ("uniform-ca-8-0", "uniform-ca-16-0", "found-0", "found-1", "random-0")
    html = report(replace(record, curves=dict.fromkeys(folders, epochs)))
    words = " ".join(_checked(html).words).split("a line for each.")[1]
    assert [name for name in ("found", "uniform ca", "random", "others") if name in words.split("validation")[0]] == [
        "found",
        "uniform ca",
        "random",
    ]
    assert html.count('class="line line-kind-ca"') == 4  # two trainings in either chart
    assert html.count('class="line line-found"') == 4
    assert "uniform-ca-16-0: 40 %, epoch 1" in html


def test_a_report_of_the_same_stays_and_another_is_written(run: Path, tmp_path: Path) -> None:
    folder = _copy(run, tmp_path / "again", "config.json", "front.json", "best.json", "study.db")
    storage = f"sqlite:///{folder}/study.db"
    report = folder / REPORT
    kinds = []
    for address in (storage, storage, None, None, storage):
        before = report.stat().st_ino if report.exists() else None
        write_report(folder, QUIET, storage=address)
        kinds.append(report.stat().st_ino != before)
    # Without the study's address there are no notes, so the search's own command writes them.
    assert kinds == [True, False, True, False, True]
    best = json.loads((folder / "best.json").read_text())
    write_json(folder / "best.json", {**best, "data": "others"})
    before = report.read_bytes()
    write_report(folder, QUIET, storage=storage)
    assert report.read_bytes() != before
