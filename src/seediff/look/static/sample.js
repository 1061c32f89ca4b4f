// One sample: its picture, its mask and what is done to them. Every change is saved before the next one is sent.

import { act, get, image, pixels, sendLabels } from "./api.js";
import { Base, Changes } from "./changes.js";
import { Classes } from "./classes.js";
import { TOOLS, fillTools, keyOf } from "./keys.js";
import { Objects } from "./objects.js";
import { $, IGNORED, VERDICT, counted, element, grey, percent, toPicture } from "./page.js";
import * as paint from "./paint.js";
import { Polygon } from "./polygon.js";
import { Segments } from "./segments.js";
import { Stage } from "./stage.js";

const BUTTONS = {
  a: "accept", x: "reject", r: "reset", z: "undo", y: "redo", v: "clean", u: "apply", t: "outlined", h: "by-object",
  ",": "coarser-button", ".": "finer-button", "+": "zoom-in", "-": "zoom-out", "=": "zoom-fit",
}; // that keys press

export class SampleView {
  // page: { set, colours, css, notice(text), move(by), open(place), place(), grid, list, why }
  constructor(page) {
    this.page = page;
    this.number = null;
    this.labels = null;
    this.shownLabels = null; // constants that are tried
    this.tool = "look";
    this.base = null; // what changes follow
    this.changes = new Changes(page, { saved: (...what) => this.saved(...what), wrong: (base) => this.wrong(base) });
    this.prefetched = new Map();
    this.stage = new Stage(
      Object.fromEntries(["stage", "layers", "beside", "photo", "mask", "heat", "edges", "lines", "pixel"].map((id) => [id, $(id)])),
      this,
    );
    this.polygon = new Polygon(this);
    this.segment = new Segments(this, $("tool-shown"));
    this.objects = new Objects(this, $("by-object"));
    this.stage.nameAt = (x, y) => this.nameOf((this.shownLabels || this.labels)?.[y * this.stage.width + x]);
    this.build();
  }

  get set() { return this.page.set; }

  nameOf(value) {
    if (value === IGNORED) return "ignored";
    return value ? this.set.classes[value - 1] : "background";
  }

  build() {
    const { readOnly } = this.set;
    fillTools($("tools"), (tool) => this.choose(tool));
    this.classes = new Classes(this.page, readOnly, toPicture);
    const click = (id, action) => { $(id).onclick = action; }, judged = ["accept", "reject", "reset", "undo", "redo", "original"];
    for (const action of judged) click(action, () => this.judge(action));
    click("relabel-button", () => this.judge("relabel", { old: Number($("old-class").value), new: Number($("new-class").value) }));
    click("coarser-button", () => this.segment.fetch(-1));
    click("finer-button", () => this.segment.fetch(1));
    click("clean", () => this.clean());
    click("zoom-in", () => this.stage.zoomBy(1.5));
    click("zoom-out", () => this.stage.zoomBy(1 / 1.5));
    click("zoom-fit", () => this.stage.zoomBy(0));
    $("brush-size").oninput = () => this.sized();
    for (const id of ["opacity", "heat-opacity"]) $(id).oninput = () => this.fade();
    $("outlined").onchange = () => { this.stage.outlined = $("outlined").checked; this.stage.drawEdges(); };
    for (const part of document.querySelectorAll("#repair :is(input, select, button), #tools input")) grey(part, part.value !== "look" && readOnly);
    for (const id of judged) grey($(id), readOnly);
    $("against").hidden = !this.set.against;
    this.choose("look");
    this.fade();
  }

  // Show the mask and the map of attention as the sliders say; by: more or less of one, in percent.
  fade(id, by = 0) {
    if (by) $(id).value = Number($(id).value) + by;
    const { style } = document.querySelector(".picture");
    for (const slider of ["opacity", "heat-opacity"]) style.setProperty(`--${slider}`, $(slider).value / 100);
  }

  choose(tool) {
    const box = this.boxOf(tool);
    if (box.disabled) return this.page.notice(box.title, { fades: true });
    this.tool = tool;
    box.checked = true;
    this.polygon.forget();
    this.sized();
    if (tool !== "look") this.page.why.endTrial();
    else $("class-said").textContent = "";
    $("sizes").hidden = !["brush", "eraser"].includes(tool);
    $("finer").hidden = tool !== "segment";
    $("tool-shown").textContent = tool === "polygon" ? "Click the corners; double-click or Enter to close. Then drag corners to adjust." : "";
    this.segment.leave();
    if (tool === "segment") this.segment.fetch();
  }

  boxOf(tool) { return document.querySelector(`input[name="tool"][value="${tool}"]`); }

  // Segments and heat need attention. why: why there is none.
  attention(why) {
    grey(this.boxOf("segment"), this.set.readOnly || why);
    $("heat-line").classList.toggle("none", Boolean(why));
  }

  sized(by = 0) {
    const slider = $("brush-size");
    if (by) slider.value = Math.max(1, Math.round(Number(slider.value) * (by > 0 ? 1.25 : 0.8) + (by > 0 ? 1 : 0)));
    $("brush-shown").textContent = `${slider.value} px`;
    this.radius = slider.value / 2;
    this.stage.radius = ["brush", "eraser"].includes(this.tool) ? this.radius : 0;
    this.stage.drawLines();
  }

