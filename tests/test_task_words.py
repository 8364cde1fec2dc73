"""What a task judges by is called alike in the report, in the dashboard's notes and in tables: as people write it."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from evaluators.titles import title_of
from foundation.metric import Measured, Metric, corrected, spelled
from reports.dashboard_notes import trial_note
from reports.report import report
from search_space.cost.priced_space import PricedSpace
from tasks.choice import TASKS, task
from tests.report_records import candidates, record_of
from tests.test_named_everywhere import OF_TESTS

JUDGED = {name: task(name).metric for name in sorted(set(TASKS) - OF_TESTS)}


class _Words(HTMLParser):
    """The text of a page that people see: no script, no style."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.said: list[str] = []
        self._hidden = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._hidden = tag in ("script", "style")

    def handle_endtag(self, tag: str) -> None:
        self._hidden = False

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.said.append(data)


def test_every_task_s_numbers_are_spelled_for_people() -> None:
    for name, judged in JUDGED.items():
        for number in (judged.name, *judged.beside):
            assert re.fullmatch(r"[A-Za-z][A-Za-z0-9 .-]*", spelled(number)), (name, number)
    assert Metric("of_a_user").words == "of_a_user"  # a name that nobody spelled stays as it was given


@pytest.mark.parametrize("name", JUDGED)
def test_a_corrected_score_says_what_it_was(name: str) -> None:
    title = title_of({"name": "supernet", "prior": {"score": "progressivity"}}, corrected(JUDGED[name]))
    assert f" {JUDGED[name].words} corrected by" in title.figure


@pytest.mark.parametrize("name", JUDGED)
def test_report_and_notes_write_it_alike(name: str, tiny_space: PricedSpace) -> None:
    judged = JUDGED[name]
    scored = [
        replace(one, measured=Measured(judged, one.score, dict.fromkeys(judged.beside, 0.25)))
        for one in candidates(tiny_space, 20)
    ]
    record = record_of(tiny_space, scored, metric=judged)
    identity = {**record.identity, "evaluator": {"name": "supernet", "task": name, "prior": None}}
    record = replace(record, identity=identity)
    html = report(record)
    page = " ".join(_Words(html).said)
    note = trial_note(record, scored[3])
    told = judged.written(scored[3].score)
    assert note.startswith(f"#### {told} {judged.words}")
    assert f'"{judged.words} by trial' in html  # what a drawing is called, and its file
    assert f" {judged.words} " in page
    assert name in page  # the task itself, where the page says how the search was made
    for number in (judged.name, *judged.beside):
        if "_" in number:
            assert number not in note
            assert f" {number} " not in page.replace("validation_", "")
