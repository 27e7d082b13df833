"""The options of `taskloom run` for its web page, and the setting `http`."""

from __future__ import annotations

import click
import pytest
from tests.support.every_case import every_case

from taskloom.cli.http_options import http_setting
from taskloom.jobfile.fields.http import HTTP, HttpSetting, read_address
from taskloom.jobfile.fields.spec import JobErrors


def setting(address: str | None, *names: str, cert: str = "", key: str = "", is_insecure: bool = False) -> object:
    return http_setting(address, names, cert, key, is_insecure=is_insecure)


@pytest.mark.parametrize(
    "written, host, port",
    [("127.0.0.1:8080", "127.0.0.1", 8080), ("localhost:0", "localhost", 0), ("[::1]:65535", "::1", 65535)],
)
def test_an_address_of_this_machine_is_enough(written: str, host: str, port: int) -> None:
    assert setting(written) == HttpSetting(host, port)
    assert HTTP.read(written, ("http",)) == HttpSetting(host, port)
    assert str(HttpSetting(host, port)) == written


@every_case(
    "written",
    ["", "8080", ":8080", "127.0.0.1", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:65536", "::1:80", "[::1]", "a b:1",
     "http://127.0.0.1:8080", "[127.0.0.1]:80", "user@localhost:80", "localhost:80/x", "localhost:٣", 8080, None, True],
)  # fmt: skip
def test_what_is_not_an_address_is_refused(written: object) -> None:
    with pytest.raises(ValueError, match=r"expected an address such as 127\.0\.0\.1:8080"):
        read_address(written)


@pytest.mark.parametrize("address", ["0.0.0.0:8080", "[::]:8080", "192.168.1.1:8080", "jobs.example.org:8080"])
def test_other_machines_need_tls_or_a_flag(address: str) -> None:
    with pytest.raises(click.UsageError, match=r"^--http: cannot serve '.*' without TLS: other machines reach it"):
        setting(address)

    assert isinstance(setting(address, is_insecure=True), HttpSetting)
    assert isinstance(setting(address, cert="a.pem", key="b.pem"), HttpSetting)


def test_a_certificate_needs_its_key() -> None:
    with pytest.raises(click.UsageError, match="cannot use cert without key"):
        setting("127.0.0.1:0", cert="a.pem")
    with pytest.raises(click.UsageError, match="cannot use key without cert"):
        setting("127.0.0.1:0", key="a.pem")


def test_the_other_options_need_an_address() -> None:
    with pytest.raises(click.UsageError, match="cannot use --http-host without --http"):
        setting(None, "jobs.example.org")

    assert setting(None) is None


def test_a_mapping_has_everything() -> None:
    written = {"listen": "0.0.0.0:8443", "names": ["Jobs.Example.org."], "cert": "a", "key": "b", "insecure": False}

    assert HTTP.read(written, ("http",)) == HttpSetting("0.0.0.0", 8443, ("jobs.example.org",), "a", "b")


@pytest.mark.parametrize(
    "written, at, message",
    [
        ({"listen": "0.0.0.0:1"}, ("http",), "without TLS"),
        ({"listen": "127.0.0.1:1", "cert": "a"}, ("http", "cert"), "cannot use cert without key"),
        ({"listen": "127.0.0.1:1", "names": ["a:1"]}, ("http", "names", 0), "expected the name of a host"),
        ({"listen": "127.0.0.1:1", "tls": True}, ("http", "tls"), "cannot find 'tls' in http"),
        ({"names": "a"}, ("http",), "expected"),
        ("0.0.0.0:1", ("http",), "a mapping with cert and key"),
        (8080, ("http",), "expected an address"),
    ],
)
def test_each_mistake_has_its_place(written: object, at: tuple[object, ...], message: str) -> None:
    with pytest.raises(JobErrors) as info:
        HTTP.read(written, ("http",))

    assert info.value.errors[0].loc == at
    assert message in info.value.errors[0].message
