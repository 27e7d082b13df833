"""The rules by which a request from the network is refused."""

from __future__ import annotations

import pytest
from tests.support.every_case import every_case

from taskloom.control.refusals import Refusal
from taskloom.web.guard import Access, Asked, Rules, check

ACT, READ = "a" * 43, "r" * 43
RULES = Rules(ACT, READ, frozenset({"jobs.example.org"}), "127.0.0.1")


def asked(
    method: str = "GET", path: str = "/v1/jobs", query: str = "", *, host: str = "127.0.0.1:8080", **headers: str
) -> Asked:
    named = [(name.replace("_", "-"), value) for name, value in headers.items()]
    return Asked(method, path, query, [("host", host), *named])


def refused(request: Asked, *, is_open: bool = False) -> tuple[int, str]:
    with pytest.raises(Refusal) as info:
        check(request, RULES, is_open=is_open)
    return info.value.status, info.value.code


def test_each_token_has_its_rights() -> None:
    assert check(asked(authorization=f"Bearer {ACT}"), RULES, is_open=False) is Access.ACT
    assert check(asked(authorization=f"bearer {READ}"), RULES, is_open=False) is Access.READ
    acting = asked("POST", authorization=f"Bearer {ACT}", content_type="application/json")
    assert check(acting, RULES, is_open=False) is Access.ACT


def test_the_page_itself_needs_no_token() -> None:
    assert check(asked(path="/"), RULES, is_open=True) is None


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "post"])
def test_the_read_only_token_cannot_act(method: str) -> None:
    assert refused(asked(method, authorization=f"Bearer {READ}")) == (403, "read-only")


@every_case(
    "written",
    [
        "",
        "Bearer",
        "Bearer ",
        "Bearer wrong",
        f"Basic {ACT}",
        ACT,
        f"Bearer {ACT}x",
        f"Bearer {ACT[:-1]}",
        "Bearer \xff",
    ],
)
def test_all_but_a_token_is_refused(written: str) -> None:
    assert refused(asked(authorization=written)) == (401, "unauthorized")


def test_no_token_and_two_tokens_are_refused() -> None:
    twice = Asked("GET", "/v1", "", [("host", "localhost"), *[("authorization", f"Bearer {ACT}")] * 2])

    assert refused(asked()) == (401, "unauthorized")
    assert refused(twice) == (401, "unauthorized")


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:1", "127.0.0.1", "[::1]:8080", "10.1.2.3:80", "Jobs.Example.org."]
)
def test_our_own_hosts_are_served(host: str) -> None:
    assert check(asked(host=host, authorization=f"Bearer {ACT}"), RULES, is_open=False) is Access.ACT


@every_case("is_open", [True, False])
@every_case(
    "host",
    [
        "evil.example",
        "127.0.0.1.evil.example:8080",
        "localhost.evil.example",
        "example.org",
        "127.1",
        "0x7f.0.0.1",
        "2130706433",
        "localhost..",
        "evil.jobs.example.org",
    ],
)
def test_a_foreign_name_of_our_address_is_refused(host: str, is_open: bool) -> None:
    assert refused(asked(host=host, authorization=f"Bearer {ACT}"), is_open=is_open) == (421, "unknown-host")


@pytest.mark.parametrize(
    "host", ["", "a/b", "user@localhost", "localhost:99999999", "[::1", "localhost#x", "localhost?x"]
)
def test_what_is_not_a_host_is_refused(host: str) -> None:
    assert refused(asked(host=host, authorization=f"Bearer {ACT}"))[0] == 421


def test_a_request_has_exactly_one_host() -> None:
    token = ("authorization", f"Bearer {ACT}")

    for hosts in ([], ["localhost", "localhost"]):
        request = Asked("GET", "/v1", "", [*(("host", host) for host in hosts), token])
        assert refused(request) == (400, "invalid-host")


@every_case(
    "origin",
    [
        "https://evil.example",
        "http://127.0.0.1:8081",
        "http://localhost:8080",
        "null",
        "",
        "http://[::1",
        "127.0.0.1:8080",
        "http://127.0.0.1",
        "http://sub.127.0.0.1:8080",
        "http://127.0.0.1:8080/",
        "http://127.0.0.1:8080, http://evil.example",
        "http://user@jobs.example.org",
        "file://127.0.0.1:8080",
        "chrome-extension://127.0.0.1:8080",
        "https://evil.jobs.example.org",
    ],
)
@every_case("is_open", [True, False])
def test_a_foreign_origin_is_refused(origin: str, is_open: bool) -> None:
    request = asked("POST", origin=origin, authorization=f"Bearer {ACT}")

    assert refused(request, is_open=is_open) == (403, "foreign-origin")


@pytest.mark.parametrize(
    "host, origin",
    [("127.0.0.1:8080", "http://127.0.0.1:8080"), ("10.0.0.1:1234", "https://jobs.example.org"),
     ("jobs.example.org", "https://jobs.example.org")],
)  # fmt: skip
def test_our_own_origin_is_served(host: str, origin: str) -> None:
    assert check(asked(host=host, origin=origin, authorization=f"Bearer {ACT}"), RULES, is_open=False) is Access.ACT


@pytest.mark.parametrize("site", ["cross-site", "same-site", "nonsense"])
def test_the_browser_says_that_another_site_asks(site: str) -> None:
    assert refused(asked(sec_fetch_site=site, authorization=f"Bearer {ACT}")) == (403, "foreign-page")


def test_a_link_of_another_site_may_open_the_page() -> None:
    assert check(asked(path="/", sec_fetch_site="cross-site"), RULES, is_open=True) is None


@every_case(
    "query",
    [
        "token=x",
        f"a=b&access_token={ACT}",
        "TOKEN=",
        "%74oken=x",
        "api_key=1",
        f"x={READ}",
        f"a=1;b={ACT}",
        f"%61{ACT[1:]}",
    ],
)
@every_case("is_open", [True, False])
def test_a_token_in_the_address_is_refused_and_not_repeated(query: str, is_open: bool) -> None:
    request = asked(query=query, authorization=f"Bearer {ACT}")

    assert refused(request, is_open=is_open) == (400, "token-in-query")
    with pytest.raises(Refusal) as info:
        check(request, RULES, is_open=is_open)
    assert ACT not in str(info.value)


def test_a_token_in_the_path_is_refused() -> None:
    assert refused(asked(path=f"/v1/jobs/{ACT}", authorization=f"Bearer {ACT}")) == (400, "token-in-query")


@pytest.mark.parametrize(
    "written", [{}, {"content_type": "text/plain"}, {"content_type": "application/x-www-form-urlencoded"}]
)
def test_a_change_is_json(written: dict[str, str]) -> None:
    assert refused(asked("POST", authorization=f"Bearer {ACT}", **written)) == (415, "not-json")


def test_a_body_has_one_length() -> None:
    request = asked("POST", content_length="2", transfer_encoding="chunked", authorization=f"Bearer {ACT}")

    assert refused(request) == (400, "two-lengths")
    assert refused(request, is_open=True) == (400, "two-lengths")


@pytest.mark.parametrize("path", ["*", "", "http://evil.example/v1/jobs", "127.0.0.1:80"])
def test_an_address_begins_with_a_slash(path: str) -> None:
    assert refused(asked(path=path, authorization=f"Bearer {ACT}")) == (400, "bad-target")
