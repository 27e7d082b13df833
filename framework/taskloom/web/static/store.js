// All that the page knows of the program: its jobs, its last runs, its coming firings. Filled from the API, kept up to
// date by the stream of events. The page is drawn again a few times a second at most, however many events there are.

import { ApiError, follow, forgetToken, get } from "./api.js";

const DRAW_MS = 100;
const REFRESH_MS = 400;     // between two requests for the jobs that events have named, at least
const RETRY_MS = 2000;
const PROGRAM_MS = 5000;    // the program and its next firings, which no event announces
const STOP_MS = 1000;
const RUNS_OF_JOB = 60;
const MOST_NAMES = 40;      // above that all jobs are asked for: the address would be too long
const CLOCK_MS = 2000;      // a clock that is less wrong is not corrected

export const state = {
  access: null, program: null, jobs: new Map(), runs: new Map(), firings: [], recent: [], connection: "connecting",
  notice: "", needsToken: false, error: "", events: 0, seq: 0, lost: 0, offset: 0, stops: new Map(), report: null,
};

const listeners = new Set();
let isPlanned = false;

export function subscribe(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

// Have the page drawn soon. `isNow`: for what the user has done.
export function changed(isNow = false) {
  if (isNow) return tell();
  if (isPlanned) return;
  isPlanned = true;
  setTimeout(() => requestAnimationFrame(tell), DRAW_MS);
}

function tell() {
  isPlanned = false;
  for (const listener of listeners) listener();
}

// The clock of the program, in milliseconds; that of this machine may be wrong.
export const now = () => Date.now() + state.offset;

let abort = new AbortController();
const dirty = new Set();
let isRefreshing = false;

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
    if (signal.aborted) return;
    if (error instanceof ApiError && error.status === 401) return askToken(error.message);
    Object.assign(state, { error: error.message, connection: "closed" });
    changed();
    setTimeout(() => signal.aborted || connect(), RETRY_MS);
    return;
  }
  const on = { event: takeEvent, state: takeState, failed: takeRefusal };
  follow("/v1/events", { since: `${state.program.start}.${state.seq}` }, on, signal);
  keepAsking(signal);
}

export function askToken(message) {
  abort.abort();
  forgetToken();
  Object.assign(state, { needsToken: true, error: message, connection: "closed" });
  changed();
}

function takeRefusal(error) {
  if (error.status === 401) askToken(error.message);
  else connect();
}

// The place in the events is read first: what happens meanwhile comes again, as an event.
async function load(signal) {
  const { seq, events } = await get("/v1/events", { count: 200 }, signal);
  const [program, jobs, runs] = await Promise.all([
    get("/v1/program", {}, signal), get("/v1/jobs", {}, signal), get("/v1/runs", { count: 5000 }, signal),
  ]);
  Object.assign(state, { seq, runs: new Map(), stops: new Map(), recent: events, report: null });
  takeProgram(program);
  takeJobs(jobs.jobs);
  for (const run of runs.runs) addRun(run);
  for (const event of events) noteStop(event);
  await loadFirings(signal);
  changed();
}

function takeProgram(program) {
  state.program = program;
  const off = Date.parse(program.now) - Date.now();
  state.offset = Math.abs(off) > CLOCK_MS ? off : 0;
}

// A status is a photograph: its seconds go on counting here.
function takeJobs(jobs) {
  const receivedAt = performance.now();
  state.jobs = new Map(jobs.map((job) => [job.job, { ...job, receivedAt }]));
}

async function loadFirings(signal) {
  state.firings = (await get("/v1/next", { count: 1000 }, signal)).firings;
}

export const age = (job) => (performance.now() - job.receivedAt) / 1000;
export const secondsOf = (job) => (job.seconds === null ? null : job.seconds + (isAlive(job) ? age(job) : 0));
export const dueIn = (job) => (job.due_in === null ? null : Math.max(0, job.due_in - age(job)));
export const isAlive = (job) => job.state === "running" || job.state === "stopping";

