// The timeline: a lane a job, with its past runs and its planned firings.

import { html, useEffect, useMemo, useState } from "./dom.js";
import { get } from "./api.js";
import { isEarlier, runLink, united } from "./history.js";
import { blocks, marksOf, NARROWEST, SPANS, ticks } from "./lanes.js";
import { isNarrow, useRows, useWidth } from "./parts.js";
import { prefer, prefs } from "./prefs.js";
import { link } from "./route.js";
import { now, state } from "./store.js";
import { shownJobs, Toolbar } from "./table.js";
import { look, outcomeLook } from "./words.js";
import { brief, duration, fullInstant, secondsBetween } from "./time.js";

const LANE = 34, BAR = 16, KEPT_MS = 300000, SOON_MS = 300;
const MOST_RUNS = 12000;     // as many as the program keeps in memory
const MOST_BLOCKS = 20000;   // with more, the history makes them coarser
const RECENT_MS = 60000;     // the history is written a little later than things happen
const FOLLOW_MS = 20000;     // the page alone keeps the last runs of a job, too few of a busy one
const RETRY_MS = 60000;
const MOST_NAMES = 40, MOST_FIRINGS = 1000;
const cache = new Map();

// The past of a range: the runs of each job. What ended before `cutoff` comes from the history, what ended later from
// the memory of the program, so that no run is there twice.
function usePast(range, width) {
  const [past, setPast] = useState({ runs: new Map(), words: "", cutoff: 0 });
  useEffect(() => {
    const controller = new AbortController(), { signal } = controller;
    keepLoading(range, width, setPast, signal);
    return () => controller.abort();
  }, [range, Math.round(width / 200), state.program.start]);
  return past;
}

async function keepLoading(range, width, show, signal) {
  const key = `${state.program.start} ${range}`;
  while (!signal.aborted) {
    let kept = cache.get(key);
    try {
      if (!kept || Date.now() - kept.at > KEPT_MS) {
        kept = await load(range, width, (found) => show(shownPast(found)), signal);
        cache.set(key, kept);
      } else if (!document.hidden) {
        await follow(kept, signal);
      }
      show(shownPast(kept));
    } catch (error) {
      if (signal.aborted) return;
      show((old) => ({ ...old, words: error.message }));   // the next time may be better
    }
    await new Promise((done) => setTimeout(done, FOLLOW_MS));
  }
}

const shownPast = ({ old, recent, words, cutoff }) => ({ runs: grouped(united(old, recent)), words, cutoff });

async function load(range, width, show, signal) {
  const { past, future } = SPANS[range], at = Date.now(), begin = now() - past;
  const latest = await get("/v1/runs", { since: new Date(now() - RECENT_MS).toISOString(), count: MOST_RUNS }, signal);
  const from = Date.parse(latest.from), hasHistory = state.program.history.state !== "off";
  if (from <= begin || !hasHistory) {
    const { runs } = await get("/v1/runs", { since: new Date(begin).toISOString(), count: MOST_RUNS }, signal);
    const words = from <= begin ? "" : `Runs that ended since ${fullInstant(latest.from)}; with a history there would be earlier ones.`;
    return { at, old: [], recent: runs, words, cutoff: Math.max(begin, from), asked: now() };
  }
  const cutoff = Math.max(from, now() - RECENT_MS);
  const found = { at, old: [], recent: latest.runs, words: "Reading the history…", cutoff, asked: now() };
  show({ ...found, cutoff: 0 });   // meanwhile, the last runs that the page has
  const every = Math.max(1, Math.round((NARROWEST * (past + future)) / width / 1000));
  const asked = { since: new Date(begin).toISOString(), until: new Date(cutoff).toISOString(), blocks: every, count: MOST_BLOCKS };
  try {
    const { blocks } = await get("/v1/history", asked, signal);
    return { ...found, old: blocks.map(fromBlock), words: "" };
  } catch (error) {
    if (signal.aborted) throw error;
    return { ...found, at: at - KEPT_MS + RETRY_MS, words: `Without the history: ${error.message}` };
  }
}

// Add what has ended since the last time.
async function follow(kept, signal) {
  const since = new Date(kept.asked - SOON_MS).toISOString(), asked = now();
  const { runs, from } = await get("/v1/runs", { since, count: MOST_RUNS }, signal);
  kept.asked = asked;
  kept.recent = united(kept.recent, runs);
  if (Date.parse(from) > Date.parse(since)) kept.words = "Some of the last runs are missing: there are more of them than the program keeps.";
}

