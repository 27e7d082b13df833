// One import for all modules: preact, its hooks, and tagged templates. Text is always set as text, never as HTML.
import { h, render, Fragment } from "./vendor/preact.js";
import htm from "./vendor/htm.js";

export { render, Fragment };
export { useState, useEffect, useLayoutEffect, useRef, useMemo, useCallback } from "./vendor/hooks.js";
export const html = htm.bind(h);
