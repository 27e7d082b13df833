// The view that the address names, behind `#`: `#/`, `#/timeline`, `#/job/NAME/history/RUN/START`, `#/tasks/NAME`, `#/program`.

export function route() {
  const [view, name = "", tab = "", run = "", start = ""] = location.hash.replace(/^#\/?/, "").split("/").map(decoded);
  return { view: view || "jobs", name, tab, run, start };
}

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

export const link = (...parts) => `#/${parts.filter(Boolean).map(encodeURIComponent).join("/")}`;
export const go = (...parts) => (location.hash = link(...parts));
