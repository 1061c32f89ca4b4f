// The page: what is shown, one sample or all, and what is heard from the server.

import { inside, read, write } from "./address.js";
import { get, listen, post, act, WINDOW } from "./api.js";
import { Filters } from "./filters.js";
import { Grid } from "./grid.js";
import { Jobs } from "./jobs.js";
import { fillHelp, typing } from "./keys.js";
import { SampleView } from "./sample.js";
import { Selection } from "./selection.js";
import { packColours } from "./stage.js";
import { Why } from "./why.js";

const $ = (id) => document.getElementById(id);
const set = await get("/api/set");
const SOON = 700; // milliseconds after which a change is counted
const css = (id) => `rgb(${set.palette.slice(3 * id, 3 * id + 3).join(" ")})`;
const heat = packColours(set.heat), FADE = 6000;

let list = { view: null, count: 0 }, place = -1, unsaved = 0, asking = 0, fading = 0, counting = 0;

// fades: what happened elsewhere is not in the way for ever.
function notice(text, { fades = false } = {}) {
  clearTimeout(fading);
  $("notice").textContent = text;
  $("notice").hidden = !text;
  if (fades) fading = setTimeout(() => { $("notice").hidden = true; }, FADE);
}

function pending(by) {
  unsaved += by;
  $("saving").textContent = unsaved ? "Saving …" : "Saved";
}

const page = {
  set, css, heat, colours: packColours(set.palette), notice, pending, refresh, move,
  shown: () => ({ place, count: list.count }),
  shownCount: () => list.count,
  viewName: () => list.view,
  hear: (state) => grid.hear(state),
};

$("set-name").textContent = set.name;
$("set-count").textContent = `${set.count.toLocaleString()} samples`;
document.title = `${set.name}: seediff look`;
fillHelp($("help-rows"));
if (set.readOnly) notice(`Read only: ${set.readOnly}.`);

const failed = (error) => (error.status === 410 ? refresh({ keep: true }) : notice(error.message));
const grid = new Grid($("grid"), $("grid-inner"), { open, names: { ...["", ...set.classes] }, act: judge, failed, moved: () => keep(300), chose: () => selection.show() });
page.jobs = new Jobs(page);
const selection = new Selection(page, grid);
const filters = new Filters($("filters"), set, css, () => { refresh(); keep(); });
page.why = new Why(page);
page.view = new SampleView(page);

// The address says what is shown. later: milliseconds, so that keys that are held down do not write it each time.
let keeping = 0;
function keep(later = 0, options = {}) {
  clearTimeout(keeping);
  const open = $("sample").hidden ? "" : page.view.number, about = { ...filters.values(), size: grid.least === 148 ? "" : grid.least, at: grid.active || "", sample: open ?? "" };
  if (later) keeping = setTimeout(() => keep(), later);
  else write(about, options);
}

// Show what the address says.
async function restore() {
  const wanted = read();
  resize(Number(wanted.size) || 148);
  if (filters.set(wanted) || !list.view) await refresh();
  if (!/^\d+$/.test(wanted.sample ?? "")) return void leave(Number(wanted.at) || 0);
  const found = list.view ? (await get(`/api/views/${list.view}/${wanted.sample}`)).place : -1;
  return found >= 0 ? void (await show(found)) : void leave(0);
}

function resize(side) {
  $("tile-size").value = side;
  grid.least = Number($("tile-size").value);
  grid.measure();
}

async function refresh(options = {}) {
  const turn = ++asking;
  try {
    const found = await post("/api/views", filters.query());
    if (turn !== asking) return;
    list = found;
    counted(found);
    $("shown").textContent = `${found.count.toLocaleString()} of ${set.count.toLocaleString()} shown${found.count ? "" : ": nothing fits these filters"}`;
    $("show-all").hidden = found.count > 0 || !set.count;
    grid.show(found.view, found.count, options);
  } catch (error) {
    notice(error.message);
  }
}

function counted({ counts, histograms }) { filters.counts(counts, histograms); }

// Count anew a little later; what is shown stays.
function recount() {
  clearTimeout(counting);
  counting = setTimeout(() => { if (!$("browse").hidden) post("/api/views?counts=1", filters.query()).then(counted, () => {}); }, SOON);
}

// Accept, reject and the like on a tile of the grid, or on all that are selected. The next key is about the next sample, whether this
// one is saved yet or not.
let judging = Promise.resolve();
function judge(key, at) {
  const action = { a: "accept", x: "reject", r: "reset", z: "undo", y: "redo" }[key];
  if (grid.chosen.size && key !== "z" && key !== "y") return void selection.act(action);
  const asked = grid.sampleAt(at);
  if (key === "a" || key === "x") grid.select(at + 1);
  pending(1);
  judging = judging.then(async () => {
    try {
      const sample = await asked;
      grid.hear(await act(sample.index, { action, version: sample.version }));
    } catch (error) {
      if (error.status === 409) grid.hear(error.told);
      notice(error.message);
    } finally {
      pending(-1);
    }
  });
  return undefined;
}

