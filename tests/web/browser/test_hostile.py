"""Texts that would be HTML or a script elsewhere are shown as they are, and other origins reach nothing."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tests.support.browser import Browser
from tests.support.web_program import WebProgram

pytestmark = pytest.mark.browser

EVIL = "<img src=x onerror=window.hit=1><script>window.hit=1</script>{{7*7}}"
JOBS = f"""\
jobs:
  evil:
    description: '{EVIL}'
    task: countdown
    params: {{start: 86400, message: '{EVIL}'}}
  loud:
    task: command
    params: {{argv: [sh, -c, "echo '{EVIL}'; exit 3"]}}
  late:
    task: countdown
    params: {{start: 0, message: '{EVIL}'}}
    after: evil
"""


@pytest.fixture(scope="module")
def evil(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebProgram]:
    """A program with such texts wherever they can be."""
    with WebProgram(tmp_path_factory.mktemp("evil"), JOBS) as found:
        yield found


def test_texts_are_never_html(browser: Browser, evil: WebProgram) -> None:
    evil.wait_for("loud", state="finished")
    with browser.page(evil.link) as page:
        page.get_by_label("Filter jobs").fill(EVIL)
        page.get_by_text("No job fits").wait_for()
        page.get_by_label("Filter jobs").fill("")
        page.get_by_role("button", name="restart evil").click()
        page.get_by_role("dialog").get_by_label("Reason").fill(EVIL)
        page.get_by_role("dialog").get_by_role("button", name="restart").click()
        page.goto(f"{evil.url}#/job/evil")
        page.locator(".description").get_by_text(EVIL).wait_for()
        page.goto(f"{evil.url}#/job/evil/history")
        page.locator(".runs").get_by_text(EVIL).first.wait_for()
        page.goto(f"{evil.url}#/job/evil/declaration")
        page.locator(".fields").get_by_text(EVIL).first.wait_for()
        page.goto(f"{evil.url}#/job/loud")
        page.locator(".log").get_by_text(EVIL).first.wait_for()
        page.get_by_label("Search in the log").fill("<img src=x")
        page.locator(".log mark").first.wait_for()
        page.goto(f"{evil.url}#/program")
        page.locator(".events").get_by_text(EVIL).first.wait_for()
        page.goto(f"{evil.url}#/job/{'%3Cimg%20src=x%20onerror=window.hit=1%3E'}")
        page.get_by_text("No job has this name").wait_for()
        assert page.evaluate("[window.hit, document.images.length, document.scripts.length]") == [None, 0, 1]


class _ForeignPage(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>foreign</title><form method=post enctype=text/plain></form>")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def foreign() -> Iterator[str]:
    """The address of a page of another origin."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _ForeignPage)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/"
    server.shutdown()
    thread.join()
    server.server_close()


ATTACKS = """async ([target, token]) => {
    const method = "POST", json = { "Content-Type": "application/json" }, mode = "no-cors", body = "{}";
    const bearer = { Authorization: `Bearer ${token}` };
    const tried = [];
    const attempt = async (path, options) => {
        try {
            const reply = await fetch(target + path, options);
            tried.push(reply.type === "opaque" ? "opaque" : `read ${reply.status}`);
        } catch {
            tried.push("refused");
        }
    };
    await attempt("v1/jobs");
    await attempt("v1/jobs", { mode, credentials: "include" });
    await attempt("v1/jobs/good/stop", { method, mode, body });
    await attempt("v1/jobs/good/stop", { method, body, headers: json });
    await attempt("v1/jobs/good/stop", { method, body, headers: { ...json, ...bearer } });
    await attempt("v1/jobs", { headers: bearer });
    return tried;
}"""
SUBMIT = "target => { document.forms[0].action = target; document.forms[0].submit(); }"
FRAME = """target => {
    const frame = document.createElement("iframe");
    frame.src = target;
    document.body.append(frame);
}"""


def test_a_page_of_another_origin_reads_and_changes_nothing(browser: Browser, foreign: str, tmp_path: Path) -> None:
    jobs = "jobs: {good: {task: countdown, params: {start: 86400}}}\n"
    with WebProgram(tmp_path, jobs) as program:
        program.wait_for("good", state="running")
        context = browser.context()
        page = context.new_page()
        page.goto(foreign)
        # It even has the token, which it cannot have.
        tried = page.evaluate(ATTACKS, [program.url, program.token])
        assert not [each for each in tried if each.startswith("read")]
        page.evaluate(SUBMIT, f"{program.url}v1/jobs/good/stop")
        page.wait_for_url(f"{program.url}v1/jobs/good/stop")
        framed = context.new_page()
        framed.goto(foreign)
        framed.evaluate(FRAME, program.url)
        framed.wait_for_timeout(500)
        assert not [frame for frame in framed.frames if frame.url == program.url and frame.locator("#app").count()]

        rebound = context.new_page()
        rebound.goto(f"http://rebound.example:{program.port}/")
        assert "unknown-host" in rebound.content()
        tried = rebound.evaluate(ATTACKS, [f"http://rebound.example:{program.port}/", program.token])
        assert set(tried) == {"read 421"}
        context.close()
        assert program.wait_for("good", state="running")["run"] == "good#1"
