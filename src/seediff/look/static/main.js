// The page: it shows the grid or one sample, and passes keys and the server's reports to them. index.html starts it.
//
//   grid ── open(at) ──> `coming`: a promise of the sample ──> sample at `place`
//    ^                        ^──────────── move(±1) ────────────────┤
//    └──── close(): Back, if that leads to the grid; else leave ─────┘

import { keepAddress, leadsBackToGrid, readAddress, watchAddress } from "./address.js";
import { LOST, WINDOW, get, listen, post } from "./api.js";
import { Browse } from "./browse.js";
import { Changes } from "./changes.js";
import { fillHelp, isTyped, keyOf } from "./keys.js";
import { $, hint, notice, tell, toPicture } from "./page.js";
import { SampleView } from "./sample.js";
import { forget, prefetch } from "./samples.js";
import { set } from "./set.js";

const state = {
  place: -1, // of the open sample in the list
  coming: null, // a promise of the sample to open, until it is known which one it is
  opened: null, // the promise of the sample that was opened last
  lost: false, // whether the connection to the server is lost
  pointed: false, // whether a click came from a pointer, not from a key
};

$("set-name").textContent = set.name;
document.title = `${set.name}: seediff look`;
fillHelp($("help-rows"));
if (set.readOnly) notice(`${set.readOnly}.`);

// What both views need of this module.
const page = {
  open, move, addClass,
  get list() { return browse.list; },
  get place() { return state.place; },
  get coming() { return state.coming; },
};
const changes = new Changes({
  hear: (sample) => browse.grid.hear(sample),
  saved: (...what) => view.saved(...what),
  wrong: (shown) => view.wrong(shown),
});
const browse = new Browse(page, changes);
const view = new SampleView(page, changes);

// Show what the address says. typed: a person wrote it.
async function restore({ typed }) {
  state.coming = null;
  const { hash } = location;
  const { sample, ...wanted } = readAddress();
  await browse.restore(wanted);
  const named = /^\d{1,9}$/.test(sample ?? "");
  const { view: list } = browse.list; // its name on the server
  const found = named && list ? (await get(`/api/views/${list}/${sample}`)).place : -1;
  if (hash !== location.hash) return; // the person went to another address meanwhile
  if (found >= 0) return show(found);
  if (named) return leave(0);
  const back = !typed && !$("sample").hidden; // to the tile of the sample that was open
  return leave(back ? state.place : Number(wanted.at) || 0);
}

// Open a sample from the grid, or in place of another one.
function open(at) {
  const inGrid = !$("browse").hidden;
  if (inGrid) keepAddress(); // where Back leads
  return show(at, { push: inGrid });
}

// Show the sample at a place. push: as for `keepAddress`; undefined if the address says it already.
async function show(at, { push } = {}) {
  if (!browse.list.has(at)) return;
  const coming = changes.last.then(() => browse.list.sampleAt(at));
  state.coming = coming;
  try {
    const { index } = await coming;
    if (coming !== state.coming) return; // the person asked for something else meanwhile
    Object.assign(state, { coming: null, opened: coming, place: at });
    $("browse").hidden = true;
    $("sample").hidden = false;
    if (!$("sample").contains(document.activeElement)) toPicture();
    const opened = view.open(index);
    if (push !== undefined) keepAddress({ push });
    await opened;
    if (browse.list.has(at + 1)) prefetch((await browse.list.sampleAt(at + 1)).index);
  } catch (error) {
    if (coming === state.coming) state.coming = null;
    tell(error);
  }
}

// Open the next sample (1) or the one before (-1), counted from a sample on its way.
function move(by) {
  const { coming, place } = state;
  if (!view.settle()) return;
  if (coming) return coming.then(() => state.opened !== coming || move(by), () => {});
  if (browse.list.has(place + by)) return open(place + by);
  hint(by > 0 ? "This was the last sample shown." : "This is the first sample shown.");
}

