// Shows the grid or one sample, and passes keys to it.

import { keepAddress, leadsBackToGrid, readAddress, watchAddress } from "./address.js";
import { post } from "./api.js";
import { Browse } from "./browse.js";
import { Changes } from "./changes.js";
import { actOf, fillHelp, isField, pressButton } from "./keys.js";
import { $, hint, notice, tell, toPicture } from "./page.js";
import { SampleView } from "./sample.js";
import { all, prefetch } from "./samples.js";
import { set } from "./set.js";

const state = {
  place: -1,
  coming: null,
  opened: null,
  pointed: false,
};

$("set-name").textContent = set.name;
document.title = `${set.name}: seediff look`;
fillHelp();
if (set.readOnly) notice(`${set.readOnly}.`);
else if (set.changed) hint(`New or changed masks since \`seediff doubt\`: ${set.changed}. Run it again for a new order.`);

const page = {
  open, move, addClass,
  changed() {
    browse.refresh({ keep: true });
    if (isOpen()) changes.last.then(() => view.reload()).catch(tell);
  },
  get bulk() { return browse.bulk; },
  get list() { return browse.list; },
  get place() { return state.place; },
  get coming() { return state.coming; },
};
const isOpen = () => !$("sample").hidden;

function exchange(open) {
  $("sample").hidden = !open;
  $("browse").hidden = open;
}

const changes = new Changes({
  update: (sample) => browse.update(sample),
  saved: (...what) => view.saved(...what),
  wrong: (change) => view.wrong(change),
});
const browse = new Browse(page, changes);
const view = new SampleView(page, changes);

async function restore({ typed }) {
  Object.assign(state, { coming: null, leaving: false });
  const { sample, ...wanted } = readAddress();
  browse.restore(wanted);
  const named = /^\d{1,9}$/.test(sample ?? "");
  const found = named ? browse.list.placeOf(Number(sample)) : -1;
  if (found >= 0) return show(found);
  if (named) return leave(0);
  const back = !typed && isOpen();
  return leave(back ? state.place : Number(wanted.at) || 0);
}

function open(at) {
  const push = !isOpen();
  if (push) keepAddress();
  return show(at, { push });
}

async function show(at, { push } = {}) {
  if (!browse.list.has(at)) return;
  const coming = changes.last.then(() => browse.list.at(at));
  state.coming = coming;
  try {
    const { index } = await coming;
    if (coming !== state.coming) return; // something else was asked for
    Object.assign(state, { coming: null, opened: coming, place: at });
    exchange(true);
    if (!document.activeElement.closest("#sample, .of-sample")) toPicture();
    const opened = view.open(index);
    if (push !== undefined) keepAddress({ push });
    await opened;
    if (browse.list.has(at + 1)) prefetch(browse.list.at(at + 1).index);
  } catch (error) {
    if (coming === state.coming) state.coming = null;
    tell(error);
  }
}

// Counted from a sample on its way.
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
  if (leadsBackToGrid()) {
    if (!state.leaving) history.back(); // once, however often Escape is pressed meanwhile
    state.leaving = true;
    return;
  }
  leave(state.place);
  return keepAddress();
}

async function leave(at) {
  if (isOpen()) {
    view.leave();
    exchange(false);
    browse.refresh({ keep: true });
    browse.grid.box.focus({ preventScroll: true });
  }
  browse.grid.select(at);
}

async function addClass(name) {
  try {
    Object.assign(set, await post("/api/classes", { name }));
    browse.filters.addClasses();
    browse.bulk.fill();
    browse.refresh({ keep: true });
    view.classes.fill();
    return true;
  } catch (error) {
    tell(error);
    return false;
  }
}

$("notice-close").onclick = () => notice("");
$("undo").onclick = $("notice-undo").onclick = undo;
$("redo").onclick = () => restoreLast(true);
$("back").onclick = close;
$("next").onclick = () => move(1);
$("previous").onclick = () => move(-1);
$("help-button").onclick = () => $("help").showModal();
for (const button of document.querySelectorAll("button[aria-label]")) button.title = button.ariaLabel;
// After a click on a button, keys go to the picture or the grid again.
// Focus is shown after keys alone: :focus-visible matches focus that the page sets, too.
for (const kind of ["pointerdown", "keydown"]) {
  document.addEventListener(kind, ({ key }) => {
    if (/^(Shift|Control|Alt|Meta)$/.test(key)) return;
    state.pointed = kind === "pointerdown";
    document.body.classList.toggle("keyed", !state.pointed);
  }, true);
}
document.addEventListener("click", ({ target }) => {
  const pressed = target.closest("button, input[type=radio], input[type=checkbox]");
  if (state.pointed && pressed) $(isOpen() ? "stage" : "grid").focus({ preventScroll: true });
});
watchAddress(
  () => ({ ...browse.values(), sample: isOpen() ? view.number : "" }),
  (how) => {
    if (!isOpen() || view.settle()) restore(how).catch(tell);
    else keepAddress({ push: true });
  },
);
window.addEventListener("beforeunload", (event) => {
  if (!view.settle() || changes.queue.length) event.preventDefault();
});

async function restoreLast(redo) {
  if (isOpen() && !view.settle()) return;
  const entry = changes.take(redo);
  if (!entry) return hint(`There is nothing to ${redo ? "redo" : "undo"}.`);
  if (entry.items) return browse.bulk.restore(entry, redo);
  const { number, name } = entry;
  if (isOpen() && number === view.number) return view.restore(entry, redo);
  const change = changes.restore(entry, redo, all[number]);
  await changes.last;
  const place = browse.list.placeOf(number);
  if (place >= 0 && isOpen()) await show(place, { push: false });
  else if (place >= 0) browse.grid.select(place);
  if (!change.failed) hint(`${name}: ${redo ? "redone" : "undone"}.`);
}

function undo() {
  if (!isOpen() || !view.tool.back()) restoreLast(false);
}

const { grid } = browse;
const ACTS = {
  undo,
  redo: () => restoreLast(true),
  search: () => $("text").focus(),
  judge: (event, action) => browse.judge(action),
  step: (event) => grid.key(event),
  open: () => grid.open(grid.active),
  tick: () => grid.toggle(grid.active),
  unselect: () => {
    if (!isField(document.activeElement)) grid.choose([]);
    grid.box.focus({ preventScroll: true });
  },
  findClass: () => $("class-search").focus(),
  tool: (event, name) => view.chooseTool(name),
  size: (event, by) => view.sizeBrush(Number(by)),
  class: ({ key }, value = key) => view.classes.pick(Number(value)),
  cross: (event) => view.stage.key(event),
  mask: () => { $("mask").hidden = !$("mask").hidden; },
  accept: () => view.tool.accept(),
  back: () => view.tool.back(),
  giveUp: () => {
    if (isField(document.activeElement)) toPicture();
    else if (!view.giveUp()) close();
  },
};

function press(event) {
  const found = actOf(event, state.coming || isOpen() ? "sample" : "grid");
  if (!found || $("help").open) return;
  event.preventDefault();
  const [name, argument] = found.split(" ");
  if (state.coming && name !== "findClass") state.coming.then(() => press(event), () => {}); // about the next sample
  else if (name.startsWith("#")) pressButton(name);
  else ACTS[name](event, argument);
}

document.addEventListener("keydown", press);

await restore({ typed: true }).catch(tell);
if (!isOpen()) browse.grid.box.focus({ preventScroll: true });
