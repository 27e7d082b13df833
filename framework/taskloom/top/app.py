"""The application: it draws the lines of the screen, and passes on keys and time. All else is in the board."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style as RichStyle
from textual import events
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.strip import Strip
from textual.widget import Widget

from taskloom.clock import mono, wall
from taskloom.top.board import Board
from taskloom.top.feed import Source
from taskloom.top.keyboard import press, type_text
from taskloom.top.layout import job_at, screen
from taskloom.top.remembered import load, save
from taskloom.top.styled import Line, Style, cells
from taskloom.top.table import Moment

__all__ = ["TopApp"]

_TICK_SECONDS = 0.1
_WHEEL_ROWS = 3
_INTERRUPTED = 130
_SIGNALS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}
# The terminal's own colours, so that dark and light ones are readable.
_STYLES: Mapping[Style, RichStyle] = {
    Style.PLAIN: RichStyle(),
    Style.HEAD: RichStyle(bold=True),
    Style.DIM: RichStyle(dim=True),
    Style.GOOD: RichStyle(color="green"),
    Style.WARN: RichStyle(color="yellow"),
    Style.BAD: RichStyle(color="red", bold=True),
    Style.OWN: RichStyle(bold=True),
    Style.CHOSEN: RichStyle(reverse=True),
}
_COLOURLESS = {
    style: RichStyle(bold=found.bold, dim=found.dim, reverse=found.reverse) for style, found in _STYLES.items()
}
# For terminals whose encoding, or whose font, does not have more.
_ASCII = str.maketrans("●◔◐◌○■✗✓‖▶█░▇◇│·…", "*oo~o#xv=>#.#o|.~")
_BARS = str.maketrans("▁▂▃▄▅▆▇█", "_.-=+*%#")


class _Lines(Widget):
    """Draws lines. Only those that have changed are written to the terminal, which textual sees to."""

    DEFAULT_CSS = "_Lines { width: 100%; height: 100%; }"

    def __init__(self, *, has_colour: bool, is_ascii: bool) -> None:
        super().__init__()
        self._lines: list[Line] = []
        self._styles = _STYLES if has_colour else _COLOURLESS
        self._is_ascii = is_ascii

    def show(self, lines: list[Line]) -> None:
        """Show these lines."""
        if lines != self._lines:
            self._lines = lines
            self.refresh()

    def render_line(self, y: int) -> Strip:
        """Return line `y`. Called by textual."""
        line = self._lines[y] if y < len(self._lines) else ()
        segments = [Segment(self._text(span.text), self._styles[span.style]) for span in line]
        return Strip(segments).adjust_cell_length(self.size.width)

    def _text(self, text: str) -> str:
        if not self._is_ascii or text.isascii():
            return text
        # Of what the terminal cannot show, as many cells as it would take: otherwise the line would be torn.
        known = text.translate(_ASCII).translate(_BARS)
        return "".join(each if each.isascii() else "?" * cells(each) for each in known)


class TopApp(App[int], inherit_bindings=False):
    """The screen of `taskloom top`. It returns the exit code."""

    CSS = "Screen { background: ansi_default; color: ansi_default; }"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+c", "interrupt", priority=True),
        Binding("ctrl+z", "suspend_process", priority=True),
    ]

    def __init__(
        self,
        source: Source,
        *,
        settings: Path | None,
        has_colour: bool = True,
        is_ascii: bool = False,
        clock: Callable[[], Moment] | None = None,
    ) -> None:
        super().__init__(ansi_color=True)
        self._clock = clock or _now
        self._settings = settings
        self._saved = load(settings)
        self.board = Board(source, self._saved, self._clock())
        self._view = _Lines(has_colour=has_colour, is_ascii=is_ascii)

    def compose(self) -> ComposeResult:
        """Return the only widget. Called by textual."""
        yield self._view

    def on_mount(self) -> None:
        """Begin to draw, ten times a second, and let signals restore the terminal."""
        if not self.is_headless:
            loop = asyncio.get_running_loop()
            for number, code in _SIGNALS.items():
                loop.add_signal_handler(number, self.exit, code)
        self.set_interval(_TICK_SECONDS, self.tick)
        self.tick()

    def tick(self) -> None:
        """Take what has come, and draw."""
        self.board.pass_time(self._clock())
        self.board.accept(self.board.source.take())
        self.draw()

    def draw(self) -> None:
        """Draw the screen as it is now."""
        self._view.show(screen(self.board, self.size.width, self.size.height))

    def on_key(self, event: events.Key) -> None:
        """Do what the key does."""
        event.stop()
        event.prevent_default()
        if event.key in ("q", "d") and self.board.question is None and self.board.typed is None:
            self.exit(0)
        elif press(self.board, event.key, event.character):
            self._save()
            self.draw()

    def action_interrupt(self) -> None:
        """Leave, as Ctrl-C does everywhere; the jobs run on."""
        self.exit(_INTERRUPTED)

    def on_paste(self, event: events.Paste) -> None:
        """Take a pasted text into the filter."""
        type_text(self.board, event.text)
        self.draw()

    def on_click(self, event: events.Click) -> None:
        """Choose the job that was clicked."""
        row = job_at(self.board, event.y, self.size.width)
        if row is not None:
            self.board.choose(row)
            self.draw()

    def on_mouse_scroll_up(self) -> None:
        """Show what is above."""
        self._turn_wheel("up")

    def on_mouse_scroll_down(self) -> None:
        """Show what is below."""
        self._turn_wheel("down")

    def on_resize(self) -> None:
        """Draw for the new size."""
        self.draw()

    def _turn_wheel(self, key: str) -> None:
        if self.board.question is None and self.board.typed is None:
            for _ in range(_WHEEL_ROWS):
                press(self.board, key, None)
            self.draw()

    def _save(self) -> None:
        if self.board.remembered != self._saved:
            self._saved = self.board.remembered
            trouble = save(self._settings, self.board.remembered)
            if trouble:
                self.board.notify(trouble, is_bad=True)


def _now() -> Moment:
    return Moment(mono(), wall())