// Runs that are close together, which the history has made one.
const fromBlock = ({ job, run, start, begin, end, due, outcome, runs, failed }) => ({
  job, run, start, queued: begin, started: begin, ended: end, due, outcome, folded: runs, failed, seconds: secondsBetween(begin, end),
});

function grouped(runs) {
  const found = new Map();
  for (const run of runs) {
    if (found.has(run.job)) found.get(run.job).push(run);
    else found.set(run.job, [run]);
  }
  return found;
}

// The coming firings of the lanes that are seen.
function useFirings(names, span) {
  const [firings, setFirings] = useState({ known: Infinity, of: new Map() });
  const key = names.join("\n");
  useEffect(() => {
    const controller = new AbortController();
    const ask = async () => {
      const chosen = names.length > MOST_NAMES ? names.slice(0, MOST_NAMES) : names;
      const found = chosen.length ? (await get("/v1/next", { job: chosen, count: MOST_FIRINGS }, controller.signal)).firings : [];
      const known = found.length < MOST_FIRINGS ? Infinity : Date.parse(found.at(-1).at);
      setFirings({ known, of: grouped(found) });
    };
    const quietly = () => ask().catch(() => {});   // the planned firings come with the next try
    const first = setTimeout(quietly, SOON_MS), timer = setInterval(quietly, Math.max(5000, span.future / 100));
    return () => (clearTimeout(first), clearInterval(timer), controller.abort());
  }, [key, span]);
  return firings;
}

export function Timeline() {
  const jobs = shownJobs(), span = SPANS[prefs.range];
  const rows = prefs.group ? inGroups(jobs) : jobs.map((job) => ({ job }));
  const [first, end, box] = useRows(rows.length, LANE);
  const shown = rows.slice(first, end);
  const firings = useFirings(shown.filter((row) => row.job && row.job.next_firing).map((row) => row.job.job), span);
  const [width, axis] = useWidth();
  const past = usePast(prefs.range, width);
  const begin = now() - span.past, scale = width / (span.past + span.future);
  const place = { begin, width, now: now(), x: (at) => (at - begin) * scale, scale };
  return html`<section class="timeline" aria-label="Timeline">
    <${Toolbar} jobs=${jobs}>
      <span class="switch" role="group" aria-label="Range">${Object.keys(SPANS).map((range) => html`<button key=${range} aria-pressed=${prefs.range === range} onClick=${() => prefer({ range })}>${range}</button>`)}</span>
      <button class="chip" aria-pressed=${prefs.group} onClick=${() => prefer({ group: !prefs.group })}>by label</button>
    <//>
    <p class="legend muted"><span class="key good"></span>succeeded <span class="key alive"></span>running <span class="key bad"></span>failed <span class="key calm"></span>cancelled <span class="key late"></span>late <span class="key planned"></span>planned ${past.words && html`<span role="status">${past.words}</span>`}</p>
    <div class="lane axis"><span class="lane-name"></span><div ref=${axis} class="lane-box"><${Axis} place=${place} span=${span}/></div></div>
    <div ref=${box} class="lanes">
      <div style=${{ height: `${first * LANE}px` }}></div>
      ${shown.map((row) => (row.job
        ? html`<${Lane} key=${`${row.group} ${row.job.job}`} job=${row.job} place=${place} span=${span} past=${past.runs.get(row.job.job)} cutoff=${past.cutoff} firings=${firings.of.get(row.job.job)} known=${firings.known}/>`
        : html`<div key=${`group ${row.group}`} class="lane group"><span class="lane-name">${row.group}</span></div>`))}
      <div style=${{ height: `${(rows.length - end) * LANE}px` }}></div>
    </div>
  </section>`;
}

// A job with two labels is in both groups.
function inGroups(jobs) {
  const groups = [...new Set(jobs.flatMap((job) => job.labels))].sort();
  const labelled = groups.flatMap((group) => [{ group }, ...jobs.filter((job) => job.labels.includes(group)).map((job) => ({ group, job }))]);
  const others = jobs.filter((job) => !job.labels.length);
  return others.length ? [...labelled, { group: "no label" }, ...others.map((job) => ({ group: "", job }))] : labelled;
}

function Axis({ place, span }) {
  return html`<svg width=${place.width} height="22" aria-hidden="true">
    ${ticks(span, place.begin, isNarrow() ? 4 : 9).filter(({ at }) => place.x(at) > 20 && Math.abs(place.x(at) - place.x(place.now)) > 34).map(({ at, text }) => html`<g key=${at}><line x1=${place.x(at)} x2=${place.x(at)} y1="16" y2="22"/><text x=${place.x(at)} y="12" text-anchor="middle">${text}</text></g>`)}
    <text class="now" x=${place.x(now())} y="12" text-anchor="middle">now</text></svg>`;
}

