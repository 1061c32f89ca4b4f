// Messages in the header, and whether everything is saved. Every module that has something to say calls it.

import { $ } from "./page.js";

const FADE = 6000; // milliseconds after which a hint goes
let fading; // a timer
let unsaved = 0; // changes that are not saved yet

// Show a message until it is closed; "" removes it.
export function notice(text) {
  clearTimeout(fading);
  $("notice-text").textContent = text;
  $("notice").hidden = !text;
}

// Show a message that goes by itself.
export function hint(text) {
  notice(text);
  fading = setTimeout(() => { $("notice").hidden = true; }, FADE);
}

export const tell = (error) => notice(error.message);

export function countUnsaved(by) {
  unsaved += by;
  $("saving").textContent = unsaved ? "Saving …" : "Saved";
}
