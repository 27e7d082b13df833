// The control API over HTTP. The token is kept for this tab alone, and sent in a header alone.

const KEY = "taskloom-token";
const FIRST_WAIT_MS = 500, LAST_WAIT_MS = 8000;   // before a stream is tried again
const HIDDEN_MS = 2000;                           // a glance at another tab ends no stream
const FOR_GOOD = [400, 401, 403, 404, 409, 421];
let token = "";

// Take the token from the fragment of the link, and remove it from the address at once.
export function takeToken() {
  const found = /^#token=([A-Za-z0-9_-]+)$/.exec(location.hash);
  if (found) {
    setToken(found[1]);
    history.replaceState(null, "", location.pathname + location.search);
  } else {
    token = sessionStorage.getItem(KEY) || "";
  }
  return token !== "";
}

export function setToken(text) {
  token = text.trim();
  sessionStorage.setItem(KEY, token);
}

export function forgetToken() {
  token = "";
  sessionStorage.removeItem(KEY);
}

// A refusal of the program (status, code, its words), or of the network (status 0).
export class ApiError extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

function headers(more = {}) {
  return { Authorization: `Bearer ${token}`, ...more };
}

async function answered(path, options) {
  let response;
  try {
    response = await fetch(path.replace(/^\//, ""), { cache: "no-store", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, "unreachable", "the program does not answer");
  }
  if (!response.ok) {
    let code = "error", message = `status ${response.status}`;
    try {
      ({ code, message } = (await response.json()).error);
    } catch { /* a proxy has answered */ }
    throw new ApiError(response.status, code, message);
  }
  return response;
}

function query(parameters) {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters || {})) {
    for (const each of Array.isArray(value) ? value : [value]) {
      if (each !== undefined && each !== null && each !== "") search.append(name, each);
    }
  }
  const text = search.toString();
  return text ? `?${text}` : "";
}

export async function get(path, parameters, signal) {
  const response = await answered(path + query(parameters), { headers: headers(), signal });
  return response.json();
}

export async function post(path, body = {}) {
  const options = { method: "POST", headers: headers({ "Content-Type": "application/json" }), body: JSON.stringify(body) };
  return (await answered(path, options)).json();
}

export const jobPath = (job, verb = "") => `/v1/jobs/${encodeURIComponent(job)}${verb && `/${verb}`}`;

// Follow a stream of server-sent events until `signal` aborts. It reconnects by itself, after the last event.
//
// `on.event(name, data)` gets each event, `on.state(text)` "open" or "closed", `on.failed(error)` the refusal after which
// nothing follows. The stream of a program that was started again begins with a gap whose reason is "restart". A hidden
// tab follows nothing: a browser has six connections for all tabs of a host, and a seventh request would wait for ever.
export async function follow(path, parameters, on, signal) {
  let last = "", wait = FIRST_WAIT_MS;
  while (!signal.aborted) {
    const seen = await whileVisible(signal);
    if (seen === null) return;
    try {
      const more = { Accept: "text/event-stream", ...(last ? { "Last-Event-ID": last } : {}) };
      const options = { headers: headers(more), signal: seen.signal };
      const response = await answered(path + query({ ...parameters, follow: "true" }), options);
      on.state("open");
      wait = FIRST_WAIT_MS;
      for await (const { event, data, id } of events(response.body)) {
        if (id) last = id;
        on.event(event, data);
      }
    } catch (error) {
      if (FOR_GOOD.includes(error.status) && !signal.aborted) return on.failed(error);
    } finally {
      seen.forget();
    }
    if (signal.aborted) return;
    if (seen.signal.aborted) continue;
    on.state("closed");
    await pause(wait, signal);
    wait = Math.min(wait * 2, LAST_WAIT_MS);
  }
}

// Wait until the tab is visible. The signal that is returned aborts when it is hidden, or with `signal`; null: aborted.
async function whileVisible(signal) {
  while (document.hidden && !signal.aborted) await changedVisibility(signal);
  if (signal.aborted) return null;
  const inner = new AbortController();
  const abort = () => inner.abort();
  let timer = 0;
  const look = () => {
    clearTimeout(timer);
    if (document.hidden) timer = setTimeout(abort, HIDDEN_MS);
  };
  signal.addEventListener("abort", abort);
  document.addEventListener("visibilitychange", look);
  const forget = () => {
    clearTimeout(timer);
    signal.removeEventListener("abort", abort);
    document.removeEventListener("visibilitychange", look);
  };
  return { signal: inner.signal, forget };
}

function changedVisibility(signal) {
  return new Promise((done) => {
    const finish = () => {
      document.removeEventListener("visibilitychange", finish);
      signal.removeEventListener("abort", finish);
      done();
    };
    document.addEventListener("visibilitychange", finish);
    signal.addEventListener("abort", finish);
  });
}

function pause(milliseconds, signal) {
  return new Promise((done) => {
    const finish = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", finish);
      done();
    };
    const timer = setTimeout(finish, milliseconds);
    signal.addEventListener("abort", finish);
  });
}

async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      text += value;
      const blocks = text.split("\n\n");
      text = blocks.pop();
      for (const block of blocks) {
        const found = parsed(block);
        if (found) yield found;
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

function parsed(block) {
  let event = "message", id = "";
  const data = [];
  for (const line of block.split("\n")) {
    const at = line.indexOf(":");
    const value = line.slice(line[at + 1] === " " ? at + 2 : at + 1);
    if (line.startsWith("event:")) event = value;
    else if (line.startsWith("id:")) id = value;
    else if (line.startsWith("data:")) data.push(value);
  }
  return data.length ? { event, id, data: JSON.parse(data.join("\n")) } : null;
}
