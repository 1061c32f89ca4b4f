// What follows "#" in the address: what the grid shows and which sample is open. Back and Forward move along them.

let waiting;
let valuesOfPage;

export function watchAddress(values, changed) {
  valuesOfPage = values;
  window.addEventListener("popstate", ({ state }) => changed({ typed: !state }));
}

export function readAddress() {
  clearTimeout(waiting);
  return Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
}

// push: as a new address. later: milliseconds to wait.
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

export const leadsBackToGrid = () => Boolean(history.state?.inside);
