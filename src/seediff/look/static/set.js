// The set as the server describes it, and the colours of its classes.

import { get } from "./api.js";

export const set = await get("/api/set");
export const colours = packColours(set.palette); // of ids in label maps
export const heat = packColours(set.heat); // of levels in maps of attention
export const css = (id) => `rgb(${set.palette.slice(3 * id, 3 * id + 3).join(" ")})`;

// [r, g, b, r, …] as little-endian 32-bit colours.
function packColours(flat) {
  const pack = (_, i) => 0xff000000 | flat[3 * i] | (flat[3 * i + 1] << 8) | (flat[3 * i + 2] << 16);
  return Uint32Array.from({ length: flat.length / 3 }, pack);
}
