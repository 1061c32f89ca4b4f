// Pieces of one class that are one object, though they do not touch: chosen, joined and taken apart by clicks.

import { pixels } from "./api.js";
import { outlines } from "./outlines.js";
import { TINT } from "./segments.js";

export class Joiner {
  // view: SampleView. told: the element that says what a click does.
  constructor(view, told) {
    Object.assign(this, { view, told });
    this.forget();
  }

  get active() { return this.view.tool === "join"; }

  // The label map is another one.
  forget() {
    this.pieces = this.chosen = null;
    if (this.active) this.fetch();
    else this.show();
  }

  async fetch() {
    const number = this.view.number, labels = this.view.labels;
    await this.view.changes.last;
    try {
      const { values, version } = await pixels(`/api/samples/${number}/pieces`), { base } = this.view;
      if (number === this.view.number && labels === this.view.labels && labels && !base.gone) {
        if (version < base.version || this.view.changes.of(number)) return void this.fetch(); // they are of before a change
        if (version > base.version) return void (await this.view.reload()); // somebody else's, of which this window did not hear
        this.pieces = values;
      }
    } catch (error) {
      this.view.page.notice(error.message);
    }
    this.show();
  }

  at([column, row]) { return this.pieces[row * this.view.width + column]; }

  // The pieces of the object that a piece is of; null of none.
  objectOf(piece) {
    if (!piece) return null;
    for (const one of this.view.state.joined) {
      const pieces = new Set(one.map((pixel) => this.at(pixel)).filter(Boolean)); // a pixel of no class names none
      if (pieces.has(piece)) return pieces;
    }
    return new Set([piece]);
  }

  use(column, row) {
    if (!this.pieces) return;
    const pixel = [column, row], piece = this.at(pixel), object = this.chosen && this.objectOf(this.at(this.chosen));
    const label = ([x, y]) => this.view.labels[y * this.view.width + x];
    if (!piece) this.chosen = null;
    else if (!object || label(pixel) !== label(this.chosen)) this.chosen = pixel;
    else if (!object.has(piece)) this.view.judge("join", { pixels: [this.chosen, pixel] });
    else if (object.size === 1) this.chosen = null;
    else {
      if (piece === this.at(this.chosen)) this.chosen = this.view.state.joined.flat().find((one) => this.at(one) !== piece && object.has(this.at(one)));
      this.view.judge("split", { pixels: [pixel] });
    }
    this.show();
  }

  // Give up the choice; whether there was one.
  giveUp() {
    if (!this.active || !this.chosen) return false;
    this.chosen = null;
    this.show();
    return true;
  }

  // Light up the chosen object, and say what a click would do.
  show() {
    const { stage, state, width, height } = this.view;
    stage.links = this.active && state ? state.joined : [];
    if (!this.active) return;
    const object = this.pieces && this.chosen && this.objectOf(this.at(this.chosen));
    if (object) {
      const values = this.pieces.map((piece) => (object.has(piece) ? 255 : 0));
      stage.drawHeat({ values, height, width }, TINT, [0, 0, height, width]);
      stage.shapes = new Map([[0, outlines(values, width, height).get(255) ?? new Path2D()]]);
      const name = this.view.nameOf(this.view.labels[this.chosen[1] * width + this.chosen[0]]);
      this.told.textContent = object.size > 1
        ? `${object.size} pieces are one object, ${name}. Another piece of it joins, one of these is taken out.`
        : `One piece of ${name} is chosen. Another piece of it joins.`;
    } else {
      stage.drawHeat(null);
      stage.shapes = null;
      this.told.textContent = this.pieces ? "Choose a piece of the object." : "Finding pieces …";
    }
    stage.drawLines();
  }
}
