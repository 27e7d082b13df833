// The timeline: a lane a job, with its past runs and its planned firings.

import { html, useEffect, useState } from "./dom.js";
import { get } from "./api.js";
import { fromHistory, isEarlier, runLink, united } from "./history.js";
import { blocks, marksOf, SPANS, ticks } from "./lanes.js";
import { isNarrow, useRows, useWidth } from "./parts.js";
import { prefer, prefs } from "./prefs.js";
import { link } from "./route.js";
import { now, state } from "./store.js";
import { shownJobs, Toolbar } from "./table.js";
import { look, outcomeLook } from "./words.js";
import { brief, duration, fullInstant } from "./time.js";

const LANE = 34, BAR = 16, KEPT_MS = 300000, SOON_MS = 300;
const MOST_RUNS = 6000, MOST_OF_HISTORY = 3000, MOST_NAMES = 40;
const cache = new Map();

// The past of a range, from the program and from its history: the runs of each job.
function usePast(range) {
  const [past, setPast] = useState({ runs: new Map(), words: "" });
  useEffect(() => {
    const key = `${state.program.start} ${range}`, known = cache.get(key);
    if (known && Date.now() - known.at < KEPT_MS) return setPast(known.past);
    const controller = new AbortController();
    const take = (found, words) => {
      const runs = grouped(found);
      setPast({ runs, words });
      return { runs, words };
    };
    load(range, take, controller.signal)
      .then((loaded) => cache.set(key, { at: Date.now(), past: loaded }))
      .catch((error) => controller.signal.aborted || setPast((old) => ({ ...old, words: error.message })));
    return () => controller.abort();
  }, [range, state.program.start]);
  return past;
}

async function load(range, take, signal) {
  const begin = now() - SPANS[range].past;
  const since = new Date(begin).toISOString();
  const { runs, from } = await get("/v1/runs", { since, count: MOST_RUNS }, signal);
  if (Date.parse(from) <= begin || state.program.history.state === "off") {
    const isShort = Date.parse(from) > begin;
    return take(runs, isShort ? `Runs since ${fullInstant(from)}; with a history there would be earlier ones.` : "");
  }
  take(runs, "Reading the history…");
  const kept = await get("/v1/history", { since, count: MOST_OF_HISTORY }, signal);
  return take(united(kept.runs.map(fromHistory), runs), kept.older && kept.runs.length >= MOST_OF_HISTORY ? "There are more runs in the history than are shown." : "");
}

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
  const [firings, setFirings] = useState(new Map());
  const key = names.join("\n");
  useEffect(() => {
    const controller = new AbortController();
    const ask = async () => {
      const chosen = names.length > MOST_NAMES ? names.slice(0, MOST_NAMES) : names;
      const found = chosen.length ? (await get("/v1/next", { job: chosen, count: 1000 }, controller.signal)).firings : [];
      setFirings(grouped(found));
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
  const past = usePast(prefs.range);
  const firings = useFirings(shown.filter((row) => row.job && row.job.next_firing).map((row) => row.job.job), span);
  const [width, axis] = useWidth();
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
        ? html`<${Lane} key=${`${row.group} ${row.job.job}`} job=${row.job} place=${place} span=${span} past=${past.runs.get(row.job.job)} firings=${firings.get(row.job.job)}/>`
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

function Lane({ job, place, span, past, firings }) {
  const bars = blocks(united(past || [], state.runs.get(job.job) || []), place);
  const planned = marksOf(job, firings, place);
  const state_ = look(job);
  return html`<div class="lane">
    <span class="lane-name"><span class=${`symbol ${state_.kind}`} title=${state_.word} aria-hidden="true">${state_.symbol}</span><a href=${link("job", job.job)}>${job.job}</a></span>
    <div class="lane-box" role="group" aria-label=${`Runs of ${job.job}`} onKeyDown=${moveInLane}>
      <svg width=${place.width} height=${LANE}>
        <line class="ground" x1="0" x2=${place.width} y1=${LANE / 2} y2=${LANE / 2}/>
        ${ticks(span, place.begin, isNarrow() ? 4 : 9).map(({ at }) => html`<line key=${at} class="grid" x1=${place.x(at)} x2=${place.x(at)} y1="0" y2=${LANE}/>`)}
        ${bars.map((bar, at) => html`<${Bar} key=${bar.key} bar=${bar} tabindex=${at === bars.length - 1 ? 0 : -1}/>`)}
        ${planned.map(({ x, at, isPaused }) => html`<rect key=${at} class=${`planned ${isPaused ? "paused" : ""}`} x=${x} y=${(LANE - BAR) / 2} width="5" height=${BAR} rx="1.5"><title>${`${isPaused ? "paused: " : ""}planned at ${fullInstant(at)}, in ${brief((at - now()) / 1000)}`}</title></rect>`)}
        <line class="now" x1=${place.x(now())} x2=${place.x(now())} y1="0" y2=${LANE}/>
      </svg>
    </div>
  </div>`;
}

function Bar({ bar, tabindex }) {
  const { run } = bar, y = (LANE - BAR) / 2;
  const words = bar.count > 1 ? `${bar.count} runs${bar.failed ? `, ${bar.failed} failed` : ""}` : wordsOf(run, bar.late);
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

// The arrows go from run to run of a lane.
function moveInLane(event) {
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!step) return;
  const runs = [...event.currentTarget.querySelectorAll("a")];
  const next = runs[runs.indexOf(document.activeElement) + step];
  if (next) next.focus();
  event.preventDefault();
}
