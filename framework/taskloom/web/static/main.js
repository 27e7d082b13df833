// The page: its header, the view that the address names, and the keys.

import { html, render, useLayoutEffect, useState } from "./dom.js";
import { setToken, takeToken } from "./api.js";
import { ask, Dialogs } from "./dialogs.js";
import { Header, Tabbar, VIEWS } from "./header.js";
import { Help } from "./help.js";
import { JobPage } from "./jobpage.js";
import { nextTheme, prefer, prefs, showTheme } from "./prefs.js";
import { ProgramPage } from "./programpage.js";
import { go, route } from "./route.js";
import { changed, connect, state, subscribe } from "./store.js";
import { StopView } from "./stopview.js";
import { Jobs, shownJobs } from "./table.js";
import { Tasks } from "./tasks.js";
import { Timeline } from "./timeline.js";
import { verbsOf } from "./words.js";

const TICK_MS = 1000;

function App() {
  const [, draw] = useState(0), [selected, select] = useState(-1), [isHelp, setHelp] = useState(false);
  const place = route();
  // Layout effects: those that wait for the next paint miss a key, an address or a change that comes before it.
  useLayoutEffect(() => subscribe(() => draw((count) => count + 1)), []);
  useLayoutEffect(() => {
    const timer = setInterval(() => document.hidden || changed(), TICK_MS);
    const moved = () => {
      if (location.hash.startsWith("#token=")) takeToken() && connect();
      changed(true);
      scrollTo(0, 0);
    };
    addEventListener("hashchange", moved);
    return () => (clearInterval(timer), removeEventListener("hashchange", moved));
  }, []);
  useLayoutEffect(() => {
    const pressed = (event) => react(event, { place, selected, select, setHelp });
    addEventListener("keydown", pressed);
    return () => removeEventListener("keydown", pressed);
  });
  document.title = titleOf(place);
  if (state.needsToken) return html`<${TokenForm}/>`;
  if (!state.program || !state.access) return html`<main class="alone"><h1>Taskloom</h1><p role="status">${state.error ? `${state.error}; trying again…` : "Connecting…"}</p></main>`;
  return html`<${Header} view=${place.view} help=${() => setHelp(true)}/>
    <main>
      <${StopView}/>
      <${View} place=${place} selected=${selected} select=${select}/>
    </main>
    <${Tabbar} view=${place.view}/>
    <${Dialogs}/>
    ${isHelp && html`<${Help} close=${() => setHelp(false)}/>`}`;
}

function View({ place, selected, select }) {
  if (place.view === "job") return html`<${JobPage} key=${place.name} name=${place.name} tab=${place.tab} run=${place.run} start=${place.start}/>`;
  if (place.view === "timeline") return html`<${Timeline}/>`;
  if (place.view === "tasks") return html`<${Tasks} name=${place.name}/>`;
  if (place.view === "program") return html`<${ProgramPage}/>`;
  return html`<${Jobs} selected=${selected} select=${select}/>`;
}

function titleOf(place) {
  const name = state.program ? state.program.label || state.program.name : "taskloom";
  const wrong = [...state.jobs.values()].filter((job) => job.wrong).length;
  return `${wrong ? `(${wrong}) ` : ""}${place.view === "job" ? `${place.name} · ` : ""}${name}`;
}

function TokenForm() {
  const given = (event) => {
    event.preventDefault();
    const written = event.target.elements.token.value.replace(/^.*#token=/, "");
    if (written.trim()) setToken(written), connect();
  };
  return html`<main class="alone"><h1>Taskloom</h1>
    <p>The page needs the token of the program. <code>taskloom web</code> opens it with the token; <code>taskloom web --print</code> shows the link.</p>
    ${state.error && html`<p class="refusal" role="alert">${state.error}</p>`}
    <form onSubmit=${given}><label class="field"><span>Token, or the whole link</span><input name="token" type="password" autocomplete="off" autofocus/></label><button class="primary" type="submit">Open</button></form></main>`;
}

// -- keys

const TAB_KEYS = { l: "log", h: "history", t: "stack", d: "declaration" };
const VERB_KEYS = { s: "start", x: "stop", r: "restart", p: "pause" };

function react(event, at) {
  const isTyping = event.target.closest?.("input, select, textarea");
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  if (event.key === "Escape") return escape(event, isTyping, at.place);
  if (isTyping || !state.program) return;
  if (reactTo(event.key, at)) event.preventDefault();
}

function escape(event, isTyping, place) {
  if (isTyping) event.target.blur();
  else if (place.view !== "jobs") go();
}

// Whether the key means something here.
function reactTo(key, { place, selected, select, setHelp }) {
  const view = VIEWS[Number(key) - 1];
  if (view) return go(view.name === "jobs" ? "" : view.name), true;
  if (key === "?") return setHelp(true), true;
  if (key === "m") return prefer({ theme: nextTheme() }), true;
  if (key === "/") return focusSearch();
  if (place.view === "job" && TAB_KEYS[key]) return go("job", place.name, TAB_KEYS[key]), true;
  if (place.view === "job" && key === "End") return jumpToEnd();
  if (place.view === "jobs" && ["ArrowDown", "j", "ArrowUp", "k"].includes(key)) return move(key, selected, select);
  const job = place.view === "job" ? state.jobs.get(place.name) : place.view === "jobs" ? shownJobs()[selected] : null;
  if (VERB_KEYS[key] && job && state.access.may_act) return actByKey(VERB_KEYS[key], job);
  return false;
}

function focusSearch() {
  const input = document.querySelector("#search, #filter");
  input?.focus();
  if (input?.id === "search" && !input.value && prefs.search) {
    input.value = prefs.search;
    input.dispatchEvent(new Event("input", { bubbles: true }));
  }
  input?.select();
  return Boolean(input);
}

function jumpToEnd() {
  document.querySelector("button.jump:enabled")?.click();
  return true;
}

function move(key, selected, select) {
  const last = shownJobs().length - 1;
  select(Math.max(0, Math.min(last, selected + (key === "ArrowDown" || key === "j" ? 1 : -1))));
  return true;
}

function actByKey(verb, job) {
  const may = verbsOf(job);
  const meant = verb === "pause" && may.resume ? "resume" : verb;
  if (may[meant]) ask(meant, [job]);
  return true;
}

showTheme();
if (takeToken()) connect();
else state.needsToken = true;
render(html`<${App}/>`, document.getElementById("app"));
