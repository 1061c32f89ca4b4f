// Segments of a sample's attention: proposed by a click or a box, and given to a class when accepted.

import { pixels } from "./api.js";
import { outlines } from "./outlines.js";
import { clamp, counted } from "./page.js";
import * as paint from "./paint.js";

const MOVED = 5; // pixels on the screen from which on a press is a box
const STRIPES = 48; // across a chosen picture
// Levels of the tint, and their colours: a segment under the pointer is lighter, a chosen one has stripes.
const POINTED = 1, BRIGHT = 2, DARK = 3, TINT = Uint32Array.of(0, 0x60ffffff, 0xe0ffffff, 0x70000000);

export class Segments {
  // view: SampleView. status: the element that says what is proposed.
  constructor(view, status) {
    Object.assign(this, { view, status });
    this.forget();
  }

  get active() { return this.view.tool === "segment"; }

  // Another sample, or another tool.
  forget() {
    this.found = null; // the segments' numbers, a pixel each
    this.begun = null; // where a box begins
    this.chosen = new Set();
    this.pointed = -1; // the segment under the pointer
    if (this.active) this.fetch();
  }

  cancel() {
    this.chosen.clear();
    this.view.stage.box = null;
  }

  leave() {
    this.begun = null;
    this.cancel();
    this.view.stage.shapes = null;
    this.view.stage.drawHeat(null);
  }

  // by: 1 finer, -1 coarser than those that are there.
  async fetch(by = 0) {
    if (!this.active || this.fetching || !this.view.labels) return;
    if (this.found && !by) return this.show();
    this.fetching = true;
    const { view } = this;
    const { number } = view;
    const wanted = by && this.found ? `?fine=${clamp(this.fine + by, 0, 9)}` : "";
    this.status.textContent = "Finding segments …";
    try {
      const found = await pixels(`/api/samples/${number}/segments${wanted}`);
      if (number === view.number) {
        this.found = found.values;
        this.fine = Number(found.headers.get("x-fine"));
        this.count = found.values.reduce((a, b) => Math.max(a, b), 0);
        this.cancel();
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
    if (!this.found) return;
    this.begun = [x, y];
    this.view.stage.box = null;
  }

  drag(x, y) {
    if (!this.begun) return;
    const [x0, y0] = this.begun;
    const { stage } = this.view;
    const isBox = Math.hypot(x - x0, y - y0) * stage.scale >= MOVED;
    stage.box = isBox && [Math.min(x, x0), Math.min(y, y0), Math.max(x, x0), Math.max(y, y0)];
    stage.drawLines();
  }

  // A click adds or removes a segment; a box proposes those that lie mostly in it.
  up() {
    if (!this.begun) return;
    const { stage, width, height } = this.view;
    const under = this.at(...stage.cross);
    this.begun = null;
    if (stage.box) this.chosen = paint.inBox(this.found, width, height, stage.box);
    else if (!this.chosen.delete(under)) this.chosen.add(under);
    if (!this.chosen.size) stage.box = null;
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
    this.cancel();
    view.finish("segment", [0, 0, view.width, view.height]);
    this.show();
    return true;
  }

  giveUp() {
    if (!this.active || !this.chosen.size) return false;
    this.cancel();
    this.show();
    return true;
  }

  show() {
    if (!this.active || !this.found) return;
    const { stage, width, height } = this.view;
    const { found, chosen, pointed } = this;
    const values = new Uint8Array(found.length);
    const period = Math.max(4, Math.round(width / STRIPES));
    for (let y = 0, i = 0; y < height; y++) {
      for (let x = 0; x < width; x++, i++) {
        if (chosen.has(found[i])) values[i] = (x + y) % period < period / 2 ? BRIGHT : DARK;
        else if (found[i] === pointed) values[i] = POINTED;
      }
    }
    stage.drawHeat({ values, height, width }, TINT, [0, 0, height, width]);
    stage.shapes = new Map([[0, this.borders]]);
    stage.drawLines();
    this.status.textContent = "Click segments, or drag a box.";
    if (chosen.size) {
      const count = counted(this.count, "segment");
      this.status.textContent = `${chosen.size} of ${count} chosen. Enter paints, Esc cancels.`;
    }
  }
}
