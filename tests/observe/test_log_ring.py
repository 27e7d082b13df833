"""The ring of the last lines: bounded, fair, and in order."""

from __future__ import annotations

import threading

import pytest

from taskloom.observe.log_ring import LINE_BYTES, LogLine, LogRing, Origin
from taskloom.sync.latch import Latch


def message(ring: LogRing, job: str, text: str, at: float = 1.0, level: str = "INFO") -> None:
    ring.add(at, text, Origin(job, level, job or "taskloom", f"{job}#1" if job else ""))


def texts(lines: object) -> list[str]:
    assert isinstance(lines, list)
    return [line.text for line in lines]


def test_messages_and_prints_are_kept_with_their_origin() -> None:
    ring = LogRing(clock=lambda: 5.0)
    message(ring, "web", "hello", level="WARNING")
    ring.add_print(b"a \xff print\n", "web.2#3")
    ring.add_print(b"no job", "")

    assert list(ring.after(0, None, 10)) == [
        LogLine(1, 1.0, "warning", "web", "web#1", "hello"),
        LogLine(2, 5.0, "info", "web.2", "web.2#3", "a \\xff print"),
        LogLine(3, 5.0, "info", "unknown", "", "no job"),
    ]
    assert ring.last == 3


def test_lines_are_found_by_job_by_number_and_by_time() -> None:
    ring = LogRing()
    for number in range(1, 1001):
        message(ring, f"job{number % 3}", str(number), at=float(number))

    assert texts(ring.after(0, ["job1"], 3)) == ["1", "4", "7"]
    assert texts(ring.after(994, ["job1", "job2", "nobody", "job1"], 5)) == ["995", "997", "998", "1000"]
    assert texts(ring.after(1000, None, 5)) == []
    assert texts(ring.newest(3, None)) == ["998", "999", "1000"]
    assert texts(ring.newest(2, ["job0"], lambda line: line.text.endswith("0"))) == ["960", "990"]
    assert texts(ring.newest(0, None)) == []
    assert ring.number_before(500.5) == 500
    assert ring.number_before(0.5) == 0


def test_a_flood_pushes_out_its_own_lines_and_not_those_of_quiet_jobs() -> None:
    ring = LogRing(200 * 1024, clock=lambda: 2.0)
    for job in range(50):
        message(ring, f"quiet{job}", "here I am")
    for number in range(20_000):
        ring.add_print(b"%d\n" % number, "flood#1" if number % 2 else "other#1")

    assert ring.size <= 200 * 1024
    assert [texts(ring.newest(1, [f"quiet{job}"])) for job in range(50)] == [["here I am"]] * 50
    assert texts(ring.newest(1, ["flood"])) == ["19999"]
    assert len(ring.newest(100_000, ["flood"])) > 50
    assert ring.lost(["quiet0"]) == 0
    assert 0 < ring.lost(["flood"]) < ring.last
    assert ring.lost() == max(ring.lost(["flood"]), ring.lost(["other"]))


def test_a_thousand_equal_jobs_all_keep_their_last_lines() -> None:
    ring = LogRing(2 * 1024 * 1024)
    for number in range(20_000):
        message(ring, f"job{number % 1000}", f"{number}")

    assert ring.size <= 2 * 1024 * 1024
    assert all(ring.newest(1, [f"job{job}"])[0].text == str(19_000 + job) for job in range(1000))


def test_one_line_that_is_larger_than_the_ring_leaves_it_usable() -> None:
    ring = LogRing(10_000)
    message(ring, "web", "x" * 20_000)
    message(ring, "web", "y")

    assert ring.size <= 10_000
    assert texts(ring.newest(5, None)) == ["y"]


def test_it_says_from_when_on_it_has_all_lines() -> None:
    ring = LogRing(600 * LINE_BYTES, clock=lambda: 1.0)
    assert ring.since() is None
    message(ring, "a", "x", at=2.0)
    assert (ring.since(), ring.since(["a"]), ring.since(["b"])) == (1.0, 1.0, None)
    for number in range(2000):
        message(ring, "b", "x", at=10.0 + number)

    since = ring.since(["b"])

    assert since is not None
    assert since == ring.newest(10_000, ["b"])[0].at - 1
    assert ring.since(["a"]) == 1.0


def test_readers_are_woken_for_each_line_until_they_end_that() -> None:
    ring, woken = LogRing(), []

    end = ring.wake_with(lambda: woken.append(ring.last))
    again = ring.wake_with(lambda: woken.append(-1))
    message(ring, "a", "x")
    again()
    ring.add_print(b"y\n", "a#1")
    end()
    end()
    message(ring, "a", "z")

    assert woken == [1, -1, 2]


def test_lines_of_many_threads_are_all_there_with_numbers_without_a_gap() -> None:
    ring, go = LogRing(), Latch()

    def write(job: int) -> None:
        go.wait()
        for number in range(1000):
            ring.add_print(b"%d\n" % number, f"job{job}#1")

    threads = [threading.Thread(target=write, args=(job,)) for job in range(4)]
    for thread in threads:
        thread.start()
    go.open()
    seen: list[LogLine] = []
    while any(thread.is_alive() for thread in threads) or ring.last > len(seen):
        seen += ring.after(len(seen), None, 100)
    for thread in threads:
        thread.join()

    assert [line.seq for line in seen] == list(range(1, 4001))
    for job in range(4):
        assert [line.text for line in seen if line.job == f"job{job}"] == list(map(str, range(1000)))


def test_a_finalizer_that_prints_while_lines_are_filed_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    ring = LogRing()
    filed = LogRing._file_block

    def file_block(self: LogRing, origin: str | Origin, lines: list[tuple[float, str | bytes, str | Origin]]) -> None:
        filed(self, origin, lines)
        if ring.newest(1, None, lambda line: line.text == "finalizer") == []:
            monkeypatch.setattr(LogRing, "_file_block", filed)
            ring.add_print(b"finalizer\n" + b"x" * 5000, "web#1")

    monkeypatch.setattr(LogRing, "_file_block", file_block)
    message(ring, "web", "hello")

    assert ring.newest(2, None)[0].text == "hello"
    assert ring.last == 2
