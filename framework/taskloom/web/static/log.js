// The live log of a job. The server searches; here lines are only shown. While the user reads further up, the view keeps
// its place, and new lines wait below.

import { html, useEffect, useRef, useState } from "./dom.js";
import { follow, get } from "./api.js";
import { tell } from "./dialogs.js";
import { prefer, prefs } from "./prefs.js";
import { state } from "./store.js";
import { clock, fullInstant } from "./time.js";

const MOST = 5000, LENGTHS = [500, 5000], MOST_ASKED = 10000, SEARCH_MS = 300;
const MOST_DRAWN = 500;   // lines in one frame
const LEVELS = ["debug", "info", "warning", "error", "critical"];

class LogBox {
  // Draws into the element `box`; `told` gets the number of lines that wait below.
  constructor(box, told) {
    Object.assign(this, { box, told, waiting: [], isAtEnd: true, isPlanned: false, grep: "" });
    box.onscroll = () => this.look();
  }

  clear(grep) {
    this.box.replaceChildren();
    Object.assign(this, { waiting: [], isAtEnd: true, grep });
    this.told(0);
  }

  push(line) {
    this.waiting.push(line);
    if (this.waiting.length > 2 * MOST) this.waiting.splice(0, MOST);
    this.plan();
  }

  plan() {
    if (this.isPlanned) return;
    this.isPlanned = true;
    requestAnimationFrame(() => this.draw());
  }

  draw() {
    this.isPlanned = false;
    if (!this.isAtEnd) return this.told(this.waiting.length);
    this.box.append(...this.waiting.splice(0, MOST_DRAWN).map((line) => this.element(line)));
    while (this.box.childElementCount > MOST) this.box.firstChild.remove();
    this.box.scrollTop = this.box.scrollHeight;
    this.told(0);
    if (this.waiting.length) this.plan();
  }

  look() {
    const { scrollHeight, scrollTop, clientHeight } = this.box;
    const isAtEnd = scrollHeight - scrollTop - clientHeight < 8;
    if (isAtEnd === this.isAtEnd) return;
    this.isAtEnd = isAtEnd;
    if (isAtEnd) this.draw();
    this.told(this.waiting.length);
  }

  jumpToEnd() {
    this.isAtEnd = true;
    this.draw();
    this.box.scrollTop = this.box.scrollHeight;
    this.told(0);
  }

  element(line) {
    if (line.mark) return made("div", "line mark", line.mark);
    const element = made("div", `line ${LEVELS.includes(line.level) ? line.level : "info"}`);
    const time = made("span", "at", clock(new Date(line.at)));
    time.title = `${fullInstant(line.at)}${line.run ? `, ${line.run}` : ""}`;
    element.append(time, made("span", "level", line.level), this.text(line.text));
    return element;
  }

  text(text) {
    const element = made("span", "text");
    const grep = this.grep, isFolded = grep === grep.toLowerCase();
    let rest = text;
    for (let at; grep && (at = (isFolded ? rest.toLowerCase() : rest).indexOf(grep)) >= 0; rest = rest.slice(at + grep.length)) {
      element.append(rest.slice(0, at), made("mark", "", rest.slice(at, at + grep.length)));
    }
    element.append(rest);
    return element;
  }
}

function made(name, kind, text = "") {
  const element = document.createElement(name);
  if (kind) element.className = kind;
  element.textContent = text;
  return element;
}

export function Log({ job }) {
  const box = useRef(null), log = useRef(null);
  const [waiting, setWaiting] = useState(0), [isAtEnd, setAtEnd] = useState(true);
  const [grep, setGrep] = useState(""), [error, setError] = useState("");
  const { level, lines } = prefs;
  useEffect(() => {
    const controller = new AbortController();
    if (!log.current) log.current = new LogBox(box.current, (count) => (setWaiting(count), setAtEnd(log.current.isAtEnd)));
    log.current.clear(grep);
    setError("");
    const on = { event: (name, data) => takeLine(log.current, name, data), state: () => {}, failed: (refusal) => setError(refusal.message) };
    follow("/v1/logs", { job, grep, level, lines }, on, controller.signal);
    return () => controller.abort();
  }, [job, grep, level, lines]);
  return html`<div class="log-pane">
    <div class="toolbar" role="search">
      <${Search} value=${grep} search=${setGrep}/>
      <select aria-label="Least level" value=${level} onChange=${(event) => prefer({ level: event.target.value })}><option value="">all levels</option>${LEVELS.slice(1).map((each) => html`<option key=${each} value=${each}>${each}${each === "critical" ? "" : " or higher"}</option>`)}</select>
      <select aria-label="Lines at first" value=${lines} onChange=${(event) => prefer({ lines: Number(event.target.value) })}>${LENGTHS.map((each) => html`<option key=${each} value=${each}>last ${each.toLocaleString("en")} lines</option>`)}</select>
      <button class="chip" aria-pressed=${prefs.wrap} onClick=${() => prefer({ wrap: !prefs.wrap })}>wrap</button>
      <button onClick=${() => download(job, grep, level)}>Download</button>
      <button class="jump" disabled=${isAtEnd} onClick=${() => log.current.jumpToEnd()}>${isAtEnd ? "Following" : waiting ? `Jump to end (${waiting} new)` : "Jump to end"}</button>
    </div>
    ${error && html`<p class="refusal" role="alert">${error}</p>`}
    <div ref=${box} class=${`log ${prefs.wrap ? "wrap" : ""}`} role="log" aria-live="off" data-empty=${grep || level ? "No such line." : "No line yet."} aria-label=${`Log of ${job}`} tabindex="0"></div>
  </div>`;
}

function takeLine(log, name, data) {
  if (name === "line") log.push(data);
  else if (name === "gap") log.push({ mark: data.why === "restart" ? "the program was restarted" : "lines are missing here" });
  else if (name === "end") log.push({ mark: "the program has ended" });
}

// The search begins when the typing ends.
function Search({ value, search }) {
  const timer = useRef(0);
  const typed = (event) => {
    clearTimeout(timer.current);
    const text = event.target.value;
    timer.current = setTimeout(() => {
      search(text);
      if (text) prefer({ search: text });
    }, SEARCH_MS);
  };
  return html`<input id="search" type="search" placeholder="Search in the log  /" aria-label="Search in the log" value=${value} onInput=${typed}/>`;
}

async function download(job, grep, level) {
  try {
    const { lines } = await get("/v1/logs", { job, grep, level, lines: MOST_ASKED });
    const text = lines.map((line) => `${line.at} ${line.level.toUpperCase().padEnd(8)} ${line.run || line.job} ${line.text}\n`).join("");
    const address = URL.createObjectURL(new Blob([text], { type: "text/plain" }));
    const anchor = Object.assign(document.createElement("a"), { href: address, download: `${job}-${state.program.start}.log` });
    anchor.click();
    setTimeout(() => URL.revokeObjectURL(address), 60000);
  } catch (error) {
    tell(error.message, "bad");
  }
}
