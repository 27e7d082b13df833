"""The target of a request: everything that is not written right is refused in words."""

from __future__ import annotations

import pytest
from tests.support.every_case import every_case

from taskloom.control.target import parse_target


@every_case(
    ("target", "path", "query"),
    [
        (b"/v1/jobs", "/v1/jobs", {}),
        (b"/v1/jobs?", "/v1/jobs", {}),
        (b"/v1/jobs?job=a%2Ab&job=c+d&x=", "/v1/jobs", {"job": ("a*b", "c d"), "x": ("",)}),
        (b"/v1/jobs?&&a=b=c", "/v1/jobs", {"a": ("b=c",)}),
        (b"/v1/jobs/a%20b+c", "/v1/jobs/a b+c", {}),
        (b"/v1/jobs/a%252Fb?job=a%2Fb", "/v1/jobs/a%2Fb", {"job": ("a/b",)}),
        (b"/v1/%C3%A9", "/v1/\u00e9", {}),
        (b"http://localhost/v1?x=1", "/v1", {"x": ("1",)}),
        (b"HTTPS://user@host:1", "/", {}),
        (b"http://host?x", "/", {"x": ("",)}),
        (b"//v1", "//v1", {}),
    ],
)
def test_a_target_is_decoded(target: bytes, path: str, query: dict[str, tuple[str, ...]]) -> None:
    assert parse_target(target) == (path, query)


@every_case(
    ("target", "message"),
    [
        (b"/%zz", "cannot decode '/%zz': '%zz' is not a percent escape"),
        (b"/%", "cannot decode '/%': '%' is not a percent escape"),
        (b"/%4", "cannot decode '/%4': '%4' is not a percent escape"),
        (b"/?a=%-1", "cannot decode '%-1': '%-1' is not a percent escape"),
        (b"/%ff", "cannot decode '/%ff': it is not UTF-8"),
        (b"/%C0%80", "cannot decode '/%C0%80': it is not UTF-8"),
        (b"/%00", "cannot use '/%00': it has a NUL character"),
        (b"/?a%00=b", "cannot use 'a%00': it has a NUL character"),
        (b"/v1/jobs/web%2Fstop", "cannot use path '/v1/jobs/web%2Fstop': no name in a path has a slash"),
        (b"/v1%2fjobs", "cannot use path '/v1%2fjobs': no name in a path has a slash"),
        (b"/#top", "cannot use target '/#top': it has a fragment"),
        (b"*", "cannot use target '*'; expected a path such as /v1/program"),
        (b"v1", "cannot use target 'v1'; expected a path such as /v1/program"),
        (b"host:80", "cannot use target 'host:80'; expected a path such as /v1/program"),
        (b"ftp://host/v1", "cannot use target 'ftp://host/v1'; expected a path such as /v1/program"),
    ],
)
def test_a_bad_target_is_refused(target: bytes, message: str) -> None:
    with pytest.raises(ValueError, match="cannot") as caught:
        parse_target(target)

    assert str(caught.value) == message
