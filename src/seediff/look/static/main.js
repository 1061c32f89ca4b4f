// The page: the grid or one sample, the address that says which, and reports from the server.
//
//   grid ── open(at) ──> `coming`: a promise of the sample ──> sample at `place`
//    ^                        ^──────────── move(±1) ────────────────┤
//    └──── close(): Back, if that leads to the grid; else leave ─────┘

import { LOST, WINDOW, get, listen, post } from "./api.js";
import { Browse } from "./browse.js";
import { Changes } from "./changes.js";
import { hint, notice, tell } from "./header.js";
import { fillHelp, keyOf, typing } from "./keys.js";
import { forget, prefetch } from "./loading.js";
import { $, toPicture } from "./page.js";
import { SampleView } from "./sample.js";
import { set } from "./set.js";

let place = -1; // of the open sample in the list
let coming = null; // a promise of the next sample, while its number is still asked for
let keeping; // a timer

$("set-name").textContent = set.name;
document.title = `${set.name}: seediff look`;
fillHelp($("help-rows"));
if (set.readOnly) notice(`${set.readOnly}.`);

// What both views get.
const page = {
  open, move, keep, addClass,
  get list() { return browse.list; },
  get place() { return place; },
};
const changes = new Changes({
  hear: (state) => browse.grid.hear(state),
  saved: (...what) => view.saved(...what),
  wrong: (shown) => view.wrong(shown),
});
const browse = new Browse(page, changes);
const view = new SampleView(page, changes);

// Keep what is shown in the address. later: milliseconds to wait. push: Back leads to what was before.
function keep(later = 0, { push = false } = {}) {
  clearTimeout(keeping);
  if (later) {
    keeping = setTimeout(keep, later);
    return;
  }
  const about = { ...browse.values(), sample: $("sample").hidden ? "" : view.number };
  const kept = new URLSearchParams(Object.entries(about).filter(([, value]) => value !== ""));
  const state = { inside: push || inside() };
  history[push ? "pushState" : "replaceState"](state, "", `${location.pathname}${kept.size ? `#${kept}` : ""}`);
}

// Whether Back leads from a sample to the grid.
function inside() { return Boolean(history.state?.inside); }

// Show what the address says. typed: a person wrote it.
async function restore({ typed }) {
  clearTimeout(keeping); // it was about the address before
  const wanted = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
  await browse.restore(wanted);
  const back = !typed && !$("sample").hidden; // to the tile of the sample that was open
  if (!/^\d{1,9}$/.test(wanted.sample ?? "")) return leave(back ? place : Number(wanted.at) || 0);
  const found = browse.list.view ? (await get(`/api/views/${browse.list.view}/${wanted.sample}`)).place : -1;
  return found >= 0 ? show(found) : leave(0);
}

// Open a sample from the grid, or in place of another one.
function open(at) {
  const inGrid = !$("browse").hidden;
  if (inGrid) keep(); // where Back leads
  return show(at, { push: inGrid });
}

async function show(at, { push } = {}) {
  if (!browse.list.has(at)) return;
  try {
    coming = changes.last.then(() => browse.list.sampleAt(at));
    const { index } = await coming;
    coming = null;
    place = at;
    $("browse").hidden = true;
    $("sample").hidden = false;
    if (!$("sample").contains(document.activeElement)) toPicture();
    const opened = view.open(index);
    if (push !== undefined) keep(0, { push });
    await opened;
    if (browse.list.has(at + 1)) prefetch((await browse.list.sampleAt(at + 1)).index);
  } catch (error) {
    coming = null;
    tell(error);
  }
}

function move(by) {
  if (browse.list.has(place + by)) return open(place + by);
  hint(by > 0 ? "This was the last sample shown." : "This is the first sample shown.");
}

function close() {
  if (inside()) return history.back();
  leave(place);
  return keep();
}

// Leave the sample, if one is open, for a place in the grid.
async function leave(at) {
  if ($("browse").hidden) {
    view.attention.leave();
    $("sample").hidden = true;
    $("browse").hidden = false;
    await browse.refresh({ keep: true });
    browse.grid.box.focus({ preventScroll: true });
  }
  browse.grid.select(at);
}

function hear(report) {
  if (report.kind === "job") return browse.bulk.hear(report);
  if (report.kind === "classes") return get("/api/set").then(update, tell);
  browse.grid.hear(report);
  forget(report.index);
  if (report.window !== WINDOW) view.hear(report).catch(tell);
}

function update(found) {
  if (found.classes.length === set.classes.length) return;
  Object.assign(set, found);
  browse.filters.addClasses();
  browse.bulk.fill();
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
  if (away && !lost) browse.refresh({ keep: true });
  away = lost;
});

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
window.addEventListener("popstate", ({ state }) => restore({ typed: !state }).catch(tell));

// Keys; whether it was one of ours.
function press(event) {
  const control = (event.ctrlKey || event.metaKey) && !event.altKey;
  const step = control && { z: event.shiftKey ? "y" : "z", y: "y" }[event.key.toLowerCase()]; // undo, redo
  const key = keyOf(event);
  const typed = typing(event, step);
  if ($("help").open || (typed && key !== "Escape")) return false;
  const browsing = !$("browse").hidden;
  if (key === "c") { // also while a sample is on its way, for what is typed next is no key of ours
    if (browsing) browse.filters.search();
    else $("class-search").focus();
  } else if (coming) coming.then(() => press(event), () => {}); // the key is about the next sample
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
