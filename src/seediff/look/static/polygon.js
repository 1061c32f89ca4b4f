// Polygons. A closed one is painted, and its corners can be moved until the person does something else.

import * as paint from "./paint.js";
import { Tool } from "./tools.js";

const NEAR = 10; // pixels on the screen

export class Polygon extends Tool {
  get help() { return "Click the corners; double-click or Enter to close, Backspace takes one back. Then drag corners to adjust."; }
  points = [];
  closed = false;
  corner = -1;
  from = null;
  before = null; // the label map without it
  painted = 0; // the class that it was closed with

  get open() { return this.points.length > 0 && !this.closed; }

  get moving() { return this.closed && this.corner >= 0; }

  get unsaved() { return this.open ? "The polygon is not closed: Enter closes it, Esc drops it." : ""; }

  draw(pen, x, y) {
    if (this.points.length) pen.polygon(this.open ? [...this.points, [x, y]] : this.points, this.closed);
    super.draw(pen, x, y);
  }

  // A moved corner stays where it is now.
  cancel() {
    const { length } = this.points;
    if (this.moving) this.up();
    this.clear();
    return length > 0;
  }

  clear() {
    Object.assign(this, { points: [], closed: false, corner: -1, from: null });
    this.redraw();
  }

  back() {
    if (!this.open) return false;
    this.points.pop();
    this.redraw();
    return true;
  }

  abort() {
    if (this.moving) this.drag(...this.from);
    Object.assign(this, { from: null, corner: -1 });
  }

  down(x, y) {
    const { view } = this;
    this.from = null;
    if (this.erasing) return void this.back();
    if (!view.startPainting(this)) return;
    this.from = [x, y];
    this.corner = this.points.findIndex((point) => Math.hypot(x - point[0], y - point[1]) * view.stage.scale < NEAR);
    if (this.moving) this.from = this.points[this.corner];
  }

  drag(x, y) {
    if (!this.moving) return;
    this.points[this.corner] = [x, y];
    this.view.draw(this.paint());
    this.redraw();
  }

  // The first corner closes the polygon.
  up() {
    const { corner, from, moving } = this;
    Object.assign(this, { corner: -1, from: null });
    if (!from) return;
    if (moving) return this.view.finish(this.name, this.paint());
    if (this.closed) this.clear();
    else if (corner === 0 && this.points.length > 2) return void this.accept();
    this.points.push(from);
    this.redraw();
  }

  twice() {
    if (!this.open) return;
    this.points.pop();
    this.accept();
  }

  accept() {
    const { view } = this;
    if (!this.open) return false;
    if (this.points.length < 3) return this.cancel();
    if (!view.startPainting(this)) return true;
    Object.assign(this, { corner: -1, closed: true, before: view.labels.slice(), painted: view.classes.value });
    view.finish(this.name, this.paint());
    this.redraw();
    return true;
  }

  // The box is the whole picture, as the polygon may have covered another part before.
  paint() {
    const { labels, width, height, whole } = this.view;
    labels.set(this.before);
    paint.polygon(labels, width, height, this.points, this.painted);
    return whole;
  }
}
