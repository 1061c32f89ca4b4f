// One sample: its picture, its mask and what is done to them. Every change is saved before the next one is sent.

import { act, sendLabels } from "./api.js";
import { Changes, ShownVersion } from "./changes.js";
import { Classes } from "./classes.js";
import { TOOLS, fillTools, keyOf } from "./keys.js";
import { fetchSample, forget, forgetAll, load } from "./loading.js";
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
const JUDGED = ["accept", "reject", "reset", "undo", "redo", "original"];
const NEW_MAP = ["undo", "redo", "original", "relabel"]; // actions after which the server has another label map
const SIZED = ["brush", "eraser"];

export class SampleView {
  tool = "look";
  turn = 0; // counts opens and reloads: only the last one's answer is used
  shown = null; // the ShownVersion that changes are made on
  about = null; // the server's state of it
  labels = null; // its label map; null until it has come
  triedLabels = null; // the label map of tried constants, shown in place of `labels`
  stroke = null; // during a stroke { at: its end, box: what it changed }

  constructor(page) {
    this.page = page;
    this.changes = new Changes(page, {
      saved: (...what) => this.saved(...what),
      wrong: (shown) => this.wrong(shown),
    });
    const parts = ["stage", "layers", "beside", "photo", "mask", "heat", "edges", "lines", "pixel"];
    this.stage = new Stage(Object.fromEntries(parts.map((id) => [id, $(id)])), this);
    this.polygon = new Polygon(this);
    this.segment = new Segments(this, $("tool-shown"));
    this.objects = new Objects(this, $("by-object"));
    this.stage.nameAt = (x, y) => this.nameOf((this.triedLabels || this.labels)?.[y * this.stage.width + x]);
    this.build();
  }

  get set() { return this.page.set; }

  get number() { return this.shown?.number; }

  nameOf(value) {
    if (value === IGNORED) return "ignored";
    return value ? this.set.classes[value - 1] : "background";
  }

  build() {
    const { readOnly } = this.set;
    const click = (id, action) => { $(id).onclick = action; };
    fillTools($("tools"), (tool) => this.choose(tool));
    this.classes = new Classes(this.page, readOnly, toPicture);
    for (const action of JUDGED) {
      click(action, () => this.judge(action));
      grey($(action), readOnly);
    }
    click("relabel-button", () => {
      this.judge("relabel", { old: Number($("old-class").value), new: Number($("new-class").value) });
    });
    click("coarser-button", () => this.segment.fetch(-1));
    click("finer-button", () => this.segment.fetch(1));
    click("clean", () => this.clean());
    click("zoom-in", () => this.stage.zoomBy(1.5));
    click("zoom-out", () => this.stage.zoomBy(1 / 1.5));
    click("zoom-fit", () => this.stage.zoomBy(0));
    $("brush-size").oninput = () => this.sized();
    for (const id of ["opacity", "heat-opacity"]) $(id).oninput = () => this.fade();
    $("outlined").onchange = () => {
      this.stage.outlined = $("outlined").checked;
      this.stage.drawEdges();
    };
    for (const part of $("repair").querySelectorAll("input, select, button")) grey(part, readOnly);
    for (const [tool] of TOOLS) if (tool !== "look" && readOnly) grey(this.boxOf(tool), readOnly);
    $("against").hidden = !this.set.against;
    this.choose("look");
    this.fade();
  }

  // Show mask and heat as strongly as the sliders say. by: change one, in percent.
  fade(id, by = 0) {
    if (by) $(id).value = Number($(id).value) + by;
    for (const slider of ["opacity", "heat-opacity"]) {
      $("sample").style.setProperty(`--${slider}`, $(slider).value / 100);
    }
  }

  choose(tool) {
    const box = this.boxOf(tool);
    if (box.disabled) return this.page.notice(box.title, { fades: true });
    this.tool = tool;
    box.checked = true;
    this.polygon.forget();
    this.sized();
    if (tool === "look") $("class-said").textContent = "";
    else this.page.attention.endTrial();
    $("sizes").hidden = !SIZED.includes(tool);
    $("finer").hidden = tool !== "segment";
    $("tool-shown").textContent = "";
    if (tool === "polygon") {
      $("tool-shown").textContent = "Click the corners; double-click or Enter to close. Then drag corners to adjust.";
    }
    this.segment.leave();
    if (tool === "segment") this.segment.fetch();
  }

  boxOf(tool) { return $("tools").querySelector(`[value="${tool}"]`); }

  // Segments and heat need attention. why: why there is none.
  allowAttention(why) {
    grey(this.boxOf("segment"), this.set.readOnly || why);
    $("heat-line").classList.toggle("none", Boolean(why));
  }

