// The live stack of a run: asked for once a second while it is seen. Frames of tasks are marked.

import { html, useEffect, useState } from "./dom.js";
import { get } from "./api.js";
import { duration } from "./time.js";

const EVERY_MS = 1000;
const FRAME = /^ {2}File "/;
// As `taskloom stack`: the standard library and Taskloom itself.
const FOREIGN = /File "(<frozen |[^"]*\/lib(64)?\/python3[^/"]*\/(?!(site|dist)-packages\/)|[^"]*\/((site|dist)-packages|framework)\/taskloom\/)/;

// The stacks of some jobs, as long as the component is shown.
export function useStacks(jobs) {
  const [found, setFound] = useState({ stacks: null, error: "" });
  const key = jobs.join("\n");
  useEffect(() => {
    const controller = new AbortController();
    watch(jobs, setFound, controller.signal);
    return () => controller.abort();
  }, [key]);
  return found;
}

async function watch(jobs, setFound, signal) {
  while (!signal.aborted && jobs.length) {
    if (!document.hidden) {
      try {
        const { stacks } = await get("/v1/stacks", { job: jobs.length > 40 ? [] : jobs }, signal);
        if (!signal.aborted) setFound({ stacks, error: "" });
      } catch (error) {
        if (signal.aborted) return;
        setFound((old) => ({ ...old, error: error.message }));
      }
    }
    await new Promise((done) => setTimeout(done, EVERY_MS));
  }
}

export function Stack({ job }) {
  const { stacks, error } = useStacks([job]);
  if (error) return html`<p class="refusal" role="alert">${error}</p>`;
  if (stacks === null) return html`<p class="muted">Reading the stack…</p>`;
  if (!stacks.length) return html`<p class="empty">No run of this job is executing.</p>`;
  return stacks.map((stack) => html`<${OneStack} key=${stack.run} stack=${stack}/>`);
}

export function OneStack({ stack }) {
  const place = stack.host ? ` · worker ${stack.worker} on ${stack.host}` : "";
  return html`<div class="stack">
    <p><b>${stack.run}</b> at <code>${stack.where || "an unknown place"}</code>
      ${stack.poll_age !== null && html` · last poll ${duration(stack.poll_age)} ago`}${stack.pid && ` · process ${stack.pid}`}${place}</p>
    <pre tabindex="0" aria-label=${`Stack of ${stack.run}`}>${marked(stack.text).map(([isOwn, line], at) => html`<span key=${at} class=${isOwn ? "own" : ""}>${line}${"\n"}</span>`)}</pre>
  </div>`;
}

function marked(text) {
  let isOwn = false;
  return text.replace(/\n$/, "").split("\n").map((line) => {
    const isFrame = FRAME.test(line);
    if (isFrame) isOwn = !FOREIGN.test(line);
    return [isOwn, `${isOwn && isFrame ? ">" : " "} ${line}`];
  });
}