function close() {
  if (!view.settle()) return;
  state.coming = null;
  if (leadsBackToGrid()) return history.back();
  leave(state.place);
  return keepAddress();
}

// Show the grid with this place active.
async function leave(at) {
  if ($("browse").hidden) {
    view.leave();
    $("sample").hidden = true;
    $("browse").hidden = false;
    await browse.refresh({ keep: true });
    browse.grid.box.focus({ preventScroll: true });
  }
  browse.grid.select(at);
}

// A report of the server: about a job, the classes or a sample.
function hear(report) {
  if (report.kind === "job") return browse.bulk.hear(report);
  if (report.kind === "classes") return get("/api/set").then(update, tell);
  browse.grid.hear(report);
  forget(report.index);
  if (report.window !== WINDOW) view.hear(report).catch(tell);
}

// Show new classes. found: the set as the server has it.
function update(found) {
  if (found.classes.length === set.classes.length) return;
  Object.assign(set, found);
  browse.filters.addClasses();
  browse.bulk.fill();
  view.classes.fill();
}

// Add a class to the set. Promises whether it could.
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

listen(hear, (lost) => {
  if (lost || state.lost) notice(lost ? LOST : "");
  if (state.lost && !lost) browse.refresh({ keep: true });
  state.lost = lost;
});

$("notice-close").onclick = () => notice("");
$("back").onclick = close;
$("next").onclick = () => move(1);
$("previous").onclick = () => move(-1);
$("help-button").onclick = () => $("help").showModal();
for (const button of document.querySelectorAll("button[aria-label]")) button.title = button.ariaLabel;
// After a click on a button, keys go to the picture again.
for (const kind of ["pointerdown", "keydown"]) {
  $("sample").addEventListener(kind, () => { state.pointed = kind === "pointerdown"; }, true);
}
$("sample").onclick = (event) => {
  if (state.pointed && event.target.closest("button, input[type=radio], input[type=checkbox]")) toPicture();
};
watchAddress(
  () => ({ ...browse.values(), sample: $("sample").hidden ? "" : view.number }),
  (how) => {
    if ($("sample").hidden || view.settle()) restore(how).catch(tell);
    else keepAddress({ push: true }); // the sample stays
  },
);
window.addEventListener("beforeunload", (event) => { if (!view.settle()) event.preventDefault(); });

// Act on a key. Returns whether the page has such a key.
function press(event) {
  const control = (event.ctrlKey || event.metaKey) && !event.altKey;
  const step = control && { z: event.shiftKey ? "y" : "z", y: "y" }[event.key.toLowerCase()]; // undo, redo
  const key = keyOf(event);
  const typed = isTyped(event, step);
  if ($("help").open || (typed && key !== "Escape")) return false;
  const browsing = !$("browse").hidden;
  if (key === "c") { // first, even while a sample is on its way: the keys after it are text
    if (browsing) browse.filters.search();
    else $("class-search").focus();
  } else if (state.coming) state.coming.then(() => press(event), () => {}); // the key is about the next sample
  else if (key === "?") $("help").showModal();
  else if (browsing) return pressInGrid(key, step);
  else return pressInSample(event, key, step, typed);
  return true;
}

function pressInGrid(key, step) {
  if (step) browse.judge(step, browse.grid.active);
  else if (key === "Escape") browse.grid.box.focus();
  else return false;
  return true;
}

// step: undo or redo. typed: the key was pressed in a field.
function pressInSample(event, key, step, typed) {
  const by = { PageDown: 1, j: 1, PageUp: -1, k: -1 }[key];
  if (key === "Escape" && typed) toPicture();
  else if (key === "Escape") view.giveUp() || close();
  else if (step) view.key({ key: step });
  else if (by) move(by);
  else return view.key(event);
  return true;
}

document.addEventListener("keydown", (event) => press(event) && event.preventDefault());

browse.grid.box.focus({ preventScroll: true });
await restore({ typed: true }).catch(tell);
