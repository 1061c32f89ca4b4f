// Segments of a sample's attention: proposed by a click or a box, and given to a class when accepted.

import { pixels } from "./api.js";
import { outlines } from "./outlines.js";
import { clamp, counted } from "./page.js";
import * as paint from "./paint.js";

const POINTED = 128, CHOSEN = 255; // levels of the tint
const MOVED = 5; // pixels on the screen from which on a press is a box
const TINT = Uint32Array.from({ length: 256 }, (_, i) => (i === CHOSEN ? 0x8cffffff : i === POINTED ? 0x46ffffff : 0));

export class Segments {
  // view: SampleView. status: the element that says what is proposed.
  constructor(view, status) {
    Object.assign(this, { view, status });
    this.forget();
  }

  get active() { return this.view.tool === "segment"; }

  // Another sample, or another tool.
  forget() {
    Object.assign(this, { found: null, begun: null, chosen: new Set(), pointed: -1 });
    if (this.active) this.fetch();
  }

  leave() {
    this.begun = null;
    this.chosen.clear();
    this.view.stage.shapes = this.view.stage.box = null;
    this.view.stage.drawHeat(null);
  }

  // by: 1 finer, -1 coarser than those that are there.
  async fetch(by = 0) {
    if (!this.active || this.fetching || !this.view.labels) return;
    if (this.found && !by) return this.show();
    this.fetching = true;
    const { view } = this, { number } = view, wanted = by && this.found ? `?fine=${clamp(this.fine + by, 0, 9)}` : "";
    this.status.textContent = "Finding segments …";
    try {
      const found = await pixels(`/api/samples/${number}/segments${wanted}`);
      if (number === view.number) {
        this.found = found.values;
        this.fine = Number(found.headers.get("x-fine"));
        this.chosen.clear();
        this.borders = new Path2D();
        for (const path of outlines(this.found, view.width, view.height).values()) this.borders.addPath(path);
      }
    } catch (error) {
      if (number === view.number) this.status.textContent = error.message;
      return;
    } finally {
      this.fetching = false;
    }
    if (number !== view.number) return this.fetch();
    this.pointed = this.at(...view.stage.cross);
    this.show();
  }

  at(column, row) { return this.found ? this.found[row * this.view.width + column] : -1; }

  down(x, y) {
    if (this.found) this.begun = [x, y];
  }

  drag(x, y) {
    if (!this.begun) return;
    const [x0, y0] = this.begun, { stage } = this.view;
    stage.box = Math.hypot(x - x0, y - y0) * stage.scale < MOVED ? null : [Math.min(x, x0), Math.min(y, y0), Math.max(x, x0), Math.max(y, y0)];
    stage.drawLines();
  }

  // A click adds or removes a segment; a box proposes those that lie mostly in it.
  up() {
    if (!this.begun) return;
    const { stage } = this.view, under = this.at(...stage.cross);
    if (stage.box) this.chosen = paint.inBox(this.found, this.view.width, this.view.height, stage.box);
    else if (!this.chosen.delete(under)) this.chosen.add(under);
    this.begun = stage.box = null;
    this.show();
  }

  hover(column, row) {
    const under = this.at(column, row);
    if (under === this.pointed) return;
    this.pointed = under;
    this.show();
  }

  // Give the proposal to the class, or remove it if it has that class already. Whether there was one.
  accept() {
    if (!this.active || !this.chosen.size) return false;
    const { view } = this;
    paint.segment(view.labels, this.found, this.chosen, view.classes.value);
    this.chosen.clear();
    view.finish("segment", [0, 0, view.width, view.height]);
    this.show();
    return true;
  }

  giveUp() {
    if (!this.active || !this.chosen.size) return false;
    this.chosen.clear();
    this.show();
    return true;
  }

  show() {
    if (!this.active || !this.found) return;
    const { stage, width, height } = this.view, { found, chosen, pointed } = this;
    const values = new Uint8Array(found.length);
    for (let i = 0; i < values.length; i++) values[i] = chosen.has(found[i]) ? CHOSEN : found[i] === pointed ? POINTED : 0;
    stage.drawHeat({ values, height, width }, TINT, [0, 0, height, width]);
    stage.shapes = new Map([[0, this.borders]]);
    stage.drawLines();
    this.status.textContent = chosen.size ? `${chosen.size} of ${counted(found.reduce((a, b) => Math.max(a, b), 0), "segment")}. Enter accepts, Esc cancels.` : "Click segments, or drag a box.";
  }
}
