"""Calendars: the instants of `cron` and `at` schedules, and descriptions of schedules.

The only importer of `cronsim` (which reads cron expressions) and of `zoneinfo`. It reads no clock.

- `cron_calendar()` and `at_calendar()` return implementations of `taskloom.core.policies.Calendar`.
- `describe_schedule()`, `next_instants()`, `format_instant()` and `fraction_digits()` describe a schedule to people.
- `find_zone()` and `local_timezone()` look up time zones. Invalid input raises `CalendarError`.
"""

from __future__ import annotations

from taskloom.calendars.at import AtCalendar, at_calendar
from taskloom.calendars.cron import CronCalendar, cron_calendar
from taskloom.calendars.describe import describe_schedule, format_instant, fraction_digits, next_instants
from taskloom.calendars.errors import CalendarError
from taskloom.calendars.zones import find_zone, local_timezone

__all__ = [
    "AtCalendar",
    "CalendarError",
    "CronCalendar",
    "at_calendar",
    "cron_calendar",
    "describe_schedule",
    "find_zone",
    "format_instant",
    "fraction_digits",
    "local_timezone",
    "next_instants",
]
