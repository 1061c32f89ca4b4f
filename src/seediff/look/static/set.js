// The set as the server describes it, and its colours. Nearly every module reads it.

import { get } from "./api.js";

export const set = await get("/api/set");
export const colours = packColours(set.palette); // id in a label map → colour
export const heat = packColours(set.heat); // level in a map of attention → colour
// The colour of an id for style sheets.
export const css = (id) => `rgb(${set.palette.slice(3 * id, 3 * id + 3).join(" ")})`;

// Colours for pixels of a canvas, 32 bits each, from [red, green, blue, red, …].
function packColours(flat) {
  const pack = (_, i) => 0xff000000 | flat[3 * i] | (flat[3 * i + 1] << 8) | (flat[3 * i + 2] << 16);
  return Uint32Array.from({ length: flat.length / 3 }, pack);
}
