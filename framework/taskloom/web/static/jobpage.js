// The page of one job: how it is and why, its log, its runs, its stack, its declaration.

import { html, useEffect, useState } from "./dom.js";
import { get, jobPath } from "./api.js";
import { History } from "./history.js";
import { Log } from "./log.js";
import { Progress, Relative, State } from "./parts.js";
import { go, link } from "./route.js";
import { Stack } from "./stack.js";
import { isAlive, secondsOf, state } from "./store.js";
import { Actions } from "./table.js";
import { brief, bytes, duration } from "./time.js";
import { look, note, verbsOf } from "./words.js";

export const TABS = ["log", "history", "stack", "declaration"];
const VERBS = ["start", "stop", "restart", "pause", "resume", "reset", "signal"];

export function JobPage({ name, tab, run, start }) {
  const job = state.jobs.get(name);
  const declaration = useAnswer(jobPath(name, "declaration"), [name, state.program.start]);
  if (!job) return html`<section><h2>${name}</h2><p class="empty">No job has this name any more. <a href=${link()}>All jobs</a></p></section>`;
  const shown = TABS.includes(tab) ? tab : "log";
  const spec = declaration?.declaration;
  return html`<section class="job-page">
    <div class="title">
      <div><p class="crumb"><a href=${link()}>Jobs</a> / ${job.task}</p><h2>${name}</h2>${spec?.description && html`<p class="description">${spec.description}</p>`}</div>
      <${Actions} job=${job} verbs=${VERBS.filter((verb) => verbsOf(job)[verb] || ["start", "stop", "restart"].includes(verb))} isWordy=${true}/>
    </div>
    <${Facts} job=${job} spec=${spec}/>
    <${Why} job=${job}/>
    ${job.overdue && shown !== "stack" && html`<div class="card stuck"><h3>It is stuck here</h3><${Stack} job=${name}/></div>`}
    <${Tabs} name=${name} shown=${shown}/>
    <div role="tabpanel" id="panel" aria-labelledby=${`tab-${shown}`}>
      ${shown === "log" && html`<${Log} key=${name} job=${name}/>`}
      ${shown === "history" && html`<${History} key=${name} job=${job} chosen=${{ run, start }}/>`}
      ${shown === "stack" && html`<${Stack} key=${name} job=${name}/>`}
      ${shown === "declaration" && (declaration?.error ? html`<p class="refusal" role="alert">${declaration.error}</p>` : html`<${Declaration} spec=${spec}/>`)}
    </div>
  </section>`;
}

// The answer of a path, asked for again when one of `keys` changes; null until it is there.
export function useAnswer(path, keys, parameters) {
  const [answer, setAnswer] = useState(null);
  useEffect(() => {
    const controller = new AbortController();
    get(path, parameters, controller.signal).then(setAnswer).catch((error) => controller.signal.aborted || setAnswer({ error: error.message }));
    return () => controller.abort();
  }, keys);
  return answer;
}

function Tabs({ name, shown }) {
  const pressed = (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    event.stopPropagation();
    const next = TABS[(TABS.indexOf(shown) + step + TABS.length) % TABS.length];
    go("job", name, next);
    document.getElementById(`tab-${next}`).focus();
  };
  return html`<div class="tabs" role="tablist" aria-label=${`About ${name}`} onKeyDown=${pressed}>
    ${TABS.map((tab) => html`<button key=${tab} id=${`tab-${tab}`} role="tab" aria-selected=${tab === shown} aria-controls="panel" tabindex=${tab === shown ? 0 : -1} onClick=${() => go("job", name, tab)}>${tab}</button>`)}
  </div>`;
}

