// The table of the jobs: filter, labels, order, and the actions on each job.

import { html, useEffect, useRef } from "./dom.js";
import { LastRuns } from "./bars.js";
import { ask } from "./dialogs.js";
import { isNarrow, Icon, Next, plural, Progress, State, useRows } from "./parts.js";
import { prefer, prefs } from "./prefs.js";
import { link } from "./route.js";
import { isAlive, secondsOf, state } from "./store.js";
import { brief, duration } from "./time.js";
import { look, note, verbsOf } from "./words.js";

const ROW = 52, CARD = 156;
const RANKS = { bad: 0, warn: 1, good: 2, calm: 3 };
const COLUMNS = [
  ["name", "Job"], ["state", "State"], ["time", "Time"], ["progress", "Progress"], ["next", "Next"], ["", "Last runs"],
  ["restarts", "Restarts"], ["", "Actions"],
];

const KEYS = {
  name: () => "", state: (job) => RANKS[job.wrong ? "bad" : look(job).kind], time: (job) => -(secondsOf(job) ?? -1),
  progress: (job) => (job.progress && job.progress.total ? -job.progress.done / job.progress.total : 1),
  next: (job) => (job.next_firing && !job.paused ? Date.parse(job.next_firing) : Infinity), restarts: (job) => -job.restarts,
};
const byName = new Intl.Collator("en", { numeric: true }).compare;

// The jobs that the filter, the label and the order leave: also those of the timeline.
export function shownJobs() {
  const words = prefs.filter.toLowerCase().split(/\s+/).filter(Boolean);
  const found = [...state.jobs.values()].filter((job) => isShown(job, words));
  const key = KEYS[prefs.sort] || KEYS.state;
  const keyed = found.map((job) => [key(job), job]);
  const sign = prefs.isReversed ? -1 : 1;
  keyed.sort(([a, first], [b, second]) => sign * (a < b ? -1 : a > b ? 1 : 0) || sign * byName(first.job, second.job));
  return keyed.map(([, job]) => job);
}

function isShown(job, words) {
  if (prefs.wrong && !job.wrong) return false;
  if (prefs.label && !job.labels.includes(prefs.label)) return false;
  if (!words.length) return true;
  const text = `${job.job} ${job.task} ${job.labels.join(" ")} ${look(job).word} ${job.state}`.toLowerCase();
  return words.every((word) => text.includes(word));
}

export function Toolbar({ jobs, children }) {
  const labels = [...new Set([...state.jobs.values()].flatMap((job) => job.labels))].sort();
  return html`<div class="toolbar" role="search">
    <input id="filter" type="search" placeholder="Filter jobs  /" aria-label="Filter jobs" value=${prefs.filter} onInput=${(event) => prefer({ filter: event.target.value })}/>
    <button class="chip" aria-pressed=${prefs.wrong} onClick=${() => prefer({ wrong: !prefs.wrong })}>needs attention</button>
    ${labels.slice(0, 12).map((label) => html`<button key=${label} class="chip" aria-pressed=${prefs.label === label} onClick=${() => prefer({ label: prefs.label === label ? "" : label })}>${label}</button>`)}
    <span class="count muted" role="status">${jobs.length === state.jobs.size ? plural(jobs.length, "job") : `${jobs.length} of ${plural(state.jobs.size, "job")}`}</span>
    ${children}
  </div>`;
}

function ActOnAll({ jobs }) {
  if (!state.access.may_act || !jobs.length) return null;
  const chosen = (event) => {
    const verb = event.target.value;
    event.target.value = "";
    ask(verb, jobs.filter((job) => verbsOf(job)[verb]));
  };
  return html`<select class="act-all" aria-label="Act on all jobs that are shown" onChange=${chosen}>
    <option value="">All shown…</option>
    ${["start", "stop", "restart", "pause", "resume"].map((verb) => html`<option key=${verb} value=${verb} disabled=${!jobs.some((job) => verbsOf(job)[verb])}>${verb}</option>`)}
  </select>`;
}

export function Jobs({ selected, select }) {
  const jobs = shownJobs();
  const height = isNarrow() ? CARD : ROW;
  const [first, end, box] = useRows(jobs.length, height);
  const focus = useRef(-1);
  useKeptFocus(selected, jobs, box, height, focus);
  return html`<section aria-label="Jobs">
    <${Toolbar} jobs=${jobs}><${Order}/><${ActOnAll} jobs=${jobs}/><//>
    ${state.jobs.size === 0 && html`<p class="empty">This program has no jobs.</p>`}
    ${state.jobs.size > 0 && jobs.length === 0 && html`<p class="empty">No job fits the filter. <button onClick=${() => prefer({ filter: "", label: "", wrong: false })}>Show all</button></p>`}
    <table class="jobs" aria-rowcount=${jobs.length + 1} hidden=${!jobs.length}>
      <thead><tr aria-rowindex="1">${COLUMNS.map(([key, text]) => html`<${Head} key=${text} name=${key} text=${text}/>`)}</tr></thead>
      <tbody ref=${box}>
        ${first > 0 && html`<tr key="above" class="space" aria-hidden="true"><td colspan="8" style=${{ height: `${first * height}px` }}></td></tr>`}
        ${jobs.slice(first, end).map((job, at) => html`<${Row} key=${job.job} job=${job} at=${first + at} isSelected=${first + at === selected} select=${select}/>`)}
        ${end < jobs.length && html`<tr key="below" class="space" aria-hidden="true"><td colspan="8" style=${{ height: `${(jobs.length - end) * height}px` }}></td></tr>`}
      </tbody>
    </table>
  </section>`;
}

