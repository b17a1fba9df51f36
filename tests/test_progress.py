"""Progress reaches whoever listens, and nobody else."""

from __future__ import annotations

import threading

import pytest

from impasto.progress import Progress, listening, report


def test_reports_reach_the_listener_in_order():
    heard = []
    with listening(heard.append):
        report(Progress("painting", 1, 3, "frames"))
        report(Progress("painting", 2, 3, "frames"))
    assert [(p.task, p.done, p.total, p.unit) for p in heard] == [
        ("painting", 1, 3, "frames"),
        ("painting", 2, 3, "frames"),
    ]


def test_without_a_listener_a_report_goes_nowhere():
    heard = []
    report(Progress("before", 0))
    with listening(heard.append):
        pass
    report(Progress("after", 1))
    assert heard == []


def test_an_inner_listener_takes_over_and_the_outer_returns():
    outer, inner = [], []
    with listening(outer.append):
        with pytest.raises(ValueError, match="done"), listening(inner.append):  # noqa: PT012
            report(Progress("inner", 1))
            raise ValueError("done")
        report(Progress("outer", 1))
    assert [p.task for p in inner] == ["inner"]
    assert [p.task for p in outer] == ["outer"]


def test_threads_do_not_hear_each_other():
    heard = []
    with listening(heard.append):
        thread = threading.Thread(target=report, args=(Progress("elsewhere", 1),))
        thread.start()
        thread.join()
    assert heard == []
