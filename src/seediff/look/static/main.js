// The page: the grid or one sample, the address, and reports from the server.

import { LOST, WINDOW, act, get, listen, post } from "./api.js";
import { AttentionPanel } from "./attention.js";
import { Bulk } from "./bulk.js";
import { ShownVersion } from "./changes.js";
import { Filters } from "./filters.js";
import { Grid } from "./grid.js";
import { fillHelp, keyOf, typing } from "./keys.js";
import { forget, prefetch } from "./loading.js";
import { $, toPicture } from "./page.js";
import { SampleView } from "./sample.js";
import { packColours } from "./stage.js";

const set = await get("/api/set");
const SOON = 700; // milliseconds after which a change is counted
const FADE = 6000; // and after which a message goes
const SIDE = 148; // of a tile
const css = (id) => `rgb(${set.palette.slice(3 * id, 3 * id + 3).join(" ")})`;

let place = -1; // of the open sample in the list
let unsaved = 0; // changes on their way
let asking = 0; // counts lists that were asked for
let fading, counting, keeping; // timers
let turning = null; // a promise of the next sample, while its number is still asked for

function notice(text, { fades = false } = {}) {
  clearTimeout(fading);
  $("notice-text").textContent = text;
  $("notice").hidden = !text;
  if (fades) fading = setTimeout(() => { $("notice").hidden = true; }, FADE);
}

function pending(by) {
  unsaved += by;
  $("saving").textContent = unsaved ? "Saving …" : "Saved";
}

// What the other views get.
const page = {
  set, css, notice, pending, refresh, move, open, addClass,
  heat: packColours(set.heat), colours: packColours(set.palette),
  list: { view: null, count: 0 },
  place: () => place,
  hear: (state) => page.grid.hear(state),
};

$("set-name").textContent = set.name;
document.title = `${set.name}: seediff look`;
fillHelp($("help-rows"));
if (set.readOnly) notice(`${set.readOnly}.`);

const tell = (error) => notice(error.message);
const failed = (error) => (error.status === 410 ? refresh({ keep: true }) : tell(error));
const bulk = new Bulk(page);
const grid = new Grid($("grid"), $("grid-inner"), {
  open, failed, act: judge, moved: () => keep(300), chose: () => bulk.show(), names: ["", ...set.classes],
});
const filters = new Filters($("filters"), set, css, () => {
  refresh();
  keep();
});
Object.assign(page, { bulk, grid, attention: new AttentionPanel(page) });
const view = new SampleView(page);
page.view = view;

