// One sample: its picture, its mask and what is done to them. Every change is saved before the next one is sent.

import { act, get, picture, pixels, sendLabels } from "./api.js";
import { Base, Changes } from "./changes.js";
import { Classes, IGNORED } from "./classes.js";
import { Joiner } from "./join.js";
import { choice, long } from "./page.js";
import * as paint from "./paint.js";
import { Stage } from "./stage.js";

const TOOLS = [["look", "L", "Look"], ["brush", "B", "Brush"], ["eraser", "E", "Eraser"], ["polygon", "P", "Polygon"], ["fill", "F", "Fill"], ["segment", "S", "Segment"], ["join", "G", "Join"]];
const REDRAWN = ["undo", "redo", "relabel", "original"]; // what leaves another label map
const VERDICT = { accepted: "✓ accepted", rejected: "✗ rejected" };
const SHADES = Uint32Array.from({ length: 256 }, (_, i) => i * 0x010101);
const $ = (id) => document.getElementById(id);

export class SampleView {
  // page: { set, colours, css, notice(text), move(by), shown() → {place, count}, why }
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
      { stage: $("stage"), layers: $("layers"), photo: $("photo"), mask: $("mask"), heat: $("heat"), lines: $("lines"), pixel: $("pixel") },
      {
        down: (x, y, event) => this.down(x, y, event), drag: (x, y) => this.drag(x, y), up: () => this.up(),
        hover: (x, y) => this.hover(x, y), use: (x, y) => this.use(x, y),
      },
    );
    this.joiner = new Joiner(this, $("join-shown"));
    this.stage.told = (x, y) => this.nameOf(this.labels?.[y * this.stage.width + x]);
    this.build();
  }

  get set() { return this.page.set; }

  nameOf(value) {
    if (value === IGNORED) return "ignored";
    if (!this.set.editable) return value ? `segment ${value}` : "";
    return value ? this.set.classes[value - 1] : "background";
  }

  build() {
    for (const [value, key, text] of TOOLS) {
      const { label, box, more } = choice("radio", "tool", value, text, { more: "kbd" });
      more.textContent = key;
      box.addEventListener("change", () => this.choose(value));
      $("tools").append(label);
    }
    this.classes = new Classes(this.set.classes, this.page.css, () => $("stage").focus({ preventScroll: true }));
    const click = (id, action) => $(id).addEventListener("click", action);
    for (const action of ["accept", "reject", "reset", "undo", "redo"]) click(action, () => this.judge(action));
    click("original", () => this.judge("original"));
    click("relabel-button", () => this.judge("relabel", { old: Number($("old-class").value), new: Number($("new-class").value) }));
    click("coarser-button", () => this.segments(-1));
    click("finer-button", () => this.segments(1));
    click("zoom-in", () => this.stage.zoomBy(1.5));
    click("zoom-out", () => this.stage.zoomBy(1 / 1.5));
    click("zoom-fit", () => this.stage.zoomBy(0));
    $("brush-size").addEventListener("input", () => this.sized());
    $("opacity").addEventListener("input", () => { this.stage.opacity = $("opacity").value / 100; this.draw(); });
    const closed = !this.set.editable || this.set.readOnly;
    for (const part of $("correct").querySelectorAll("input, select, button")) part.disabled = closed && part.value !== "look";
    if (this.set.readOnly) for (const id of ["accept", "reject", "reset", "undo", "redo", "original"]) $(id).disabled = true;
    this.choose("look");
    this.sized();
  }

  choose(tool) {
    if (tool !== "look" && (!this.set.editable || this.set.readOnly)) return;
    this.tool = tool;
    document.querySelector(`input[name="tool"][value="${tool}"]`).checked = true;
    this.stage.points = tool === "polygon" ? [] : null;
    this.sized();
    if (tool !== "look") this.page.why.endTrial();
    $("finer").hidden = tool !== "segment";
    this.showSegment(-1);
    if (tool === "segment") this.segments();
    this.joiner.forget();
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
    this.labels = this.last = null; // those of the sample before are not painted on
    this.stage.points = this.tool === "polygon" ? [] : null;
    const loaded = await loading;
    this.prefetched.clear();
    if (turn !== this.turn) return;
    const [about, photo, labels] = loaded;
    this.about = about;
    this.state = about;
    this.labels = labels.values;
    this.height = labels.height;
    this.width = labels.width;
    this.shownLabels = this.found = null;
    this.stage.zoom = 0;
    this.stage.setPicture(photo, labels.height, labels.width);
    this.draw();
    this.tell();
    this.classes.enter(Object.entries(about.area).sort((a, b) => b[1] - a[1]).map(([name]) => name));
    $("sample").setAttribute("aria-busy", "false");
    if (this.tool === "segment") this.segments();
    this.joiner.forget();
    this.page.why.enter(number, about);
  }

  load(number) {
    if (!this.prefetched.has(number)) {
      const photo = (about) => (about.picture ? picture(`/api/samples/${number}/image`) : null);
      this.prefetched.set(number, this.fetchBoth(number).then(([about, labels]) => Promise.all([about, photo(about), labels])));
    }
    return this.prefetched.get(number);
  }

  // Have a sample at hand that is likely to be opened next.
  prefetch(number) {
    if (this.prefetched.size < 2) this.load(number).catch(() => this.prefetched.delete(number));
  }

  // A sample's state and its label map, of one version; where somebody changes it all the time, the state says the older one, so that
  // what follows it is refused.
  async fetchBoth(number, tries = 3) {
    const [about, labels] = await Promise.all([get(`/api/samples/${number}`), pixels(`/api/samples/${number}/labels`)]);
    if (about.version !== labels.version && tries > 1) return this.fetchBoth(number, tries - 1);
    return [{ ...about, version: Math.min(about.version, labels.version) }, labels];
  }

  async reload() {
    const turn = (this.reloading = (this.reloading || 0) + 1), { number, turn: opened } = this;
    const [about, labels] = await this.fetchBoth(number);
    if (turn !== this.reloading || opened !== this.turn) return;
    if (!this.base.gone && about.version < this.base.version) return void (await this.reload()); // of before a change
    if (this.base.gone || about.version !== this.base.version) {
      this.base.leave(`Somebody else changed ${about.name} meanwhile, and that stands.`);
      this.base = new Base(number, Promise.resolve(about));
      await this.base.ready;
    } else this.base.map += 1;
    this.about = this.state = about;
    this.labels = labels.values;
    this.draw();
    this.tell();
    this.joiner.forget();
  }

  tell() {
    const { about, state } = this, { place, count } = this.page.shown();
    $("sample-name").textContent = about.name;
    $("sample-place").textContent = place >= 0 ? `${(place + 1).toLocaleString()} of ${count.toLocaleString()}` : "";
    const parts = [VERDICT[state.verdict] || "not reviewed", state.corrected && "✎ corrected", state.joined.length && "∪ joined", state.by && `by ${state.by}`];
    $("sample-state").textContent = parts.filter(Boolean).join(", ");
    $("sample-state").className = state.verdict || "";
    $("accept").setAttribute("aria-pressed", state.verdict === "accepted");
    $("reject").setAttribute("aria-pressed", state.verdict === "rejected");
    $("undo").disabled = !state.undo || Boolean(this.set.readOnly);
    $("redo").disabled = !state.redo || Boolean(this.set.readOnly);
    $("original").disabled = !state.corrected || Boolean(this.set.readOnly);
    const facts = [["size", `${this.width} × ${this.height}`]];
    for (const [name, share] of Object.entries(state.area)) facts.push([name, `${(share * 100).toFixed(1)} % of the picture`]);
    if (about.wrong) facts.push(["joined", about.wrong]);
    for (const flag of state.flags) facts.push(["flag", about.why?.[flag] ? `${flag}: ${about.why[flag]}` : flag]);
    for (const [name, value] of Object.entries(about.about)) {
      facts.push([name, typeof value === "object" ? Object.entries(value).map(([k, v]) => `${k} ${v}`).join(", ") : String(value)]);
    }
    $("facts").replaceChildren(...facts.flatMap(([name, value]) => {
      const [term, text] = [document.createElement("dt"), document.createElement("dd")];
      term.textContent = name;
      text.textContent = value;
      long(text);
      return [term, text];
    }));
  }

  draw(box) {
    if (this.labels) this.stage.drawLabels(this.shownLabels || this.labels, this.page.colours, box || undefined);
  }

  // Tools. down, drag, up: of the pointer; use: of the space bar.
  down(x, y) {
    const [column, row] = this.stage.cross;
    if (this.tool === "look") return void this.page.why.point(column, row, true);
    if (!this.labels) return undefined;
    this.page.why.endTrial();
    if (this.tool === "brush" || this.tool === "eraser") {
      this.last = [x, y];
      this.changed = null;
      this.strokeTo(x, y);
    } else if (this.tool === "polygon") {
      if (this.stage.points.length > 2 && Math.hypot(x - this.stage.points[0][0], y - this.stage.points[0][1]) * this.stage.scale < 10) return void this.closePolygon();
      this.stage.points.push([x, y]);
      this.stage.drawLines();
    } else if (this.tool === "fill") {
      this.finish("fill", paint.fill(this.labels, this.width, this.height, column, row, this.classes.value));
    } else if (this.tool === "segment") {
      this.giveSegment(column, row);
    } else if (this.tool === "join") {
      this.joiner.use(column, row);
    }
    return undefined;
  }

  drag(x, y) {
    if (this.last) this.strokeTo(x, y);
    else if (this.tool === "look") this.page.why.point(...this.stage.cross, true);
  }

  hover() {
    const [column, row] = this.stage.cross;
    if (this.tool === "look") this.page.why.point(column, row, false);
    else if (this.tool === "segment" && this.found) this.showSegment(this.found[row * this.width + column]);
  }

  up() {
    if (!this.last) return;
    this.last = null;
    this.finish(this.tool, this.changed);
  }

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

  closePolygon() {
    const points = this.stage.points;
    this.stage.points = [];
    this.stage.drawLines();
    this.finish("polygon", paint.polygon(this.labels, this.width, this.height, points, this.classes.value));
  }

  // Esc: whether there was something to give up.
  giveUp() {
    if (this.joiner.giveUp()) return true;
    if (!this.stage.points?.length) return this.page.why.endTrial();
    this.stage.points = [];
    this.stage.drawLines();
    return true;
  }

  // The segments of this sample. by: 1 finer, -1 coarser than those that are there.
  async segments(by = 0) {
    if ((this.found && !by) || this.finding) return;
    this.finding = true;
    const number = this.number, wanted = by && this.found ? Math.max(0, Math.min(9, this.fine + by)) : "";
    try {
      this.page.notice("Finding segments …");
      const found = await pixels(`/api/samples/${number}/segments?fine=${wanted}`);
      if (number === this.number) {
        this.found = found.values;
        this.fine = Number(found.headers.get("x-fine"));
        this.page.notice("");
        this.showSegment(-1);
        this.hover();
      }
    } catch (error) {
      this.page.notice(error.message);
    } finally {
      this.finding = false;
    }
  }

  // Show the segment under the cross; -1: none.
  showSegment(which) {
    if (this.segmentShown === which && which >= 0) return;
    this.segmentShown = which;
    if (which < 0) return void this.stage.drawHeat(null);
    const values = new Uint8Array(this.found.length);
    for (let i = 0; i < values.length; i++) if (this.found[i] === which) values[i] = 255;
    return void this.stage.drawHeat({ values, height: this.height, width: this.width }, SHADES, [0, 0, this.height, this.width]);
  }

  giveSegment(column, row) {
    if (!this.found) return;
    paint.segment(this.labels, this.found, this.found[row * this.width + column], this.classes.value);
    this.finish("segment", [0, 0, this.width, this.height]);
  }

  // Save what a tool did.
  finish(tool, box) {
    if (!box) return;
    this.draw(box);
    const labels = this.labels.slice(), { number } = this.base;
    this.changes.enqueue(this.base, (version) => sendLabels(number, labels, { tool, version, by: this.page.by() }), { painted: true });
  }

  judge(action, more = {}) {
    const { number } = this.base, decided = action === "accept" || action === "reject";
    const done = this.changes.enqueue(this.base, (version) => act(number, { action, version, by: this.page.by(), ...more }), { redrawn: REDRAWN.includes(action) });
    if (decided && $("onward").checked) this.page.move(1);
    return done;
  }

  // What the server says of the sample is what counts.
  async saved(base, state, redrawn) {
    this.prefetched.delete(base.number);
    if (base !== this.base || base.gone) return;
    this.state = state;
    if (redrawn) await this.reload();
    else {
      this.tell();
      this.joiner.show();
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
    const text = `${report.by || "Somebody"} did this in another window: ${report.action}`;
    base.leave(`${text}.`);
    this.page.notice(text);
    await this.reload();
  }

  // Keys of this view; whether it was one.
  key(event) {
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const tool = TOOLS.find(([, letter]) => letter.toLowerCase() === key);
    const actions = { a: "accept", x: "reject", r: "reset", z: "undo", y: "redo" };
    const waits = key === "z" && !this.set.readOnly && this.changes.of(this.base.number); // what is to be undone is still on its way
    if (key in actions) { if (waits || !$(actions[key]).disabled) this.judge(actions[key]); }
    else if (tool) this.choose(tool[0]);
    else if (key === "c") this.classes.search();
    else if (key === "i") this.classes.choose(IGNORED);
    else if (/^\d$/.test(key)) { if (Number(key) <= this.set.classes.length) this.classes.choose(Number(key)); }
    else if (key === "[" || key === "]") this.sized(key === "[" ? -1 : 1);
    else if (key === "," || key === ".") { if (this.tool === "segment") this.segments(key === "," ? -1 : 1); }
    else if (key === "o") { $("mask").hidden = !$("mask").hidden; }
    else if (key === "w") this.page.why.nextWord();
    else if (key === "u") this.page.why.apply();
    else if (key === "+") this.stage.zoomBy(1.5);
    else if (key === "-") this.stage.zoomBy(1 / 1.5);
    else if (key === "=") this.stage.zoomBy(0);
    else if (key === "Enter" && this.stage.points?.length) this.closePolygon();
    else return false;
    return true;
  }
}