function addRun(run) {
  const known = state.runs.get(run.job) || [];
  const at = known.findLastIndex((each) => each.run === run.run);
  if (at >= 0) known[at] = { ...known[at], ...run };
  else known.push(run);
  if (known.length > RUNS_OF_JOB) known.shift();
  state.runs.set(run.job, known);
}

function takeState(text) {
  if (state.connection === "closed" && text === "open") refresh("*");
  if (state.connection !== "ended" || text === "open") state.connection = text;
  changed();
}

function takeEvent(name, data) {
  if (name === "gap") return takeGap(data);
  if (name === "end") {
    Object.assign(state, { connection: "ended", notice: "The program has ended. The page waits for its next start." });
    return changed();
  }
  state.events++;
  if (data.seq > state.seq + 1) state.lost += data.seq - state.seq - 1;
  state.seq = data.seq;
  state.recent.push(data);
  if (state.recent.length > 200) state.recent.shift();
  noteStop(data);
  noteRun(name, data);
  const isOfAll = /^(job_added|job_removed|reloaded|scheduler_.*)$/.test(name);
  refresh(isOfAll ? "*" : data.job);
  changed();
}

function takeGap({ why }) {
  if (why === "restart") {
    state.notice = "The program was restarted.";
    connect();
  } else {
    connect();  // what is missing may be the end of a run
  }
}

function noteRun(name, data) {
  const { job, run, at } = data;
  if (name === "queued") {
    const due = data.instant || null;
    addRun({ job, run, attempt: data.attempt, queued: at, due, started: null, ended: null, outcome: null, seconds: null });
  } else if (name === "started") {
    addRun({ job, run, started: at });
  } else if (name === "placed") {
    addRun({ job, run, whereabouts: { host: data.host, worker: data.worker, pid: data.pid } });
  } else if (name === "ended") {
    const error = data.error ? data.error.message : null;
    const reason = data.reason ? data.reason.text : null;
    addRun({ job, run, ended: at, outcome: data.outcome, seconds: data.seconds ?? null, error, reason });
  }
}

// When each run was requested to stop, for the time that is left of its stop.
function noteStop(data) {
  if (data.event === "cancel_requested") state.stops.set(data.job, data);
  else if (data.event === "ended") state.stops.delete(data.job);
}

// Ask again for the jobs that events have named, all of them at once and not more often than the program bears.
export function refresh(name) {
  if (name) dirty.add(name);
  if (isRefreshing || !dirty.size) return;
  isRefreshing = true;
  setTimeout(ask, REFRESH_MS);
}

async function ask() {
  const names = [...dirty], { signal } = abort;
  const isWhole = names.includes("*") || names.length > MOST_NAMES;
  const begun = performance.now();
  dirty.clear();
  try {
    const { jobs } = await get("/v1/jobs", isWhole ? {} : { job: names }, signal);
    if (isWhole) takeJobs(jobs);
    else for (const job of jobs) state.jobs.set(job.job, { ...job, receivedAt: performance.now() });
    if (names.includes("*")) takeProgram(await get("/v1/program", {}, signal));
  } catch (error) {
    if (error.status === 401) askToken(error.message);
    else dirty.add("*");    // a reload has removed a job, or the program was busy
  }
  changed();
  const wait = dirty.has("*") ? RETRY_MS : Math.min(RETRY_MS, performance.now() - begun);
  setTimeout(() => {
    isRefreshing = false;
    if (state.connection === "open") refresh();
  }, wait);
}

async function keepAsking(signal) {
  while (!signal.aborted) {
    await new Promise((done) => setTimeout(done, state.program.stop ? STOP_MS : PROGRAM_MS));
    if (signal.aborted || state.connection !== "open" || document.hidden) continue;
    try {
      takeProgram(await get("/v1/program", {}, signal));
      await loadFirings(signal);
      for (const job of state.jobs.values()) if (isAlive(job) && (job.progress || job.process)) refresh(job.job);
    } catch { /* the stream tells that the program has gone */ }
    changed();
  }
}
