// The geometry of the timeline. Pure.

import { isBad } from "./words.js";

const MINUTE = 60000, HOUR = 60 * MINUTE, DAY = 24 * HOUR;
export const SPANS = {
  hour: { past: HOUR, future: 15 * MINUTE, steps: [5 * MINUTE, 15 * MINUTE, 30 * MINUTE] },
  day: { past: DAY, future: 5 * HOUR, steps: [3 * HOUR, 6 * HOUR, 12 * HOUR] },
  week: { past: 7 * DAY, future: 2 * DAY, steps: [DAY, 2 * DAY, 4 * DAY] },
};
const NARROWEST = 3, CLOSE = 1, LEAST_MARK = 8;

const times = new WeakMap();

function timesOf(run) {
  let found = times.get(run);
  if (!found) {
    const from = Date.parse(run.started || run.queued);
    found = { from, to: run.ended ? Date.parse(run.ended) : null, due: run.due ? Date.parse(run.due) : from };
    times.set(run, found);
  }
  return found;
}

// The bars of a lane. Runs that are closer than a pixel are one bar, which leads to the last of them.
export function blocks(runs, place) {
  const found = [];
  for (const run of runs) {
    const { from, to, due } = timesOf(run);
    const end = to ?? place.begin + place.width / place.scale;
    const isAlive = to === null;
    const x = Math.max(0, place.x(from)), stop = isAlive ? Math.min(place.width, place.x(place.now)) : Math.min(place.width, place.x(end));
    if (stop < 0 || x > place.width) continue;
    const width = Math.max(NARROWEST, stop - x);
    const failed = isBad(run.outcome) ? 1 : 0;
    const kind = isAlive ? "alive" : failed ? "bad" : run.outcome === "succeeded" ? "good" : "calm";
    const last = found.at(-1);
    if (last && !isAlive && last.kind !== "alive" && x - (last.x + last.width) < CLOSE && (last.count > 1 || width <= 2 * NARROWEST)) {
      merge(last, run, x + width, failed, kind);
      continue;
    }
    const late = Math.max(0, (from - due) / 1000);
    found.push({ key: `${run.start || ""} ${run.run}`, run, x, width, kind, failed, late, count: run.folded || 1, lateWidth: Math.min(x, late * 1000 * place.scale) });
  }
  return found;
}

function merge(bar, run, end, failed, kind) {
  bar.run = run;
  bar.width = Math.max(bar.width, end - bar.x);
  bar.count += run.folded || 1;
  bar.failed += failed;
  if (failed || bar.kind !== "bad" && kind === "calm") bar.kind = kind;
}

// The planned firings of a lane, as many as have room.
export function marksOf(job, firings, place) {
  const instants = (firings || []).map((firing) => [Date.parse(firing.at), firing.paused]);
  if (job.next_firing) instants.unshift([Date.parse(job.next_firing), job.paused]);
  const found = [];
  for (const [at, isPaused] of instants) {
    const x = place.x(at);
    if (at < place.now || x > place.width - 5 || (found.length && x - found.at(-1).x < LEAST_MARK)) continue;
    found.push({ x, at, isPaused });
  }
  return found;
}

// The instants of the axis: round ones of the local time, as many as have room.
export function ticks(span, begin, most) {
  const end = begin + span.past + span.future;
  const step = span.steps.find((each) => (end - begin) / each <= most) || span.steps.at(-1);
  const shift = new Date(begin).getTimezoneOffset() * MINUTE;
  const found = [];
  for (let at = Math.ceil((begin - shift) / step) * step + shift; at < end; at += step) found.push({ at, text: textOf(at, step) });
  return found;
}

function textOf(at, step) {
  const date = new Date(at);
  if (step >= DAY) return date.toLocaleDateString("en", { weekday: "short", day: "numeric" });
  return `${String(date.getHours()).padStart(2, "0")}:${String(date.getMinutes()).padStart(2, "0")}`;
}
