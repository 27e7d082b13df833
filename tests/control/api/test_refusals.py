"""Each error by which the library refuses a call has a status and a code."""

from __future__ import annotations

import re

from tests.support.every_case import every_case

from taskloom import errors
from taskloom.control.refusals import REFUSALS, Refusal, error_reply, refusal_of


def _all_below(kind: type[errors.UsageError]) -> set[type[errors.UsageError]]:
    return {kind}.union(*map(_all_below, kind.__subclasses__()))


def test_each_error_of_a_call_has_an_entry() -> None:
    declared = {each for each in _all_below(errors.UsageError) if each.__module__ == "taskloom.errors"}

    assert declared == set(REFUSALS)


@every_case("kind", REFUSALS, ids=lambda kind: kind.__name__)
def test_a_code_is_in_kebab_case(kind: type[errors.UsageError]) -> None:
    status, code = REFUSALS[kind]

    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", code)
    assert status in (400, 404, 409, 503)


def test_an_error_of_a_host_program_is_refused_as_its_base_is() -> None:
    class Mine(errors.JobStopping):
        """An error that a host program has derived."""

    assert refusal_of(Mine("web", "web#1")).code == "job-stopping"


def test_an_unknown_job_has_its_near_match() -> None:
    reply = error_reply(refusal_of(errors.UnknownJob("wbe", ["web", "db"])))

    assert reply.status == 404
    assert reply.body == {
        "error": {
            "code": "unknown-job",
            "message": "cannot find job 'wbe'; known: db, web; did you mean 'web'?",
            "near": ["web"],
        }
    }


def test_a_refusal_may_have_headers_and_more_members() -> None:
    refusal = Refusal(405, "method-not-allowed", "cannot", headers={"allow": "GET"}, more={"text": "a"})

    reply = error_reply(refusal)

    assert reply.headers == {"allow": "GET"}
    assert reply.body == {"error": {"code": "method-not-allowed", "message": "cannot", "near": []}, "text": "a"}