// Open a sample from the grid, or in place of another one.
function open(at) {
  const inGrid = !$("browse").hidden;
  if (inGrid) keep(); // where Back leads
  return show(at, { push: inGrid });
}

// The next key is about the next sample, also while its number is still asked for.
let turning = null;
async function show(at, { push } = {}) {
  if (at < 0 || at >= list.count) return;
  try {
    turning = judging.then(() => grid.sampleAt(at)).then((sample) => {
      turning = null;
      place = at;
      $("browse").hidden = true;
      $("sample").hidden = false;
      if (!$("sample").contains(document.activeElement)) $("stage").focus({ preventScroll: true });
      const opened = page.view.open(sample.index);
      if (push !== undefined) keep(0, { push });
      return { opened };
    });
    await (await turning).opened;
    if (at + 1 < list.count) page.view.prefetch((await grid.sampleAt(at + 1)).index);
  } catch (error) {
    turning = null;
    notice(error.message);
  }
}

function move(by) {
  if (place + by >= 0 && place + by < list.count) return open(place + by);
  notice(by > 0 ? "This was the last one that is shown." : "This is the first one that is shown.");
  return undefined;
}

// Back to all samples: as the browser's Back, where that leads there.
function close() {
  if (inside()) return void history.back();
  leave(place);
  return void keep();
}

function leave(at) {
  if ($("sample").hidden) return void grid.select(at);
  page.why.leave();
  $("sample").hidden = true;
  $("browse").hidden = false;
  return void refresh({ keep: true }).then(() => { grid.select(place); grid.box.focus({ preventScroll: true }); });
}

function hear(report) {
  if (report.kind === "job") page.jobs.hear(report);
  else if (report.kind === "behind") refresh({ keep: true });
  else {
    grid.hear(report);
    page.view.prefetched.delete(report.index);
    recount();
    if (report.window !== WINDOW) page.view.heard(report).catch((error) => notice(error.message));
  }
}

let away = false;
listen(hear, (lost) => {
  if (lost) notice("The server does not answer. Changes are not saved; start seediff look again.");
  else if (away) { notice(""); refresh({ keep: true }); }
  away = lost;
});

$("with-labels").addEventListener("change", (event) => { grid.labels = event.target.checked; grid.releaseAll(); grid.draw(); });
$("tile-size").addEventListener("input", () => { resize($("tile-size").value); grid.select(grid.active); });
$("tile-size").addEventListener("change", () => keep());
$("select-all").addEventListener("click", () => grid.chooseAll());
$("show-all").addEventListener("click", () => $("reset-filters").click());
$("back").addEventListener("click", close);
$("next").addEventListener("click", () => move(1));
$("previous").addEventListener("click", () => move(-1));
$("help-button").addEventListener("click", () => $("help").showModal());
// The keyboard is the picture's again after a pointer used a button beside it.
let pointed = false;
for (const kind of ["pointerdown", "keydown"]) $("sample").addEventListener(kind, () => { pointed = kind === "pointerdown"; }, true);
$("sample").addEventListener("click", (event) => {
  if (pointed && event.target.closest("button, input[type=radio], input[type=checkbox]")) $("stage").focus({ preventScroll: true });
});
window.addEventListener("popstate", () => restore().catch((error) => notice(error.message)));

// Keys; whether it was one of ours.
function press(event) {
  const step = (event.ctrlKey || event.metaKey) && !event.altKey && { z: event.shiftKey ? "y" : "z", y: "y" }[event.key.toLowerCase()];
  if ($("help").open || (typing(event, step) && event.key !== "Escape")) return false;
  if (turning) {
    turning.then(() => press(event), () => {});
    return true;
  }
  if (event.key === "?") $("help").showModal();
  else if ($("sample").hidden) {
    if (step) judge(step, grid.active);
    else if (event.key === "Escape") grid.box.focus();
    else return false;
  } else if (event.key === "Escape") {
    if (typing(event, step)) $("stage").focus({ preventScroll: true });
    else if (!page.view.giveUp()) close();
  }
  else if (step) page.view.key({ key: step });
  else if (event.key === "PageDown" || event.key.toLowerCase() === "j") move(1);
  else if (event.key === "PageUp" || event.key.toLowerCase() === "k") move(-1);
  else return page.view.key(event);
  return true;
}

document.addEventListener("keydown", (event) => { if (press(event)) event.preventDefault(); });

grid.box.focus({ preventScroll: true });
await restore().catch((error) => notice(error.message));
