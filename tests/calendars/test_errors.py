"""The exact text of every refusal."""

from __future__ import annotations

import pickle
from random import Random

import pytest
from tests.support.every_case import every_case

from taskloom.calendars import CalendarError, at_calendar, cron_calendar, find_zone, zones

FIELDS = "expected 5 (minute hour day-of-month month day-of-week), or 6 with seconds first"
KNOWN = "known nicknames: @yearly, @annually, @monthly, @weekly, @daily, @midnight, @hourly"
EXPRESSIONS = [
    ("61 * * * *", "minute 61 is not 0-59"),
    ("* 24 * * *", "hour 24 is not 0-23"),
    ("* * 0 * *", "day-of-month 0 is not 1-31, L or LW"),
    ("* * * 13 *", "month 13 is not 1-12 or JAN-DEC"),
    ("* * * * 8", "day-of-week 8 is not 0-7 or SUN-SAT"),
    ("99 0 0 * * *", "second 99 is not 0-59"),
    ("0 60 0 * * *", "minute 60 is not 0-59"),
    ("0,15,75 * * * *", "minute 75 is not 0-59"),
    ("0 9-25 * * *", "hour 25 is not 0-23"),
    ("* * * Jann *", "month 'Jann' is not 1-12 or JAN-DEC; did you mean 'JAN'?"),
    ("* * * JAN-FBE *", "month 'FBE' is not 1-12 or JAN-DEC; did you mean 'FEB'?"),
    ("* * * * MONDAY", "day-of-week 'MONDAY' is not 0-7 or SUN-SAT; did you mean 'MON'?"),
    ("x * * * *", "minute 'x' is not 0-59"),
    ("1,,2 * * * *", "minute '' is not 0-59"),
    ("1, * * * *", "minute '' is not 0-59"),
    ("-5 * * * *", "minute '-5' is not 0-59"),
    ("*-5 * * * *", "minute '*-5' is not 0-59"),
    ("\u0661 * * * *", "minute '\u0661' is not 0-59"),
    ("0 0 1 1 *\x00", "day-of-week '*\\x00' is not 0-7 or SUN-SAT"),
    ("*/0 * * * *", "minute step '0' in '*/0' is not a whole number from 1"),
    ("*/x * * * *", "minute step 'x' in '*/x' is not a whole number from 1"),
    ("0 1-5/ * * *", "hour step '' in '1-5/' is not a whole number from 1"),
    ("30-10 * * * *", "minute range 30-10 runs backwards"),
    ("* * * * FRI-SUN", "day-of-week range FRI-SUN runs backwards; as the end of a range Sunday is 7"),
    ("0 0 * * 5#6", "day-of-week '5#6' counts '6', which is not 1-5"),
    ("0 0 * * #2", "day-of-week '#2' is not 0-7 or SUN-SAT"),
    ("0 0 L-3 * *", "day-of-month 'L-3' is not 1-31, L or LW"),
    ("0 0 ? * MON", "day-of-month '?' is not known to cron, write *"),
    ("H * * * *", "minute 'H' is not known to cron, write a number, and jitter: beside the schedule"),
    ("0 0 31 2 *", "there is no day 31 in month 2"),
    ("0 0 30 FEB *", "there is no day 30 in month FEB"),
    ("0 0 31 4,6,9,11 *", "there is no day 31 in month 4,6,9,11"),
    ("0 0 LW * */6", "no day of any year matches"),
    ("", f"0 fields, {FIELDS}"),
    ("*", f"1 field, {FIELDS}"),
    ("* * *", f"3 fields, {FIELDS}"),
    ("* * * * * * *", f"7 fields, {FIELDS}; neither a year nor a command follows"),
    ("0 3 * * * /bin/true", "'/bin/true' is not allowed here: neither a year nor a command follows the fields"),
    ("0 0 1 1 * 2030", "'2030' is not allowed here: neither a year nor a command follows the fields"),
    ("CRON_TZ=Europe/Berlin 0 3 * * *", "write timezone: Europe/Berlin beside it"),
    (
        "@reboot",
        "leave schedule out for a run at each start, or use schedule: {every: ..., immediately: true}",
    ),
    ("@every 5m", "write schedule: {every: 5m}"),
    ("@dialy", "did you mean '@daily'?"),
    ("@sometimes-perhaps", KNOWN),
    ("@", KNOWN),
]
UNKNOWN = "the time zone database has no such name; names are written like Europe/Berlin, America/New_York, UTC"
TIMEZONES = [
    ("Europe/Berln", "did you mean 'Europe/Berlin'?"),
    ("europe/berlin", "did you mean 'Europe/Berlin'?"),
    ("Berlin", "did you mean 'Europe/Berlin'?"),
    ("New York", "did you mean 'America/New_York'?"),
    ("right/Europe/Berlin", "did you mean 'Europe/Berlin'?"),
    ("Europe/Berlin\0", "did you mean 'Europe/Berlin'?"),
    ("Europe", "it is a region, name a city of it, such as 'Europe/Amsterdam'"),
    ("CEST", UNKNOWN),
    ("PST", UNKNOWN),
    ("+25:00", UNKNOWN),
    ("", UNKNOWN),
    ("Mars/Base", UNKNOWN),
    ("../etc/passwd", UNKNOWN),
    ("/etc/passwd", UNKNOWN),
    ("Europe/../../../etc/localtime", UNKNOWN),
    ("zone.tab", UNKNOWN),
]
INSTANTS = [
    ("tomorrow", None, "expected a date and a time like 2026-12-24T18:00"),
    ("18:00", None, "expected a date and a time like 2026-12-24T18:00"),
    ("2026-W52-4T18:00", None, "expected a date and a time like 2026-12-24T18:00"),
    ("2026-12-24", None, "the time of day is missing, write 2026-12-24T00:00"),
    ("2026-02-30T10:00", None, "there is no day 2026-02-30"),
    ("0000-01-01T00:00", None, "there is no day 0000-01-01"),
    ("2026-12-24T25:00", None, "there is no time 25:00, expected 00:00-23:59:59"),
    ("2026-12-24T18:00:60", None, "there is no time 18:00:60, expected 00:00-23:59:59"),
    ("2026-12-24T18:00+25:00", None, "there is no offset +25:00, expected -23:59 to +23:59"),
    ("1950-01-01T00:00", "UTC", "expected an instant from 1970-01-01 to 9999-12-26 in UTC"),
    ("9999-12-31T00:00Z", None, "expected an instant from 1970-01-01 to 9999-12-26 in UTC"),
    ("2026-12-24T18:00Z", "Europe/Berlin", "it says 'Z' and timezone says 'Europe/Berlin', leave one out"),
    ("2026-12-24 18:00+01:00", "UTC", "it says '+01:00' and timezone says 'UTC', leave one out"),
]


