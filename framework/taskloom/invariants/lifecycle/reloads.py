"""I12: a reload restarts what was made anew, applies the rest to live runs, and leaves untouched jobs alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields

from taskloom.core import actions, inputs
from taskloom.core.model import JobSpec, Reason, ReasonKind
from taskloom.invariants.lifecycle.model import Books, JobBook, Next, Wait
from taskloom.invariants.lifecycle.run_limits import Limits
from taskloom.invariants.lifecycle.schedules import Schedules
from taskloom.invariants.lifecycle.starts import Starts

__all__ = ["Reloads"]

MAKING = {"task", "params", "daemon", "runner"}
NO_POLICY = {"name", "place", "binding", "replica", "replicas", "declared"}


class Reloads:
    """All reloads. `stop` has everything that is pending for a job end, and its run asked; `judge_essential` has
    everything stop where an essential job has failed for good.
    """

    def __init__(
        self,
        books: Books,
        starts: Starts,
        schedules: Schedules,
        limits: Limits,
        *,
        stop: Callable[[JobBook, Reason], None],
        judge_essential: Callable[[JobBook], None],
    ) -> None:
        self._books = books
        self._starts = starts
        self._schedules = schedules
        self._limits = limits
        self._stop = stop
        self._judge_essential = judge_essential
        self._begun: list[str] = []

    def reload(self, command: inputs.Reload) -> None:
        """Say what becomes of each job."""
        books, jobs = self._books, self._books.jobs
        new = {spec.name: spec for spec in command.specs}
        removed = [name for name in jobs if name not in new]
        added = [name for name in new if name not in jobs]
        changed = {name: _changed(jobs[name].spec, spec) for name, spec in new.items() if name in jobs}
        restarted = [name for name, what in changed.items() if MAKING & {*what}]
        applied = [name for name, what in changed.items() if what and name not in restarted]
        books.owe("reloaded", "", add=added, remove=removed, apply=applied, restart=restarted)
        for name, spec in new.items():
            if name in jobs:
                books.redeclare(jobs[name], spec)
            else:
                books.declare(spec)
            books.touch(name)
        for name in removed:
            self._remove(jobs[name])
        self._begun = []
        for name, what in changed.items():
            if jobs[name].follows is Next.REMOVAL:
                self._come_back(jobs[name])
            elif name in restarted:
                self._restart(jobs[name], what)
            elif what:
                self._apply(jobs[name], what)
        for name in dict.fromkeys((*self._begun, *added)):
            if books.has_started and jobs[name].starts_itself:
                self._starts.arm(jobs[name])
        for name, what in changed.items():
            if "schedule" in what:
                self._judge_essential(jobs[name])

    def _remove(self, book: JobBook) -> None:
        self._stop(book, Reason(ReasonKind.RELOAD, "no longer declared"))
        if book.run is not None:
            book.follows = Next.REMOVAL
        else:
            self._books.owe("job_removed", book.spec.name)

    def _apply(self, book: JobBook, changed: list[str]) -> None:
        if "enabled" in changed:
            self._switch(book)
            return
        if book.run is not None and not book.is_blocked:
            book.run_spec = book.spec
            self._limits.set(book.run, book.spec)
            self._books.owe("ApplySpec", book.run.run)
        if "schedule" in changed:
            self._reschedule(book)
        elif "after" in changed and book.rest == "skipped" and book.is_lost:
            self._begin_again(book)
        elif "start" in changed:
            self._begun.append(book.spec.name)

    def _reschedule(self, book: JobBook) -> None:
        was_armed = book.instant is not None
        self._schedules.disarm(book)
        if book.spec.schedule is None:
            if book.wait is Wait.FIRING:
                self._stop(book, Reason(ReasonKind.RELOAD, "it has no schedule any more"))
            return
        goes_on = book.wait is Wait.BACKOFF or (book.run is not None and book.follows is not Next.NOTHING)
        if was_armed or goes_on:
            self._schedules.arm(book)
            if book.instant is None and book.wait is Wait.FIRING:
                self._schedules.run_dry(book)
        elif book.rest and book.rest != "disabled":
            self._begin_again(book)

    def _restart(self, book: JobBook, changed: list[str]) -> None:
        if "enabled" in changed:
            self._switch(book)
            return
        if book.run is not None:
            if book.spec.enabled and (book.follows is not Next.NOTHING or self._is_ended_by_policy(book)):
                book.follows = Next.AGAIN
            if book.is_running:
                reason = ("reload", f"{', '.join(changed)} changed")
                self._books.owe("cancel_requested", book.run.run, reason=reason)
        elif book.rest and book.rest != "disabled":
            self._begin_again(book)
            return
        if "schedule" in changed:
            self._reschedule(book)

    def _begin_again(self, book: JobBook) -> None:
        book.wait_for(Wait.PERSON)
        self._begun.append(book.spec.name)

    def _switch(self, book: JobBook) -> None:
        if not book.spec.enabled:
            self._stop(book, Reason(ReasonKind.RELOAD, "it was disabled"))
            if book.run is None:
                book.come_to_rest("disabled")
        elif book.rest == "disabled":
            self._begin_again(book)
        else:
            self._come_back(book)

    def _come_back(self, book: JobBook) -> None:
        """It was taken away or switched off, and is back before its run has stopped."""
        book.follows = Next.NOTHING
        if not book.spec.enabled or _was_stopped_by_person(book):
            return
        if book.spec.schedule is None:
            book.follows = Next.AGAIN
        else:
            self._schedules.rearm(book)

    def _is_ended_by_policy(self, book: JobBook) -> bool:
        """Tell whether nothing follows the run by its policy alone: nobody had stopped the job."""
        return book.is_running or (book.is_blocked and not _was_stopped_by_person(book))

    # -- what came out

    def apply_spec(self, action: actions.ApplySpec) -> None:
        """Judge that the live run got its job's declaration."""
        book = self._books.jobs.get(action.spec.name)
        if book is None or action.spec is not book.spec or not self._books.pay_action("ApplySpec", action.run):
            self._books.broken("I12", f"{action.run} was given a declaration that nobody changed")

    def forget_job(self, action: actions.ForgetJob) -> None:
        """Judge that the job is gone."""
        if not self._books.pay_action("ForgetJob", action.job):
            self._books.broken("I12", f"job {action.job} was dropped, and was not removed")


def _was_stopped_by_person(book: JobBook) -> bool:
    return book.run is not None and book.run.reason is not None and book.run.reason[0] == "user"


def _changed(old: JobSpec, new: JobSpec) -> list[str]:
    names = [each.name for each in fields(JobSpec) if each.name not in NO_POLICY]
    return [name for name in names if getattr(old, name) != getattr(new, name)]
