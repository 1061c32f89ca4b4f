// A stroke cuts objects, and Shift-click joins them. The server does both; no label changes.

import { Tool } from "./tools.js";

export class Cut extends Tool {
  points = []; // of the stroke
  first = null; // in the object that others are joined to

  get help() { return "Draw across an object to cut it. Shift-click two to join them. Click a piece to part it from its object."; }
  get value() { return -1; }

  down(x, y) {
    const { view } = this;
    if (!this.erasing && view.canPaint && view.settle(this)) this.points = [[x, y]];
  }

  drag(x, y) {
    if (!this.points.length) return;
    this.points.push([x, y]);
    this.redraw();
  }

  up() {
    const { first, joining, points } = this;
    if (!points.length) return;
    this.clear(joining ? first ?? points[0] : null);
    if (!joining) this.view.judge("cut", { points });
    else if (first) this.view.judge("join", { points: [first, points[0]] });
  }

  clear(first = null) {
    Object.assign(this, { points: [], first });
    this.redraw();
  }

  abort() { this.clear(); }

  cancel() {
    const { first } = this;
    this.clear();
    return Boolean(first);
  }

  draw(pen, x, y) {
    if (this.points.length && !this.joining) pen.polygon(this.points, false);
    if (this.first) pen.circle(...this.first, 8 / pen.scale);
    super.draw(pen, x, y);
  }
}
