"""`log`: which messages of a job are logged, and the file that its output is written to."""

from __future__ import annotations

from taskloom.core.policies import LogLevel, LogPolicy
from taskloom.jobfile.fields.mapping import Key, MappingReader, mapping
from taskloom.jobfile.fields.spec import Field, Spec, choice, constant, one_of, text
from taskloom.text import did_you_mean

__all__ = ["LOG"]

_LEVELS = [each.value for each in LogLevel]
_FORMS = "a level such as debug, or {level: debug, file: web.log}"
_FILE_FORMS = "the path of a file, or none"


def _is_path(value: object) -> bool:
    return isinstance(value, str) and value != "" and "\0" not in value


def _file_hint(value: object) -> str:
    return "leave it out" if value is True else "write none" if value is None else ""


_LEVEL = Key("level", choice(LogLevel))
_FILE = Key(
    "file",
    one_of(
        constant("none", None),
        Spec(lambda _value, _loc: None, {"const": False}, lambda value: value is False),
        text(is_empty_allowed=False).recognised_by(_is_path),
        expected=_FILE_FORMS,
        hint=_file_hint,
    ),
)


def _build(reader: MappingReader) -> LogPolicy:
    return LogPolicy(reader.get(_LEVEL, None), reader.get(_FILE, ""))


def _hint(value: object) -> str:
    near = did_you_mean(value, _LEVELS)
    if near:
        return near
    if value is False or value == "none":
        return "write {file: none} for no log file"
    return f"write {{file: {value}}}" if isinstance(value, str) and value else ""


LOG = Field(
    "log",
    one_of(
        _LEVEL.spec.read_by(lambda value, loc: LogPolicy(_LEVEL.spec.read(value, loc))),
        mapping([_LEVEL, _FILE], _build, expected=_FORMS),
        expected=_FORMS,
        hint=_hint,
    ),
    "{}",
    "Which messages of the job are logged (debug, info, warning or error; by default those of --log-level), and the "
    "path of its log file: by default one in the folder of --log-dir, if there is one; none for no file.",
)
