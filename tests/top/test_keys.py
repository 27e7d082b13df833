"""The keys: what acts on a job is confirmed first, and what leaves the screen stops nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.every_case import every_case
from tests.support.top_scenes import JOBS, NOW, PROGRAM, FakeSource, Scene, drive, full, job, report_of, run
from textual.pilot import Pilot

from taskloom.control.reply_fields import Fields
from taskloom.top.app import TopApp
from taskloom.top.board import Page
from taskloom.top.inbox import Look, Notice, Report
from taskloom.top.keyboard import KEYS, press
from taskloom.top.log_buffer import LogLine
from taskloom.top.remembered import Remembered, load


def type_keys(scene: Scene, *keys: str) -> Scene:
    for key in keys:
        press(scene.board, key, key if len(key) == 1 else None)
    return scene


@pytest.mark.parametrize(("key", "verb"), [("s", "stop"), ("r", "restart"), ("n", "start"), ("p", "pause")])
def test_an_action_is_carried_out_after_y_and_not_before(key: str, verb: str) -> None:
    scene = type_keys(Scene(), key)

    before = list(scene.source.acts)
    question = scene.text()
    type_keys(scene, "y")

    assert before == []
    assert "countdown" in question.split("\n")[-2] + question.split("\n")[-3]
    assert scene.source.acts == [(verb, "countdown")]


@every_case("key", ["n", "q", "d", "escape", "enter", "s", "Y", "ctrl+c"])
def test_any_other_key_does_nothing(key: str) -> None:
    scene = type_keys(Scene(), "s", key)

    assert scene.source.acts == []
    assert "nothing was done" in scene.text()
    assert scene.board.question is None


def test_the_question_is_about_the_job_that_was_chosen_whatever_comes_meanwhile() -> None:
    scene = type_keys(Scene(), "down", "s")

    scene.source.put_jobs(*JOBS[::-1])
    scene.take()
    type_keys(scene, "y")

    assert scene.source.acts == [("stop", "gps")]


def test_a_paused_or_stopped_job_is_resumed() -> None:
    paused = job("a", "waiting", waiting_for="next firing", marks=frozenset({"paused"}))

    scene = type_keys(Scene(FakeSource().put_jobs(paused)), "p", "y")

    assert scene.source.acts == [("resume", "a")]


def test_a_job_that_is_stopping_is_not_stopped_again() -> None:
    scene = type_keys(Scene(FakeSource().put_jobs(JOBS[5])), "s", "y")

    assert scene.source.acts == []
    assert "is being stopped already; k shows its stack" in type_keys(scene, "s").text()


def test_nothing_is_requested_while_the_program_is_away() -> None:
    scene = Scene(full().put(trouble="cannot reach a program"))

    type_keys(scene, "s", "y")

    assert scene.source.acts == []
    assert "cannot stop countdown while the program is away" in scene.text()


def test_the_log_of_the_job_with_the_cursor_is_shown_and_all_logs_on_request() -> None:
    scene = type_keys(Scene(), "down", "down", "a", "up", "a")

    assert scene.source.logs == ["countdown", "gps", "syslog", None, "gps"]


def test_a_chosen_job_that_is_not_shown_any_more_gives_way_to_the_first_one() -> None:
    scene = type_keys(Scene(), "down")

    scene.source.put_jobs(JOBS[2], JOBS[3])
    scene.take()

    assert scene.board.chosen == "syslog"
    assert scene.source.logs[-1] == "syslog"


def test_a_filter_is_used_at_enter_forgotten_at_escape_and_brought_back() -> None:
    scene = type_keys(Scene(), "slash", *"back", "enter")
    used = [each.name for each in scene.board.shown_jobs]
    type_keys(scene, "escape")
    off = len(scene.board.shown_jobs)
    type_keys(scene, "slash")
    recalled = scene.board.typed
    type_keys(scene, "backspace", "escape")

    assert used == ["backup"]
    assert scene.board.chosen == "backup"
    assert (off, recalled, len(scene.board.shown_jobs)) == (len(JOBS), "back", len(JOBS))


def test_on_the_page_of_the_log_the_filter_is_for_its_lines() -> None:
    scene = type_keys(Scene(), "l", "slash", *"tick 3", "enter")

    shown = scene.text()

    assert "tick 39" in shown
    assert "tick 29" not in shown
    assert scene.board.remembered == Remembered(log_filter="tick 3")


def test_a_page_about_a_job_asks_for_it_until_it_is_left() -> None:
    scene = type_keys(Scene(), "k", "k", "enter", "escape")

    assert scene.source.looks == [Look("stack", "countdown"), None, Look("details", "countdown"), None]


def test_the_last_runs_of_a_job_have_their_places() -> None:
    there = run("gps", 2, 60, 2.0, "failed", error="OSError: gone", place="node3 (worker w1, process 7)")
    scene = type_keys(Scene(full().put(runs=[run("gps", 1, 120, 2.0), there])), "down", "enter")

    latest, earlier = scene.text(120).split("last runs, newest first\n")[1].split("\n")[:2]

    assert latest.endswith("gps#2  failed in 2.0 s, on node3 (worker w1, process 7): OSError: gone")
    assert earlier.endswith("gps#1  succeeded in 2.0 s")


def test_the_report_of_a_stop_is_shown_and_stays_until_the_program_is_there_again() -> None:
    scene = Scene()

    scene.source.put(report=report_of(*JOBS)).put(trouble="its program has ended")
    ended = scene.take().pass_time(3600).text()
    scene.source.put_jobs(*JOBS, program=PROGRAM._replace(start="ffff"), is_restarted=True)
    again = scene.take().text()

    assert "ended with exit code 130" in ended
    assert "waiting for its next start for 1h" in ended
    assert "countdown  finished  succeeded" in ended
    assert "the program was started again" in again


def test_a_report_that_cannot_be_read_is_said_in_its_place() -> None:
    scene = Scene(full().put(report=Report(Fields({"exit_code": "none", "jobs": []}), [])))

    assert "cannot read the answer of the program" in scene.text()


def test_a_lost_connection_is_said_times_stand_still_and_a_new_one_is_said_too() -> None:
    scene = Scene(full().put(trouble="pid 7 does not answer"))

    away = scene.pass_time(60).text()
    scene.source.put_jobs(*JOBS)
    back = scene.take()

    assert "away for 1m, trying again: pid 7 does not answer" in away
    assert "stopping 3.2s of 10s" in away
    assert "connected again" in back.text()


def test_dropped_lines_are_counted_in_the_log() -> None:
    scene = Scene(full().put(dropped=1234, lines=[LogLine("t", "info", "a", "after")]))

    assert "-- 1,234 lines came too fast and were dropped here --" in scene.text()


def test_a_notice_goes_after_a_while() -> None:
    scene = Scene(full().put(notices=[Notice("stop gps: requested")]))

    assert "stop gps: requested" in scene.text()
    assert "stop gps: requested" not in scene.pass_time(10).text()


@pytest.mark.parametrize("page", list(Page))
def test_every_page_fits_every_height(page: Page) -> None:
    scene = Scene(full().put(report=report_of(*JOBS)))
    scene.board.open(page)

    assert {height: scene.text(80, height).count("\n") + 1 for height in range(1, 60)} == {
        height: height for height in range(1, 60)
    }


def test_every_key_of_the_list_is_explained_and_the_hints_have_the_most_important_ones() -> None:
    scene = type_keys(Scene(), "question_mark")

    shown = scene.text(80, 60)

    assert all(key.meaning[:40] in shown for key in KEYS)
    assert "q quit" in scene.text(40, 24)


def test_q_leaves_with_0_and_stops_nothing() -> None:
    source = full()

    async def steps(_: TopApp, pilot: Pilot[int]) -> None:
        await pilot.press("q")

    app = drive(source, steps)

    assert app.return_value == 0
    assert source.acts == []


def test_ctrl_c_leaves_with_130_even_in_the_middle_of_a_question() -> None:
    source = full()

    async def steps(_: TopApp, pilot: Pilot[int]) -> None:
        await pilot.press("s", "ctrl+c")

    app = drive(source, steps)

    assert app.return_value == 130
    assert source.acts == []


def test_what_the_user_has_chosen_is_kept_for_the_next_time(tmp_path: Path) -> None:
    file = tmp_path / "state" / "top.json"

    async def steps(_: TopApp, pilot: Pilot[int]) -> None:
        await pilot.press("o", "O", "w", "plus", "slash", "g", "enter")

    drive(full(), steps, settings=file)

    kept = Remembered("name", True, "g", "", True, 7200.0)
    assert load(file) == kept
    assert drive(full(), nothing, settings=file).board.remembered == kept
    assert file.parent.stat().st_mode & 0o777 == 0o700


async def nothing(_: TopApp, __: Pilot[int]) -> None:
    """Press nothing."""


@pytest.mark.parametrize("text", ["", "{", "[]", '{"sort": 3, "span": 7.0, "filter": null, "wraps": "yes"}', "\0" * 99])
def test_settings_that_cannot_be_used_are_the_defaults(text: str, tmp_path: Path) -> None:
    file = tmp_path / "top.json"
    file.write_text(text)

    assert load(file) == Remembered()


def test_settings_that_cannot_be_saved_are_said_and_nothing_else_happens(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file in place of the folder")
    source = full()

    async def steps(_: TopApp, pilot: Pilot[int]) -> None:
        await pilot.press("w")

    app = drive(source, steps, settings=tmp_path / "state" / "top.json")

    assert "cannot save the settings" in (app.board.notice or Notice("")).text


def test_a_click_chooses_a_job() -> None:
    async def steps(_: TopApp, pilot: Pilot[int]) -> None:
        await pilot.click(offset=(5, 4))

    assert drive(full(), steps).board.chosen == "syslog"


def test_without_colour_no_colour_is_drawn_and_the_words_are_the_same() -> None:
    seen = []

    async def steps(app: TopApp, _: Pilot[int]) -> None:
        strips = app.screen._compositor.render_strips()
        seen.append(
            (
                "\n".join(strip.text for strip in strips),
                [span.style.color for strip in strips for span in strip if span.style and span.style.color],
            )
        )

    drive(full(), steps)
    drive(full(), steps, has_colour=False)

    (coloured, colours), (plain, none) = seen
    assert coloured == plain
    assert any(not colour.is_default for colour in colours)
    assert all(colour.is_default for colour in none)


def test_a_terminal_without_utf_8_gets_ascii() -> None:
    seen = []

    async def steps(app: TopApp, _: Pilot[int]) -> None:
        seen.append("\n".join(strip.text for strip in app.screen._compositor.render_strips()))

    drive(full().put(lines=[LogLine("t", "info", "a", "日本 é|")]), steps, is_ascii=True)

    assert seen[0].isascii()
    assert "???? ?|" in seen[0]
    assert ">countdown * running" in seen[0]


def test_20_000_lines_at_once_are_taken_in_one_tick_and_the_keys_still_work() -> None:
    source = full()

    async def steps(app: TopApp, pilot: Pilot[int]) -> None:
        source.put(lines=[LogLine("t", "info", "a", f"line {each}") for each in range(20_000)])
        app.tick()
        await pilot.press("down")

    app = drive(source, steps)

    assert app.board.chosen == "gps"
    assert app.board.now == NOW