  // Open a sample by its number.
  async open(number) {
    const turn = (this.turn = (this.turn || 0) + 1);
    this.number = number;
    this.page.why.leave();
    $("sample").setAttribute("aria-busy", "true"); // what is shown until then is of the sample before
    const before = this.changes.of(number) ? this.changes.last : null; // of the same sample, opened again
    if (before) this.prefetched.delete(number);
    const loading = before ? before.then(() => this.load(number)) : this.load(number);
    this.base = new Base(number, loading.then(([about]) => about));
    this.labels = this.last = this.objects.values = null; // those of the sample before are not painted on
    this.polygon.forget();
    const loaded = await loading;
    this.prefetched.clear();
    if (turn !== this.turn) return;
    const [about, photo, labels] = loaded;
    const { values, height, width } = labels;
    this.about = this.state = about;
    this.labels = values;
    this.height = height;
    this.width = width;
    this.shownLabels = null;
    if (this.set.against) $("beside").src = `/api/samples/${number}/predicted`;
    this.stage.setImage(photo, labels.height, labels.width);
    this.draw();
    this.tell();
    this.classes.enter();
    $("sample").setAttribute("aria-busy", "false");
    this.segment.leave();
    this.segment.forget();
    this.objects.fetch();
    this.page.why.enter(number, about);
  }

  load(number) {
    if (!this.prefetched.has(number)) {
      this.prefetched.set(number, Promise.all([this.fetchBoth(number), image(`/api/samples/${number}/image`)])
        .then(([[about, labels], photo]) => [about, photo, labels]));
    }
    return this.prefetched.get(number);
  }

  // Have a sample at hand that is likely to be opened next.
  prefetch(number) {
    if (this.prefetched.size < 2) this.load(number).catch(() => this.prefetched.delete(number));
  }

  // A sample's state and its label map; if they are of two versions, what follows is refused.
  async fetchBoth(number) {
    const [about, labels] = await Promise.all([get(`/api/samples/${number}`), pixels(`/api/samples/${number}/labels`)]);
    return [{ ...about, version: Math.min(about.version, labels.version) }, labels];
  }

  async reload() {
    const turn = (this.reloading = (this.reloading || 0) + 1), { number, turn: opened } = this;
    const [about, labels] = await this.fetchBoth(number);
    if (turn !== this.reloading || opened !== this.turn) return;
    if (!this.base.gone && about.version < this.base.version) return void (await this.reload()); // of before a change
    if (this.base.gone || about.version !== this.base.version) {
      this.base.leave(`Someone else changed ${about.name}; their version was kept.`);
      this.base = new Base(number, Promise.resolve(about));
      await this.base.ready;
    } else this.base.map += 1;
    if (this.stage.closed) this.polygon.forget();
    this.about = this.state = about;
    this.labels = labels.values;
    this.draw();
    this.tell();
    this.objects.fetch();
  }

  tell() {
    const { about, state, page } = this, place = page.place(), { count } = page.list;
    $("sample-name").textContent = about.name;
    $("against-said").textContent = `Prediction${state.miou == null ? "" : `: mIoU ${percent(state.miou)}`}`;
    $("sample-place").textContent = `${(place + 1).toLocaleString()} of ${count.toLocaleString()}`;
    const done = [VERDICT[state.verdict], state.corrected && "✎ corrected", state.made && "new mask"].filter(Boolean).join(", ");
    const by = state.by ? ` by ${state.by}` : "", open = state.verdict ? "" : ", not accepted yet";
    $("sample-state").textContent = done ? done + by + open : "not reviewed";
    $("sample-state").className = state.verdict || "";
    $("accept").setAttribute("aria-pressed", state.verdict === "accepted");
    $("reject").setAttribute("aria-pressed", state.verdict === "rejected");
    for (const [id, can, why] of [["undo", state.undo, "Nothing to undo"], ["redo", state.redo, "Nothing to redo"], ["original", !state.original, "This is the original mask"]]) grey($(id), this.set.readOnly || (!can && why));
    this.classes.tell(state.area);
    const facts = [["size", `${this.width} × ${this.height}`]];
    for (const flag of state.flags) facts.push(["flag", about.why?.[flag] ? `${flag}: ${about.why[flag]}` : flag]);
    const shown = (value) => (typeof value === "object" ? Object.entries(value).map((pair) => pair.join(" ")).join(", ") : String(value));
    for (const [name, value] of Object.entries(about.about)) facts.push([name, shown(value)]);
    $("facts").replaceChildren(...facts.flatMap(([name, value]) => [element("dt", { textContent: name }), element("dd", { textContent: value })]));
  }

  draw(box) {
    if (!this.labels) return;
    const labels = this.shownLabels || this.objects.values || this.labels;
    this.stage.drawLabels(labels, this.page.colours, box || undefined);
  }

