// One sample: its picture, its mask, and what the person does to them.

import { act, get, sendLabels } from "./api.js";
import { AttentionPanel } from "./attention.js";
import { Classes } from "./classes.js";
import { Cut } from "./cut.js";
import { fillTools } from "./keys.js";
import { Objects } from "./objects.js";
import { $, VERDICT, counted, disable, element, hint, marksOf, say } from "./page.js";
import { Polygon } from "./polygon.js";
import { all, fetchSample, forget, forgetAll, load, update } from "./samples.js";
import { Segments } from "./segments.js";
import { css, nameOf, set } from "./set.js";
import { Stage } from "./stage.js";
import { Brush, Fill, Look } from "./tools.js";

const NEW_MAP = ["relabel", "cleaned"];
const KINDS = { look: Look, brush: Brush, eraser: Brush, polygon: Polygon, fill: Fill, cut: Cut, segment: Segments };

export class SampleView {
  turn = 0; // only the last open or reload counts
  number = -1;
  record = null; // another object after someone else changed it
  labels = null;
  sized = false;

  constructor(page, changes) {
    Object.assign(this, { page, changes });
    this.stage = new Stage((x, y) => this.nameAt(x, y), () => this.canPaint || (this.labels && this.tool.name === "look"));
    this.attention = new AttentionPanel(this);
    this.objects = new Objects(this, $("by-object"));
    this.classes = new Classes(this);
    this.tools = Object.fromEntries(Object.entries(KINDS).map(([name, Kind]) => [name, new Kind(this, name)]));
    this.connect();
  }

  get tool() { return this.stage.tool; }

  nameAt(x, y) {
    return nameOf((this.attention.tried || this.labels)?.[y * this.width + x]);
  }

  connect() {
    const { readOnly } = set;
    const click = (id, action) => { $(id).onclick = action; };
    fillTools($("tools"), (name) => this.chooseTool(name));
    for (const action of ["accept", "reject", "reset"]) {
      click(action, () => this.judge(action));
      disable($(action), readOnly);
    }
    click("relabel-button", () => {
      this.judge("relabel", { old: Number($("old-class").value), new: Number($("new-class").value) });
    });
    for (const [to, by] of [["coarser", -1], ["finer", 1]]) {
      click(`${to}-button`, () => this.settle() && this.tools.segment.fetch(by));
    }
    click("clean", () => this.judge("cleaned", { least: Number($("least").value) }));
    click("clean-shown", () => this.cleanShown());
    for (const [to, factor] of [["in", 1.5], ["out", 1 / 1.5], ["fit", 0]]) click(`zoom-${to}`, () => this.stage.zoomBy(factor));
    $("brush-size").oninput = () => {
      this.sized = true;
      this.sizeBrush();
    };
    for (const id of ["opacity", "heat-opacity"]) $(id).oninput = () => this.fade();
    $("outlined").onchange = () => this.stage.drawEdges();
    $("dimmed").onchange = ({ target }) => {
      $("sample").classList.toggle("dimmed", target.checked);
      this.draw();
    };
    for (const part of $("repair").querySelectorAll("input, select, button")) disable(part, readOnly);
    for (const name of Object.keys(KINDS)) if (name !== "look") disable(this.boxOf(name), readOnly);
    this.chooseTool("look");
    this.fade();
  }

  fade() {
    for (const slider of ["opacity", "heat-opacity"]) {
      $("sample").style.setProperty(`--${slider}`, $(slider).value / 100);
    }
  }

  chooseTool(name) {
    const box = this.boxOf(name);
    if (box.disabled) return hint(box.title);
    if (this.tool && !this.settle()) return void (this.boxOf(this.tool.name).checked = true);
    box.checked = true;
    this.tool?.leave();
    this.stage.tool = this.tools[name];
    this.stage.drawHeat(null);
    $("sizes").hidden = !(this.tool instanceof Brush);
    $("finer").hidden = name !== "segment";
    say($("tool-shown"), this.tool.help);
    this.showPainted();
    this.sizeBrush();
    this.tool.enter();
    this.objects.fetch();
  }

  boxOf(name) { return $("tools").querySelector(`[value="${name}"]`); }

  allowAttention({ undivided }) {
    disable(this.boxOf("segment"), set.readOnly || undivided);
    if (undivided) this.tools.segment.say(undivided);
    else this.tools.segment.fetch();
  }

  sizeBrush(by = 0) {
    const slider = $("brush-size");
    const size = Number(slider.value);
    this.sized ||= Boolean(by);
    if (by) slider.value = by > 0 ? Math.round(size * 1.25) + 1 : Math.max(1, Math.round(size * 0.8));
    $("brush-shown").textContent = `${slider.value} px`;
    this.stage.drawLines();
  }

  showPainted() {
    const { value } = this.tool;
    $("painted-colour").hidden = $("painted-name").hidden = value < 0;
    if (value < 0) return;
    $("painted-colour").style.background = css(value);
    $("painted-name").textContent = nameOf(value);
    this.stage.drawLines();
  }

  async open(number) {
    const turn = ++this.turn;
    this.leave();
    Object.assign(this, { number, record: all[number] }); // the same sample's, for a judgement before it is loaded
    $("sample").ariaBusy = true;
    await this.changes.last;
    const { record, photo, labels } = await load(number);
    forgetAll();
    if (turn !== this.turn) return;
    if (record.version < this.record.version) return void (await this.open(number)); // from before an own change
    const { height, width } = labels;
    Object.assign(this, { height, width, labels: labels.values });
    this.stage.setImage(photo, height, width);
    if (!this.sized) {
      $("brush-size").value = Math.max(height, width) / 20;
      this.sizeBrush();
    }
    this.show(record, labels);
    this.classes.enter();
    $("sample").ariaBusy = false;
    this.tool.enter();
    this.attention.enter(number, record);
  }