function Lane({ job, place, span, past, cutoff, firings, known }) {
  const last = (state.runs.get(job.job) || []).filter((run) => !run.ended || Date.parse(run.ended) >= cutoff);
  // Anew only if a run has come or gone, or the bars have moved by half a pixel.
  const newest = last.at(-1), moved = Math.floor(2 * place.now * place.scale);
  const bars = useMemo(() => {
    const found = blocks(united(past || [], last), place);
    return found.map((bar, at) => html`<${Bar} key=${bar.key} bar=${bar} tabindex=${at === found.length - 1 ? 0 : -1}/>`);
  }, [past, cutoff, last.length, newest?.run, newest?.started, newest?.ended, moved, place.width]);
  const planned = marksOf(job, firings, place);
  const further = firings?.length > 1 && known < Infinity ? place.x(known) : place.width;
  const state_ = look(job);
  return html`<div class="lane">
    <span class="lane-name"><span class=${`symbol ${state_.kind}`} title=${state_.word} aria-hidden="true">${state_.symbol}</span><a href=${link("job", job.job)}>${job.job}</a></span>
    <div class="lane-box" role="group" aria-label=${`Runs of ${job.job}`} onKeyDown=${moveInLane}>
      <svg width=${place.width} height=${LANE}>
        <line class="ground" x1="0" x2=${place.width} y1=${LANE / 2} y2=${LANE / 2}/>
        ${ticks(span, place.begin, isNarrow() ? 4 : 9).map(({ at }) => html`<line key=${at} class="grid" x1=${place.x(at)} x2=${place.x(at)} y1="0" y2=${LANE}/>`)}
        ${bars}
        ${planned.map(({ x, at, isPaused }) => html`<rect key=${at} class=${`planned ${isPaused ? "paused" : ""}`} x=${x} y=${(LANE - BAR) / 2} width="5" height=${BAR} rx="1.5"><title>${`${isPaused ? "paused: " : ""}planned at ${fullInstant(at)}, in ${brief((at - now()) / 1000)}`}</title></rect>`)}
        ${further < place.width - 5 && html`<rect class=${`planned ${job.paused ? "paused" : ""}`} x=${further + 8} y=${(LANE - BAR) / 2} width=${Math.max(1, place.width - further - 9)} height=${BAR} rx="1.5"><title>more firings are planned</title></rect>`}
        <line class="now" x1=${place.x(now())} x2=${place.x(now())} y1="0" y2=${LANE}/>
      </svg>
    </div>
  </div>`;
}

function Bar({ bar, tabindex }) {
  const { run } = bar, y = (LANE - BAR) / 2;
  const words = bar.count > 1 ? wordsOfAll(bar) : wordsOf(run, bar.late);
  return html`<a href=${runLink(run)} tabindex=${tabindex} class=${bar.kind} aria-label=${`${run.run}: ${words}`}>
    <title>${bar.count > 1 ? words : `${run.run}: ${words}${isEarlier(run) ? ", in an earlier start" : ""}`}</title>
    ${bar.lateWidth > 1 && html`<rect class="late" x=${bar.x - bar.lateWidth} y=${y + 3} width=${bar.lateWidth} height=${BAR - 6}/>`}
    <rect class="bar" x=${bar.x} y=${y} width=${bar.width} height=${BAR} rx="2"/>
    ${bar.failed > 0 && html`<rect class="fail" x=${bar.x} y=${y + BAR + 2} width=${Math.max(3, bar.width)} height="3"/>`}</a>`;
}

function wordsOf(run, late) {
  const took = run.ended ? ` after ${duration(run.seconds)}` : "";
  return `${outcomeLook(run.outcome).word}${took}, began ${fullInstant(run.started || run.queued)}${late > 1 ? `, ${duration(late)} late` : ""}`;
}

function wordsOfAll({ first, run, count, failed }) {
  const which = failed === count ? ", all failed" : failed ? `, ${failed} failed` : "";
  return `${count.toLocaleString("en")} runs${which}, ${fullInstant(first.started || first.queued)} to ${fullInstant(run.ended)}`;
}

// The arrows go from run to run of a lane.
function moveInLane(event) {
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!step) return;
  const runs = [...event.currentTarget.querySelectorAll("a")];
  const next = runs[runs.indexOf(document.activeElement) + step];
  if (next) next.focus();
  event.preventDefault();
}