  // The brush's size; by: larger or smaller.
  sized(by = 0) {
    const slider = $("brush-size");
    const size = Number(slider.value);
    if (by) slider.value = by > 0 ? Math.round(size * 1.25) + 1 : Math.max(1, Math.round(size * 0.8));
    $("brush-shown").textContent = `${slider.value} px`;
    this.radius = slider.value / 2;
    this.stage.radius = SIZED.includes(this.tool) ? this.radius : 0;
    this.stage.drawLines();
  }

  async open(number) {
    const turn = ++this.turn;
    const pending = this.changes.pendingOf(number); // of the same sample, opened again
    if (pending) forget(number);
    const loading = pending ? this.changes.last.then(() => load(number)) : load(number);
    this.shown = new ShownVersion(number, loading.then(({ about }) => about));
    this.page.attention.leave();
    $("sample").setAttribute("aria-busy", "true");
    this.labels = this.stroke = this.objects.values = null; // nobody paints on the sample before, which is still seen
    this.polygon.forget();
    const { about, photo, labels } = await loading;
    forgetAll();
    if (turn !== this.turn) return;
    const { height, width } = labels;
    Object.assign(this, { about, height, width, labels: labels.values, triedLabels: null });
    if (this.set.against) $("beside").src = `/api/samples/${number}/predicted`;
    this.stage.setImage(photo, height, width);
    this.draw();
    this.tell();
    this.classes.enter();
    $("sample").setAttribute("aria-busy", "false");
    this.segment.leave();
    this.segment.forget();
    this.objects.fetch();
    this.page.attention.enter(number, about);
  }

  // Show what the server has now of the same sample.
  async reload() {
    const turn = ++this.turn;
    const { shown } = this;
    const { about, labels } = await fetchSample(shown.number);
    if (turn !== this.turn) return;
    if (!shown.replaced && about.version < shown.version) return void (await this.reload()); // from before a change
    if (shown.replaced || about.version !== shown.version) {
      shown.replace(`Someone else changed ${about.name}; their version was kept.`);
      this.shown = new ShownVersion(shown.number, Promise.resolve(about));
      await this.shown.ready;
    } else shown.map += 1;
    if (this.stage.closed) this.polygon.forget();
    Object.assign(this, { about, labels: labels.values });
    this.draw();
    this.tell();
    this.objects.fetch();
  }

  tell() {
    const { about, page } = this;
    const place = (page.place() + 1).toLocaleString();
    $("sample-name").textContent = about.name;
    $("against-said").textContent = `Prediction${about.miou === null ? "" : `: mIoU ${percent(about.miou)}`}`;
    $("sample-place").textContent = `${place} of ${page.list.count.toLocaleString()} shown`;
    this.tellReview();
    this.classes.tell(about.area);
    const facts = [["size", `${this.width} × ${this.height}`]];
    for (const flag of about.flags) facts.push(["flag", [flag, about.why[flag]].filter(Boolean).join(": ")]);
    for (const [name, value] of Object.entries(about.about)) {
      const pairs = Object.entries(value).map((pair) => pair.join(" "));
      facts.push([name, typeof value === "object" ? pairs.join(", ") : value]);
    }
    $("facts").replaceChildren(...facts.flatMap(([name, value]) => [
      element("dt", { textContent: name }), element("dd", { textContent: value }),
    ]));
  }

  tellReview() {
    const { verdict, corrected, made, by, undo, redo, original } = this.about;
    const done = [VERDICT[verdict], corrected && "✎ corrected", made && "new mask"].filter(Boolean).join(", ");
    const more = [by && ` by ${by}`, !verdict && ", not accepted yet"].filter(Boolean).join("");
    $("sample-state").textContent = done ? done + more : "not reviewed";
    $("sample-state").className = verdict || "";
    $("accept").setAttribute("aria-pressed", verdict === "accepted");
    $("reject").setAttribute("aria-pressed", verdict === "rejected");
    const { readOnly } = this.set;
    grey($("undo"), readOnly || (!undo && "Nothing to undo"));
    grey($("redo"), readOnly || (!redo && "Nothing to redo"));
    grey($("original"), readOnly || (original && "This is the original mask"));
  }

  draw(box) {
    if (!this.labels) return;
    this.stage.drawLabels(this.triedLabels || this.objects.values || this.labels, this.page.colours, box || undefined);
  }

  // Tools. down, drag, up: of the pointer; use: of the space bar.
  down(x, y) {
    const [column, row] = this.stage.cross;
    if (this.tool === "look") return this.page.attention.point(column, row, true);
    if (!this.labels) return;
    this.page.attention.endTrial();
    this.objects.leave();
    if (SIZED.includes(this.tool)) {
      this.stroke = { at: [x, y], box: null };
      this.strokeTo(x, y);
    } else if (this.tool === "fill") {
      this.finish("fill", paint.fill(this.labels, this.width, this.height, column, row, this.classes.value));
    } else this[this.tool].down(x, y);
  }

