// The look of each state and outcome: a symbol, a word and a class. Never a colour alone.

import { duration } from "./time.js";
import { age, dueIn, now, state } from "./store.js";

const STATES = {
  running: ["●", "good"], stopping: ["◐", "warn"], waiting: ["○", "calm"], blocked: ["■", "bad"],
  finished: ["✓", "calm"], skipped: ["–", "calm"], disabled: ["×", "calm"],
};
const OUTCOMES = {
  succeeded: ["✓", "good"], cancelled: ["–", "calm"], failed: ["✗", "bad"], timed_out: ["✗", "bad"],
  start_failed: ["✗", "bad"], abandoned: ["■", "bad"], lost: ["?", "bad"],
};

export function look(job) {
  if (job.overdue) return { symbol: "■", word: "stuck", kind: "bad" };
  if (job.marks.includes("unresponsive")) return { symbol: "◍", word: "unresponsive", kind: "bad" };
  if (job.unreachable_since) return { symbol: "◌", word: "unreachable", kind: "bad" };
  if (job.state === "finished" && job.outcome) return outcomeLook(job.outcome);
  const [symbol, kind] = STATES[job.state] || ["?", "bad"];
  if (job.marks.includes("stopped by user")) return { symbol: "□", word: "stopped", kind: "calm" };
  if (job.paused && job.state === "waiting") return { symbol: "‖", word: "paused", kind: "warn" };
  if (job.waiting_for === "backoff") return { symbol: "↻", word: "retrying", kind: "warn" };
  return { symbol, word: job.state, kind: job.failed ? "bad" : kind };
}

export function outcomeLook(outcome) {
  if (!outcome) return { symbol: "●", word: "running", kind: "good" };
  const [symbol, kind] = OUTCOMES[outcome] || ["?", "bad"];
  return { symbol, word: outcome.replace("_", " "), kind };
}

export const isBad = (outcome) => Boolean(outcome) && outcomeLook(outcome).kind === "bad";

// The second line of a state: what the job waits for, what went wrong, who holds it.
export function note(job) {
  if (job.state === "stopping") return stopping(job);
  if (job.state === "blocked") return job.reason || "its abandoned run has not ended";
  if (job.held) return job.held;
  if (job.state === "waiting") return [waiting(job), job.failed || job.attempt > 1 ? job.error : ""].filter(Boolean).join(" · ");
  if (job.failed || job.error) return job.error || job.reason || "";
  if (job.state === "skipped") return job.reason || "";
  return job.marks.filter((mark) => mark !== "ready").join(", ");
}

function waiting(job) {
  const due = dueIn(job);
  const rest = due === null ? "" : ` in ${duration(due)}`;
  if (job.waiting_for === "backoff") return `attempt ${job.attempt + 1}${rest}`;
  if (job.waits_for) return `for ${job.waits_for}`;
  return `for ${job.waiting_for}${job.waiting_for === "next firing" ? "" : rest}`;
}

function stopping(job) {
  const since = stoppedFor(job);
  const limit = job.within === null ? "no limit" : duration(job.within);
  if (since === null) return job.within === null ? "no limit" : `may take ${limit}`;
  return `${duration(since)} of ${limit}`;
}

// Seconds since the run was requested to stop; null if that is not known.
export function stoppedFor(job) {
  if (job.stopping_for !== null && job.stopping_for !== undefined) return job.stopping_for + age(job);
  const event = state.stops.get(job.job);
  return event ? Math.max(0, (now() - Date.parse(event.at)) / 1000) : null;
}

// What may be done to a job now: nothing any more once the program is being stopped.
export function verbsOf(job) {
  if (state.program.state !== "running" || state.program.stop || state.connection === "ended") return {};
  const isAlive = job.state === "running" || job.state === "stopping";
  const hasSchedule = Boolean(job.next_firing) || job.paused || job.waiting_for === "next firing";
  const isHeld = job.marks.includes("stopped by user");
  return {
    start: !isAlive && job.state !== "disabled" && job.state !== "blocked",
    stop: job.state === "running" || job.state === "waiting" && !isHeld && job.waiting_for !== "start",
    restart: job.state === "running",
    pause: hasSchedule && !job.paused,
    resume: job.paused || isHeld,
    reset: job.failed || job.restarts > 0 || job.marks.includes("gave up") || job.waiting_for === "backoff",
    signal: Boolean(job.process) && job.state === "running",
  };
}
