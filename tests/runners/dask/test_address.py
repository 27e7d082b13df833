"""The address of a Dask scheduler."""

from __future__ import annotations

import re

import pytest

from taskloom.jobfile.fields.dask_options import ADDRESS_PATTERN
from taskloom.runners.dask.address import SchedulerAddress, parse_address

LEGAL = [
    ("tcp://localhost:8786", SchedulerAddress("tcp", "localhost", 8786), True),
    ("tcp://127.3.0.1:1", SchedulerAddress("tcp", "127.3.0.1", 1), True),
    ("tcp://[::1]:65535", SchedulerAddress("tcp", "::1", 65535), True),
    ("tcp://[::ffff:127.0.0.1]:5", SchedulerAddress("tcp", "::ffff:127.0.0.1", 5), True),
    ("tls://dask-1.example_2.org:8787", SchedulerAddress("tls", "dask-1.example_2.org", 8787), False),
    ("tcp://10.0.0.4:8786", SchedulerAddress("tcp", "10.0.0.4", 8786), False),
    ("tcp://0.0.0.0:8786", SchedulerAddress("tcp", "0.0.0.0", 8786), False),
    ("tcp://localhost.example:8786", SchedulerAddress("tcp", "localhost.example", 8786), False),
]


@pytest.mark.parametrize(("written", "address", "is_loopback"), LEGAL, ids=[each[0] for each in LEGAL])
def test_an_address_is_read_as_it_is_written(written: str, address: SchedulerAddress, is_loopback: bool) -> None:
    assert parse_address(written) == address
    assert str(address) == written
    assert address.is_loopback is is_loopback
    assert address.is_encrypted is written.startswith("tls")
    assert re.search(ADDRESS_PATTERN, written)


FORMS = "; expected tcp://HOST:PORT or tls://HOST:PORT"
WRONG = [
    ("", f"cannot use '' as the address of a Dask scheduler{FORMS}", ""),
    ("tcp://", f"cannot use 'tcp://' as the address of a Dask scheduler{FORMS}", ""),
    ("tcp://a b:1", f"cannot use 'tcp://a b:1' as the address of a Dask scheduler{FORMS}", ""),
    ("tcp://a:1/", f"cannot use 'tcp://a:1/' as the address of a Dask scheduler{FORMS}", "write tcp://a:1"),
    ("tcp://::1:8786", f"cannot use 'tcp://::1:8786' as the address of a Dask scheduler{FORMS}", "write tcp://[::1]:8786"),
    ("ucx://::1:8786", f"cannot use 'ucx://::1:8786' as the address of a Dask scheduler{FORMS}", ""),
    ("tcp://fe80::1", f"cannot use 'tcp://fe80::1' as the address of a Dask scheduler{FORMS}", "write tcp://[fe80::1]:8786"),
    ("tls:/a:1", f"cannot use 'tls:/a:1' as the address of a Dask scheduler{FORMS}", ""),
    ("tcp://[1.2.3.4]:1", f"cannot use 'tcp://[1.2.3.4]:1' as the address of a Dask scheduler{FORMS}", ""),
    ("ucx://a:1", f"cannot use 'ucx://a:1' as the address of a Dask scheduler{FORMS}", ""),
    ("TCP://a:1", f"cannot use 'TCP://a:1' as the address of a Dask scheduler{FORMS}", "write tcp://a:1"),
    ("tsl://a:1", f"cannot use 'tsl://a:1' as the address of a Dask scheduler{FORMS}", "write tls://a:1"),
    ("dask.example", f"cannot use 'dask.example' as the address of a Dask scheduler{FORMS}", "write tls://dask.example:8786"),
    ("tls://[::1]", f"cannot use 'tls://[::1]' as the address of a Dask scheduler{FORMS}", "write tls://[::1]:8786"),
    (
        "http://a:8787/status",
        f"cannot use 'http://a:8787/status' as the address of a Dask scheduler{FORMS}",
        "that is the address of Dask's web pages; the scheduler is at tls://a:8786",
    ),
    (
        "http://[::1]:8787",
        f"cannot use 'http://[::1]:8787' as the address of a Dask scheduler{FORMS}",
        "that is the address of Dask's web pages; the scheduler is at tcp://[::1]:8786",
    ),
    ("tcp://a:0", "cannot use '0' as the port of 'tcp://a:0'; expected a number from 1 to 65535", ""),
    ("tcp://a:65536", "cannot use '65536' as the port of 'tcp://a:65536'; expected a number from 1 to 65535", ""),
    ("tcp://a:", "cannot use '' as the port of 'tcp://a:'; expected a number from 1 to 65535", ""),
    (
        "tls://ann:hunter22@a:1",
        "cannot use a user or a password in the address of a Dask scheduler",
        "leave out all before @",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("written", "message", "hint"), WRONG, ids=[each[0] or "empty" for each in WRONG])
def test_what_is_not_an_address_is_refused_in_words(written: str, message: str, hint: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the text is compared
        parse_address(written)

    assert caught.value.args == (message, hint)


@pytest.mark.parametrize("port", ["0", "00000", "65536", "65540", "65600", "66000", "70000", "99999", "100000", ""])
def test_the_pattern_of_the_schema_refuses_a_port_that_is_none(port: str) -> None:
    assert not re.search(ADDRESS_PATTERN, f"tcp://a:{port}")


@pytest.mark.parametrize("port", ["1", "00001", "8786", "9999", "65535", "65529", "65499", "64999", "59999"])
def test_the_pattern_of_the_schema_accepts_each_port(port: str) -> None:
    assert re.search(ADDRESS_PATTERN, f"tcp://a:{port}")
    assert parse_address(f"tcp://a:{port}").port == int(port)