// Keep what is shown in the address. later: milliseconds to wait. push: Back leads to what was before.
function keep(later = 0, { push = false } = {}) {
  clearTimeout(keeping);
  if (later) {
    keeping = setTimeout(() => keep(), later);
    return;
  }
  const sample = $("sample").hidden ? "" : view.number;
  const size = grid.least === SIDE ? "" : grid.least;
  const about = { ...filters.values(), size, at: grid.active || "", sample };
  const kept = new URLSearchParams(Object.entries(about).filter(([, value]) => value !== ""));
  const state = { inside: push || inside() };
  history[push ? "pushState" : "replaceState"](state, "", `${location.pathname}${kept.size ? `#${kept}` : ""}`);
}

// Whether Back leads from a sample to the grid.
function inside() { return Boolean(history.state?.inside); }

// Show what the address says.
async function restore() {
  const wanted = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
  resize(Number(wanted.size) || SIDE);
  if (filters.set(wanted) || !page.list.view) await refresh();
  if (!/^\d{1,9}$/.test(wanted.sample ?? "")) return leave(Number(wanted.at) || 0);
  const found = page.list.view ? (await get(`/api/views/${page.list.view}/${wanted.sample}`)).place : -1;
  return found >= 0 ? show(found) : leave(0);
}

function resize(side) {
  $("tile-size").value = side;
  grid.least = Number($("tile-size").value);
  grid.measure();
}

async function refresh(options = {}) {
  const turn = ++asking;
  const query = filters.query();
  try {
    const found = await post("/api/views", query);
    if (turn !== asking) return;
    page.list = found;
    filters.counts(found);
    grid.sort = query.sort;
    $("shown").textContent = `${found.count.toLocaleString()} of ${set.count.toLocaleString()} shown`;
    grid.show(found.view, found.count, options);
  } catch (error) {
    tell(error);
  }
}

function recount() {
  clearTimeout(counting);
  counting = setTimeout(() => {
    if ($("browse").hidden) return;
    post("/api/views?counts=1", filters.query()).then((found) => filters.counts(found), () => {});
  }, SOON);
}

// Act on a tile of the grid, or on all selected. The next key is about the next sample, even before this one is saved.
function judge(key, at) {
  const action = { a: "accept", x: "reject", r: "reset", z: "undo", y: "redo" }[key];
  if (grid.chosen.size && key !== "z" && key !== "y") return bulk.act(action);
  if (at >= grid.count) return;
  const { changes } = view;
  const asked = grid.sampleAt(at);
  if (key === "a" || key === "x") grid.select(at + 1);
  const shown = new ShownVersion(undefined, changes.last.then(() => asked)); // the version after the changes before
  changes.enqueue(shown, async (version) => act((await asked).index, { action, version }));
}

// Open a sample from the grid, or in place of another one.
function open(at) {
  const inGrid = !$("browse").hidden;
  if (inGrid) keep(); // where Back leads
  return show(at, { push: inGrid });
}

async function show(at, { push } = {}) {
  if (at < 0 || at >= page.list.count) return;
  try {
    turning = view.changes.last.then(() => grid.sampleAt(at)).then((sample) => {
      turning = null;
      place = at;
      $("browse").hidden = true;
      $("sample").hidden = false;
      if (!$("sample").contains(document.activeElement)) toPicture();
      const opened = view.open(sample.index);
      if (push !== undefined) keep(0, { push });
      return { opened };
    });
    await (await turning).opened;
    if (at + 1 < page.list.count) prefetch((await grid.sampleAt(at + 1)).index);
  } catch (error) {
    turning = null;
    tell(error);
  }
}

function move(by) {
  if (place + by >= 0 && place + by < page.list.count) return open(place + by);
  notice(by > 0 ? "This was the last sample shown." : "This is the first sample shown.", { fades: true });
}

function close() {
  if (inside()) return history.back();
  leave(place);
  return keep();
}

async function leave(at) {
  if ($("sample").hidden) return grid.select(at);
  page.attention.leave();
  $("sample").hidden = true;
  $("browse").hidden = false;
  await refresh({ keep: true });
  grid.select(place);
  grid.box.focus({ preventScroll: true });
}

function hear(report) {
  if (report.kind === "job") return bulk.hear(report);
  if (report.kind === "classes") return get("/api/set").then(update, failed);
  if (report.kind === "behind") return refresh({ keep: true });
  grid.hear(report);
  forget(report.index);
  recount();
  if (report.window !== WINDOW) view.heard(report).catch(tell);
}

function update(found) {
  if (found.classes.length === set.classes.length) return;
  Object.assign(set, found);
  grid.names = ["", ...set.classes];
  filters.classes(set.classes, css);
  bulk.fill();
  view.classes.fill();
}

// Add a class to the set; whether it could be.
async function addClass(name) {
  try {
    update(await post("/api/classes", { name }));
    notice("");
    return true;
  } catch (error) {
    tell(error);
    return false;
  }
}

let away = false;
listen(hear, (lost) => {
  if (lost || away) notice(lost ? LOST : "");
  if (away && !lost) refresh({ keep: true });
  away = lost;
});

$("with-labels").onchange = (event) => {
  grid.labels = event.target.checked;
  grid.releaseAll();
  grid.draw();
};
$("tile-size").oninput = () => {
  resize($("tile-size").value);
  grid.select(grid.active);
};
$("tile-size").onchange = () => keep();
$("select-all").onclick = () => grid.chooseAll();
$("notice-close").onclick = () => notice("");
$("back").onclick = close;
$("next").onclick = () => move(1);
$("previous").onclick = () => move(-1);
$("help-button").onclick = () => $("help").showModal();
for (const button of document.querySelectorAll("button[aria-label]")) button.title = button.ariaLabel;
// After a click on a button, keys go to the picture again.
let pointed = false;
for (const kind of ["pointerdown", "keydown"]) {
  $("sample").addEventListener(kind, () => { pointed = kind === "pointerdown"; }, true);
}
$("sample").onclick = (event) => {
  if (pointed && event.target.closest("button, input[type=radio], input[type=checkbox]")) toPicture();
};
window.addEventListener("popstate", () => restore().catch(tell));

// Keys; whether it was one of ours.
function press(event) {
  const control = (event.ctrlKey || event.metaKey) && !event.altKey;
  const step = control && { z: event.shiftKey ? "y" : "z", y: "y" }[event.key.toLowerCase()];
  const key = keyOf(event);
  const typed = typing(event, step);
  if ($("help").open || (typed && key !== "Escape")) return false;
  const browsing = !$("browse").hidden;
  if (key === "c") { // also while a sample is on its way, for what is typed next is no key of ours
    if (browsing) filters.search();
    else $("class-search").focus();
    return true;
  }
  if (turning) { // the key is about the next sample
    turning.then(() => press(event), () => {});
    return true;
  }
  const by = { PageDown: 1, j: 1, PageUp: -1, k: -1 }[key];
  if (key === "?") $("help").showModal();
  else if (browsing && step) judge(step, grid.active);
  else if (browsing && key === "Escape") grid.box.focus();
  else if (browsing) return false;
  else if (key === "Escape" && typed) toPicture();
  else if (key === "Escape") view.giveUp() || close();
  else if (step) view.key({ key: step });
  else if (by) move(by);
  else return view.key(event);
  return true;
}

document.addEventListener("keydown", (event) => press(event) && event.preventDefault());

grid.box.focus({ preventScroll: true });
await restore().catch(tell);
