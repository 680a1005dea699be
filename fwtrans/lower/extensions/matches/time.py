"""`-m time`: dates, hours and days, in UTC unless the kernel's own time zone is asked for.

How net/netfilter/xt_time.c reads them, and what nftables has:
- both ends of all ranges are in, to the end of their second; a rule without `--datestop` ends on 2038-01-19T03:14:07,
  and iptables-save prints that date;
- hours that end before they begin go over midnight, and each part belongs to the day it lies in; with `--contiguous` the
  part behind midnight belongs to the day before;
- nftables' `meta hour` is UTC in the kernel, but nft reads and prints "10:00" in the zone of the one who runs it.
  Numbers (seconds of the day, seconds since 1970) are read as they are;
- nftables knows no day of the month. Since the rules end in 2038 those days can be listed;
- nftables' `meta day` follows the kernel's time zone, which is UTC unless somebody has set it (settimeofday).
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.diagnostics import Refused
from fwtrans.ir.fields import DAY, HOUR, TIME
from fwtrans.ir.intervals import Interval, IntervalSet
from fwtrans.ir.match import AnyOf, FieldTest, PureTest
from fwtrans.lower.extensions.base import BOTH, Match, Place, Use, no_exact_form
from fwtrans.lower.values import bad_value, read_number
from fwtrans.parsers.iptables_save.options import Option

if TYPE_CHECKING:
    from fwtrans.ir.rule import Step

_DAY_SECONDS = 86400
_LAST_SECOND = _DAY_SECONDS - 1
_END = 0x7FFFFFFF
_WEEK = frozenset(range(1, 8))
_MONTH = frozenset(range(1, 32))
_WEEKDAYS = {"Mo": 1, "Tu": 2, "We": 3, "Th": 4, "Fr": 5, "Sa": 6, "Su": 7}
# Days of the month are listed from here on; a clock that is older has not been set.
_FIRST_YEAR = 2020
_CLOCK = re.compile(r"0*(\d{1,2}):0*(\d{1,2})(?::0*(\d{1,2}))?", re.ASCII)
_DATE = re.compile(
    r"(\d{4})(?:-(\d{1,2})(?:-(\d{1,2})(?:T(\d{1,2})?(?::(\d{1,2})(?::(\d{1,2}))?)?)?)?)?", re.ASCII
)  # fmt: skip


class Days(NamedTuple):
    """Days of the week (1 is Monday) and of the month."""

    week: frozenset[int] = _WEEK
    month: frozenset[int] = _MONTH

    @property
    def are_all(self) -> bool:
        """Tell whether every day is meant."""
        return self.week == _WEEK and self.month == _MONTH


def _read_clock(use: Use, name: str, default: int) -> int:
    option = use.find(name)
    if option is None:
        return default
    found = _CLOCK.fullmatch(option.values[0])
    hour, minute, second = (int(part or 0) for part in found.groups()) if found else (24, 0, 0)
    if hour > 23 or minute > 59 or second > 59:
        raise bad_value(option.values[0], "a time of day from 00:00 to 23:59:59", name)
    return hour * 3600 + minute * 60 + second


def _read_date(use: Use, name: str, default: int) -> int:
    option = use.find(name)
    if option is None:
        return default
    found = _DATE.fullmatch(option.values[0])
    if found is not None:
        year, month, day, hour, minute, second = (
            int(part) if part else least for part, least in zip(found.groups(), (0, 1, 1, 0, 0, 0), strict=True)
        )
        if 1970 <= year <= 2038 and 1 <= month <= 12 and 1 <= day <= 31 and hour < 24 and minute < 60 and second < 60:
            # libxtables lets the 30th of February be the 1st or 2nd of March.
            start = datetime(year, month, 1, tzinfo=UTC)
            return int(start.timestamp()) + ((day - 1) * 24 + hour) * 3600 + minute * 60 + second
    raise bad_value(option.values[0], "a date YYYY[-MM[-DD[Thh[:mm[:ss]]]]] from 1970 to 2038", name)


def _read_weekdays(use: Use) -> frozenset[int]:
    option = use.find("--weekdays")
    if option is None:
        return _WEEK
    days = set()
    for word in option.values[0].split(",") if option.values[0] else ():
        if word.isdigit():
            # libxtables takes higher numbers for days that never come.
            days.add(read_number(word, option.name, low=1))
        elif word[:2] in _WEEKDAYS:
            days.add(_WEEKDAYS[word[:2]])
        else:
            raise bad_value(word, "a day: Mon, Tue, Wed, Thu, Fri, Sat, Sun or 1 to 7", option.name)
    return _WEEK - days if option.negated else _WEEK & days


def _read_monthdays(use: Use) -> frozenset[int]:
    option = use.find("--monthdays")
    if option is None:
        return _MONTH
    words = [word for word in option.values[0].split(",") if word]
    for word in words:  # it reads two digits, and then goes on behind them
        if len(word) > 2 or not word.isdigit():
            raise bad_value(word, "a day of the month", option.name)
    days = {read_number(word, option.name, high=31) for word in words}
    return _MONTH - days if option.negated else _MONTH & days


@lru_cache(maxsize=64)
def _days_of_months(days: frozenset[int]) -> IntervalSet:
    """Return the seconds of these days of every month until the end."""
    spans: list[Interval] = []
    day = datetime(_FIRST_YEAR, 1, 1, tzinfo=UTC)
    while (start := int(day.timestamp())) <= _END:
        if day.day in days:
            spans.append((start, start + _LAST_SECOND))
        day += timedelta(days=1)
    return IntervalSet.of(TIME.width, spans)


def _on_days(dates: IntervalSet, hours: IntervalSet, days: Days, *, later: int = 0) -> tuple[PureTest, ...]:
    """Return the tests for these hours on the days that come `later` days after the ones meant."""
    month = days.month
    if month != _MONTH:
        spans = _days_of_months(month).ranges
        moved = IntervalSet.of(
            TIME.width, ((low + later * _DAY_SECONDS, high + later * _DAY_SECONDS) for low, high in spans)
        )
        dates = dates.intersection(moved)
    tests: list[PureTest] = [FieldTest(TIME, dates)]
    if hours != _HOURS:
        tests.append(FieldTest(HOUR, hours))
    if days.week != _WEEK:
        # nftables' week begins on Sunday, with 0.
        tests.append(FieldTest(DAY, IntervalSet.values(DAY.width, ((day + later) % 7 for day in days.week))))
    return tuple(tests)


_HOURS = IntervalSet(HOUR.width, ((0, _LAST_SECOND),))


def _hours(start: int, stop: int) -> IntervalSet:
    if start < stop:
        return IntervalSet(HOUR.width, ((start, stop),))
    return IntervalSet.of(HOUR.width, ((0, stop), (start, _LAST_SECOND)))


def _assume(place: Place, days: Days) -> None:
    if days.week != _WEEK:
        place.assume("the kernel's time zone is UTC: nftables' days of the week follow it")
    if days.month != _MONTH:
        place.assume(f"the clock is not before {_FIRST_YEAR}: days of the month are listed from there")


def _lower(use: Use, place: Place) -> tuple[Step, ...]:
    start, stop = _read_clock(use, "--timestart", 0), _read_clock(use, "--timestop", _LAST_SECOND)
    first, last = _read_date(use, "--datestart", 0), _read_date(use, "--datestop", _END)
    days = Days(_read_weekdays(use), _read_monthdays(use))
    contiguous = use.has("--contiguous")
    if contiguous and start < stop:
        raise Refused(
            "FWT117", "`--contiguous` makes sense only where `--timestop` is before `--timestart`",
            option="--contiguous",
        )  # fmt: skip
    if use.has("--kerneltz"):
        raise no_exact_form("time", "`meta hour` is always UTC, whatever the kernel's time zone", option="--kerneltz")
    _assume(place, days)
    dates = IntervalSet.of(TIME.width, ((first, last),) if first <= last else ())
    if not contiguous or days.are_all:
        return _on_days(dates, _hours(start, stop), days)
    behind_midnight = IntervalSet(HOUR.width, ((0, stop),))
    before = IntervalSet.of(HOUR.width, ((start, _LAST_SECOND),)).difference(behind_midnight)
    return (AnyOf((_on_days(dates, before, days), _on_days(dates, behind_midnight, days, later=1))),)


EXTENSION = Match(
    name="time",
    families=BOTH,
    options=(
        Option(name="--datestart"),
        Option(name="--datestop"),
        Option(name="--timestart"),
        Option(name="--timestop"),
        Option(name="--weekdays", negatable=True),
        Option(name="--monthdays", negatable=True),
        Option(name="--contiguous", arity=0),
        Option(name="--kerneltz", aliases=("--localtz",), arity=0),
        Option(name="--utc", arity=0),
    ),
    lower=_lower,
    in_context=True,
)
