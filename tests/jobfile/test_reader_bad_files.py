"""Every mistake and attack that a job file can hold, with the exact message; each read by both YAML parsers.

A row is a summary, the bytes, and what is told: "line:first column-column after the last: message",
followed by the hint and the related places where there are any.
"""

from __future__ import annotations

import time
from typing import get_args

import pytest

from taskloom.errors import JobFileError, Problem
from taskloom.jobfile.reader import Parser, read_bytes

BAD_FILES: tuple[tuple[str, bytes, tuple[str, ...]], ...] = (
    (
        "a Python object tag",
        b"jobs: !!python/object/apply:os.system [ls]\n",
        (
            "1:7-40: cannot use tag '!!python/object/apply:os.system': tags are not allowed here",
            "  hint: remove it, or quote the text",
        ),
    ),
    (
        "a tag of a core type",
        b'a: !!int "zz"\n',
        (
            "1:4-14: cannot use tag '!!int': tags are not allowed here",
            "  hint: remove it, or quote the text",
        ),
    ),
    (
        "a boolean tag",
        b'a: !!bool "zz"\n',
        (
            "1:4-15: cannot use tag '!!bool': tags are not allowed here",
            "  hint: remove it, or quote the text",
        ),
    ),
    (
        "a timestamp tag",
        b"a: !!timestamp x\n",
        (
            "1:4-17: cannot use tag '!!timestamp': tags are not allowed here",
            "  hint: remove it, or quote the text",
        ),
    ),
    (
        "a binary tag",
        b'a: !!binary "####"\n',
        (
            "1:4-19: cannot use tag '!!binary': tags are not allowed here",
            "  hint: remove it, or quote the text",
        ),
    ),
    (
        "a local tag",
        b"a: !secret x\n",
        (
            "1:4-13: cannot use tag '!secret': tags are not allowed here",
            "  hint: remove it, or quote the text",
        ),
    ),
    (
        "a verbatim tag",
        b"a: !<tag:example.org,2026:x> y\n",
        (
            "1:4-31: cannot use tag '!<tag:example.org,2026:x>': tags are not allowed here",
            "  hint: remove it, or quote the text",
        ),
    ),
    (
        "the non-specific tag",
        b"a: ! x\n",
        (
            "1:4-7: cannot use tag '!': tags are not allowed here",
            "  hint: remove it, or quote the text",
        ),
    ),
    (
        "a tag on a mapping and one on a list, both named",
        b"""\
a: !m {b: 1}
c: !l [1]
""",
        (
            "1:4-8: cannot use tag '!m': tags are not allowed here",
            "  hint: remove it, or quote the text",
            "2:4-8: cannot use tag '!l': tags are not allowed here",
            "  hint: remove it, or quote the text",
        ),
    ),
    (
        "a tag on a key",
        b"!!str a: 1\n",
        (
            "1:1-8: cannot use tag '!!str': tags are not allowed here",
            "  hint: remove it, or quote the text",
        ),
    ),
    (
        "a tag with an unknown handle",
        b"a: !e!foo 5\n",
        (
            "1:4-5: cannot use a tag: '!' starts one, and tags are not allowed here",
            "  hint: quote it, if it is a text",
        ),
    ),
    (
        "a tag before an anchor",
        b"a: !t &x 5\n",
        (
            "1:4-11: cannot use tag '!t': tags are not allowed here",
            "  hint: remove it, or quote the text",
        ),
    ),
    (
        "an alias of nothing",
        b"a: *nothing\n",
        (
            "1:4-12: cannot find anchor 'nothing': '*' starts an alias",
            "  hint: quote it, if it is a text",
        ),
    ),
    (
        "an alias that is nearly right",
        b"""\
a: &defaults {b: 1}
c: *default
""",
        (
            "2:4-12: cannot find anchor 'default': '*' starts an alias",
            "  hint: did you mean '*defaults'?",
        ),
    ),
    (
        "a list that holds itself",
        b"a: &a [*a]\n",
        ("1:8-10: cannot use alias 'a' inside its own anchor",),
    ),
    (
        "a mapping that holds itself",
        b"a: &a {b: {c: *a}}\n",
        ("1:15-17: cannot use alias 'a' inside its own anchor",),
    ),
    (
        "a mapping that merges itself",
        b"""\
a: &a
  <<: *a
""",
        ("2:7-9: cannot use alias 'a' inside its own anchor",),
    ),
    (
        "an anchor used twice",
        b"""\
a: &x 1
b: &x 2
""",
        (
            "2:4-8: cannot use anchor 'x' twice: it is first written in line 1",
            "  1:7: first written here",
        ),
    ),
    (
        "an anchor on a key",
        b"&x a: 1\n",
        (
            "1:1-5: cannot put an anchor on a key",
            "  hint: put it on the value",
        ),
    ),
    (
        "an alias as a key",
        b"""\
a: &x b
*x : 2
""",
        ("2:1-3: cannot use an alias as a key: a key is a text",),
    ),
    (
        "a merge of a scalar",
        b"""\
a: &x 5
b: {<<: *x}
""",
        ("2:9-11: cannot merge this: '<<' takes an alias of a mapping, or a list of such",),
    ),
    (
        "a merge of a list of scalars",
        b"""\
a:
  <<: [1, 2]
""",
        ("2:7-8: cannot merge this: '<<' takes an alias of a mapping, or a list of such",),
    ),
    (
        "two merges in one mapping",
        b"""\
a: &a {x: 1}
b:
  <<: *a
  <<: *a
""",
        (
            "4:3-5: cannot use key '<<' twice: it is first written in line 3",
            "  3:3: first written here",
        ),
    ),
    (
        "a YAML directive",
        b"""\
%YAML 1.3
---
a: 1
""",
        (
            "1:1-10: cannot use a '%' line: YAML directives such as '%YAML 1.3' are not allowed here",
            "  hint: remove the line",
        ),
    ),
    (
        "two TAG directives and a mistake behind them",
        b"""\
%TAG ! tag:x,2000:
%TAG !e! tag:y,2000:
---
a: 1
a: 2
""",
        (
            "1:1-19: cannot use a '%' line: YAML directives such as '%TAG ! tag:x,2000:' are not allowed here",
            "  hint: remove the line",
            "2:1-21: cannot use a '%' line: YAML directives such as '%TAG !e! tag:y,2000:' are not allowed here",
            "  hint: remove the line",
        ),
    ),
    (
        "a % line in the middle",
        b"""\
a: 1
%x
b: 2
""",
        (
            "2:1-3: cannot use a '%' line: YAML directives such as '%x' are not allowed here",
            "  hint: remove the line",
        ),
    ),
    (
        "a % line after a lone carriage return",
        b"a: 1\r%x\r",
        (
            "2:1-3: cannot use a '%' line: YAML directives such as '%x' are not allowed here",
            "  hint: remove the line",
        ),
    ),
    (
        "a key twice",
        b"""\
jobs:
  a:
    task: x
    task: y
""",
        (
            "4:5-9: cannot use key 'task' twice: it is first written in line 3",
            "  3:5: first written here",
        ),
    ),
    (
        "a key three times",
        b"""\
a: 1
a: 2
a: 3
""",
        (
            "2:1-2: cannot use key 'a' twice: it is first written in line 1",
            "  1:1: first written here",
            "3:1-2: cannot use key 'a' twice: it is first written in line 1",
            "  1:1: first written here",
        ),
    ),
    (
        "a key twice, once quoted",
        b"""\
a: 1
'a': 2
""",
        (
            "2:1-4: cannot use key 'a' twice: it is first written in line 1",
            "  1:1: first written here",
        ),
    ),
    (
        "a job name twice",
        b"""\
jobs:
  tick: {task: a}
  tock: {task: b}
  tick: {task: c}
""",
        (
            "4:3-7: cannot use key 'tick' twice: it is first written in line 2",
            "  2:3: first written here",
        ),
    ),
    (
        "a key twice in a flow mapping",
        b"a: {b: 1, b: 2}\n",
        (
            "1:11-12: cannot use key 'b' twice: it is first written in line 1",
            "  1:5: first written here",
        ),
    ),
    (
        "an integer as a key",
        b"1: a\n",
        (
            "1:1-2: cannot use 1 as a key: a key is a text",
            "  hint: quote it: '1'",
        ),
    ),
    (
        "a key that is nearly an integer",
        b"010: a\n",
        (
            "1:1-4: cannot use 010 as a key: a key is a text",
            "  hint: quote it: '010'",
        ),
    ),
    (
        "a boolean as a key",
        b"true: a\n",
        (
            "1:1-5: cannot use true as a key: a key is a text",
            "  hint: quote it: 'true'",
        ),
    ),
    (
        "null as a key",
        b"null: a\n",
        (
            "1:1-5: cannot use null as a key: a key is a text",
            "  hint: quote it: 'null'",
        ),
    ),
    (
        "a tilde as a key",
        b"~: a\n",
        (
            "1:1-2: cannot use ~ as a key: a key is a text",
            "  hint: quote it: '~'",
        ),
    ),
    (
        "no key at all",
        b"a: {: b}\n",
        (
            "1:5-6: cannot use ':' here: a key is due before it",
            "  hint: quote it, if it is a text",
        ),
    ),
    (
        "a float as a key",
        b"1.5: a\n",
        (
            "1:1-4: cannot use 1.5 as a key: a key is a text",
            "  hint: quote it: '1.5'",
        ),
    ),
    (
        "a list as a key",
        b"[a, b]: c\n",
        ("1:1-2: cannot use a list as a key: a key is a text",),
    ),
    (
        "a mapping as a key",
        b"{a: b}: c\n",
        ("1:1-2: cannot use a mapping as a key: a key is a text",),
    ),
    (
        "a long list as a key, in the ? form",
        b"""\
? - a
  - b
: c
""",
        ("1:3-4: cannot use a list as a key: a key is a text",),
    ),
    (
        "a NUL in a key",
        b'"a\\0b": 1\n',
        ("1:1-7: cannot use U+0000 in a key: it is invisible or turns the direction of text",),
    ),
    (
        "a zero-width space in a key",
        b"a\xe2\x80\x8b: 1\n",
        ("1:1-3: cannot use U+200B in a key: it is invisible or turns the direction of text",),
    ),
    (
        "a right-to-left override in a key",
        b"a\xe2\x80\xaeb: 1\n",
        ("1:1-4: cannot use U+202E in a key: it is invisible or turns the direction of text",),
    ),
    (
        "a no-break space in a key",
        b"a\xc2\xa0: 1\n",
        ("1:1-3: cannot use U+00A0 in a key: it is invisible or turns the direction of text",),
    ),
    (
        "a Hangul filler as a key",
        b"\xe3\x85\xa4: 1\n",
        ("1:1-2: cannot use U+3164 in a key: it is invisible or turns the direction of text",),
    ),
    (
        "a line break in a key",
        b'"a\\nb": 1\n',
        ("1:1-7: cannot use U+000A in a key: it is invisible or turns the direction of text",),
    ),
    (
        "a tab in a key",
        b"a\tb: 1\n",
        (
            "1:2-3: cannot use a tab inside an unquoted text",
            "  hint: quote the text, or use spaces",
        ),
    ),
    (
        "an integer with a leading zero",
        b"a: 010\n",
        (
            "1:4-7: cannot read '010' as an integer: it has a leading zero",
            "  hint: write 10, 0o10 for octal, or quote it",
        ),
    ),
    (
        "an integer with a leading zero that is no octal",
        b"a: 09\n",
        (
            "1:4-6: cannot read '09' as an integer: it has a leading zero",
            "  hint: write 9, or quote it",
        ),
    ),
    (
        "only zeros",
        b"a: 000\n",
        (
            "1:4-7: cannot read '000' as an integer: it has a leading zero",
            "  hint: write 0, 0o0 for octal, or quote it",
        ),
    ),
    (
        "a negative integer with a leading zero",
        b"a: -007\n",
        (
            "1:4-8: cannot read '-007' as an integer: it has a leading zero",
            "  hint: write 7, 0o7 for octal, or quote it",
        ),
    ),
    (
        "an integer of 19 digits",
        b"a: 1234567890123456789\n",
        (
            "1:4-23: cannot read '1234567890123456789': an integer has at most 18 digits",
            "  hint: quote it",
        ),
    ),
    (
        "an integer of 5,000 digits",
        b"a: " + b"9" * 5_000,
        (
            "1:4-5004: cannot read '9999999999999999999999999999999999999...': an integer has at most 18 digits",
            "  hint: quote it",
        ),
    ),
    (
        "a hexadecimal integer that is too large",
        b"a: 0xFFFFFFFFFFFFFFFF\n",
        (
            "1:4-22: cannot read '0xFFFFFFFFFFFFFFFF': an integer has at most 18 digits",
            "  hint: quote it",
        ),
    ),
    (
        "an octal integer that is too large",
        b"a: 0o7777777777777777777777\n",
        (
            "1:4-28: cannot read '0o7777777777777777777777': an integer has at most 18 digits",
            "  hint: quote it",
        ),
    ),
    (
        "a float beyond all floats",
        b"a: 1e400\n",
        (
            "1:4-9: cannot read '1e400' as a number: it is too large",
            "  hint: quote it, if it is a text",
        ),
    ),
    (
        "a float of 200 digits",
        b"a: 1." + b"3" * 200 + b"\n",
        (
            "1:4-206: cannot read '1.33333333333333333333333333333333333...' as a number: it is too long",
            "  hint: quote it",
        ),
    ),
    (
        "half a character",
        b'a: "\\ud800"\n',
        (
            "1:5-11: cannot read '\\ud800' in double quotes: a backslash starts an escape there",
            "  hint: write \\\\, or use single quotes",
        ),
    ),
    (
        "an escape beyond Unicode",
        b'a: "\\U00110000"\n',
        (
            "1:5-15: cannot read '\\U00110000' in double quotes: a backslash starts an escape there",
            "  hint: write \\\\, or use single quotes",
        ),
    ),
    (
        "an escape far beyond Unicode",
        b'a: "\\UFFFFFFFF"\n',
        (
            "1:5-15: cannot read '\\UFFFFFFFF' in double quotes: a backslash starts an escape there",
            "  hint: write \\\\, or use single quotes",
        ),
    ),
    (
        "a tab inside an unquoted text",
        b"a: b\tc\n",
        (
            "1:5-6: cannot use a tab inside an unquoted text",
            "  hint: quote the text, or use spaces",
        ),
    ),
    (
        "a raw NUL",
        b"a: x\x00y\n",
        (
            "1:5-6: cannot read U+0000 here: a control character that editors do not show",
            '  hint: remove it, or write "\\x00" in double quotes',
        ),
    ),
    (
        "a bell",
        b"a: x\x07y\n",
        (
            "1:5-6: cannot read U+0007 here: a control character that editors do not show",
            '  hint: remove it, or write "\\x07" in double quotes',
        ),
    ),
    (
        "an escape sequence",
        b"a: \x1b[31mred\n",
        (
            "1:4-5: cannot read U+001B here: a control character that editors do not show",
            '  hint: remove it, or write "\\x1b" in double quotes',
        ),
    ),
    (
        "a NEL, which would break a line for YAML alone",
        b"a: 1 # x\xc2\x85b: 2\n",
        (
            "1:9-10: cannot read U+0085 here: a line break that editors do not show",
            '  hint: remove it, or write "\\x85" in double quotes',
        ),
    ),
    (
        "a line separator",
        b"a: 1 # x\xe2\x80\xa8b: 2\n",
        (
            "1:9-10: cannot read U+2028 here: a line break that editors do not show",
            '  hint: remove it, or write "\\u2028" in double quotes',
        ),
    ),
    (
        "a second byte order mark",
        b"\xef\xbb\xbf\xef\xbb\xbfa: 1\n",
        (
            "1:1-2: cannot read U+FEFF here: a byte order mark that editors do not show",
            '  hint: remove it, or write "\\ufeff" in double quotes',
        ),
    ),
    (
        "a byte order mark in the middle",
        b"a: 1\n\xef\xbb\xbfb: 2\n",
        (
            "2:1-2: cannot read U+FEFF here: a byte order mark that editors do not show",
            '  hint: remove it, or write "\\ufeff" in double quotes',
        ),
    ),
    (
        "two raw control characters",
        b"a: \x01\nb: \x7f\n",
        (
            "1:4-5: cannot read U+0001 here: a control character that editors do not show",
            '  hint: remove it, or write "\\x01" in double quotes',
            "2:4-5: cannot read U+007F here: a control character that editors do not show",
            '  hint: remove it, or write "\\x7f" in double quotes',
        ),
    ),
    (
        "UTF-16 with a mark",
        b"\xff\xfea\x00:\x00 \x001\x00\n\x00",
        (
            "1:1-2: cannot read the file: byte 0 begins UTF-16",
            "  hint: save the file as UTF-8",
        ),
    ),
    (
        "UTF-16 big endian with a mark",
        b"\xfe\xff\x00a\x00:\x00 \x001\x00\n",
        (
            "1:1-2: cannot read the file: byte 0 begins UTF-16",
            "  hint: save the file as UTF-8",
        ),
    ),
    (
        "UTF-16 without a mark",
        b"a\x00:\x00 \x001\x00\n\x00",
        (
            "1:1-2: cannot read the file: byte 0 looks like UTF-16",
            "  hint: save the file as UTF-8",
        ),
    ),
    (
        "UTF-16 big endian without a mark",
        b"\x00a\x00:\x00 \x001\x00\n",
        (
            "1:1-2: cannot read the file: byte 0 looks like UTF-16",
            "  hint: save the file as UTF-8",
        ),
    ),
    (
        "UTF-32",
        b"\xff\xfe\x00\x00a\x00\x00\x00:\x00\x00\x00 \x00\x00\x001\x00\x00\x00\n\x00\x00\x00",
        (
            "1:1-2: cannot read the file: byte 0 begins UTF-32",
            "  hint: save the file as UTF-8",
        ),
    ),
    (
        "UTF-32 without a mark",
        b"\x00\x00\x00a\x00\x00\x00:\x00\x00\x00 \x00\x00\x001\x00\x00\x00\n",
        (
            "1:1-2: cannot read the file: byte 0 looks like UTF-32",
            "  hint: save the file as UTF-8",
        ),
    ),
    (
        "Latin-1",
        b"jobs:\n  caf\xe9: {}\n",
        (
            "2:6-7: cannot read byte 0xe9 at offset 11: it is not UTF-8",
            "  hint: save the file as UTF-8",
        ),
    ),
    (
        "Latin-1 behind a byte order mark",
        b"\xef\xbb\xbfa: \xe9\n",
        (
            "1:4-5: cannot read byte 0xe9 at offset 6: it is not UTF-8",
            "  hint: save the file as UTF-8",
        ),
    ),
    (
        "a surrogate in UTF-8",
        b"a: \xed\xa0\x80\n",
        (
            "1:4-5: cannot read byte 0xed at offset 3: it is not UTF-8",
            "  hint: save the file as UTF-8",
        ),
    ),
    (
        "an overlong NUL",
        b"a: \xc0\x80\n",
        (
            "1:4-5: cannot read byte 0xc0 at offset 3: it is not UTF-8",
            "  hint: save the file as UTF-8",
        ),
    ),
    (
        "a file cut inside a character",
        b"a: \xe2\x82",
        (
            "1:4-5: cannot read byte 0xe2 at offset 3: it is not UTF-8",
            "  hint: save the file as UTF-8",
        ),
    ),
    (
        "two documents",
        b"""\
a: 1
---
b: 2
""",
        (
            "2:1-4: cannot read a second document",
            "  hint: one document per file: split the file",
        ),
    ),
    (
        "something after the end of the document",
        b"""\
a: 1
...
b: 2
""",
        (
            "3:1-2: cannot read what follows the end of the document",
            "  hint: one document per file",
        ),
    ),
    (
        "a text instead of a mapping",
        b"hello\n",
        ("1:1-6: cannot use a single value as a job file: a mapping is expected, such as 'jobs:'",),
    ),
    (
        "no space after the colon",
        b"a:1\n",
        (
            "1:1-4: cannot use a single value as a job file: a mapping is expected, such as 'jobs:'",
            "  hint: did you forget the space after ':'?",
        ),
    ),
    (
        "no space after any colon",
        b"""\
jobs:1
b:2
""",
        (
            "1:1-7: cannot use a single value as a job file: a mapping is expected, such as 'jobs:'",
            "  hint: did you forget the space after ':'?",
        ),
    ),
    (
        "a list instead of a mapping",
        b"""\
- a
- b
""",
        ("1:1-2: cannot use a list as a job file: a mapping is expected, such as 'jobs:'",),
    ),
    (
        "a number instead of a mapping",
        b"42\n",
        ("1:1-3: cannot use a single value as a job file: a mapping is expected, such as 'jobs:'",),
    ),
    (
        "a tab as indent",
        b"jobs:\n\ta: 1\n",
        (
            "2:1-2: cannot use a tab to indent line 2",
            "  hint: indent with spaces",
        ),
    ),
    (
        "a tab after spaces as indent",
        b"jobs:\n  a:\n  \tb: 1\n",
        (
            "3:3-4: cannot use a tab to indent line 3",
            "  hint: indent with spaces",
        ),
    ),
    (
        "a glob",
        b"a: *.txt\n",
        (
            "1:4-9: cannot read '*.txt': '*' starts an alias",
            "  hint: quote it",
        ),
    ),
    (
        "a lone star",
        b"a: *\n",
        (
            "1:4-5: cannot read '*': '*' starts an alias",
            "  hint: quote it",
        ),
    ),
    (
        "an at sign",
        b"a: @x\n",
        (
            "1:4-6: cannot read '@x': '@' starts no YAML text",
            "  hint: quote it",
        ),
    ),
    (
        "a percent sign",
        b"a: %d\n",
        (
            "1:4-6: cannot read '%d': '%' starts no YAML text",
            "  hint: quote it",
        ),
    ),
    (
        "a backtick",
        b"a: `x`\n",
        (
            "1:4-7: cannot read '`x`': '`' starts no YAML text",
            "  hint: quote it",
        ),
    ),
    (
        "a template",
        b"a: {{ x }}\n",
        (
            "1:5-6: cannot read '{{': '{' starts a mapping",
            '  hint: quote the text: "{{ ... }}"',
        ),
    ),
    (
        "a template inside a text",
        b"""\
a: {{ x }}/y
b: 1
""",
        (
            "1:4-11: cannot read '{{ x }}': '{' starts a mapping",
            "  hint: quote it",
            "1:5-6: cannot read '{{': '{' starts a mapping",
            '  hint: quote the text: "{{ ... }}"',
        ),
    ),
    (
        "a template statement",
        b"a: {% if x %}\n",
        (
            "1:4-14: cannot read '{% if x %}': '{' starts a mapping",
            "  hint: quote it",
        ),
    ),
    (
        "a reference inside braces",
        b"jobs: {a: {port: ${PORT}}}\n",
        (
            "1:18-25: cannot read '${PORT}' inside { } or [ ]: '{' starts a mapping",
            "  hint: quote it, or give it a line of its own",
        ),
    ),
    (
        "a reference inside brackets",
        b"a: [${X}, b]\n",
        (
            "1:5-9: cannot read '${X}' inside { } or [ ]: '{' starts a mapping",
            "  hint: quote it, or give it a line of its own",
        ),
    ),
    (
        "a Windows path in double quotes",
        b'a: "C:\\Users"\n',
        (
            "1:7-13: cannot read '\\Users' in double quotes: a backslash starts an escape there",
            "  hint: write \\\\, or use single quotes",
        ),
    ),
    (
        "a regular expression in double quotes",
        b'a: "\\d+"\n',
        (
            "1:5-7: cannot read '\\d' in double quotes: a backslash starts an escape there",
            "  hint: write \\\\, or use single quotes",
        ),
    ),
    (
        "a short escape",
        b'a: "\\x4"\n',
        (
            "1:5-8: cannot read '\\x4' in double quotes: a backslash starts an escape there",
            "  hint: write \\\\, or use single quotes",
        ),
    ),
    (
        "an ampersand alone",
        b"a: & b\n",
        (
            "1:4-5: cannot read '&': '&' starts an anchor",
            "  hint: quote it",
        ),
    ),
    (
        "an exclamation mark at the start of a text",
        b"a: !important\n",
        (
            "1:4-14: cannot use tag '!important': tags are not allowed here",
            "  hint: remove it, or quote the text",
        ),
    ),
    (
        "a quote that is never closed",
        b"""\
a: "abc
b: 1
""",
        (
            '1:4-5: cannot find the closing "',
            "  hint: opened here",
        ),
    ),
    (
        "a single quote that is never closed",
        b"""\
a: 'abc
b: 1
""",
        (
            "1:4-5: cannot find the closing '",
            "  hint: opened here",
        ),
    ),
    (
        "a bracket that is never closed",
        b"""\
a: [1, 2
b: 3
""",
        (
            "2:2-3: cannot find ',' or ']' here",
            "  hint: close the '[' of line 1, or quote the text",
            "  1:4: '[' opened here",
        ),
    ),
    (
        "a brace that is never closed",
        b"""\
a: {x: 1
b: 3
""",
        (
            "2:2-3: cannot find ',' or '}' here",
            "  hint: close the '{' of line 1, or quote the text",
            "  1:4: '{' opened here",
        ),
    ),
    (
        "brackets closed crosswise",
        b"a: [1}\n",
        (
            "1:6-7: cannot find ',' or ']' here",
            "  hint: close the '[' of line 1, or quote the text",
            "  1:4: '[' opened here",
        ),
    ),
    (
        "a bracket too many",
        b"a: [1]]\n",
        (
            "1:7-8: cannot use ']' here: no '[' is open",
            "  hint: quote it, if it is a text",
        ),
    ),
    (
        "a closing bracket alone",
        b"a: ]\n",
        (
            "1:4-5: cannot use ']' here: no '[' is open",
            "  hint: quote it, if it is a text",
        ),
    ),
    (
        "a comma alone",
        b"a: , x\n",
        (
            "1:4-5: cannot use ',' here: no list is open",
            "  hint: quote it, if it is a text",
        ),
    ),
    (
        "text after a closing quote",
        b"a: 'x' y\n",
        (
            "1:8-9: cannot read what follows the closing '",
            "  hint: quote the whole text",
        ),
    ),
    (
        "text after a closing quote in a list",
        b"a: ['x' y]\n",
        (
            "1:9-10: cannot read what follows the closing '",
            "  hint: quote the whole text",
        ),
    ),
    (
        "a second colon in a line",
        b"a: b: c\n",
        (
            "1:5-6: cannot start a value at this ':'",
            "  hint: quote the text that holds it, or mend the indentation",
        ),
    ),
    (
        "a line without a colon",
        b"""\
a: 1
foo
b: 2
""",
        (
            "2:1-4: cannot find ':' after 'foo'",
            "  hint: write 'key: value', with a space after ':'",
        ),
    ),
    (
        "a key indented less than its block and more than its parent",
        b"""\
a:
    b: 1
  c: 2
""",
        (
            "3:3-4: cannot read this line: a key of the block is due here",
            "  hint: indent it like line 1",
            "  1:1: the block begins here",
        ),
    ),
    (
        "a key indented deeper than its neighbours",
        b"""\
a: 1
  b: 2
""",
        (
            "2:4-5: cannot start a value at this ':'",
            "  hint: quote the text that holds it, or mend the indentation",
        ),
    ),
    (
        "a list item indented less",
        b"""\
a:
  - 1
 - 2
""",
        (
            "3:2-3: cannot read this line: a key of the block is due here",
            "  hint: indent it like line 1",
            "  1:1: the block begins here",
        ),
    ),
    (
        "a key inside a list",
        b"""\
a:
 - 1
 b: 2
""",
        (
            "3:2-3: cannot read this line: a '- ' of the block is due here",
            "  hint: indent it like line 2",
            "  2:2: the block begins here",
        ),
    ),
    (
        "a list beside a key",
        b"a: - b\n",
        (
            "1:4-5: cannot start a list item at this '-'",
            "  hint: begin the list on a line of its own, or quote the text",
        ),
    ),
    (
        "text behind a block mark",
        b"""\
a: |x
  b
""",
        (
            "1:5-6: cannot read this after '|' or '>'",
            "  hint: start the text on the next line",
        ),
    ),
    (
        "a block text inside brackets",
        b"a: [|x]\n",
        (
            "1:5-7: cannot read '|x': a '|' text cannot stand inside [ ] or { }",
            "  hint: quote it",
        ),
    ),
    (
        "a colon that starts a line",
        b"""\
a: 1
: 2
""",
        (
            "2:1-2: cannot use ':' here: a key is due before it",
            "  hint: quote it, if it is a text",
        ),
    ),
    (
        "no space after a colon in braces",
        b"a: {k:[v]}\n",
        (
            "1:6-7: cannot read this ':'",
            "  hint: write a space after it, or quote the text",
        ),
    ),
    (
        "a question mark in the wrong place",
        b"a: ? b\n",
        (
            "1:4-5: cannot start a key at this '?'",
            "  hint: quote the text",
        ),
    ),
    (
        "nothing between commas",
        b"a: [1, , 2]\n",
        (
            "1:8-9: cannot find a value here",
            "  hint: write one, or quote the text",
        ),
    ),
    (
        "a document mark inside a quoted text",
        b"""\
a: "x
---
y"
""",
        (
            '1:4-5: cannot find the closing "',
            "  hint: opened here",
        ),
    ),
    (
        "33 brackets",
        b"a: [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]\n",
        ("1:35-36: cannot nest deeper than 32 levels",),
    ),
    (
        "depth 50,000 in brackets",
        b"[" * 50_000,
        ("1:33-34: cannot nest deeper than 32 levels",),
    ),
    (
        "depth 50,000 in dashes",
        b"- " * 50_000,
        ("1:65-66: cannot nest deeper than 32 levels",),
    ),
    (
        "depth 50,000 in braces",
        b"{a: " * 50_000,
        ("1:129-130: cannot nest deeper than 32 levels",),
    ),
    (
        "three mistakes of three kinds",
        b"""\
a: 010
b: !x y
a: *z
""",
        (
            "1:4-7: cannot read '010' as an integer: it has a leading zero",
            "  hint: write 10, 0o10 for octal, or quote it",
            "2:4-8: cannot use tag '!x': tags are not allowed here",
            "  hint: remove it, or quote the text",
            "3:1-2: cannot use key 'a' twice: it is first written in line 1",
            "  1:1: first written here",
            "3:4-6: cannot find anchor 'z': '*' starts an alias",
            "  hint: quote it, if it is a text",
        ),
    ),
    (
        "mistakes before a syntax error",
        b"""\
a: 1
a: 2
b: [
""",
        (
            "2:1-2: cannot use key 'a' twice: it is first written in line 1",
            "  1:1: first written here",
            "4:1-2: cannot find the rest: the file ends inside [ ] or { }",
            "  hint: close them",
        ),
    ),
)


def told(problem: Problem) -> list[str]:
    place = problem.place
    lines = [f"{place.line}:{place.column}-{place.column + place.length}: {problem.message}"]
    if problem.hint:
        lines.append(f"  hint: {problem.hint}")
    return lines + [f"  {where.line}:{where.column}: {note}" for where, note in problem.related]


@pytest.mark.parametrize("parser", get_args(Parser))
@pytest.mark.parametrize(("summary", "data", "expected"), BAD_FILES, ids=[row[0] for row in BAD_FILES])
def test_a_bad_file_is_refused_with(summary: str, data: bytes, expected: tuple[str, ...], parser: Parser) -> None:
    began = time.process_time()

    with pytest.raises(JobFileError) as caught:
        read_bytes(data, "f.yaml", parser=parser)

    assert tuple(line for problem in caught.value.problems for line in told(problem)) == expected
    assert all(str(problem).startswith("f.yaml:") for problem in caught.value.problems)
    assert time.process_time() - began < 1


def test_the_table_holds_at_least_a_hundred_and_thirty_bad_files_and_none_twice() -> None:
    assert len({row[0] for row in BAD_FILES}) == len({row[1] for row in BAD_FILES}) == len(BAD_FILES) >= 130
