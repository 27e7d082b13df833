// Durations and instants in words, as the verbs write them.

export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  const parts = [["d", 86400], ["h", 3600], ["m", 60], ["s", 1]];
  const found = [];
  let left = whole;
  for (const [unit, size] of parts) {
    const count = Math.floor(left / size);
    left -= count * size;
    if (count || found.length) found.push(`${count}${unit}`);
    if (found.length === 2) break;
  }
  return found.filter((part) => !/^0/.test(part)).join(" ") || "0s";
}

const two = (number) => String(number).padStart(2, "0");

export function clock(date) {
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

export function instant(text) {
  if (!text) return "–";
  const date = new Date(text);
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return day === today() ? clock(date) : `${day} ${clock(date)}`;
}

function today() {
  const now = new Date();
  return `${now.getFullYear()}-${two(now.getMonth() + 1)}-${two(now.getDate())}`;
}

export function ago(text, now = Date.now()) {
  return text ? `${duration(Math.max(0, (now - Date.parse(text)) / 1000))} ago` : "–";
}

export function bytes(count) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let size = count, at = 0;
  while (size >= 1024 && at < units.length - 1) (size /= 1024), at++;
  return `${at ? size.toFixed(1) : size} ${units[at]}`;
}
