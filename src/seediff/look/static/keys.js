// Every key of the page, in one table: what the help shows is what works.

import { element } from "./page.js";

export const KEYS = [
  ["?", "these keys"],
  ["arrows, Home, End, Page", "among the samples: choose one (Shift: select up to it); on the picture: move the cross (Shift: by one pixel)"],
  ["Enter", "open the chosen sample; close a polygon; accept proposed segments"],
  ["Esc", "select none; give up a polygon or segments; leave a tool; back to all samples"],
  ["Ctrl or ⌘ with A", "among the samples: select all (Ctrl or ⌘ with a click: one more; Shift with a click: up to it)"],
  ["J or PageDown, K or PageUp", "next, previous sample"],
  ["A, X, R", "accept, reject, neither; among the samples: all that are selected"],
  ["Z or Ctrl+Z, Y or Ctrl+Shift+Z", "undo, redo: what was done to this sample, also earlier and by others"],
  ["L, B, E, P, F, S", "look (point at a pixel), brush, eraser, polygon, fill, segments"],
  ["[ and ]", "smaller, larger brush"],
  [", and .", "coarser, finer segments"],
  ["V", "fill holes and take away islands below the number of pixels in the field"],
  ["1 … 9, 0", "paint that class; 0 the background"],
  ["C", "search the classes; Enter paints the first that matches"],
  ["I", "paint 255: ignored"],
  ["Space", "on the picture: use the tool at the cross; held: drag the picture; among the samples: select"],
  ["O, T, H", "hide or show the mask, its outlines; colours by object"],
  ["N, M", "the mask fainter, stronger (Shift: the map of attention)"],
  ["D", "with --compare: this set, the other, side by side, difference"],
  ["W", "next word of the prompt: where it is attended to"],
  ["+, −, =, wheel", "larger, smaller, the whole picture; the middle button drags it"],
  ["U", "use the constants that are tried for this sample"],
];

export function fillHelp(body) {
  for (const [key, text] of KEYS) {
    body.append(element("tr", {}, element("th", { scope: "row", textContent: key }), element("td", { textContent: text })));
  }
}

// Whether a key is typed into a field, or is the browser's, and so none of ours. ours: a key with Ctrl that is.
export const typing = (event, ours) => {
  const { target } = event;
  if ((event.ctrlKey || event.metaKey || event.altKey) && !ours) return true;
  if (target instanceof HTMLInputElement) return !["checkbox", "radio", "button", "range"].includes(target.type);
  return target instanceof HTMLSelectElement || target instanceof HTMLTextAreaElement;
};
