// The runs of a job: a chart of their durations, and a table, newest first. Also those of earlier starts of the program.

import { html, useEffect, useState } from "./dom.js";
import { get } from "./api.js";
import { Actions } from "./table.js";
import { Instant, State, useWidth } from "./parts.js";
import { link } from "./route.js";
import { state } from "./store.js";
import { duration, secondsBetween } from "./time.js";
import { isBad, outcomeLook } from "./words.js";

const MOST = 500, IN_CHART = 100;
const HEIGHT = 140, LEFT = 64, TOP = 10, TALL = 120, WIDEST = 18;

// A row of the history as a run of the API.
export const fromHistory = (row) => ({
  job: row.job, run: row.run, start: row.start, attempt: row.attempt, queued: row.queued_at, due: row.instant,
  started: row.started_at, ended: row.ended_at, outcome: row.outcome, seconds: row.seconds, folded: row.folded,
  whereabouts: row.host && { host: row.host, worker: row.worker, pid: row.pid },
  error: row.error && (row.error.message || row.error), reason: row.reason && (row.reason.text || row.reason),
});

// Runs of two sources, each once; the later source counts more. The oldest first.
export function united(older, newer) {
  const found = new Map();
  for (const run of [...older, ...newer]) found.set(`${startOf(run)} ${run.run}`, run);
  return [...found.values()].sort((a, b) => (a.queued < b.queued ? -1 : 1));
}

const startOf = (run) => run.start || state.program.start;
// The place of a run elsewhere, in the columns of `taskloom history`, which has them only if some run has one.
const PLACE = { Host: (at) => at.host, Worker: (at) => at.worker, PID: (at) => at.pid };
const columns = (hasPlaces) => ["Run", "Planned for", "Began", "Took", "Late by", ...(hasPlaces ? Object.keys(PLACE) : []), "Outcome", "Attempt"];

const isSame = (run, chosen) => run.run === chosen.run && startOf(run) === startOf(chosen);
export const isEarlier = (run) => startOf(run) !== state.program.start;

// The ids of runs count again with each start.
export const runLink = (run) => link("job", run.job, "history", run.run, isEarlier(run) ? run.start : "");

export const lateness = (run) => (run.due && run.started ? Math.max(0, secondsBetween(run.due, run.started)) : null);

function usePast(job) {
  const [past, setPast] = useState({ runs: [], isAsked: false, error: "" });
  useEffect(() => {
    const controller = new AbortController();
    const load = async () => {
      const { runs } = await get("/v1/runs", { job, count: MOST }, controller.signal);
      setPast({ runs, isAsked: state.program.history.state === "off", error: "" });
      if (state.program.history.state === "off") return;
      const kept = await get("/v1/history", { job, count: MOST }, controller.signal);
      setPast({ runs: united(kept.runs.map(fromHistory), runs), isAsked: true, error: "" });
    };
    load().catch((error) => controller.signal.aborted || setPast((old) => ({ ...old, isAsked: true, error: error.message })));
    return () => controller.abort();
  }, [job, state.program.start]);
  return past;
}

export function History({ job, chosen }) {
  const past = usePast(job.job);
  const runs = united(past.runs, state.runs.get(job.job) || []);
  const shown = runs.slice(-200).reverse(), hasPlaces = shown.some((each) => each.whereabouts);
  if (!runs.length) return html`<p class="empty">${past.isAsked ? "No run yet." : "Reading the history…"}</p>`;
  return html`<div class="history">
    <${Chart} runs=${runs.slice(-IN_CHART)} chosen=${chosen}/>
    <div class="toolbar"><span class="muted">${past.error || `${runs.length} runs${past.isAsked ? "" : ", reading the history…"}`}</span><${Actions} job=${job} verbs=${["start"]} isWordy=${true} words=${{ start: "run again" }}/></div>
    <div class="scroll" tabindex="0" role="region" aria-label="Runs"><table class="runs">
      <thead><tr>${columns(hasPlaces).map((text) => html`<th key=${text} scope="col">${text}</th>`)}</tr></thead>
      <tbody>${shown.map((each) => html`<${Row} key=${`${each.start} ${each.run}`} run=${each} hasPlaces=${hasPlaces} isChosen=${isSame(each, chosen)}/>`)}</tbody>
    </table></div>
  </div>`;
}

function Row({ run, hasPlaces, isChosen }) {
  const late = lateness(run);
  return html`<tr class=${isChosen ? "chosen" : ""}>
    <th scope="row"><a href=${runLink(run)}>${run.run}</a>${isEarlier(run) && html`<span class="note">start ${run.start}</span>`}</th>
    <td><${Instant} at=${run.due}/></td>
    <td><${Instant} at=${run.started || run.queued}/></td>
    <td>${run.ended ? duration(run.seconds) : "…"}</td>
    <td>${late === null ? "–" : duration(late)}</td>
    ${hasPlaces && Object.entries(PLACE).map(([name, of]) => html`<td key=${name}>${(run.whereabouts && of(run.whereabouts)) || "–"}</td>`)}
    <td><${State} look=${outcomeLook(run.outcome)} note=${[run.error || run.reason, run.folded > 1 ? `${run.folded} runs in one row` : ""].filter(Boolean).join(" · ")}/></td>
    <td>${run.attempt}</td></tr>`;
}

// The axis ends at a round number.
function roundUp(seconds) {
  const steps = [0.001, 0.01, 0.1, 1, 5, 10, 30, 60, 300, 600, 1800, 3600, 6 * 3600, 86400];
  const step = steps.findLast((each) => each <= seconds) || 0.001;
  return Math.ceil(seconds / step) * step;
}

function Chart({ runs, chosen }) {
  const [width, box] = useWidth();
  const most = roundUp(Math.max(...runs.map((run) => run.seconds || 0), 0.001));
  const step = Math.min(WIDEST, (width - LEFT) / runs.length), bar = Math.max(1.5, step - 3);
  return html`<div ref=${box} class="chart"><svg width=${width} height=${HEIGHT} role="group" aria-label="Durations of the last runs">
    ${[0, 0.5, 1].map((part) => {
      const y = TOP + (1 - part) * TALL;
      return html`<g key=${part} class="axis"><line x1=${LEFT} x2=${width} y1=${y} y2=${y}/><text x=${LEFT - 8} y=${y + 4} text-anchor="end">${part ? duration(part * most) : "0"}</text></g>`;
    })}
    ${runs.map((run, at) => {
      const height = run.ended ? Math.max(2, ((run.seconds || 0) / most) * TALL) : TALL;
      const { kind, word } = outcomeLook(run.outcome);
      const x = LEFT + 2 + at * step;
      return html`<a key=${`${run.start} ${run.run}`} href=${runLink(run)} tabindex="-1" class=${`${run.ended ? kind : "alive"} ${isSame(run, chosen) ? "chosen" : ""}`}>
        <title>${`${run.run}: ${word}${run.ended ? ` after ${duration(run.seconds)}` : ""}`}</title>
        <rect x=${x} y=${TOP + TALL - height} width=${bar} height=${height} rx="1.5"/>
        ${isBad(run.outcome) && html`<rect x=${x} y=${TOP + TALL + 2} width=${bar} height="3"/>`}</a>`;
    })}</svg></div>`;
}
