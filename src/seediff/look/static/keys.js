// The keys of the page.

import { element } from "./page.js";

export const KEYS = [
  ["?", "show this list"],
  ["arrows, Home, End, Page", "grid: move (Shift: extend the selection); picture: move the cross (Shift: by one pixel)"],
  ["Enter", "open the sample; close the polygon; accept the proposed segments"],
  ["Esc", "clear the selection; cancel the polygon or segments; leave the tool; back to the grid"],
  ["Ctrl or ⌘ + A", "grid: select all (Ctrl or ⌘ and click: add one; Shift and click: up to it)"],
  ["J or PageDown, K or PageUp", "next, previous sample"],
  ["A, X, R", "accept, reject, clear the review; in the grid: of all selected samples"],
  ["Z or Ctrl+Z, Y or Ctrl+Shift+Z", "undo, redo any change to this sample"],
  ["L, B, E, P, F, S", "look (point at a pixel), brush, eraser, polygon, fill, segments"],
  ["[ and ]", "smaller, larger brush"],
  [", and .", "coarser, finer segments"],
  ["V", "remove holes and islands under the given size"],
  ["1 … 9, 0, I", "paint with that class, the background, ignored"],
  ["C", "find a class (Enter: paint with it; Shift+Enter: add it to the set); in the grid: search"],
  ["Space", "grid: select; picture: use the tool at the cross (hold: drag the picture)"],
  ["O, T, H", "mask, outlines, colours by object on or off"],
  ["N, M", "fade the mask, strengthen it (Shift: the attention map)"],
  ["D", "with --compare: this set, the other, side by side, difference"],
  ["W", "attention of the prompt's next word"],
  ["+, −, =, wheel", "zoom in, out, to fit; drag with the middle button"],
  ["U", "apply the tried constants to this sample"],
];

export function fillHelp(body) {
  for (const [key, text] of KEYS) {
    body.append(element("tr", {}, element("th", { scope: "row", textContent: key }), element("td", { textContent: text })));
  }
}

// Whether a key is typed into a field, or is the browser's. ours: a key with Ctrl that is not.
export const typing = (event, ours) => {
  const target = document.activeElement; // not the event's: a key may have waited for a sample, and for a search before it
  if ((event.ctrlKey || event.metaKey || event.altKey) && !ours) return true;
  if (target instanceof HTMLInputElement) return !["checkbox", "radio", "button", "range"].includes(target.type);
  return target instanceof HTMLSelectElement || target instanceof HTMLTextAreaElement;
};
