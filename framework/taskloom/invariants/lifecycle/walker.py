"""Walks the steps of a history: takes in each input, then what came of it, then asks what is missing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from taskloom.core import actions, inputs
from taskloom.core.events import Event
from taskloom.core.model import How, Reason
from taskloom.invariants.event_rules import EventRules, Fact, RunFacts, Violation, fact_of
from taskloom.invariants.history import Step
from taskloom.invariants.lifecycle.actions import Orders
from taskloom.invariants.lifecycle.dependencies import LOST, MET, stands
from taskloom.invariants.lifecycle.model import Books, JobBook, Next, Wait
from taskloom.invariants.lifecycle.refusals import judge_refusal
from taskloom.invariants.lifecycle.reloads import Reloads
from taskloom.invariants.lifecycle.restarts import Restarts
from taskloom.invariants.lifecycle.run_ends import Ends
from taskloom.invariants.lifecycle.run_limits import Limits
from taskloom.invariants.lifecycle.schedules import Schedules
from taskloom.invariants.lifecycle.starts import Starts
from taskloom.invariants.lifecycle.stops import Stops
from taskloom.invariants.lifecycle.work_over import Work
from taskloom.text import duration

__all__ = ["LifecycleInvariants"]


class LifecycleInvariants:
    """Walks a history; `ledger` folds its events on the way. `lateness`: by how many seconds a tick may be late.

    `stop_within`: what a stop gets that an essential job brings about, in seconds.
    """

    def __init__(self, lateness: float = 0.0, stop_within: float = 30.0) -> None:
        books = self._books = Books(lateness, stop_within)
        self._restarts = Restarts(books)
        self._ends = Ends(books, self._restarts)
        self._schedules = Schedules(books, self._ends.judge_essential)
        self._starts = Starts(books, self._schedules)
        self._limits = Limits(books)
        self._stops = Stops(books)
        self._reloads = Reloads(
            books,
            self._starts,
            self._schedules,
            self._limits,
            stop=self.stop_job,
            judge_essential=self._ends.judge_essential,
        )
        self._orders = Orders(books)
        self._work = Work(books)
        self._is_tick = False
        self._stop_reason: tuple[str, str] | None = None
        self._commands: dict[type, Callable[[Any], None]] = {
            inputs.AddJob: lambda command: books.touch(books.declare(command.spec).spec.name),
            inputs.StartAll: self._start_all,
            inputs.StartJob: self._start_job,
            inputs.ArmJob: self._arm_job,
            inputs.RestartJob: self._restart_job,
            inputs.StopJob: self._stop_job,
            inputs.Reload: self._reloads.reload,
            inputs.HurryShutdown: lambda command: self._stops.hurry_all(command.within),
            inputs.Tick: self._tick,
            inputs.RunUnresponsive: self._limits.unresponsive,
            inputs.RunResponsive: self._limits.responsive,
        }
        self._handlers: dict[type, Callable[[Any], None]] = {
            Event: self._event,
            actions.StartRun: self._orders.start_run,
            actions.CancelRun: self._orders.ask_run,
            actions.MarkUrgent: self._stops.hurry_run,
            actions.CaptureStack: self._stops.name_run,
            actions.ReportStopProgress: self._stops.remind,
            actions.ReleaseRun: self._orders.run_over,
            actions.ApplySpec: self._reloads.apply_spec,
            actions.ForgetJob: self._reloads.forget_job,
            actions.WorkFinished: self._work.say,
            actions.ShutdownFinished: self._orders.stop_over,
        }
        self._events: dict[str, Callable[[Fact], None]] = {
            "queued": self._run_queued,
            "ready": lambda fact: self._limits.ready(fact.run or ""),
            "cancel_requested": self._run_asked,
            "stop_overdue": self._run_overdue,
            "ended": self._run_ended,
            "late_exit": self._run_late,
            "skipped": self._job_skipped,
            "restart_scheduled": self._restart_scheduled,
            "missed": self._missed,
            "scheduler_stopping": self._stop_all,
        } | dict.fromkeys(("gave_up", "flapping", "unresponsive", "responsive", "reloaded"), self._must_be_owed)
        self._events["job_removed"] = self._job_removed

    @property
    def ledger(self) -> EventRules:
        """The fold of the events."""
        return self._books.ledger

    @property
    def violations(self) -> list[Violation]:
        """What was broken so far, the rules of the ledger apart."""
        return self._books.violations

    @property
    def waits_for_ever(self) -> bool:
        """Tell whether a stop without a deadline awaits a run that may take for ever: legal, and never over."""
        return self._stops.waits_for_ever

    def walk(self, step: Step) -> None:
        """Take in the next step."""
        books, message = self._books, step.message
        books.begin(step)
        if step.error is not None:
            judge_refusal(books, message, step.error)
            return
        self._schedules.close_windows()
        if books.alarms.is_any_due(books.now - books.lateness):
            self._judge_alarms()
        kind = type(message)
        self._is_tick = kind is inputs.Tick
        if kind in self._commands:
            self._commands[kind](message)
        handlers = self._handlers
        for action in step.actions:
            handlers[type(action)](action)
        self._judge_step(step)

    def close(self) -> None:
        """Judge what only the end can tell, for a history that went on until nothing more was due."""
        self._judge_alarms()
        self.ledger.close()
        self._orders.close()

    # -- the step as a whole

    def _judge_alarms(self) -> None:
        """Note what should have come before now: the lifecycle names its own deadlines, and all are kept."""
        books = self._books
        late = list(books.alarms.pop_until(books.now - books.lateness))
        for (what, whom), due in late:
            of = f" of {whom}" if whom else ""
            books.broken("I7", f"{what}{of} was due at {duration(due)}, it is {duration(books.now)}")
            books.alarms.set((what, whom), due)

    def _judge_step(self, step: Step) -> None:
        books = self._books
        if self._is_tick:
            self._schedules.end_tick()
            self._restarts.end_tick()
        if books.waiting:
            self._starts.settle()
        if books.owed:
            books.judge_owed()
        self._orders.judge_answers(step)
        if not books.is_open:
            if type(step.message) is inputs.HurryShutdown:
                self._stops.judge_hurried()
            self._stops.judge_levels()
        self._work.judge()
        books.touched.clear()

    # -- what came in

    def _start_all(self, command: inputs.StartAll) -> None:
        self._books.has_started = True
        for book in list(self._books.jobs.values()):
            if book.starts_itself:
                self._starts.arm(book)

    def _start_job(self, command: inputs.StartJob) -> None:
        book = self._books.jobs[command.job]
        if not command.is_now and stands(self._books, book) != MET:
            self._books.broken("I11", f"job {command.job} was started before what it waits for")
        self._start_now(book)

    def _start_now(self, book: JobBook) -> None:
        self._books.owe("queued", book.spec.name, attempt=1)
        self._schedules.rearm(book)

    def _arm_job(self, command: inputs.ArmJob) -> None:
        book = self._books.jobs[command.job]
        if not book.is_active:
            self._starts.arm(book)

    def _restart_job(self, command: inputs.RestartJob) -> None:
        book = self._books.jobs[command.job]
        if book.is_blocked or not book.spec.enabled:
            self._books.broken("I9", f"job {command.job} is blocked or disabled, and was restarted")
        if book.run is None:
            self._start_now(book)
            return
        if book.follows is not Next.REMOVAL:
            book.follows = Next.AGAIN
            self._schedules.rearm(book)
        self._owe_ask(book, command.reason)

    def _stop_job(self, command: inputs.StopJob) -> None:
        book = self._books.jobs[command.job]
        if command.run is None:
            self.stop_job(book, command.reason)
        elif book.run is not None and book.run.run == command.run:
            # A firing that waits for the end of the run is none of its business.
            if book.follows not in (Next.REMOVAL, Next.FIRING):
                book.follows = Next.NOTHING
            self._owe_ask(book, command.reason)
            self._books.touch(command.job)

    def stop_job(self, book: JobBook, reason: Reason) -> None:
        """Have all that is pending end, and the run asked."""
        name = book.spec.name
        self._schedules.disarm(book)
        if book.follows is not Next.REMOVAL:
            book.follows = Next.NOTHING
        if book.is_pending:
            self._end_waits(book)
            book.come_to_rest("skipped" if book.last is None else "finished")
            self._books.owe("skipped", name, reason=(reason.kind.value, reason.text))
        self._owe_ask(book, reason)
        self._books.touch(name)

    def _owe_ask(self, book: JobBook, reason: Reason) -> None:
        if book.is_running and book.run is not None:
            self._books.owe("cancel_requested", book.run.run, reason=(reason.kind.value, reason.text))

    def _end_waits(self, book: JobBook) -> None:
        if book.wait is Wait.DELAY:
            self._starts.forget(book)
        elif book.wait is Wait.BACKOFF:
            self._restarts.forget(book)

    def _tick(self, command: inputs.Tick) -> None:
        self._starts.begin_tick()
        self._schedules.begin_tick()

    # -- what came out

    def _event(self, event: Event) -> None:
        fact = fact_of(event)
        if self._is_tick and fact.reason is not None and fact.reason[0] == "replaced":
            self._schedules.take_of(fact)  # while its run is not asked yet
        books = self._books
        books.ledger.enter(fact)
        if fact.job is not None:
            books.touched[fact.job] = None
        handler = self._events.get(fact.event)
        if handler is not None:
            handler(fact)

    def _must_be_owed(self, fact: Fact) -> None:
        if not self._books.pay(fact):
            self._books.broken("I9", f"{fact.event} of {fact.run or fact.job} came, and nothing was the cause")

    def _book_of(self, fact: Fact) -> JobBook | None:
        return self._books.jobs.get(fact.job or "")

    def _run_queued(self, fact: Fact) -> None:
        self._orders.queued += 1
        book, run = self._book_of(fact), self.ledger.live.get(fact.run or "")
        if book is None or run is None:
            return  # the ledger has said so
        if not book.spec.enabled:
            self._books.broken("I9", f"job {book.spec.name} was started, and is disabled")
        self._judge_cause(book, fact)
        self._end_waits(book)
        book.wait, book.rest = None, ""
        book.run = book.last = run
        book.run_spec, book.attempt, book.follows = book.spec, fact.attempt or 1, Next.POLICY
        book.has_failed = book.has_given_up = False
        if book.spec.timeout is not None or book.spec.ready_within is not None:
            self._limits.set(run, book.spec)

    def _judge_cause(self, book: JobBook, fact: Fact) -> None:
        books, name = self._books, book.spec.name
        if books.pay(fact):
            return
        if book.wait is Wait.BACKOFF and self._is_tick and fact.attempt != 1:
            self._restarts.begins(book, fact)
            return
        if book.wait is Wait.DEPENDENCY:
            if stands(books, book) != MET:
                books.broken("I11", f"job {name} was started before what it waits for")
                return
            self._starts.after_needs(book)
        elif self._is_tick and self._schedules.may_fire(name):
            self._schedules.take(book)
        if not books.pay(fact) and not self._schedules.excuses(book, fact):
            books.broken("I2", f"job {name} was started, and nobody had asked for it")

    def _run_asked(self, fact: Fact) -> None:
        self._orders.asked += 1
        book, run = self._book_of(fact), self.ledger.live.get(fact.run or "")
        if book is None or run is None:
            return
        kind = fact.reason[0] if fact.reason is not None else ""
        if not self._books.pay(fact) and not self._schedules.excuses(book, fact):
            self._judge_ask(run, kind, fact)
        self._limits.forget(run.run)
        is_whole = not self._books.is_open and fact.reason == self._stop_reason
        self._stops.begin(run, (book.run_spec or book.spec).join.within, is_whole=is_whole)

    def _judge_ask(self, run: RunFacts, kind: str, fact: Fact) -> None:
        if self._is_tick and kind in ("deadline", "watchdog"):
            self._limits.judge_ask(run.run, kind)
        elif self._books.is_open or fact.reason != self._stop_reason:
            self._books.broken("I2", f"{run.run} was asked for {fact.reason}, and nobody wanted that")

    def _run_overdue(self, fact: Fact) -> None:
        run = self.ledger.live.get(fact.run or "")
        if run is not None:
            self._stops.end(run, is_overdue=True)

    def _run_ended(self, fact: Fact) -> None:
        book = self._book_of(fact)
        run = self.ledger.last_of_job.get(fact.job or "")
        if book is None or run is None or run.run != fact.run:
            return
        self._limits.forget(run.run)
        self._stops.end(run)
        if fact.outcome == "abandoned":
            self._ends.abandoned(book, run)
            return
        self._schedules.look_for_unseen(book)
        message = self._books.step.message if self._books.step is not None else None
        if isinstance(message, inputs.RunEnded) and not message.was_requested and book.follows is Next.RETRY:
            book.follows = Next.POLICY  # the watchdog came too late
        is_permanent = isinstance(message, inputs.RunEnded) and message.how is How.PERMANENT
        self._ends.over(book, run, is_permanent=is_permanent)

    def _run_late(self, fact: Fact) -> None:
        book = self._book_of(fact)
        run = self.ledger.last_of_job.get(fact.job or "")
        if book is not None and run is not None:
            self._schedules.look_for_unseen(book)
            self._ends.exited_late(book, run)

    def _restart_scheduled(self, fact: Fact) -> None:
        book = self._book_of(fact)
        if not self._books.pay(fact):
            self._books.broken("I6", f"a restart after {fact.run} was scheduled, and its policy wants none")
        if book is not None:
            self._restarts.scheduled(book, fact)

    def _missed(self, fact: Fact) -> None:
        if self._is_tick:
            self._schedules.take_of(fact)
        book = self._book_of(fact)
        if not self._books.pay(fact) and not (book is not None and self._schedules.excuses(book, fact)):
            self._books.broken("I10", f"job {fact.job} missed {fact.data.get('count')}, and no such instant had come")

    def _job_skipped(self, fact: Fact) -> None:
        books, book = self._books, self._book_of(fact)
        if book is None or books.pay(fact):
            return
        if book.wait is Wait.DEPENDENCY:
            standing = stands(books, book)
            if standing == LOST and fact.reason is not None and fact.reason[0] == "dependency":
                book.come_to_rest("skipped")
                book.is_lost = True
                return
            if standing == MET:
                self._starts.after_needs(book)
        if not books.pay(fact) and not self._schedules.excuses(book, fact):
            books.broken("I2", f"job {fact.job} was skipped for {fact.reason}, and had no need to be")

    def _job_removed(self, fact: Fact) -> None:
        self._must_be_owed(fact)
        book = self._book_of(fact)
        if book is not None:
            self._end_waits(book)
            self._schedules.disarm(book)
            for name in self._books.dependents(book.spec.name):
                self._books.touch(name)
            self._books.forget(book.spec.name)
            self._books.owe("ForgetJob", fact.job or "")

    def _stop_all(self, fact: Fact) -> None:
        books = self._books
        message = books.step.message if books.step is not None else None
        self._stop_reason = fact.reason
        if isinstance(message, inputs.Shutdown):
            within = message.within
        else:
            self._must_be_owed(fact)
            within, self._work.is_essential_lost = books.stop_within, True
        for book in books.jobs.values():
            if book.run is None and book.is_pending:
                self._end_waits(book)
                book.come_to_rest("skipped" if book.last is None else "finished")
                books.owe("skipped", book.spec.name, reason=fact.reason)
                books.touch(book.spec.name)
            self._schedules.disarm(book)
        self._stops.begin_all(within)
