// Segments: a click or a box proposes some, and Enter gives them to a class.

import { pixels } from "./api.js";
import { $, counted, say } from "./page.js";
import * as paint from "./paint.js";
import { findOutlines } from "./pen.js";
import { Tool } from "./tools.js";

const MOVED = 5; // pixels on the screen, from a click to a box
const STRIPES = 48;
const POINTED = 1, BRIGHT = 2, DARK = 3, TINT = Uint32Array.of(0, 0x60ffffff, 0xe0ffffff, 0x70000000);

export class Segments extends Tool {
  found = null; // { sample, values, count, fine, borders }
  chosen = new Set();
  pointed = -1;
  begun = null;
  box = null;

  get active() { return this.view.tool === this; }

  get unsaved() { return this.chosen.size ? "Segments are proposed, not painted: Enter paints them, Esc drops them." : ""; }

  enter() { this.fetch(); }

  leave() { this.clear(); }

  clear() {
    this.chosen.clear();
    this.begun = this.box = null;
  }

  say(text, busy) { if (this.active) say($("tool-shown"), text, busy); }

  get current() { return this.found?.sample === this.view.number ? this.found : null; }

  // by: 1 for finer, -1 for coarser ones than those shown.
  async fetch(by = 0) {
    const { view, current } = this;
    if (!this.active || this.fetching || !view.labels) return;
    if (current && !by) return this.show();
    this.say("Finding segments …", true);
    if (!view.attention.settled) return; // allowAttention() calls again
    const sample = view.number;
    this.fetching = true;
    try {
      const wanted = current ? `?fine=${current.fine + by}` : "";
      const { values, height, width, headers } = await pixels(`/api/samples/${sample}/segments${wanted}`);
      const borders = new Path2D();
      for (const path of findOutlines(values, width, height).values()) borders.addPath(path);
      const count = values.reduce((a, b) => Math.max(a, b), 0);
      this.found = { sample, values, count, fine: Number(headers.get("x-fine")), borders };
      this.clear();
    } catch (error) {
      if (sample === view.number) return this.say(error.message);
    } finally {
      this.fetching = false;
    }
    if (sample !== view.number) return this.fetch();
    this.pointed = this.at(...view.stage.cross);
    this.show();
  }

  at(column, row) { return this.current ? this.current.values[row * this.view.width + column] : -1; }

  down(x, y) {
    if (this.erasing) return void this.cancel();
    if (!this.view.startPainting(this) || !this.current) return;
    Object.assign(this, { begun: [x, y], box: null });
  }

  drag(x, y) {
    if (!this.begun) return;
    const [x0, y0] = this.begun;
    const isBox = Math.hypot(x - x0, y - y0) * this.view.stage.scale >= MOVED;
    this.box = isBox ? [Math.min(x, x0), Math.min(y, y0), Math.max(x, x0), Math.max(y, y0)] : null;
    this.redraw();
  }

  up() {
    if (!this.begun) return;
    const { stage, width, height } = this.view;
    const under = this.at(...stage.cross);
    this.begun = null;
    if (this.box) this.chosen = paint.inBox(this.current.values, width, height, this.box);
    else if (!this.chosen.delete(under)) this.chosen.add(under);
    if (!this.chosen.size) this.box = null;
    this.show();
  }

  abort() {
    this.begun = this.box = null;
    this.show();
  }

  hover() {
    const under = this.at(...this.view.stage.cross);
    if (under === this.pointed) return;
    this.pointed = under;
    this.show();
  }

  accept() {
    const { view } = this;
    if (!this.chosen.size || !view.startPainting(this)) return false;
    paint.segment(view.labels, this.current.values, this.chosen, view.classes.value);
    this.clear();
    view.finish(this.name, view.whole);
    this.show();
    return true;
  }

  cancel() {
    if (!this.chosen.size) return false;
    this.clear();
    this.show();
    return true;
  }

  show() {
    const { chosen, current, pointed } = this;
    if (!this.active || !current) return;
    const { stage, width, height } = this.view;
    const values = new Uint8Array(current.values.length);
    const period = Math.max(4, Math.round(width / STRIPES));
    for (let y = 0, i = 0; y < height; y++) {
      for (let x = 0; x < width; x++, i++) {
        if (chosen.has(current.values[i])) values[i] = (x + y) % period < period / 2 ? BRIGHT : DARK;
        else if (current.values[i] === pointed) values[i] = POINTED;
      }
    }
    stage.drawHeat({ values, height, width }, TINT, [0, 0, height, width]);
    this.redraw();
    this.say("Click segments, or drag a box.");
    const count = counted(current.count, "segment");
    if (chosen.size) this.say(`${chosen.size} of ${count} chosen. Enter paints, Esc cancels.`);
  }

  draw(pen, x, y) {
    if (this.current) pen.outlines([[0, this.current.borders]]);
    if (this.box) pen.box(...this.box);
    super.draw(pen, x, y);
  }
}
