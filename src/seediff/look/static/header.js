// What the header says: a message, and whether all is saved.

import { $ } from "./page.js";

const FADE = 6000; // milliseconds after which a message goes
let fading; // a timer
let unsaved = 0; // changes on their way

export function notice(text) {
  clearTimeout(fading);
  $("notice-text").textContent = text;
  $("notice").hidden = !text;
}

// A notice that goes by itself.
export function hint(text) {
  notice(text);
  fading = setTimeout(() => { $("notice").hidden = true; }, FADE);
}

export const tell = (error) => notice(error.message);

export function countUnsaved(by) {
  unsaved += by;
  $("saving").textContent = unsaved ? "Saving …" : "Saved";
}
