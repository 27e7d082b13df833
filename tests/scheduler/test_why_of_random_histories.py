"""Whatever state random histories reach, the answer to "why" is whole sentences, and names what holds the job up."""

from __future__ import annotations

import json
import re
from collections import Counter
from random import Random

import pytest
from tests.support.random_scenario import Scenario

from taskloom.core.lifecycle import Lifecycle
from taskloom.core.model import JobState, Moment, WaitingFor
from taskloom.core.why import gather
from taskloom.core.why_facts import WhyFacts
from taskloom.errors import UsageError
from taskloom.scheduler.why_text import explain

# Fifteen histories of ten jobs have some 10,000 steps; of each, two jobs are asked about.
SEEDS = range(15)
ASKED = 2
WORDS = {
    JobState.DISABLED: "disabled",
    JobState.WAITING: "wait|not running|again|restart",
    JobState.RUNNING: "is running|is being started|unreachable .* may still be executing",
    JobState.STOPPING: "is stopping|is overdue|is being killed|unreachable .* may still be executing",
    JobState.BLOCKED: "cannot run",
    JobState.FINISHED: "not running|gave up",
    JobState.SKIPPED: "skipped|not running",
}


def check(facts: WhyFacts, core: Lifecycle) -> None:
    text, job = explain(facts), core.jobs[facts.job.name]
    assert re.fullmatch(r"(\S.*?\S\. )*\S.*\S\.", text), text
    assert not re.search(r"None|\bnan\b|\binf\b|  |\.\.|\( |\(\)|: \.|(?<!\w)-\d", text), text
    assert text.startswith(job.spec.name)
    assert re.search(WORDS[job.state], text.split(". ")[0]), (job.state, text)
    if job.waiting_for is WaitingFor.DEPENDENCY:
        check_blockers(facts, text)
    json.dumps(facts.as_dict(), allow_nan=False)


def check_blockers(facts: WhyFacts, text: str) -> None:
    """Check that the unsatisfied conditions are named, and for each chain its end."""
    assert facts.blockers
    assert str(facts.job.unmet[0]) in text
    for blocker in facts.blockers[:3]:
        assert str(blocker.path[-1]) in text
        assert blocker.path[-1].job in text
    cause = facts.blockers[0].cause
    assert cause is not None
    assert cause.state not in (JobState.FINISHED, JobState.DISABLED)  # then it would not be pending


def ask_about(core: Lifecycle, random: Random, now: Moment, seen: Counter[str]) -> None:
    for name in random.sample(list(core.jobs), min(ASKED, len(core.jobs))):
        facts = gather(core, name, now)
        check(facts, core)
        waiting_for = facts.job.report.waiting_for
        seen[waiting_for.value if waiting_for is not None else facts.job.state.value] += 1


def replay(seed: int, seen: Counter[str]) -> None:
    """Repeat a random history, and ask about some jobs after each step."""
    scenario = Scenario.draw(seed, jobs=10, hours=0.25)
    core, random = Lifecycle(Random(seed).random, scenario.stop_within), Random(seed)
    for step in scenario.run().steps:
        try:
            core.handle(step.message, step.now)
        except UsageError:
            continue
        ask_about(core, random, step.now, seen)


@pytest.mark.long
def test_every_state_of_random_histories_is_answered() -> None:
    seen = Counter[str]()

    for seed in SEEDS:
        replay(seed, seen)

    states = {state.value for state in JobState} - {JobState.WAITING.value}
    assert seen.keys() >= states | {each.value for each in WaitingFor}


@pytest.mark.parametrize("seed", range(100, 103))
def test_the_answers_of_a_random_history_are_whole_sentences(seed: int) -> None:
    seen = Counter[str]()

    replay(seed, seen)

    assert seen
