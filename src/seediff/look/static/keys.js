// The keys in one table, from which the help is made; and the tools.

import { $, choice, element, hint } from "./page.js";

// Name, key, title, icon of 24 × 24 units.
const TOOLS = [
  ["look", "L", "Look", "M2 12s4-7 10-7 10 7 10 7-4 7-10 7S2 12 2 12zM12 9a3 3 0 1 0 0 6 3 3 0 0 0 0-6z"],
  ["brush", "B", "Brush", "M20 3 9 14l2 2L22 5zM9 14c-3 0-4 2-4 4s-1 2-3 2c2 2 9 2 9-4"],
  ["eraser", "E", "Eraser", "M4 15 14 5l6 6-9 9H8zM9 10l6 6M11 20h10"],
  ["polygon", "P", "Polygon", "M12 3 21 10 17 20H7L3 10zM12 3v0M21 10v0"],
  ["fill", "F", "Fill a region of the mask", "M11 3v4M4 12l8-8 8 8-8 8zM4 12h16M21 15c1 2 2 3 2 4a2 2 0 0 1-4 0c0-1 1-2 2-4z"],
  ["cut", "N", "Cut", "M20 4 4 20M10 5a6 6 0 0 0-6 8M14 19a6 6 0 0 0 6-8"],
  ["segment", "S", "Segments", "M4 20 14 10M16 3v4M14 5h4M20 10v4M18 12h4M8 4v3M6.500 5.500h3"],
];

// Keys, the #button that they press or the act of main.js, help; with their view and group.
const table = (view, group, rows) => rows.map(([keys, act, help]) => [keys, view, act, help, group]);
export const KEYS = [
  ...table("sample", "Review", [
    ["A", "#accept", "accept"],
    ["X", "#reject", "reject"],
    ["R", "#reset", "clear the review"],
    ["J PageDown", "#next", "next"],
    ["K PageUp", "#previous", "previous"],
    ["Esc", "giveUp", "drop what is not saved; leave the tool; leave the sample"],
  ]),
  ...table("sample", "Tools", TOOLS.map(([name, key, title]) => [key, `tool ${name}`, title.toLowerCase()])),
  ...table("sample", "Show", [
    ["O", "mask", "mask on or off"],
    ["T", "#outlined", "outlines and names on or off"],
    ["H", "#by-object", "colours by object"],
    ["D", "#dimmed", "dim what has no class"],
    ["+", "#zoom-in", "zoom in"],
    ["-", "#zoom-out", "zoom out"],
    ["=", "#zoom-fit", "zoom to fit"],
  ]),
  ...table("sample", "Correct", [
    ["[", "size -1", "smaller brush"],
    ["]", "size 1", "larger brush"],
    [",", "#coarser-button", "coarser segments"],
    [".", "#finer-button", "finer segments"],
    ["0 1 2 3 4 5 6 7 8 9", "class", "paint the background, or a class"],
    ["I", "class 255", "paint ignored"],
    ["C", "findClass", "find a class (Enter: paint with it; Shift+Enter: add it)"],
    ["← → ↑ ↓", "cross", "move the cross (Shift: by one pixel)"],
    ["Space", "cross", "use the tool there (hold: drag the image)"],
    ["Enter", "accept", "close the polygon; paint segments"],
    ["Backspace", "back", "take back a corner"],
    ["V", "#clean", "remove holes and islands"],
    ["U", "#apply", "save the tried mask"],
  ]),
  ...table("grid", "All samples", [
    ["← → ↑ ↓", "step", "move (Shift: select)"],
    ["Home End", "step", "to the first, the last"],
    ["PageUp PageDown", "step", "move by a page"],
    ["Enter", "open", "open"],
    ["Space", "tick", "select"],
    ["Ctrl+A", "#select-all", "select all"],
    ["Esc", "unselect", "clear the selection"],
    ["A", "judge accept", "accept the selected or the active one"],
    ["X", "judge reject", "reject"],
    ["R", "judge reset", "clear the review"],
    ["C", "search", "search"],
  ]),
  ["Z Ctrl+Z", "grid sample", "undo", "undo the last change, or a corner", "Review"],
  ["Y Ctrl+Y Ctrl+Shift+Z", "grid sample", "redo", "redo", "Review"],
  ["?", "grid sample", "#help-button", "all keys", "All samples"],
];

const NAMES = {
  "←": "arrowleft", "→": "arrowright", "↑": "arrowup", "↓": "arrowdown", space: " ", esc: "escape",
};
const OF_CONTROLS = /^(enter| |arrow.*|home|end|page.*)$/; // keys that buttons and sliders have, too
const rows = { grid: new Map(), sample: new Map() };

for (const row of KEYS) {
  for (const view of row[1].split(" ")) {
    for (const shown of row[0].toLowerCase().split(" ")) {
      const key = NAMES[shown] ?? shown;
      if (rows[view].has(key)) throw new Error(`keys.js: ${shown} is there twice in the view ${view}`);
      rows[view].set(key, row);
    }
  }
}

export const isField = (part) => {
  if (part instanceof HTMLInputElement) return !["checkbox", "radio", "button", "range"].includes(part.type);
  return part instanceof HTMLSelectElement;
};

// The id of a button or an act; "" for nothing, and for keys of fields and controls.
export function actOf(event, view) {
  if (event.altKey) return "";
  const control = event.ctrlKey || event.metaKey;
  const key = event.key.toLowerCase();
  const name = `${control ? "ctrl+" : ""}${control && event.shiftKey ? "shift+" : ""}${key}`;
  const target = document.activeElement; // not event.target: the key may have waited for a sample
  if (isField(target) && key !== "escape") return "";
  if (OF_CONTROLS.test(key) && target.matches("button, input")) return "";
  return rows[view].get(name)?.[2] ?? "";
}

export function pressButton(id) {
  const button = document.querySelector(id);
  if (button.disabled) hint(button.title || "Not now.");
  else button.click();
}

export function fillHelp() {
  for (const [title, rows] of Map.groupBy(KEYS, (row) => row[4])) {
    $("help-rows").append(element("section", {}, element("h3", { textContent: title }), ...rows.map(([keys, , , help]) => {
      const caps = keys.replace(/ .{15,} /, " – ").split(" ").map((key) => element(key === "–" ? "i" : "kbd", { textContent: key }));
      return element("p", {}, element("span", {}, ...caps), help);
    })));
  }
}

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
