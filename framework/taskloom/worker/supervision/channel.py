"""The channel to the parent: a line for each message, in both directions."""

import posix

# Orders are short. More without a line end is not an order of ours.
_LONGEST_ORDER = 65_536


class Channel:
    """The supervisor's end. It never blocks: what the parent does not read is kept, or dropped if it is only news."""

    def __init__(self, descriptor: int) -> None:
        self.fileno = descriptor
        self.is_open = True
        self._received = b""
        self._unsent = b""
        posix.set_blocking(descriptor, False)

    def say(self, line: bytes, *, is_droppable: bool = False) -> None:
        """Send a line. One that may be dropped is, while the parent does not read."""
        if self.is_open and not (is_droppable and self._unsent):
            self._unsent += line + b"\n"
            self.flush()

    def flush(self) -> bool:
        """Send on; return whether all is sent, or never will be."""
        while self._unsent and self.is_open:
            try:
                self._unsent = self._unsent[posix.write(self.fileno, self._unsent) :]
            except BlockingIOError:
                return False
            except OSError:
                self.close()
        return True

    def orders(self) -> list[list[bytes]]:
        """Return the orders that have arrived, as words. Closed afterwards if the parent has closed its end."""
        try:
            part = posix.read(self.fileno, 65_536)
        except BlockingIOError:
            return []
        except OSError:
            part = b""
        if not part or len(self._received) > _LONGEST_ORDER:
            self.close()
            return []
        *lines, self._received = (self._received + part).split(b"\n")
        return [line.split() for line in lines if line]

    def close(self) -> None:
        """Close it; what is said from now on is lost."""
        if self.is_open:
            self.is_open = False
            posix.close(self.fileno)
