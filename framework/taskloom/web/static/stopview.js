// What is shown above everything else while the program is being stopped: who is awaited, how long still, where it is.

import { html, useEffect, useRef, useState } from "./dom.js";
import { get } from "./api.js";
import { State } from "./parts.js";
import { link } from "./route.js";
import { OneStack, useStacks } from "./stack.js";
import { state } from "./store.js";
import { duration } from "./time.js";
import { isBad, look, note, outcomeLook, stoppedFor } from "./words.js";

const MOST = 20;

export function StopView() {
  const { stop } = state.program;
  if (state.report) return html`<${Report} report=${state.report}/>`;
  return stop ? html`<${Stopping} stop=${stop}/>` : null;
}

function Stopping({ stop }) {
  const jobs = stop.awaited.map((name) => state.jobs.get(name)).filter((job) => job && job.state === "stopping");
  const { stacks } = useStacks(jobs.slice(0, MOST).map((job) => job.job));
  const left = useCountdown(stop.seconds_left);
  useEffect(() => {
    const controller = new AbortController();
    get("/v1/stop", {}, controller.signal).then((report) => (state.report = report)).catch(() => {});   // it may be too late for a report
    return () => controller.abort();
  }, []);
  return html`<section class="stopping card" aria-label="Stop of the program">
    <h2><span aria-hidden="true">◐</span> The program is being stopped</h2>
    <p>${stop.reason}. ${jobs.length ? `${jobs.length} of ${state.jobs.size} jobs awaited` : "No job is awaited"}${left === null ? "." : html`, for <b>${duration(left)}</b> at most.`}</p>
    <div class="scroll" tabindex="0" role="region" aria-label="Awaited jobs"><table class="awaited"><tbody>${jobs.slice(0, MOST).map((job) => html`<${Awaited} key=${job.job} job=${job} stack=${stacks?.find((each) => each.job === job.job)}/>`)}</tbody></table></div>
    ${jobs.length > MOST && html`<p class="muted">and ${jobs.length - MOST} more</p>`}
  </section>`;
}

function Awaited({ job, stack }) {
  const since = stoppedFor(job);
  const part = job.within && since !== null ? Math.min(100, (100 * since) / job.within) : null;
  return html`<tr><th scope="row"><a href=${link("job", job.job, "stack")}>${job.job}</a></th>
    <td><${State} look=${look(job)} note=${note(job)}/>${part !== null && html`<span class="track"><span class=${part >= 100 ? "done over" : "done"} style=${{ width: `${part}%` }}></span></span>`}</td>
    <td>${stack ? html`<details><summary><code>${stack.where || "an unknown place"}</code></summary><${OneStack} stack=${stack}/></details>` : html`<span class="muted">…</span>`}</td></tr>`;
}

// The seconds that are left, counted down from the last answer.
function useCountdown(seconds) {
  const taken = useRef({ seconds: undefined, at: 0 });
  if (taken.current.seconds !== seconds) taken.current = { seconds, at: performance.now() };
  return seconds === null ? null : Math.max(0, seconds - (performance.now() - taken.current.at) / 1000);
}

const rank = (job) => (job.state === "stopping" ? 0 : isBad(job.outcome) ? 1 : 2);
const worstFirst = (jobs) => jobs.toSorted((a, b) => rank(a) - rank(b));

function Report({ report }) {
  const [isOpen, setOpen] = useState(true);
  if (!isOpen) return null;
  return html`<section class="stopping card" aria-label="Report of the stop">
    <h2>The program has stopped</h2>
    <p>${report.reason?.text || report.reason?.kind}. It took ${duration(report.seconds)}; the exit code is ${report.exit_code}.</p>
    ${report.survivors.length > 0 && html`<p class="refusal">Still executing at the end: ${report.survivors.map((each) => each.job).join(", ")}</p>`}
    <div class="scroll" tabindex="0" role="region" aria-label="Jobs at the end"><table class="awaited"><tbody>${worstFirst(report.jobs).map((job) => html`<tr key=${job.job}><th scope="row">${job.job}</th><td><${State} look=${job.outcome ? outcomeLook(job.outcome) : job.state === "stopping" ? { symbol: "■", word: "still executing", kind: "bad" } : { symbol: "–", word: job.state, kind: "calm" }} note=${job.error || ""}/></td><td>${job.outcome || job.state === "stopping" ? duration(job.seconds) : "–"}</td></tr>`)}</tbody></table></div>
    <p class="choice"><button onClick=${() => setOpen(false)}>Close</button></p>
  </section>`;
}