  drag(x, y) {
    if (this.stroke) this.strokeTo(x, y);
    else if (this.tool === "segment" || this.tool === "polygon") this[this.tool].drag(x, y);
    else if (this.tool === "look") this.page.attention.point(...this.stage.cross, true);
  }

  hover() {
    if (this.tool === "look") this.page.attention.point(...this.stage.cross, false);
    else if (this.tool === "segment") this.segment.hover(...this.stage.cross);
  }

  up() {
    if (this.tool === "segment" || this.tool === "polygon") return this[this.tool].up();
    const { stroke } = this;
    if (!stroke) return;
    this.stroke = null;
    return this.finish(this.tool, stroke.box);
  }

  twice() { this.polygon.twice(); }

  use(x, y) {
    this.down(x, y);
    this.up();
  }

  strokeTo(x, y) {
    const value = this.tool === "eraser" ? 0 : this.classes.value;
    const { labels, width, height, radius, stroke } = this;
    const box = paint.stroke(labels, width, height, ...stroke.at, x, y, radius, value);
    this.stroke = { at: [x, y], box: paint.join(stroke.box, box) };
    if (box) this.draw(box);
  }

  // Esc. Returns whether there was something to give up.
  giveUp() {
    if (this.segment.giveUp() || this.polygon.forget() || this.page.attention.endTrial()) return true;
    if (this.tool === "look") return false;
    this.choose("look");
    return true;
  }

  clean() {
    if (!this.labels) return;
    const { count, box } = paint.clean(this.labels, this.width, this.height, Number($("least").value));
    const text = count ? `Removed ${counted(count, "small piece")}.` : "There are no holes or islands this small.";
    this.page.notice(text, { fades: true });
    this.finish("cleaned", box);
  }

  finish(tool, box) {
    if (!box) return this.objects.fetch();
    if (tool !== "polygon") this.polygon.forget();
    this.objects.leave();
    this.draw(box);
    const { number } = this;
    const labels = this.labels.slice();
    this.changes.enqueue(this.shown, (version) => sendLabels(number, labels, { tool, version }), { painted: true });
  }

  judge(action, more = {}) {
    this.polygon.forget();
    const { number } = this;
    const send = (version) => act(number, { action, version, ...more });
    this.changes.enqueue(this.shown, send, { newMap: NEW_MAP.includes(action) });
    if ((action === "accept" || action === "reject") && $("onward").checked) this.page.move(1);
  }

  async saved(shown, state, newMap) {
    forget(shown.number);
    if (shown !== this.shown || shown.replaced) return;
    if (state.version === this.about.version) this.page.notice("That changed nothing.", { fades: true });
    Object.assign(this.about, state);
    if (newMap) return this.reload();
    this.tell();
    this.objects.fetch();
  }

  // What is shown is not what the server has.
  async wrong(shown) {
    if (shown === this.shown && this.labels) await this.reload().catch(() => {});
  }

  async heard(report) {
    const { shown } = this;
    if (report.index !== shown?.number) return;
    await shown.ready;
    if (shown !== this.shown || report.version <= shown.version) return;
    const text = `Changed in another window by ${report.by || "someone"}: ${report.action}`;
    shown.replace(`${text}.`);
    this.page.notice(text, { fades: true });
    await this.reload();
  }

  // Returns whether the key was one of this view's.
  key(event) {
    const key = keyOf(event);
    const tool = !event.shiftKey && TOOLS.find(([, letter]) => letter.toLowerCase() === key);
    const fade = (by) => this.fade(event.shiftKey ? "heat-opacity" : "opacity", by);
    const others = {
      i: () => this.classes.choose(IGNORED),
      "[": () => this.sized(-1), "]": () => this.sized(1), n: () => fade(-10), m: () => fade(10),
      o: () => { $("mask").hidden = !$("mask").hidden; },
    };
    const isPending = !this.set.readOnly && this.changes.pendingOf(this.number);
    if (key === "z" && isPending) this.judge("undo"); // what the button cannot know yet
    else if (key in BUTTONS) $(BUTTONS[key]).click();
    else if (tool) this.choose(tool[0]);
    else if (key in others) others[key]();
    else if (/^\d$/.test(key)) {
      if (Number(key) <= this.set.classes.length) this.classes.choose(Number(key));
    } else if (key === "Enter" && this.polygon.open) this.polygon.close();
    else return key === "Enter" && this.segment.accept();
    return true;
  }
}
