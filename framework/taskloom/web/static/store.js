// All that the page knows of the program: its jobs, its last runs, its coming firings. Filled from the API, kept up to
// date by the stream of events. Components subscribe; changes are told once a frame at most.

import { ApiError, follow, forgetToken, get } from "./api.js";

const REFRESH_MS = 400;     // between two requests for the jobs that events have named
const PROGRAM_MS = 5000;    // the program and its next firings, which no event announces
const RUNS_OF_JOB = 60;
const MOST_NAMES = 40;      // above that all jobs are asked for: the address would be too long

export const state = {
  access: null, program: null, jobs: new Map(), runs: new Map(), firings: [], connection: "connecting",
  notice: "", needsToken: false, error: "", events: 0, seq: 0, lost: 0, offset: 0,
};

const listeners = new Set();
let framed = false;

export function subscribe(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export function changed() {
  if (framed) return;
  framed = true;
  requestAnimationFrame(() => {
    framed = false;
    for (const listener of listeners) listener();
  });
}

export const now = () => Date.now() + state.offset;

let abort = new AbortController();
const dirty = new Set();
let refreshing = 0;

export async function connect() {
  abort.abort();
  abort = new AbortController();
  const { signal } = abort;
  Object.assign(state, { needsToken: false, error: "", connection: "connecting" });
  changed();
  try {
    state.access = await get("/v1/access", {}, signal);
    await load(signal);
  } catch (error) {
    if (error.name === "AbortError") return;
    if (error instanceof ApiError && error.status === 401) return askToken(error.message);
    state.error = error.message;
    state.connection = "closed";
    changed();
    setTimeout(() => signal.aborted || connect(), 2000);
    return;
  }
  const on = { event: takeEvent, state: takeState, failed: (error) => askToken(error.message) };
  follow("/v1/events", { since: `${state.program.start}.${state.seq}` }, on, signal);
  tick(signal);
}

function askToken(message) {
  abort.abort();
  forgetToken();
  Object.assign(state, { needsToken: true, error: message, connection: "closed" });
  changed();
}

async function load(signal) {
  const [program, jobs, runs] = await Promise.all([
    get("/v1/program", {}, signal), get("/v1/jobs", {}, signal), get("/v1/runs", { count: 5000 }, signal),
  ]);
  state.program = program;
  state.seq = jobs.seq;
  state.jobs = new Map(jobs.jobs.map((job) => [job.job, received(job)]));
  state.runs = new Map();
  for (const run of runs.runs) addRun(run);
  await loadFirings(signal);
  changed();
}

async function loadFirings(signal) {
  state.firings = (await get("/v1/next", { count: 1000 }, signal)).firings;
  if (state.firings.length) {
    const [first] = state.firings;
    state.offset = Math.abs(Date.parse(first.at) - first.in * 1000 - Date.now()) > 2000
      ? Date.parse(first.at) - first.in * 1000 - Date.now() : 0;
  }
}

// A status is a photograph: its seconds go on counting here.
const received = (job) => ({ ...job, receivedAt: performance.now() });
export const secondsOf = (job) =>
  job.seconds === null ? null
    : job.state === "running" || job.state === "stopping" ? job.seconds + (performance.now() - job.receivedAt) / 1000
      : job.seconds;

function addRun(run) {
  const known = state.runs.get(run.job) || [];
  const at = known.findIndex((each) => each.run === run.run);
  if (at >= 0) known[at] = { ...known[at], ...run };
  else known.push(run);
  if (known.length > RUNS_OF_JOB) known.shift();
  state.runs.set(run.job, known);
}

function takeState(text) {
  if (state.connection === "closed" && text === "open") refresh(true);
  state.connection = text;
  changed();
}

function takeEvent(name, data) {
  if (name === "gap") {
    if (data.why === "restart") {
      state.notice = "the program was restarted";
      connect();
    } else {
      state.lost++;
      refresh(true);
    }
    return;
  }
  if (name === "end") {
    state.notice = "the program has ended";
    state.connection = "ended";
    changed();
    return;
  }
  state.events++;
  state.seq = data.seq;
  if (data.job) dirty.add(data.job);
  if (name === "queued") {
    addRun({ job: data.job, run: data.run, attempt: data.attempt, queued: data.at, due: data.instant || null, ended: null, outcome: null });
  } else if (name === "started") {
    addRun({ job: data.job, run: data.run, started: data.at });
  } else if (name === "ended") {
    addRun({ job: data.job, run: data.run, ended: data.at, outcome: data.outcome, seconds: data.seconds ?? null, error: data.error ? data.error.message : null });
  } else if (name === "job_added" || name === "job_removed" || name === "reloaded") {
    return refresh(true);
  }
  refresh(name.startsWith("scheduler_"));
  changed();
}

// Ask again for the jobs that events have named, all of them at once and not more often than needed.
export function refresh(isAll = false) {
  if (isAll) dirty.add("*");
  if (refreshing) return;
  refreshing = setTimeout(async () => {
    const names = [...dirty];
    dirty.clear();
    const isWhole = names.includes("*") || names.length > MOST_NAMES;
    try {
      const jobs = (await get("/v1/jobs", isWhole ? {} : { job: names }, abort.signal)).jobs;
      if (isWhole) state.jobs = new Map(jobs.map((job) => [job.job, received(job)]));
      else for (const job of jobs) state.jobs.set(job.job, received(job));
      if (names.includes("*")) state.program = await get("/v1/program", {}, abort.signal);
    } catch (error) {
      if (error.status === 404) dirty.add("*");   // a reload has removed a job
    }
    refreshing = 0;
    changed();
    if (dirty.size) refresh();
  }, REFRESH_MS);
}

async function tick(signal) {
  while (!signal.aborted) {
    await new Promise((done) => setTimeout(done, state.program && state.program.stop ? 1000 : PROGRAM_MS));
    if (signal.aborted) return;
    if (state.connection !== "open" || document.hidden) continue;
    try {
      state.program = await get("/v1/program", {}, signal);
      await loadFirings(signal);
      for (const job of state.jobs.values()) if (job.progress || job.state === "stopping") dirty.add(job.job);
      if (dirty.size) refresh();
    } catch { /* the stream says when the program has gone */ }
    changed();
  }
}
