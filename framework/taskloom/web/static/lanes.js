// The geometry of the timeline. Pure.

import { isBad } from "./words.js";

const MINUTE = 60000, HOUR = 60 * MINUTE, DAY = 24 * HOUR;
export const SPANS = {
  "10 min": { past: 10 * MINUTE, future: 3 * MINUTE, steps: [MINUTE, 2 * MINUTE, 5 * MINUTE] },
  hour: { past: HOUR, future: 15 * MINUTE, steps: [5 * MINUTE, 15 * MINUTE, 30 * MINUTE] },
  day: { past: DAY, future: 5 * HOUR, steps: [3 * HOUR, 6 * HOUR, 12 * HOUR] },
  week: { past: 7 * DAY, future: 2 * DAY, steps: [DAY, 2 * DAY, 4 * DAY] },
};
export const NARROWEST = 3;   // pixels of a bar
const CLOSE = 1, WIDEST = 14 * NARROWEST, LEAST_MARK = 8;

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

// The bars of a lane, and what each leads to: the last of its runs. Runs in the narrowest bar are one, and have the worst
// of their outcomes. Only runs of one kind make a bar wider than that, as long as it is easy to see what it stands for.
// The history folds by the same rules before it answers.
export function blocks(runs, place) {
  const found = [];
  for (const run of runs) {
    const { from, to, due } = timesOf(run);
    const isAlive = to === null;
    const x = Math.max(0, place.x(from)), stop = Math.min(place.width, place.x(isAlive ? place.now : to));
    if (stop < 0 || x > place.width) continue;
    const width = Math.max(NARROWEST, stop - x), count = run.folded || 1;
    const failed = run.failed ?? (isBad(run.outcome) ? count : 0);
    const kind = isAlive ? "alive" : failed ? "bad" : run.outcome === "succeeded" ? "good" : "calm";
    const last = found.at(-1);
    if (last && !isAlive && last.kind !== "alive" && isTogether(last, x, stop, kind, count)) {
      merge(last, run, stop, failed, kind, count);
      continue;
    }
    const late = Math.max(0, (from - due) / 1000);
    found.push({ key: `${run.start || ""} ${run.run}`, run, first: run, x, width, kind, failed, late, count, lateWidth: Math.min(x, late * 1000 * place.scale) });
  }
  return found;
}

function isTogether(last, x, stop, kind, count) {
  if (Math.max(stop, last.x + last.width) - last.x <= NARROWEST) return true;
  const isNarrow = count > 1 || stop - x <= NARROWEST;
  return isNarrow && last.kind === kind && x - (last.x + last.width) < CLOSE && stop - last.x <= WIDEST;
}

function merge(bar, run, stop, failed, kind, count) {
  bar.run = run;
  bar.width = Math.max(bar.width, stop - bar.x);
  bar.count += count;
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
