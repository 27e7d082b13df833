// Small parts of all views.

import { html, useLayoutEffect, useRef, useState } from "./dom.js";
import { now } from "./store.js";
import { brief, fullInstant, instant } from "./time.js";

const OVERSCAN = 4;   // rows that are drawn above and below what is seen
const ICONS = {
  start: "M5 3.2v9.6l8-4.8z", stop: "M4 4h8v8H4z",
  restart: "M12.6 6.4A5 5 0 1 0 13 9h-1.6a3.5 3.5 0 1 1-.5-2.3L8.8 8H14V2.8z",
  pause: "M4.5 3.5h2.4v9H4.5zM9.1 3.5h2.4v9H9.1z", resume: "M3.5 3.5h2.2v9H3.5zM7 3.5v9l6.5-4.5z",
  reset: "M3 4.5h10V6H3zM3 7.5h7V9H3zM3 10.5h4V12H3z", signal: "M9 1.5 3.5 9H7l-1 5.5L12 7H8.4z",
};

export const Icon = ({ name }) => html`<svg class="icon" viewBox="0 0 16 16" aria-hidden="true"><path d=${ICONS[name]}/></svg>`;

export function State({ look, note }) {
  return html`<span class=${`state ${look.kind}`}><span class="symbol" aria-hidden="true">${look.symbol}</span>${" "}<span class="word">${look.word}</span></span>
    ${note && html`<span class="note" title=${note}>${note}</span>`}`;
}

// An instant as the time since it, or until it; the instant itself is in the title.
export function Relative({ at }) {
  if (!at) return html`<span class="muted">–</span>`;
  const seconds = (now() - Date.parse(at)) / 1000;
  const text = Math.abs(seconds) < 1 ? "now" : seconds > 0 ? `${brief(seconds)} ago` : `in ${brief(-seconds)}`;
  return html`<time datetime=${at} title=${fullInstant(at)}>${text}</time>`;
}

// The next firing of a job. A paused one does not fire: its instant is only in the title.
export function Next({ job }) {
  if (!job.next_firing) return html`<span class="muted">–</span>`;
  if (job.paused) return html`<span class="muted" title=${`would fire at ${fullInstant(job.next_firing)}`}>paused</span>`;
  return html`<${Relative} at=${job.next_firing}/>`;
}

export const Instant = ({ at }) => (at ? html`<time datetime=${at} title=${fullInstant(at)}>${instant(at)}</time>` : html`<span class="muted">–</span>`);

export function Progress({ progress }) {
  if (!progress) return null;
  const { done, total, unit } = progress;
  const count = (number) => (number === null ? "?" : number.toLocaleString("en"));
  const words = total === null ? `${count(done)} ${unit}` : `${count(done)} of ${count(total)} ${unit}`;
  const percent = total ? Math.max(0, Math.min(100, (100 * (done || 0)) / total)) : null;
  return html`<span class="progress" title=${words}>
    ${percent !== null && html`<span class="track" role="progressbar" aria-label=${words} aria-valuenow=${Math.round(percent)} aria-valuemin="0" aria-valuemax="100"><span class="done" style=${{ width: `${percent}%` }}></span></span>`}
    <span class="words">${words}</span></span>`;
}

// The rows of a long list that are near the part of the page that is seen: [first, after the last, where it begins].
export function useRows(count, height) {
  const box = useRef(null);
  const [range, setRange] = useState([0, 40]);
  useLayoutEffect(() => {
    const measure = () => {
      if (!box.current) return;
      const top = box.current.getBoundingClientRect().top;
      const first = Math.max(0, Math.floor(-top / height) - OVERSCAN);
      const last = Math.ceil((innerHeight - top) / height) + OVERSCAN;
      setRange((old) => (old[0] === first && old[1] === last ? old : [first, last]));
    };
    measure();
    addEventListener("scroll", measure, { passive: true });
    addEventListener("resize", measure);
    return () => {
      removeEventListener("scroll", measure);
      removeEventListener("resize", measure);
    };
  }, [height, count]);
  const first = Math.min(range[0], Math.max(0, count - 1));
  return [first, Math.min(count, Math.max(range[1], first + 1)), box];
}

// The width of an element in pixels, as it changes.
export function useWidth() {
  const box = useRef(null), [width, setWidth] = useState(600);
  useLayoutEffect(() => {
    const observer = new ResizeObserver(([entry]) => setWidth(Math.max(120, Math.floor(entry.contentRect.width))));
    observer.observe(box.current);
    return () => observer.disconnect();
  }, []);
  return [width, box];
}

const narrow = matchMedia("(max-width: 760px)");
export const isNarrow = () => narrow.matches;

export const plural = (count, word) => `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;
