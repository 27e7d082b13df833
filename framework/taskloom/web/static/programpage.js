// The program itself: how it was started, what it keeps, its last events; reload and stop.

import { html } from "./dom.js";
import { post } from "./api.js";
import { question, tell } from "./dialogs.js";
import { Instant, Relative } from "./parts.js";
import { link } from "./route.js";
import { state } from "./store.js";

export function ProgramPage() {
  const { program } = state;
  const { log, history } = program;
  const isOver = state.connection === "ended";
  const facts = [
    ["Name", program.name], ["Started", html`<${Instant} at=${program.since}/> (<${Relative} at=${program.since}/>)`],
    ["Start", program.start], ["Process", `${program.pid}, user ${program.uid}`],
    ["Version", `Taskloom ${program.version}, Python ${program.python}`], ["Job files", program.paths.join(", ") || "none"],
    ["Folder", program.cwd], ["Command", program.command.join(" ")],
    ["Log", log.problem || (log.dir ? `in ${log.dir}` : "the last lines, in memory")],
    ["History", history.state === "off" ? "off" : `${history.state}${history.reason ? `: ${history.reason}` : ""}, in ${history.url}`],
    ...program.notifications.map((each) => [each.name, each.reason || `${each.sent} sent, ${each.queued} waiting, ${each.lost} lost`]),
    ["This page", `${state.events.toLocaleString("en")} events followed, ${state.lost} missed`],
  ];
  return html`<section aria-label="Program">
    <div class="title"><h2>${program.label || program.name}</h2>${state.access.may_act && html`<span class="buttons"><button class="act" disabled=${isOver} onClick=${preview}>Reload…</button><button class="act stop" disabled=${isOver} onClick=${shutDown}>Stop the program…</button></span>`}</div>
    <dl class="program card">${facts.map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>
    <h3>Last events</h3>
    <div class="scroll events" tabindex="0" role="region" aria-label="Last events"><table><thead><tr><th scope="col">At</th><th scope="col">Event</th><th scope="col">Run or job</th><th scope="col">Words</th></tr></thead>
      <tbody>${state.recent.slice(-100).reverse().map((event) => html`<tr key=${event.seq}><td><${Instant} at=${event.at}/></td><td>${event.event.replaceAll("_", " ")}</td><td>${event.job && html`<a href=${link("job", event.job)}>${event.run || event.job}</a>`}</td><td>${wordsOf(event)}</td></tr>`)}</tbody></table></div>
  </section>`;
}

const wordsOf = (event) => [event.outcome, event.reason && (event.reason.text || event.reason.kind), event.error && event.error.message].filter(Boolean).join(": ");

async function preview() {
  try {
    const found = await post("/v1/reload", { preview: true });
    question({
      title: "Reload the job files?", verb: "reload", button: "Reload", text: found.sum,
      extra: html`<ul class="changes">${found.changes.slice(0, 50).map((change) => html`<li key=${change.job}><b>${change.job}</b>: ${change.action}${change.fields.length ? ` (${change.fields.join(", ")})` : ""}</li>`)}</ul>${found.text && html`<pre>${found.text}</pre>`}`,
      act: async () => tell(`reload: ${(await post("/v1/reload")).sum}`),
    });
  } catch (error) {
    tell(error.message, "bad");
  }
}

export function shutDown() {
  question({
    title: "Stop the program?", verb: "stop", button: "Stop the program", danger: true,
    text: "All jobs are asked to end, and the program ends. This page shows how the stop goes on.",
    fields: [{ name: "within", label: "Seconds", hint: "for the whole stop; empty for the limit of the program" }, { name: "text", label: "Reason", hint: "for the log and the history; may be empty" }],
    act: async ({ within, text }) => {
      await post("/v1/shutdown", { ...(within ? { within: Number(within) } : {}), ...(text ? { text } : {}) });
      tell("stop: requested");
    },
  });
}
