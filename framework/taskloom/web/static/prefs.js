// What the user has chosen for the page, kept in this browser. The token is not among it.

import { changed } from "./store.js";

const KEY = "taskloom-page";
const DEFAULTS = { theme: "system", filter: "", label: "", wrong: false, sort: "state", isReversed: false, range: "hour", group: false, wrap: true, level: "", lines: 500, search: "" };

function stored() {
  try {
    return JSON.parse(localStorage.getItem(KEY)) || {};
  } catch {
    return {};
  }
}

export const prefs = { ...DEFAULTS, ...stored() };

export function prefer(choice) {
  Object.assign(prefs, choice);
  try {
    localStorage.setItem(KEY, JSON.stringify(prefs));
  } catch { /* the browser keeps nothing for this page */ }
  showTheme();
  changed(true);
}

export function showTheme() {
  document.documentElement.dataset.theme = prefs.theme;
}

const THEMES = ["system", "light", "dark"];
export const nextTheme = () => THEMES[(THEMES.indexOf(prefs.theme) + 1) % THEMES.length];