  // Tools. down, drag, up: of the pointer; use: of the space bar.
  down(x, y) {
    const [column, row] = this.stage.cross;
    if (this.tool === "look") return this.page.why.point(column, row, true);
    if (!this.labels) return;
    this.page.why.endTrial();
    this.objects.leave();
    if (this.tool === "brush" || this.tool === "eraser") {
      this.last = [x, y];
      this.changed = null;
      this.strokeTo(x, y);
    } else if (this.tool === "fill") {
      this.finish("fill", paint.fill(this.labels, this.width, this.height, column, row, this.classes.value));
    } else this[this.tool].down(x, y);
  }

  drag(x, y) {
    if (this.last) this.strokeTo(x, y);
    else if (this.tool === "segment" || this.tool === "polygon") this[this.tool].drag(x, y);
    else if (this.tool === "look") this.page.why.point(...this.stage.cross, true);
  }

  hover() {
    const [column, row] = this.stage.cross;
    if (this.tool === "look") this.page.why.point(column, row, false);
    else if (this.tool === "segment") this.segment.hover(column, row);
  }

  up() {
    if (this.tool === "segment" || this.tool === "polygon") return this[this.tool].up();
    if (!this.last) return;
    this.last = null;
    return this.finish(this.tool, this.changed);
  }

  twice() { this.polygon.twice(); }

  use(x, y) {
    this.down(x, y);
    this.up();
  }

  strokeTo(x, y) {
    const value = this.tool === "eraser" ? 0 : this.classes.value;
    const box = paint.stroke(this.labels, this.width, this.height, ...this.last, x, y, this.radius, value);
    this.last = [x, y];
    this.changed = paint.join(this.changed, box);
    if (box) this.draw(box);
  }

  // Esc: whether there was something to give up, or a tool to leave.
  giveUp() {
    if (this.segment.giveUp() || this.polygon.forget() || this.page.why.endTrial()) return true;
    if (this.tool === "look") return false;
    this.choose("look");
    return true;
  }

  clean() {
    if (!this.labels) return;
    const { count, box } = paint.clean(this.labels, this.width, this.height, Number($("least").value));
    this.page.notice(count ? `Removed ${counted(count, "small piece")}.` : "There are no holes or islands this small.", { fades: true });
    this.finish("cleaned", box);
  }

  // Save what a tool did.
  finish(tool, box) {
    if (!box) return this.objects.fetch();
    if (tool !== "polygon") this.polygon.forget();
    this.objects.leave();
    this.draw(box);
    const labels = this.labels.slice(), { number } = this.base;
    this.changes.enqueue(this.base, (version) => sendLabels(number, labels, { tool, version }), { painted: true });
  }

  judge(action, more = {}) {
    this.polygon.forget();
    const { number } = this.base, decided = action === "accept" || action === "reject";
    const done = this.changes.enqueue(this.base, (version) => act(number, { action, version, ...more }), { redrawn: ["undo", "redo", "relabel", "original"].includes(action) });
    if (decided && $("onward").checked) this.page.move(1);
    return done;
  }

  // What the server says of the sample is what counts.
  async saved(base, state, redrawn) {
    this.prefetched.delete(base.number);
    if (base !== this.base || base.gone) return;
    if (state.version === this.state.version) this.page.notice("That changed nothing.", { fades: true });
    this.state = state;
    if (redrawn) await this.reload();
    else {
      this.tell();
      this.objects.fetch();
    }
  }

  // What is shown is not what the server has.
  async wrong(base) {
    if (base === this.base && this.labels) await this.reload().catch(() => {});
  }

  // Another window did something.
  async heard(report) {
    this.prefetched.delete(report.index);
    const { base } = this;
    if (report.index !== base?.number) return;
    await base.ready;
    if (base !== this.base || report.version <= base.version) return;
    const text = `Changed in another window by ${report.by || "someone"}: ${report.action}`;
    base.leave(`${text}.`);
    this.page.notice(text, { fades: true });
    await this.reload();
  }

  // Keys of this view; whether it was one.
  key(event) {
    const key = keyOf(event);
    const tool = !event.shiftKey && TOOLS.find(([, letter]) => letter.toLowerCase() === key);
    const waits = key === "z" && !this.set.readOnly && this.changes.of(this.base.number); // what is to be undone is still on its way
    const fade = (by) => this.fade(event.shiftKey ? "heat-opacity" : "opacity", by);
    const others = {
      i: () => this.classes.choose(IGNORED),
      "[": () => this.sized(-1), "]": () => this.sized(1), n: () => fade(-10), m: () => fade(10),
      o: () => { $("mask").hidden = !$("mask").hidden; },
    };
    if (waits) this.judge("undo");
    else if (key in BUTTONS) $(BUTTONS[key]).click();
    else if (tool) this.choose(tool[0]);
    else if (key in others) others[key]();
    else if (/^\d$/.test(key)) { if (Number(key) <= this.set.classes.length) this.classes.choose(Number(key)); }
    else if (key === "Enter" && this.polygon.open) this.polygon.close();
    else return key === "Enter" && this.segment.accept();
    return true;
  }
}