  show(record, labels) {
    update(record);
    Object.assign(this, { record, labels: labels.values });
    this.draw();
    this.describe();
    this.objects.fetch();
  }

  // Nobody can paint on the sample afterwards, though it may still be seen.
  leave() {
    this.stage.release();
    this.tool.leave();
    this.labels = this.objects.values = null;
    this.attention.leave();
  }

  async reload() {
    const turn = ++this.turn;
    const { record, labels } = await fetchSample(this.number);
    if (turn !== this.turn) return;
    if (record.version < this.record.version) return void (await this.reload()); // from before an own change
    if (this.tools.polygon.closed) this.tools.polygon.clear();
    this.show(record, labels);
    this.attention.refresh();
  }

  describe() {
    const { record, page } = this;
    const place = (page.place + 1).toLocaleString();
    $("sample-name").textContent = record.name;
    $("sample-place").textContent = `${place} of ${page.list.count.toLocaleString()}`;
    this.classes.show(record.area);
    const facts = [["size", `${this.width} × ${this.height}`]];
    for (const flag of record.flags) facts.push(["flag", [flag, record.why[flag]].filter(Boolean).join(": ")]);
    for (const [name, value] of Object.entries(record.facts)) {
      const pairs = Object.entries(value).map((pair) => pair.join(" "));
      facts.push([name, typeof value === "object" ? pairs.join(", ") : value]);
    }
    $("facts").replaceChildren(...facts.flatMap(([name, value]) => [
      element("dt", { textContent: name }), element("dd", { textContent: value }),
    ]));
    const { verdict, by } = record;
    const done = [VERDICT[verdict], ...marksOf(record)].filter(Boolean).join(", ");
    const more = [by && ` by ${by}`, !verdict && ", not accepted yet"].filter(Boolean).join("");
    $("sample-state").textContent = done ? done + more : "not reviewed";
    $("sample-state").className = verdict || "";
    $("reset").hidden = !verdict;
    $("accept").ariaPressed = verdict === "accepted";
    $("reject").ariaPressed = verdict === "rejected";
  }

  draw(box) {
    if (!this.labels) return;
    this.stage.drawLabels(this.attention.tried || this.objects.values || this.labels, box || undefined);
    if (!box) this.attention.strip.drawEnds();
  }

  get whole() { return [0, 0, this.width, this.height]; }

  get canPaint() { return Boolean(this.labels) && !this.changes.makesMap(this.number); }

  // What is shown and not saved comes first: a stroke is finished; a tried mask, an open polygon and proposed segments
  // wait for the person, and a hint names the keys. own: what may go on. Returns whether nothing is left.
  settle(own) {
    if (!own) this.stage.release();
    const left = [this.attention, ...Object.values(this.tools)].find((each) => each !== own && each.unsaved);
    if (left) hint(left.unsaved, { over: () => !left.unsaved });
    return !left;
  }

  startPainting(own) {
    if (!this.canPaint || !this.settle(own)) return false;
    this.objects.leave();
    return true;
  }

  giveUp() {
    if (this.tool.cancel() || this.attention.endTrial()) return true;
    if (this.tool.name === "look") return false;
    this.chooseTool("look");
    return true;
  }

  finish(tool, box) {
    if (!this.canPaint) return; // an undo was sent during the stroke: its label map will be shown
    if (!box) return this.objects.fetch();
    this.objects.leave();
    this.draw(box);
    const { number } = this;
    const labels = this.labels.slice();
    this.make({ send: (version) => sendLabels(number, labels, { tool, ...version }), stroke: true });
  }

  judge(action, more = {}) {
    if (!this.settle()) return;
    this.tools.polygon.clear();
    const { number } = this;
    const verdict = { accept: "accepted", reject: "rejected" }[action];
    this.make({ send: (version) => act(number, { action, ...version, ...more }), newMap: NEW_MAP.includes(action), verdict });
    if (!verdict || !$("onward").checked || this.page.coming) return;
    hint(`${this.record.name} ${verdict}.`, { undo: verdict !== this.record.verdict });
    this.page.move(1);
  }

  cleanShown() {
    const { list, bulk } = this.page;
    const least = Number($("least").value);
    const question = `Remove holes and islands under ${least} pixels from ${counted(list.count, "mask")}? You can undo it.`;
    if (this.settle() && window.confirm(question)) bulk.run(list.samples, "/api/act", { action: "cleaned", least });
  }

  make(change) {
    this.changes.make({ number: this.number, name: this.record.name, base: this.record, ...change });
  }

  restore(entry, redo) {
    this.tools.polygon.clear();
    this.changes.restore(entry, redo, this.record);
  }

  async saved({ base, newMap, number, restores }, state) {
    forget(number);
    if (number !== this.number || !this.labels) return;
    if (newMap || base !== this.record) return void (await this.changes.persist(() => this.reload()));
    const { facts, why } = await get(`/api/samples/${number}`);
    Object.assign(this.record, state, { facts, why });
    this.describe();
    this.attention.refresh();
    this.objects.fetch(); // not awaited: it waits for the changes
  }

  async wrong({ number }) {
    if (number === this.number && this.labels) await this.reload().catch(() => {});
  }
}
