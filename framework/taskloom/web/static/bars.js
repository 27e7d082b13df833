// The last runs of a job as bars: the height is the duration, a failed run has a mark below.

import { html } from "./dom.js";
import { runLink } from "./history.js";
import { outcomeLook } from "./words.js";
import { duration } from "./time.js";

const HEIGHT = 18, WIDTH = 5, STEP = 7, MOST = 10;

export function LastRuns({ runs }) {
  const shown = (runs || []).slice(-MOST);
  if (!shown.length) return html`<span class="muted">–</span>`;
  const longest = Math.max(...shown.map((run) => run.seconds || 0), 0.001);
  return html`<svg class="bars" width=${MOST * STEP} height=${HEIGHT + 4} role="group" aria-label=${summary(shown)}>
    ${shown.map((run, at) => {
      const { kind } = outcomeLook(run.outcome);
      const height = run.ended ? Math.max(3, Math.sqrt((run.seconds || 0) / longest) * HEIGHT) : HEIGHT;
      const x = at * STEP;
      return html`<a key=${run.run} href=${runLink(run)} tabindex="-1" class=${run.ended ? kind : "alive"}><title>${`${run.run}: ${outcomeLook(run.outcome).word}${run.ended ? `, ${duration(run.seconds)}` : ""}`}</title>
        <rect x=${x} y=${HEIGHT - height} width=${WIDTH} height=${height} rx="1"/>
        ${kind === "bad" && html`<rect x=${x} y=${HEIGHT + 2} width=${WIDTH} height="2"/>`}</a>`;
    })}</svg>`;
}

function summary(runs) {
  const counts = new Map();
  for (const run of runs) {
    const { word } = outcomeLook(run.outcome);
    counts.set(word, (counts.get(word) || 0) + 1);
  }
  return `last runs: ${[...counts].map(([word, count]) => `${count} ${word}`).join(", ")}`;
}
