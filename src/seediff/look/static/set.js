// The set as the server describes it.

import { get } from "./api.js";
import { IGNORED } from "./page.js";

export const set = await get("/api/set");
export const colours = packColours(set.palette);
colours[0] = 0;
export const heat = packColours(set.heat);
export const css = (id) => `rgb(${set.palette.slice(3 * id, 3 * id + 3).join(" ")})`;

function packColours(flat) {
  const pack = (_, i) => 0xff000000 | flat[3 * i] | (flat[3 * i + 1] << 8) | (flat[3 * i + 2] << 16);
  return Uint32Array.from({ length: flat.length / 3 }, pack);
}

export const values = () =>
  [[0, "background"], ...set.classes.map((name, i) => [i + 1, name]), [IGNORED, "ignored (255)"]];

export const nameOf = (value) => set.classes[value - 1] || (value === IGNORED ? "ignored" : "background");

export const fillClasses = (from, to) => {
  for (const list of [from, to]) {
    const [background, ...others] = values().map(([value, name]) => new Option(name, value));
    const { value } = list;
    others.splice(-1, 0, background);
    list.replaceChildren(...others);
    if (value) list.value = value;
  }
  from.onchange = () => {
    for (const option of to.options) option.disabled = option.value === from.value;
    if (to.value === from.value) to.value = to.querySelector(":enabled").value;
  };
  from.onchange();
};
