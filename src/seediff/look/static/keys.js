// The keys and tools of the page: their names in the help and in the toolbar. main.js and sample.js act on them.

import { choice, element } from "./page.js";

const KEYS = [
  ["arrows, Home, End, Page", "grid: move (Shift: select); picture: move the cross (Shift: by one pixel)"],
  ["Enter", "open the sample; close the polygon; accept the proposed segments"],
  ["Esc", "clear the selection; cancel the polygon or segments; leave the tool; back to the grid"],
  ["Ctrl or ⌘ + A", "grid: select all (with a click: add one; Shift: up to it)"],
  ["J or PageDown, K or PageUp", "next, previous sample"],
  ["A, X, R", "accept, reject, clear the review"],
  ["Z or Ctrl+Z, Y or Ctrl+Shift+Z", "undo, redo any change to this sample"],
  ["L, B, E, P, F, S", "look (point at a pixel), brush, eraser, polygon, fill, segments"],
  ["[ and ]", "smaller, larger brush"],
  [", and .", "coarser, finer segments"],
  ["V", "remove small holes and islands"],
  ["1 … 9, 0, I", "paint with that class, the background, ignored"],
  ["C", "find a class (Enter: paint with it; Shift+Enter: add it); grid: search"],
  ["Space", "grid: select; picture: use the tool at the cross (hold: drag the picture)"],
  ["O, T, H", "mask, outlines, colours by object on or off"],
  ["+, −, =, wheel", "zoom in, out, to fit; drag with the middle button"],
  ["U", "apply the tried constants to this sample"],
];

export function fillHelp(body) {
  for (const [key, textContent] of KEYS) {
    const head = element("th", { scope: "row", textContent: key });
    body.append(element("tr", {}, head, element("td", { textContent })));
  }
}

// A key's name; a letter in lower case.
export const keyOf = ({ key }) => (key.length === 1 ? key.toLowerCase() : key);

// Whether a key is typed into a field or is a key of the browser. ours: the page has this key with Ctrl.
export const isTyped = (event, ours) => {
  const target = document.activeElement; // not event.target: the key may have waited for a sample
  if ((event.ctrlKey || event.metaKey || event.altKey) && !ours) return true;
  if (target instanceof HTMLInputElement) return !["checkbox", "radio", "button", "range"].includes(target.type);
  return target instanceof HTMLSelectElement;
};

// Tools: name, key, title, and the lines of an icon in 24 × 24 units.
export const TOOLS = [
  ["look", "L", "Look", "M2 12s4-7 10-7 10 7 10 7-4 7-10 7S2 12 2 12zM12 9a3 3 0 1 0 0 6 3 3 0 0 0 0-6z"],
  ["brush", "B", "Brush", "M20 3 9 14l2 2L22 5zM9 14c-3 0-4 2-4 4s-1 2-3 2c2 2 9 2 9-4"],
  ["eraser", "E", "Eraser", "M4 15 14 5l6 6-9 9H8zM9 10l6 6M11 20h10"],
  ["polygon", "P", "Polygon", "M12 3 21 10 17 20H7L3 10zM12 3v0M21 10v0"],
  ["fill", "F", "Fill", "M11 3v4M4 12l8-8 8 8-8 8zM4 12h16M21 15c1 2 2 3 2 4a2 2 0 0 1-4 0c0-1 1-2 2-4z"],
  ["segment", "S", "Segment", "M4 20 14 10M16 3v4M14 5h4M20 10v4M18 12h4M8 4v3M6.500 5.500h3"],
];

export function fillTools(bar, choose) {
  for (const [value, key, title, icon] of TOOLS) {
    const { label, box, more } = choice("radio", "tool", value, title, "kbd");
    label.title = `${title} (${key})`;
    label.querySelector("bdi").className = "unseen";
    more.textContent = key;
    more.insertAdjacentHTML("beforebegin", `<svg viewBox="0 0 24 24" aria-hidden="true"><path d="${icon}"/></svg>`);
    box.onchange = () => choose(value);
    bar.append(label);
  }
}
