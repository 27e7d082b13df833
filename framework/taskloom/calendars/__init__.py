"""Calendars: the instants of `cron` and `at` schedules, and schedules in words.

The only importer of `cronsim` (which reads cron expressions) and of `zoneinfo`. It asks no clock.

- `cron_calendar()`, `at_calendar()` build what implements `taskloom.core.policies.Calendar`.
- `in_words()`, `next_instants()`, `format_instant()` say a schedule to people.
- `find_zone()`, `local_timezone()` look up time zones. What is refused is a `CalendarError`.
"""

from __future__ import annotations

from taskloom.calendars.at import AtCalendar, at_calendar
from taskloom.calendars.cron import CronCalendar, cron_calendar
from taskloom.calendars.describe import format_instant, in_words, next_instants
from taskloom.calendars.errors import CalendarError
from taskloom.calendars.zones import find_zone, local_timezone

__all__ = [
    "AtCalendar",
    "CalendarError",
    "CronCalendar",
    "at_calendar",
    "cron_calendar",
    "find_zone",
    "format_instant",
    "in_words",
    "local_timezone",
    "next_instants",
]