// The arrows move the focus from row to row, also to one that is not drawn yet.
function useKeptFocus(selected, jobs, box, height, focus) {
  useEffect(() => {
    if (selected < 0 || selected >= jobs.length || focus.current === selected || !box.current) return;
    if (document.activeElement.closest("tr")?.dataset.at === String(selected)) {
      focus.current = selected;
      return;
    }
    const top = box.current.getBoundingClientRect().top + selected * height;
    const head = document.querySelector("header").offsetHeight + 44;
    if (top < head) scrollBy(0, top - head);
    else if (top + height > innerHeight - 60) scrollBy(0, top + height - innerHeight + 60);
    const wanted = box.current.querySelector(`[data-at="${selected}"] a`);
    if (wanted) {
      focus.current = selected;
      wanted.focus({ preventScroll: true });
    }
  });
}

function Head({ name, text }) {
  if (text === "Actions" && !state.access.may_act) return null;
  if (!name) return html`<th scope="col" class=${text === "Actions" ? "actions-cell" : "runs-cell"}>${text}</th>`;
  const isSorted = prefs.sort === name;
  const order = isSorted ? (prefs.isReversed ? "descending" : "ascending") : "none";
  return html`<th scope="col" class=${`${name}-cell`} aria-sort=${order}><button onClick=${() => sortBy(name)}>${text}<span aria-hidden="true">${isSorted ? (prefs.isReversed ? " ↑" : " ↓") : ""}</span></button></th>`;
}

const sortBy = (name) => prefer(prefs.sort === name ? { isReversed: !prefs.isReversed } : { sort: name, isReversed: false });

// At phone width the table has no head.
function Order() {
  return html`<select class="order" aria-label="Order of the jobs" value=${prefs.sort} onChange=${(event) => prefer({ sort: event.target.value, isReversed: false })}>
    ${COLUMNS.filter(([key]) => key).map(([key, text]) => html`<option key=${key} value=${key}>by ${text.toLowerCase()}</option>`)}
  </select>`;
}

function Row({ job, at, isSelected, select }) {
  const seconds = secondsOf(job);
  return html`<tr data-at=${at} data-job=${job.job} aria-rowindex=${at + 2} class=${`job ${isSelected ? "selected" : ""}`} onFocusin=${() => select(at)}>
    <th scope="row" class="name-cell"><a href=${link("job", job.job)}>${job.job}</a><span class="note">${job.task}${job.labels.map((label) => html` <span key=${label} class="label">${label}</span>`)}</span></th>
    <td class="state-cell"><${State} look=${look(job)} note=${note(job)}/></td>
    <td class="time-cell"><span class=${isAlive(job) ? "" : "muted"}>${seconds === null || !job.runs ? "–" : isAlive(job) ? brief(seconds) : duration(seconds)}</span></td>
    <td class="progress-cell">${isAlive(job) && html`<${Progress} progress=${job.progress}/>`}</td>
    <td class="next-cell"><${Next} job=${job}/></td>
    <td class="runs-cell"><${LastRuns} runs=${state.runs.get(job.job)}/></td>
    <td class="restarts-cell">${job.restarts || html`<span class="muted">0</span>`}</td>
    ${state.access.may_act && html`<td class="actions-cell"><${Actions} job=${job} verbs=${tableVerbs(job)}/></td>`}
  </tr>`;
}

function tableVerbs(job) {
  const may = verbsOf(job);
  return [may.stop && isAlive(job) ? "stop" : may.start ? "start" : "stop", "restart", may.resume ? "resume" : "pause"];
}

// `words`: other words for verbs.
export function Actions({ job, verbs, isWordy = false, words = {} }) {
  if (!state.access.may_act) return null;
  const may = verbsOf(job);
  return html`<span class="buttons">${verbs.map((verb) => html`<button key=${verb} class=${`act ${verb}`} disabled=${!may[verb]} title=${`${words[verb] || verb} ${job.job}`} aria-label=${`${words[verb] || verb} ${job.job}`} onClick=${() => ask(verb, [job])}><${Icon} name=${verb}/>${isWordy && html`<span>${words[verb] || verb}</span>`}</button>`)}</span>`;
}
