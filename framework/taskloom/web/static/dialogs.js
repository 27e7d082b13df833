// The question before each action, and the words about what came of it.

import { html, useEffect, useRef, useState } from "./dom.js";
import { jobPath, post } from "./api.js";
import { askToken, changed, refresh } from "./store.js";
import { duration } from "./time.js";

const TOAST_MS = 6000;
const view = { question: null, toasts: [], count: 0 };

export function tell(text, kind = "good") {
  const toast = { text, kind, id: ++view.count };
  view.toasts.push(toast);
  setTimeout(() => {
    view.toasts = view.toasts.filter((each) => each !== toast);
    changed();
  }, kind === "bad" ? 2 * TOAST_MS : TOAST_MS);
  changed(true);
}

const EFFECTS = {
  start: (job) => (job.next_firing ? "An extra run starts now. The schedule does not change." : "A run starts now."),
  stop: (job) => `The run is asked to end, ${job.within === null ? "without a limit" : `and may take ${duration(job.within)}`}. No other run starts, until the job is started or resumed.`,
  restart: () => "The run is stopped. Another one starts as soon as it has ended.",
  pause: () => "The firings of the schedule are missed, until the job is resumed. A run that goes on is not disturbed.",
  resume: () => "The schedule is armed again. No run starts because of it.",
  reset: () => "The failures of the job are forgotten: its restart delay, the restarts that count, and that it gave up.",
  signal: () => "The signal is sent to the main process of the run.",
};

// Ask whether to do `verb` to these jobs, and do it.
export function ask(verb, jobs) {
  if (!jobs.length) return;
  const [job] = jobs;
  const what = jobs.length === 1 ? job.job : `${jobs.length} jobs`;
  question({
    title: `${verb[0].toUpperCase()}${verb.slice(1)} ${what}?`, verb, danger: verb === "stop" || verb === "restart",
    text: EFFECTS[verb](job), names: jobs.length > 1 ? jobs.map((each) => each.job) : [],
    fields: fieldsOf(verb, job),
    act: (values) => actOnAll(verb, jobs, values),
  });
}

export function question(asked) {
  view.question = asked;
  changed(true);
}

const REASON = { name: "text", label: "Reason", hint: "for the log and the history; may be empty" };

function fieldsOf(verb, job) {
  if (verb === "signal") return [{ name: "signal", label: "Signal", hint: "such as HUP or USR1", value: "HUP" }, REASON];
  const isBlocked = job.waiting_for === "dependency" && (verb === "start" || verb === "restart");
  return isBlocked ? [{ name: "now", label: `Now, although it waits for ${job.waits_for}`, isFlag: true }, REASON] : [REASON];
}

async function actOnAll(verb, jobs, values) {
  const body = Object.fromEntries(Object.entries(values).filter(([, value]) => value));
  const refusals = [];
  for (const job of jobs) {
    try {
      await post(jobPath(job.job, verb), body);
    } catch (error) {
      if (error.status === 401 || jobs.length === 1) throw error;
      refusals.push(`${job.job}: ${error.message}`);
    }
    refresh(job.job);
  }
  const done = jobs.length - refusals.length;
  if (done) tell(`${verb}: requested for ${done === 1 && jobs.length === 1 ? jobs[0].job : `${done} jobs`}`);
  if (refusals.length) tell(refusals.join("\n"), "bad");
}

export function Dialogs() {
  return html`${view.question && html`<${Question} key=${view.question.title} asked=${view.question}/>`}
    <div class="toasts" role="status" aria-live="polite">${view.toasts.map((toast) => html`<div key=${toast.id} class=${`toast ${toast.kind}`}>${toast.text}</div>`)}</div>`;
}

function Question({ asked }) {
  const box = useRef(null), [error, setError] = useState(""), [isBusy, setBusy] = useState(false);
  useEffect(() => {
    const before = document.activeElement;
    box.current.showModal();
    return () => before?.isConnected && before.focus();
  }, []);
  const close = () => {
    view.question = null;
    changed(true);
  };
  const act = async (event) => {
    event.preventDefault();
    if (isBusy) return;
    const inputs = [...box.current.querySelectorAll("[name]")];
    setBusy(true);
    try {
      await asked.act(Object.fromEntries(inputs.map((input) => [input.name, input.type === "checkbox" ? input.checked : input.value.trim()])));
      close();
    } catch (failure) {
      setBusy(false);
      if (failure.status === 401) close(), askToken(failure.message);
      else setError(failure.message);
    }
  };
  return html`<dialog ref=${box} class="question" aria-labelledby="question" onClose=${close}>
    <form onSubmit=${act}>
      <h2 id="question">${asked.title}</h2>
      <p>${asked.text}</p>
      ${asked.names?.length > 0 && html`<p class="names">${asked.names.slice(0, 40).join(", ")}${asked.names.length > 40 ? " …" : ""}</p>`}
      ${asked.extra}
      ${(asked.fields || []).map((field) => html`<${Field} key=${field.name} field=${field}/>`)}
      ${error && html`<p class="refusal" role="alert">${error}</p>`}
      <p class="choice"><button type="button" onClick=${close}>Cancel</button><button type="submit" class=${asked.danger ? "danger" : "primary"} disabled=${isBusy} autofocus>${isBusy ? "…" : asked.button || asked.verb}</button></p>
    </form>
  </dialog>`;
}

function Field({ field }) {
  if (field.isFlag) return html`<label class="flag"><input type="checkbox" name=${field.name}/> ${field.label}</label>`;
  return html`<label class="field"><span>${field.label} <small>${field.hint}</small></span><input name=${field.name} value=${field.value || ""} maxlength="200" autocomplete="off"/></label>`;
}
