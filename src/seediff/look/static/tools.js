// The tools: name, key, title and icon; and the bar beside the picture that chooses among them.

import { choice } from "./page.js";

// Icons are lines on a field of 24 × 24.
export const TOOLS = [
  ["look", "L", "Look", "M2 12s4-7 10-7 10 7 10 7-4 7-10 7S2 12 2 12zM12 9a3 3 0 1 0 0 6 3 3 0 0 0 0-6z"],
  ["brush", "B", "Brush", "M20 3 9 14l2 2L22 5zM9 14c-3 0-4 2-4 4s-1 2-3 2c2 2 9 2 9-4"],
  ["eraser", "E", "Eraser", "M4 15 14 5l6 6-9 9H8zM9 10l6 6M11 20h10"],
  ["polygon", "P", "Polygon", "M12 3 21 10 17 20H7L3 10zM12 3v0M21 10v0"],
  ["fill", "F", "Fill", "M11 3v4M4 12l8-8 8 8-8 8zM4 12h16M21 15c1 2 2 3 2 4a2 2 0 0 1-4 0c0-1 1-2 2-4z"],
  ["segment", "S", "Segment", "M4 20 14 10M16 3v4M14 5h4M20 10v4M18 12h4M8 4v3M6.500 5.500h3"],
];
const SVG = "http://www.w3.org/2000/svg";

// Fill the bar. choose(tool) is called when one is chosen.
export function fillTools(bar, choose) {
  for (const [value, key, title, icon] of TOOLS) {
    const { label, box, more } = choice("radio", "tool", value, title, { more: "kbd" });
    const svg = document.createElementNS(SVG, "svg"), path = document.createElementNS(SVG, "path");
    svg.setAttribute("viewBox", "0 0 24 24");
    svg.setAttribute("aria-hidden", "true");
    path.setAttribute("d", icon);
    svg.append(path);
    label.title = `${title} (${key})`;
    label.querySelector("bdi").className = "unseen";
    more.textContent = key;
    more.before(svg);
    box.onchange = () => choose(value);
    bar.append(label);
  }
}
