"""The time zone of the machine."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest

from taskloom.calendars import CalendarError, cron_calendar, find_zone, local_timezone


@pytest.mark.parametrize(
    "value, name",
    [
        ("Europe/Berlin", "Europe/Berlin"),
        (":Europe/Berlin", "Europe/Berlin"),
        ("/usr/share/zoneinfo/Asia/Tokyo", "Asia/Tokyo"),
        ("EST5EDT", "EST5EDT"),
        ("", "UTC"),
    ],
)
def test_tz_names_the_machines_zone_first(tmp_path: Path, value: str, name: str) -> None:
    (tmp_path / "timezone").write_text("Asia/Kolkata\n")

    assert local_timezone({"TZ": value}, tmp_path) == name


def test_a_tz_that_the_database_does_not_know_is_refused_for_a_guess_would_be_an_hour_off(tmp_path: Path) -> None:
    with pytest.raises(CalendarError) as caught:
        local_timezone({"TZ": "CET-1CEST"}, tmp_path)

    cure = "TZ is not a name of the time zone database; write timezone: beside the schedule"
    assert str(caught.value) == f"cannot use 'CET-1CEST' as the machine's timezone; {cure}"


def test_the_link_of_etc_localtime_names_the_zone(tmp_path: Path) -> None:
    (tmp_path / "localtime").symlink_to("../usr/share/zoneinfo/Australia/Lord_Howe")
    (tmp_path / "timezone").write_text("Asia/Kolkata\n")

    assert local_timezone({}, tmp_path) == "Australia/Lord_Howe"


def test_a_copied_zone_has_its_name_in_etc_timezone(tmp_path: Path) -> None:
    (tmp_path / "localtime").write_bytes(b"TZif2")
    (tmp_path / "timezone").write_text("Asia/Kolkata\n")

    assert local_timezone({}, tmp_path) == "Asia/Kolkata"


@pytest.mark.parametrize("text", ["", "Europe/Berln\n", "../../etc/passwd", "\0"])
def test_a_copied_zone_without_a_good_name_is_called_localtime(tmp_path: Path, text: str) -> None:
    (tmp_path / "localtime").write_bytes(b"TZif2")
    (tmp_path / "timezone").write_text(text)

    assert local_timezone({}, tmp_path) == "localtime"


def test_a_machine_that_says_nothing_is_in_utc(tmp_path: Path) -> None:
    assert local_timezone({}, tmp_path) == "UTC"


def test_a_calendar_without_a_zone_is_in_the_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")

    calendar = cron_calendar("0 9 * * *")

    assert calendar.timezone == "Asia/Tokyo"
    assert calendar.after(0) == 86_400  # midnight in Greenwich is nine o'clock in Tokyo


@pytest.mark.parametrize("name, seconds", [("+02:00", 7200), ("-09:30", -34_200), ("UTC", 0), ("Etc/GMT+5", -18_000)])
def test_a_fixed_offset_is_a_zone(name: str, seconds: int) -> None:
    offset = find_zone(name).utcoffset(datetime(2026, 1, 1))  # noqa: DTZ001 - the zone is what is asked

    assert offset is not None
    assert offset.total_seconds() == seconds
