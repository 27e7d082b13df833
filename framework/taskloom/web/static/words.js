// The look of each state and outcome: a symbol, a word and a class. Never a colour alone.

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
  if (job.state === "finished" && job.outcome) {
    const [symbol, kind] = OUTCOMES[job.outcome] || ["?", "bad"];
    return { symbol, word: job.outcome.replace("_", " "), kind };
  }
  const [symbol, kind] = STATES[job.state] || ["?", "bad"];
  let word = job.state;
  if (job.state === "waiting") word = job.waits_for ? `waiting: ${job.waits_for}` : `waiting for ${job.waiting_for}`;
  if (job.paused) word = "paused";
  return { symbol, word, kind: job.failed ? "bad" : kind };
}

export function outcomeLook(outcome) {
  const [symbol, kind] = OUTCOMES[outcome] || ["●", "good"];
  return { symbol, word: (outcome || "running").replace("_", " "), kind };
}

export const isAlive = (job) => job.state === "running" || job.state === "stopping";
