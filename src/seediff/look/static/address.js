// The page's address: what follows "#" says what the grid shows and which sample is open. Back and Forward move along
// such addresses. Only main.js uses it.

let writing; // a timer

export const readAddress = () => Object.fromEntries(new URLSearchParams(location.hash.slice(1)));

// Write { name: value } without the empty values. push: as a new address, from which Back leads to the one before.
export function writeAddress(values, { push = false } = {}) {
  stopWriting();
  const filled = new URLSearchParams(Object.entries(values).filter(([, value]) => value !== ""));
  const state = { inside: push || leadsBackToGrid() };
  history[push ? "pushState" : "replaceState"](state, "", `${location.pathname}${filled.size ? `#${filled}` : ""}`);
}

// Call write() after some milliseconds; only the last call counts.
export function writeLater(write, milliseconds) {
  stopWriting();
  writing = setTimeout(write, milliseconds);
}

export const stopWriting = () => clearTimeout(writing);

// Whether Back leads from the open sample to the grid.
export const leadsBackToGrid = () => Boolean(history.state?.inside);

// changed({ typed }): the person went back or forward, or typed an address.
export function onAddress(changed) {
  window.addEventListener("popstate", ({ state }) => changed({ typed: !state }));
}
