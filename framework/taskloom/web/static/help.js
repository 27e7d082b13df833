// The keys, as `?` shows them.

import { html, useEffect, useRef } from "./dom.js";

export const KEYS = [
  ["?", "these keys"], ["/", "filter the jobs, or search in the log"], ["1 2 3 4", "jobs, timeline, tasks, program"],
  ["↑ ↓  or  k j", "the job above, below"], ["Enter", "the page of the job"],
  ["s", "start a run of the job"], ["x", "stop the job"], ["r", "restart the job"], ["p", "pause or resume its schedule"],
  ["l h t d", "on its page: log, history, stack, declaration"], ["End", "the end of the log"], ["← →", "in a lane of the timeline: the runs"],
  ["m", "light, dark, or as the system"], ["Esc", "back to all jobs; closes a question"],
];

export function Help({ close }) {
  const box = useRef(null);
  useEffect(() => box.current.showModal(), []);
  return html`<dialog ref=${box} class="help" aria-labelledby="help" onClose=${close}>
    <h2 id="help">Keys</h2>
    <dl>${KEYS.map(([keys, meaning]) => html`<div key=${keys}><dt>${keys.split(" ").filter(Boolean).map((key) => (key === "or" ? " or " : html`<kbd>${key}</kbd>`))}</dt><dd>${meaning}</dd></div>`)}</dl>
    <p class="muted">Nothing is started or stopped before a question is answered.</p>
    <p class="choice"><button autofocus onClick=${() => box.current.close()}>Close</button></p>
  </dialog>`;
}
