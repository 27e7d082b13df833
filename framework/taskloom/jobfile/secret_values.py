"""The texts of a program's secrets, which are masked wherever they would be shown.

A param is searched by its value: `SecretStr`, `SecretBytes` and every other class that offers `get_secret_value`, in
models, dataclasses, mappings and lists of any depth; and in any text the password of a URL. The result has the secrets
as they are; the masker looks for the forms in which other code may write them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import fields, is_dataclass
from typing import Any

from taskloom.catalog.pydantic_errors import without
from taskloom.core.model import JobSpec
from taskloom.diagnostics import SECRET_NAME, Problem
from taskloom.jobfile.url_passwords import url_passwords, without_passwords

__all__ = ["is_program", "secrets_of", "without_values"]

# A shorter value is not worth hiding, and it may occur inside any word of a message.
_SHORTEST = 4
# Keys and certificates, the usual secrets of several lines, are shorter.
_LONGEST_OF_LINES = 64 * 1024
# Most params of ten thousand jobs have one of these types.
_PLAIN = frozenset({int, float, bool, type(None)})


def secrets_of(specs: Iterable[JobSpec], others: Iterable[str] = ()) -> frozenset[str]:
    """Return the texts of all secrets in the params of the jobs, and `others`, such as the contents of secret files.

    In the variables that a job gives to its process, those with a name such as `PASSWORD` are secret. Raises nothing:
    an object of a plugin that cannot be searched has no secrets.
    """
    specs = list(specs)
    values = [value for spec in specs for value in spec.params.values() if type(value) not in _PLAIN]
    variables = [each for spec in specs if spec.runner.options for each in _variables_of(spec.runner.options)]
    variables += [each for spec in specs if is_program(spec) for each in _variables_of(spec.params)]
    values += (value for _, value in variables)
    by_name = (value for name, value in variables if SECRET_NAME.search(name) and len(value) >= _SHORTEST)
    return frozenset(filter(None, {*_in(values), *by_name, *others}))


def is_program(spec: JobSpec) -> bool:
    """Return whether a job starts a program: a param `env` of it holds environment variables."""
    return getattr(spec.binding, "program", None) is not None


def _variables_of(options: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the variables in `env`: of a runner, or of a program. Those of another runner may be anything."""
    env = options.get("env")
    pairs = env.items() if isinstance(env, Mapping) else ()
    return [(name, value) for name, value in pairs if isinstance(name, str) and isinstance(value, str)]


def without_values(problems: Sequence[Problem], secrets: Iterable[str]) -> list[Problem]:
    """Return the problems with these secrets, and passwords in URLs, masked in their messages.

    A message may quote them, for example that of a plugin's validator.
    """
    texts = "\n".join(text for problem in problems for text in _texts_in(problem))
    found = [secret for secret in secrets if len(secret) >= _SHORTEST and _occurs(secret, texts)]
    if not found and "://" not in texts:
        return list(problems)

    def masked(text: str) -> str:
        return without_passwords(without(text, found))

    return [
        problem._replace(
            message=masked(problem.message),
            hint=masked(problem.hint),
            related=tuple(each._replace(message=masked(each.message)) for each in problem.related),
        )
        for problem in problems
    ]


def _texts_in(problem: Problem) -> tuple[str, ...]:
    return problem.message, problem.hint, *(related.message for related in problem.related)


def _occurs(secret: str, text: str) -> bool:
    """Return whether a text has the secret, or a line of it. Of a very long one the lines are not looked for."""
    lines = secret.splitlines() if len(secret) <= _LONGEST_OF_LINES else []
    return any(form in text for form in (secret, repr(secret)[1:-1], *lines) if len(form) >= _SHORTEST)


def _in(values: list[Any]) -> Iterator[str]:
    """Yield the secrets in these values."""
    # The containers that were searched, by their ids. Kept alive: a class may make a new one for each call.
    seen: dict[int, Any] = {}
    unvisited = values
    while unvisited:
        value = unvisited.pop()
        if isinstance(value, str):
            yield from url_passwords(value)
        elif value is None or isinstance(value, int | float | bytes):
            continue
        elif hasattr(type(value), "get_secret_value"):
            yield from _texts_of(_revealed(value), seen)
        elif id(value) not in seen:
            seen[id(value)] = value
            unvisited += _parts_of(value)


def _revealed(value: Any) -> Any:
    try:
        return value.get_secret_value()
    except Exception:  # noqa: BLE001 - a class of the plugin that is no secret of pydantic's
        return None


def _texts_of(hidden: Any, seen: dict[int, Any]) -> Iterator[str]:
    """Yield the texts of what a secret hides: of each scalar, if it is a container."""
    unvisited = [hidden]
    while unvisited:
        value = unvisited.pop()
        if isinstance(value, bytes | bytearray):
            yield bytes(value).decode("utf-8", "surrogateescape")
        elif isinstance(value, Mapping | list | tuple | AbstractSet) or _has_fields(value):
            if id(value) not in seen:
                seen[id(value)] = value
                # The keys are the names of what is secret, such as `user` and `password`.
                unvisited += _parts_of(list(value.values()) if isinstance(value, Mapping) else value)
        elif value is not None and not isinstance(value, bool):
            yield from _shown(value)


def _parts_of(value: Any) -> list[Any]:
    """Return what a container, a model or a dataclass holds; for any other object its text, if it is a URL."""
    try:
        if isinstance(value, Mapping):
            return [*value.keys(), *value.values()]
        if isinstance(value, list | tuple | AbstractSet):
            return list(value)
        if is_dataclass(value):
            return [getattr(value, field.name, None) for field in fields(value)]
        if _has_fields(value):
            return [*vars(value).values(), *(getattr(value, "__pydantic_extra__", None) or {}).values()]
        return _shown(value) if hasattr(type(value), "unicode_string") else []  # pydantic's URLs
    except Exception:  # noqa: BLE001 - an object of the plugin raises
        return []


def _has_fields(value: Any) -> bool:
    kind = type(value)
    return is_dataclass(kind) or (hasattr(kind, "__pydantic_fields__") and hasattr(value, "__dict__"))


def _shown(value: Any) -> list[str]:
    try:
        return [str(value)]
    except Exception:  # noqa: BLE001 - an object of the plugin raises
        return []
