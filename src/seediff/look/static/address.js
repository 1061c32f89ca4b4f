// The page's address: what follows "#" says what the grid shows and which sample is open. main.js says what to keep and
// how to show it; browse.js keeps it, too. Back and Forward move along the addresses.

let waiting;
let valuesOfPage; // (): { name: value } of what is shown

export function watchAddress(values, changed) {
  valuesOfPage = values;
  window.addEventListener("popstate", ({ state }) => changed({ typed: !state }));
}

export function readAddress() {
  clearTimeout(waiting);
  return Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
}

// Write what is shown. push: as a new address, from which Back leads to the one before. later: milliseconds to wait.
export function keepAddress({ push = false, later = 0 } = {}) {
  clearTimeout(waiting);
  if (later) {
    waiting = setTimeout(keepAddress, later);
    return;
  }
  const filled = new URLSearchParams(Object.entries(valuesOfPage()).filter(([, value]) => value !== ""));
  const state = { inside: push || leadsBackToGrid() };
  history[push ? "pushState" : "replaceState"](state, "", `${location.pathname}${filled.size ? `#${filled}` : ""}`);
}

// Whether Back leads from the open sample to the grid.
export const leadsBackToGrid = () => Boolean(history.state?.inside);