@every_case("expression, why", EXPRESSIONS, ids=[repr(text) for text, _ in EXPRESSIONS])
def test_an_expression_is_refused_with_its_field_and_its_bad_text(expression: str, why: str) -> None:
    with pytest.raises(CalendarError) as caught:
        cron_calendar(expression, "UTC")

    assert str(caught.value) == f"cannot use {expression!r} as cron; {why}"


@every_case("name, why", TIMEZONES, ids=[repr(text) for text, _ in TIMEZONES])
def test_a_zone_is_refused_with_the_nearest_name(name: str, why: str) -> None:
    with pytest.raises(CalendarError) as caught:
        cron_calendar("@daily", name)

    assert str(caught.value) == f"cannot use {name!r} as timezone; {why}"


@every_case("text, timezone, why", INSTANTS, ids=[repr(text) for text, _, _ in INSTANTS])
def test_an_instant_is_refused_with_the_reason(text: str, timezone: str | None, why: str) -> None:
    with pytest.raises(CalendarError) as caught:
        at_calendar(text, timezone)

    assert str(caught.value) == f"cannot use {text!r} as at; {why}"


def test_without_a_zone_database_the_fix_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def of_an_empty_machine(name: str) -> None:
        raise KeyError(name)

    monkeypatch.setattr(zones, "ZoneInfo", of_an_empty_machine)
    monkeypatch.setattr(zones, "available_timezones", set)

    with pytest.raises(CalendarError) as caught:
        find_zone("Europe/Berlin")

    cure = "this machine has no time zone database, run: pip install tzdata"
    assert str(caught.value) == f"cannot use 'Europe/Berlin' as timezone; {cure}"
    assert find_zone("UTC").utcoffset(None) is not None


def test_a_name_shaped_like_a_path_never_reaches_the_zone_database(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(zones, "ZoneInfo", asked.append)

    for name in ("../etc/passwd", "/etc/passwd", "Europe/../../etc/passwd", "a\0b", "a//b", "a/", "~/x", "x" * 101):
        with pytest.raises(CalendarError, match="cannot use"):
            find_zone(name)

    assert asked == []


@pytest.mark.parametrize("text", ["1" * 2000, "1" * 90 + " * * * *", "x/" * 400 + " * * * *", "1," * 400 + " * * * *"])
def test_a_very_long_expression_is_refused_in_a_short_line(text: str) -> None:
    with pytest.raises(CalendarError) as caught:
        cron_calendar(text, "UTC")

    assert len(str(caught.value)) < 400


def test_no_text_makes_anything_but_a_calendar_or_a_refusal() -> None:
    chance = Random("texts")
    pieces = [
        *"0123456789*/,-#LW?@ ",
        " ",
        " * ",
        " * ",
        "MON",
        "feb",
        "-",
        "60",
        "\n",
        "é",
        "²",
        "٣",
        "H",
        "31",
        "@daily",
    ]
    refusals: list[str] = []
    for _ in range(3000):
        text = "".join(chance.choice(pieces) for _ in range(chance.randrange(1, 14)))
        if chance.random() < 0.7:
            text = f"{text} * * *"
        try:
            assert cron_calendar(text, "UTC").after(0) is not None
        except CalendarError as error:
            refusals.append(str(error))

    assert 500 < len(refusals) < 3000
    assert all(each.startswith("cannot use ") for each in refusals)


def test_a_refusal_is_a_value_error_and_survives_pickling() -> None:
    with pytest.raises(ValueError, match="minute 61 is not 0-59") as caught:
        cron_calendar("61 * * * *", "UTC")

    again = pickle.loads(pickle.dumps(caught.value))

    assert (str(again), again.text, again.kind) == (str(caught.value), "61 * * * *", "cron")
