"""The texts of all secrets of a program, as they are searched for in its output."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import AnyUrl, BaseModel, PostgresDsn, RootModel, Secret, SecretBytes, SecretStr, TypeAdapter
from tests.support.every_case import every_case

from taskloom.core.model import JobSpec
from taskloom.diagnostics import MASK, Place, Problem, Related
from taskloom.jobfile.secret_values import secrets_of, without_values


class Login(BaseModel, extra="allow"):
    """A model with a secret."""

    user: str = "anna"
    password: SecretStr


@dataclass
class Peer:
    """A dataclass with a secret."""

    key: SecretStr


@dataclass(slots=True)
class Slotted:
    """A dataclass without a dictionary."""

    key: SecretStr


class Keyring:
    """Makes a new mapping for each call."""

    def __init__(self, key: str) -> None:
        self._key = key

    def get_secret_value(self) -> dict[str, list[str]]:
        return {"keys": [self._key]}


class Vault:
    """A secret of another library."""

    def get_secret_value(self) -> str:
        return "from-the-vault"


class Broken:
    """No secret of any library."""

    def get_secret_value(self, version: int) -> str:
        raise AssertionError(version)


def secrets_in(**params: Any) -> frozenset[str]:
    return secrets_of([JobSpec(name="a", task="task", params=params)])


@every_case(
    "value",
    [
        SecretStr("hunter2"),
        SecretBytes(b"hunter2"),
        Secret[str]("hunter2"),
        Secret[list[str]](["hunter2"]),
        [SecretStr("hunter2")],
        {"inner": [{"deep": (SecretStr("hunter2"),)}]},
        {SecretStr("hunter2"): 1},
        Login(password=SecretStr("hunter2")),
        [Login(password=SecretStr("other"), token=SecretStr("hunter2"))],  # type: ignore[call-arg]
        Peer(SecretStr("hunter2")),
        Slotted(SecretStr("hunter2")),
        RootModel[list[SecretStr]]([SecretStr("hunter2")]),
        "kafka://anna:other@one:1,berta:hunter2@two:2/topic",
        "kafka://anna:hunter2@one:1,berta:other@two:2/topic",
        TypeAdapter(PostgresDsn).validate_python("postgresql://anna:hunter2@one,berta:other@two/db"),
        "postgres://anna:hunter2@db/main",
        "see redis://:hunter2@cache:6379/0 and http://host/",
        ["amqp://anna:hunter2@mq//"],
        AnyUrl("mqtt://anna:hunter2@broker"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_secret_is_found_wherever_it_is_in_a_param(value: object) -> None:
    assert "hunter2" in secrets_in(value=value)


@every_case(
    "value",
    ["plain", 5, None, True, b"bytes", ["a", 1.5], {"key": "value"}, "ssh://git@host/x", "https://anna@host/", Broken(),
     object(), "anna:hunter2@host", "http://host/a:b@c", "http://host?a:b@c"],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_other_values_are_not_secrets(value: object) -> None:
    assert secrets_in(value=value) == frozenset()


def test_a_secret_of_another_library_is_found() -> None:
    assert secrets_in(value=Vault()) == {"from-the-vault"}


def test_secrets_that_are_made_anew_for_each_call_are_all_found() -> None:
    keys = [f"key-number-{n}" for n in range(100)]
    assert secrets_in(rings=[Keyring(key) for key in keys]) == set(keys)


def test_a_number_that_is_secret_is_found_as_text() -> None:
    assert secrets_in(pin=Secret[int](271828)) == {"271828"}


def test_a_password_is_found_with_and_without_its_escapes() -> None:
    assert secrets_in(url="https://anna:p%40ss%2Fword@host/") == {"p%40ss%2Fword", "p@ss/word"}


def test_a_password_may_hold_the_characters_that_end_others() -> None:
    assert "p:a@s" in secrets_in(url="https://anna:p:a@s@host/")


def test_a_long_user_without_a_password_is_a_token() -> None:
    assert secrets_in(url="https://ghp_0123456789abcdef@host/repository") == {"ghp_0123456789abcdef"}


def test_bytes_that_are_not_text_keep_their_bytes() -> None:
    [found] = secrets_in(key=SecretBytes(b"\xff\x00key"))
    assert found.encode("utf-8", "surrogateescape") == b"\xff\x00key"


def test_a_value_that_holds_itself_is_searched_once() -> None:
    endless: list[object] = [SecretStr("hunter2")]
    endless.append(endless)
    hidden: list[object] = ["hunter3"]
    hidden.append(hidden)
    assert secrets_in(value=endless, other=Secret[Any](hidden)) == {"hunter2", "hunter3"}


def test_other_secrets_are_added_and_empty_ones_are_none() -> None:
    assert secrets_of([], ["hunter2", ""]) == {"hunter2"}
    assert secrets_in(password=SecretStr("")) == frozenset()


def test_secrets_are_masked_in_messages_as_python_quotes_them_but_short_ones_are_not() -> None:
    problem = Problem(
        Place("a.yaml", 1, 1),
        "cannot use 'it\\nis' as it",
        "line-of-key",
        related=(Related(Place("a", 1, 1), "it\nis"),),
    )

    [masked] = without_values([problem], ["it\nis", "it", "line-of-key\nmore"])

    assert (masked.message, masked.hint) == (f"cannot use '{MASK}' as it", MASK)
    assert masked.related[0].message == MASK
    assert without_values([problem], ["it"]) == [problem]
