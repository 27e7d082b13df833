// The control API over HTTP. The token is kept for this tab alone, and sent in a header alone.

const KEY = "taskloom-token";
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
// `on.event(name, data, id)` gets each event, `on.state(text)` "open" or "closed". The stream of a program that was
// started anew begins with a gap whose reason is "restart".
export async function follow(path, parameters, on, signal) {
  let last = "", wait = 500;
  while (!signal.aborted) {
    try {
      const more = { Accept: "text/event-stream", ...(last ? { "Last-Event-ID": last } : {}) };
      const response = await answered(path + query({ ...parameters, follow: "true" }), { headers: headers(more), signal });
      on.state("open");
      wait = 500;
      for await (const { event, data, id } of events(response.body)) {
        if (id) last = id;
        on.event(event, data, id);
      }
    } catch (error) {
      if (error.name === "AbortError" || signal.aborted) return;
      if (error.status === 401 || error.status === 400) {
        on.failed(error);
        return;
      }
    }
    if (signal.aborted) return;
    on.state("closed");
    await pause(wait, signal);
    wait = Math.min(wait * 2, 8000);
  }
}

function pause(milliseconds, signal) {
  return new Promise((done) => {
    const timer = setTimeout(done, milliseconds);
    signal.addEventListener("abort", () => (clearTimeout(timer), done()), { once: true });
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
      const blocks = text.split(/\r?\n\r?\n/);
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
  for (const line of block.split(/\r?\n/)) {
    const [, name, value] = /^([^:]*):? ?(.*)$/.exec(line);
    if (name === "event") event = value;
    else if (name === "id") id = value;
    else if (name === "data") data.push(value);
  }
  return data.length ? { event, id, data: JSON.parse(data.join("\n")) } : null;
}
