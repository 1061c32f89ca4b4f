// The page: what is shown, one sample or all, and what is heard from the server.

import { get, listen, post, act, WINDOW } from "./api.js";
import { Filters } from "./filters.js";
import { Grid } from "./grid.js";
import { fillHelp, typing } from "./keys.js";
import { SampleView } from "./sample.js";
import { packColours } from "./stage.js";
import { Why } from "./why.js";

const $ = (id) => document.getElementById(id);
const set = await get("/api/set");
const css = (id) => `rgb(${set.palette.slice(3 * id, 3 * id + 3).join(" ")})`;
const heat = packColours(set.heat);

let list = { view: null, count: 0 }, place = -1, unsaved = 0, asking = 0;

function notice(text) {
  $("notice").textContent = text;
  $("notice").hidden = !text;
}

function pending(by) {
  unsaved += by;
  $("saving").textContent = unsaved ? "Saving …" : "Saved";
}

const page = {
  set, css, heat, colours: packColours(set.palette), notice, pending,
  by: () => "",
  shown: () => ({ place, count: list.count }),
  shownCount: () => list.count,
  viewName: () => list.view,
  hear: (state) => grid.hear(state),
  move,
};

$("set-name").textContent = set.name;
$("set-count").textContent = `${set.count.toLocaleString()} samples`;
document.title = `${set.name}: seediff look`;
fillHelp($("help-rows"));
if (set.readOnly) notice(`Read only: ${set.readOnly}.`);

const grid = new Grid($("grid"), $("grid-inner"), { open, names: { ...["", ...set.classes] }, act: judge, failed: (error) => (error.status === 410 ? refresh({ keep: true }) : notice(error.message)) });
const filters = new Filters($("filters"), set, css, () => refresh());
page.why = new Why(page);
page.view = new SampleView(page);

async function refresh(options = {}) {
  const turn = ++asking;
  try {
    const found = await post("/api/views", filters.query());
    if (turn !== asking) return;
    list = found;
    filters.counts(found.counts);
    $("shown").textContent = `${found.count.toLocaleString()} of ${set.count.toLocaleString()} shown`;
    grid.show(found.view, found.count, options);
  } catch (error) {
    notice(error.message);
  }
}

// Accept, reject and the like on a tile of the grid. The next key is about the next sample, whether this one is saved yet or not.
let judging = Promise.resolve();
function judge(key, at) {
  const action = { a: "accept", x: "reject", r: "reset", z: "undo", y: "redo" }[key], asked = grid.sampleAt(at);
  if (key === "a" || key === "x") grid.select(at + 1);
  pending(1);
  judging = judging.then(async () => {
    try {
      const sample = await asked;
      grid.hear(await act(sample.index, { action, version: sample.version, by: page.by() }));
    } catch (error) {
      if (error.status === 409) grid.hear(error.told);
      notice(error.message);
    } finally {
      pending(-1);
    }
  });
}

async function open(at) {
  if (at < 0 || at >= list.count) return;
  try {
    const sample = await grid.sampleAt(at);
    place = at;
    $("browse").hidden = true;
    $("sample").hidden = false;
    history.replaceState(null, "", `#${sample.index}`);
    if (!$("sample").contains(document.activeElement)) $("stage").focus({ preventScroll: true });
    await page.view.open(sample.index);
    if (at + 1 < list.count) page.view.prefetch((await grid.sampleAt(at + 1)).index);
  } catch (error) {
    notice(error.message);
  }
}

function move(by) {
  if (place + by >= 0 && place + by < list.count) return open(place + by);
  notice(by > 0 ? "This was the last one that is shown." : "This is the first one that is shown.");
  return undefined;
}

function close() {
  page.why.leave();
  $("sample").hidden = true;
  $("browse").hidden = false;
  history.replaceState(null, "", location.pathname);
  refresh({ keep: true }).then(() => { grid.select(place); grid.box.focus({ preventScroll: true }); });
}

function hear(report) {
  if (report.kind === "job") page.why.job(report);
  else if (report.kind === "behind") refresh({ keep: true });
  else {
    grid.hear(report);
    page.view.prefetched.delete(report.index);
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
$("back").addEventListener("click", close);
$("next").addEventListener("click", () => move(1));
$("previous").addEventListener("click", () => move(-1));
$("help-button").addEventListener("click", () => $("help").showModal());

document.addEventListener("keydown", (event) => {
  if ($("help").open || (typing(event) && event.key !== "Escape")) return;
  if (event.key === "?") $("help").showModal();
  else if ($("sample").hidden) {
    if (event.key !== "Escape") return;
    grid.box.focus();
  } else if (event.key === "Escape") { if (!page.view.giveUp()) close(); }
  else if (event.key === "PageDown" || event.key.toLowerCase() === "j") move(1);
  else if (event.key === "PageUp" || event.key.toLowerCase() === "k") move(-1);
  else if (!page.view.key(event)) return;
  event.preventDefault();
});

await refresh();
grid.box.focus({ preventScroll: true });
const wanted = /^#(\d+)$/.exec(location.hash);
if (wanted && list.view) {
  const { place: found } = await get(`/api/views/${list.view}/${wanted[1]}`);
  if (found >= 0) open(found);
}
