// The head of the page: the program and its health, how many jobs, what fires next, the connection, the views.

import { html, useLayoutEffect, useRef } from "./dom.js";
import { prefer, prefs, nextTheme } from "./prefs.js";
import { link } from "./route.js";
import { Relative } from "./parts.js";
import { changed, now, state } from "./store.js";
import { clock } from "./time.js";

export const VIEWS = [
  { name: "jobs", text: "Jobs", icon: "M2 3h12v2H2zM2 7h12v2H2zM2 11h12v2H2z" },
  { name: "timeline", text: "Timeline", icon: "M2 3h6v2H2zM6 7h8v2H6zM3 11h5v2H3z" },
  { name: "tasks", text: "Tasks", icon: "M3 2h4v4H3zM9 2h4v4H9zM3 10h4v4H3zM9 10h4v4H9z" },
  { name: "program", text: "Program", icon: "M2 3h12v8H9v1.5h2V14H5v-1.5h2V11H2zM3.5 4.5v5h9v-5z" },
];

function health() {
  const { program, connection } = state;
  if (connection === "ended") return ["□", "ended", "calm"];
  if (connection !== "open") return ["◌", connection === "connecting" ? "connecting" : "not connected", "warn"];
  if (program.state === "stopping") return ["◐", "stopping", "warn"];
  if (program.state === "stopped") return ["□", "stopped", "calm"];
  if (program.jobs.wrong || program.history.state === "degraded") return ["■", "needs attention", "bad"];
  return ["●", "healthy", "good"];
}

export function Header({ view, help }) {
  const { program, access } = state;
  const [symbol, word, kind] = health();
  const head = useRef(null);
  useLayoutEffect(() => {
    const observer = new ResizeObserver(() => document.documentElement.style.setProperty("--head", `${head.current.offsetHeight}px`));
    observer.observe(head.current);
    return () => observer.disconnect();
  }, []);
  return html`<header ref=${head}>
    <div class="bar">
      <h1><a href=${link()}><svg viewBox="0 0 16 16" aria-hidden="true"><rect width="16" height="16" rx="3.5"/><path d="M3.5 5h9M3.5 8h6M3.5 11h8"/></svg><span>${program.label || program.name}</span></a></h1>
      <span class=${`health ${kind}`} role="status"><span aria-hidden="true">${symbol}</span> ${word}</span>
      ${!access.may_act && html`<span class="badge" title="The token of this page may look but not act">read-only</span>`}
      <${Counts}/>
      <span class="fill"></span>
      <${NextFiring}/>
      <time class="clock muted" title="The clock of the program, in your time zone">${clock(new Date(now()))}</time>
      <button class="quiet" title="Light, dark, or as the system (m)" aria-label=${`Colours: ${prefs.theme}`} onClick=${() => prefer({ theme: nextTheme() })}>${{ system: "◐", light: "○", dark: "●" }[prefs.theme]}</button>
      <button class="quiet" title="Keys (?)" aria-label="Keys" onClick=${help}>?</button>
    </div>
    <nav class="views" aria-label="Views"><${Links} view=${view}/><span class="version muted">${`taskloom ${program.version}`}</span></nav>
    <${Notices}/>
  </header>`;
}

const Links = ({ view }) => VIEWS.map(({ name, text, icon }) => html`<a key=${name} href=${link(name === "jobs" ? "" : name)} aria-current=${view === name || name === "jobs" && view === "job" ? "page" : null}><svg class="icon" viewBox="0 0 16 16" aria-hidden="true"><path fill-rule="evenodd" d=${icon}/></svg>${text}</a>`);

// At phone width: within reach of a thumb.
export const Tabbar = ({ view }) => html`<nav class="tabbar" aria-label="Views, below"><${Links} view=${view}/></nav>`;

function Counts() {
  const counts = new Map();
  let wrong = 0;
  for (const job of state.jobs.values()) {
    counts.set(job.state, (counts.get(job.state) || 0) + 1);
    if (job.wrong) wrong++;
  }
  const shown = ["running", "stopping", "waiting", "blocked", "finished"].filter((each) => counts.get(each));
  return html`<span class="counts">${wrong > 0 && html`<a class="wrong" href=${link()} onClick=${() => prefer({ wrong: true })}><b>${wrong}</b> to look at</a>`}
    ${shown.map((each) => html`<span key=${each}><b>${counts.get(each)}</b> ${each}</span>`)}</span>`;
}

function NextFiring() {
  const next = state.firings.find((firing) => !firing.paused && Date.parse(firing.at) > now());
  return next ? html`<span class="next-firing"><span class="muted">next</span> <a href=${link("job", next.job)}>${next.job}</a> <${Relative} at=${next.at}/></span>` : null;
}

function Notices() {
  const { history, log } = state.program;
  const closed = state.connection === "closed";
  const lines = [
    closed && ["warn", "The program does not answer. What is shown is from before; the page tries again."],
    state.notice && ["calm", state.notice, () => (state.notice = "")],
    history.state === "degraded" && ["bad", `The history is degraded: ${history.reason}`],
    log.problem && ["bad", `Log files cannot be written: ${log.problem}`],
  ].filter(Boolean);
  return html`<div class="notices" role="status">${lines.map(([kind, text, close]) => html`<p key=${text} class=${`notice ${kind}`}>${text}${close && html`<button class="quiet" aria-label="Close this message" onClick=${() => (close(), changed(true))}>×</button>`}</p>`)}</div>`;
}