function Facts({ job, spec }) {
  const seconds = secondsOf(job);
  const facts = [
    ["State", html`<${State} look=${look(job)} note=${note(job)}/>`],
    [isAlive(job) ? "Running for" : "Last run took", seconds === null || !job.runs ? "–" : isAlive(job) ? brief(seconds) : duration(seconds)],
    job.progress && ["Progress", html`<${Progress} progress=${job.progress}/>`],
    ["Next firing", html`<${Relative} at=${job.next_firing}/>${spec?.schedule && html`<span class="note">${spec.schedule.text}${job.paused ? ", paused" : ""}</span>`}`],
    ["Runs", html`${job.runs}<span class="note">${Object.entries(job.outcomes).map(([outcome, count]) => `${count} ${outcome.replace("_", " ")}`).join(", ")}</span>`],
    ["Restarts", html`${job.restarts}${job.attempt > 1 && html`<span class="note">attempt ${job.attempt}</span>`}`],
    job.missed > 0 && ["Missed firings", job.missed],
    job.poll_age !== null && isAlive(job) && ["Last poll", html`${duration(job.poll_age)} ago<span class="note">longest gap ${duration(job.worst_gap)}</span>`],
    job.process && ["Process", html`${job.process.pid}<span class="note">${bytes(job.process.memory)}${job.process.cpu === null ? "" : `, ${duration(job.process.cpu)} of processor time`}</span>`],
    job.whereabouts && ["Where", html`${job.whereabouts.host}<span class="note">worker ${job.whereabouts.worker}${job.whereabouts.pid ? `, process ${job.whereabouts.pid}` : ""}</span>`],
    ...Object.entries(job.counts).map(([name, count]) => [name, typeof count === "number" ? count.toLocaleString("en") : String(count)]),
  ];
  return html`<dl class="facts">${facts.filter(Boolean).map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;
}

function Why({ job }) {
  const answer = useAnswer(jobPath(job.job, "why"), [job.job, job.state, job.run, job.waiting_for, job.overdue, job.paused, Math.floor(job.receivedAt / 5000)]);
  const text = answer && (answer.text || answer.error);
  return html`<p class="why card" aria-label="Why">${text || "…"}</p>`;
}

const DURATIONS = new Set(["poll_interval", "timeout", "ready_within", "watchdog", "delay", "max_delay", "within", "grace", "every", "jitter"]);

function Declaration({ spec }) {
  if (!spec) return html`<p class="muted">Reading the declaration…</p>`;
  const { params, path, line, name, task, description, labels, ...rest } = spec;
  return html`<div class="declaration">
    <div class="card"><h3>Parameters of <a href=${link("tasks", task)}>${task}</a></h3><${Fields} fields=${params} isPlain=${true}/></div>
    <div class="card"><h3>Declaration</h3>${path && html`<p>in <code>${path}:${line}</code></p>`}${labels?.length > 0 && html`<p>labels ${labels.join(", ")}</p>`}<${Fields} fields=${rest}/></div>
  </div>`;
}

function Fields({ fields, isPlain = false }) {
  const rows = Object.entries(fields);
  if (!rows.length) return html`<p class="muted">none</p>`;
  return html`<table class="fields"><tbody>${rows.map(([name, value]) => html`<tr key=${name}><th scope="row">${name}</th><td><${Value} name=${name} value=${value} isPlain=${isPlain}/></td></tr>`)}</tbody></table>`;
}

function Value({ name, value, isPlain }) {
  if (value === null) return html`<span class="muted">not set</span>`;
  if (!isPlain && typeof value === "number" && DURATIONS.has(name)) return duration(value);
  if (Array.isArray(value)) return value.length ? html`<code>${JSON.stringify(value)}</code>` : html`<span class="muted">none</span>`;
  // The jitter of a restart is a part of its delay, and no duration.
  if (name === "restart") return html`<${Fields} fields=${{ ...value, jitter: String(value.jitter) }}/>`;
  if (typeof value === "object") return Object.keys(value).length ? html`<${Fields} fields=${value} isPlain=${isPlain}/>` : html`<span class="muted">none</span>`;
  return html`<code>${String(value)}</code>`;
}
