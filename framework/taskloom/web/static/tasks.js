// The installed tasks, and the parameters of one, as its schema has them.

import { html } from "./dom.js";
import { useAnswer } from "./jobpage.js";
import { link } from "./route.js";
import { state } from "./store.js";

const taskPath = (name) => `/v1/tasks/${encodeURIComponent(name)}`;

export function Tasks({ name }) {
  const tasks = useAnswer("/v1/tasks", [state.program.start]);
  return html`<section class="tasks" aria-label="Tasks">
    <h2>Tasks</h2>
    ${!tasks && html`<p class="muted">Reading the tasks…</p>`}
    ${tasks?.error && html`<p class="refusal" role="alert">${tasks.error}</p>`}
    ${Array.isArray(tasks) && html`<div class="split">
      <ul class="list">${tasks.map((task) => html`<li key=${task.name}><a href=${link("tasks", task.name)} aria-current=${task.name === name ? "page" : null}><b>${task.name}</b><span class="note">${task.error ? `broken: ${task.error}` : task.summary}</span></a></li>`)}</ul>
      <div>${name ? html`<${Task} key=${name} name=${name}/>` : html`<p class="empty">Choose a task to see its parameters.</p>`}</div>
    </div>`}
  </section>`;
}

// The lines of a docstring end where the source does; only blank lines and indented ones mean something.
const unwrapped = (text) => text.replace(/([^\n])\n(?=[^\s*-])/g, "$1 ");

function Task({ name }) {
  const task = useAnswer(taskPath(name), [name]);
  if (!task) return html`<p class="muted">Reading the task…</p>`;
  if (task.error) return html`<pre class="refusal" role="alert">${task.error}</pre>`;
  const users = [...state.jobs.values()].filter((job) => job.task === name).map((job) => job.job);
  return html`<article class="card task">
    <h3>${task.name}</h3>
    <p class="doc">${unwrapped(task.doc)}</p>
    <p class="note">${task.distribution} ${task.version} · <code>${task.target}</code>${task.is_program ? " · a program" : ""}${task.announces_ready ? " · announces that it is ready" : ""}</p>
    ${users.length > 0 && html`<p>Jobs: ${users.slice(0, 30).map((job) => html`<a key=${job} href=${link("job", job)}>${job}</a> `)}${users.length > 30 ? "…" : ""}</p>`}
    <h4>Parameters</h4>
    <div class="scroll" tabindex="0" role="region" aria-label="Parameters"><table class="params"><thead><tr><th scope="col">Name</th><th scope="col">Type</th><th scope="col">Default</th><th scope="col">Meaning</th></tr></thead>
      <tbody>${task.params.map((param) => html`<tr key=${param.name}><th scope="row"><code>${param.name}</code></th><td>${param.type}</td><td>${param.required ? html`<b>required</b>` : html`<code>${JSON.stringify(param.default)}</code>`}</td><td>${param.description}${param.examples?.length > 0 && html`<span class="note">such as ${param.examples.map((each) => JSON.stringify(each)).join(", ")}</span>`}</td></tr>`)}</tbody></table></div>
    <details><summary>JSON schema</summary><pre tabindex="0" aria-label="JSON schema">${JSON.stringify(task.schema, null, 2)}</pre></details>
  </article>`;
}
