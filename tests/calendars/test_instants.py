"""The instants of random expressions, compared with a walk over every minute.

Another seed than the usual one: set CALENDAR_SEED. A failure prints the one it had.
"""

from __future__ import annotations

import os
from datetime import datetime
from random import Random

import pytest
from cronsim import CronSim
from tests.support.cron_walk import reference_firings

from taskloom.calendars import CalendarError, CronCalendar, cron_calendar, find_zone

ZONES = (
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Europe/Dublin",
    "Asia/Kolkata",
    "Pacific/Apia",
    "Africa/Casablanca",
)
SHARE = pytest.mark.parametrize(
    "count", [pytest.param(45, id="some"), pytest.param(1500, id="all", marks=pytest.mark.long)]
)
DAY = 86_400
# Each beside a change of some zone's clock, with the day that Apia skipped; half of the windows are around one.
CHANGES = (
    1_285_426_800, 1_325_239_200, 1_710_032_400, 1_710_054_000, 1_711_846_800, 1_712_415_600, 1_713_060_000,
    1_728_142_200, 1_729_990_800, 1_730_613_600,
)  # fmt: skip


@SHARE
@pytest.mark.parametrize("zone", ZONES)
def test_five_fields_fire_when_a_walk_over_every_minute_finds_them(zone: str, count: int) -> None:
    compare_random(seeded(zone, "five"), zone, count, 2 * DAY)


@SHARE
@pytest.mark.parametrize("zone", ZONES)
def test_six_fields_fire_when_a_walk_over_every_second_finds_them(zone: str, count: int) -> None:
    compare_random(seeded(zone, "six"), zone, count // 9, 7200, seconds=True)


RARE = ("29 2 *", "L * *", "LW * *", "* * 5#5", "* * 0L", "13 * 5", "31 */2 *", "*/10 2 1-5", "1 1 MON")


@pytest.mark.parametrize(
    "zone", [zone if zone == "Australia/Lord_Howe" else pytest.param(zone, marks=pytest.mark.long) for zone in ZONES]
)
def test_rare_days_fire_when_a_walk_over_a_winter_finds_them(zone: str) -> None:
    chance = seeded(zone, "rare")
    start = 1_703_030_400  # 20 December 2023; the February that follows has 29 days
    for days in RARE:
        expression = f"{chance.randrange(60)} {chance.randrange(24)} {days}"

        assert compare(cron_calendar(expression, zone), start, start + 82 * DAY) > 0


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata"])
def test_where_no_clock_is_changed_cronsim_itself_gives_the_same_instants(zone: str) -> None:
    chance = seeded(zone, "cronsim")
    for _ in range(60):
        calendar = random_calendar(chance, zone)
        start = chance.randrange(1_500_000_000, 1_900_000_000)
        theirs = CronSim(calendar.expression, datetime.fromtimestamp(start, find_zone(zone)))

        wanted = [next(theirs).timestamp() for _ in range(5)]

        assert forward(calendar, start + 1, wanted[-1] + 1) == wanted, calendar


@pytest.mark.parametrize(
    "expression, plain", [("0 12-12/3 * * *", "0 12 * * *"), ("5-5/10 3 * * SUN-0/2", "5 3 * * 0")]
)
def test_a_step_over_a_range_of_one_value_is_that_value(expression: str, plain: str) -> None:
    start = 1_704_067_200.0

    found = forward(cron_calendar(expression, "UTC"), start, start + 30 * DAY)

    assert found == forward(cron_calendar(plain, "UTC"), start, start + 30 * DAY)


def test_six_fields_with_a_plain_second_mean_what_the_five_fields_mean() -> None:
    for fields in ("30 2 * * *", "*/20 * * * *", "0 3 * * 1-5", "15 */2 * * *"):
        five, six = cron_calendar(fields, "Europe/Berlin"), cron_calendar(f"0 {fields}", "Europe/Berlin")
        for change in (1_711_846_800, 1_729_990_800):
            assert forward(five, change - DAY, change + DAY) == forward(six, change - DAY, change + DAY)


@pytest.mark.parametrize("nickname", ["@yearly", "@annually", "@monthly", "@Weekly", "@DAILY", "@midnight", "@hourly"])
def test_a_nickname_fires_when_a_walk_finds_it(nickname: str) -> None:
    start = 1_735_600_000

    assert compare(cron_calendar(nickname, "Europe/Berlin"), start, start + 40 * DAY) > 0


def compare_random(chance: Random, zone: str, count: int, length: int, *, seconds: bool = False) -> None:
    """Compare `count` random expressions, and more until they have fired as often: those that never fire show nothing.

    A few expressions of a seed may be of one day a year, so how often a fixed number of them fires is not asserted.
    """
    compared = fired = 0
    while compared < count or fired <= count:
        assert compared < 20 * count, "the expressions hardly ever fire: they show nothing"
        calendar = random_calendar(chance, zone, seconds=seconds)
        start = random_start(chance, length)

        fired += compare(calendar, start, start + length)
        compared += 1


def compare(calendar: CronCalendar, start: float, end: float) -> int:
    """Compare the instants of a window with the reference, forwards and backwards; return their number."""
    wanted = reference_firings(calendar.expression, calendar.timezone, start, end)

    assert forward(calendar, start, end) == wanted, (calendar, start)
    assert backward(calendar, start, end) == wanted, (calendar, start)
    return len(wanted)


def forward(calendar: CronCalendar, start: float, end: float) -> list[float]:
    found: list[float] = []
    at = calendar.after(start - 0.25)
    while at is not None and at < end:
        found.append(at)
        at = calendar.after(at)
    return found


def backward(calendar: CronCalendar, start: float, end: float) -> list[float]:
    found: list[float] = []
    at = calendar.latest(end - 0.25)
    while at is not None and at >= start:
        found.append(at)
        at = calendar.latest(at - 0.25)
    return found[::-1]


def seeded(*names: str) -> Random:
    seed = " ".join([os.environ.get("CALENDAR_SEED", "1"), *names])
    print("seed:", seed)
    return Random(seed)


def random_start(chance: Random, length: int) -> int:
    if chance.random() < 0.5:
        return chance.choice(CHANGES) - chance.randrange(length)
    return chance.randrange(2**31)


def random_calendar(chance: Random, zone: str, *, seconds: bool = False) -> CronCalendar:
    while True:
        expression = " ".join(random_fields(chance, seconds))
        try:
            return cron_calendar(expression, zone)
        except CalendarError:
            pass  # such as 31 February


def random_fields(chance: Random, seconds: bool) -> list[str]:
    fields = [random_field(chance, 0, 59, 0.2)] if seconds else []
    return [
        *fields,
        random_field(chance, 0, 59, 0.5 if seconds else 0.2),
        random_field(chance, 0, 23, 0.5 if seconds else 0.3),
        random_field(chance, 1, 31, 0.7),
        random_field(chance, 1, 12, 0.8),
        random_field(chance, 0, 7, 0.7),
    ]


def random_field(chance: Random, low: int, high: int, stars: float) -> str:
    if chance.random() < stars:
        return "*"
    return ",".join(random_term(chance, low, high) for _ in range(chance.choice([1, 1, 1, 2, 3])))


def random_term(chance: Random, low: int, high: int) -> str:
    first = chance.randint(low, high - 1)
    last, step = chance.randint(first + 1, high), chance.randint(1, high)
    forms = (
        f"{first}",
        f"{first}",
        f"{first}-{last}",
        f"{first}-{last}/{step % 7 + 1}",
        f"*/{step}",
        f"{first}/{step}",
    )
    return chance.choice(forms)
