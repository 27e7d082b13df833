// Durations and instants in words, as the verbs write them.

const UNITS = [["d", 86400], ["h", 3600], ["m", 60], ["s", 1]];

export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 0.9995) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  return brief(seconds);
}

// In whole seconds, for what counts up or down while one looks at it.
export function brief(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  const found = [];
  let left = Math.round(seconds);
  for (const [unit, size] of UNITS) {
    const count = Math.floor(left / size);
    left -= count * size;
    if (count || found.length) found.push(`${count}${unit}`);
    if (found.length === 2) break;
  }
  return found.filter((part) => !part.startsWith("0")).join(" ") || "0s";
}

const two = (number) => String(number).padStart(2, "0");

export function clock(date) {
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

const dayOf = (date) => `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;

export function instant(text) {
  if (!text) return "–";
  const date = new Date(text);
  return dayOf(date) === dayOf(new Date()) ? clock(date) : `${dayOf(date)} ${clock(date)}`;
}

// The whole instant, for titles: with the date, and the zone of the browser.
export function fullInstant(text) {
  const date = new Date(text);
  const zone = -date.getTimezoneOffset();
  const offset = `${zone < 0 ? "-" : "+"}${two(Math.floor(Math.abs(zone) / 60))}:${two(Math.abs(zone) % 60)}`;
  return `${dayOf(date)} ${clock(date)} ${offset}`;
}

export const secondsBetween = (begin, end) => (Date.parse(end) - Date.parse(begin)) / 1000;

export function bytes(count) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let size = count, at = 0;
  while (size >= 1024 && at < units.length - 1) (size /= 1024), at++;
  return `${at ? size.toFixed(1) : size} ${units[at]}`;
}
