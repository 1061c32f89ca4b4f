// A polygon. Once it is closed and painted, its corners can be moved until something else is done.

import * as paint from "./paint.js";

const NEAR = 10; // pixels on the screen from a corner that mean this corner

export class Polygon {
  // view: SampleView, whose stage has the corners: { points, closed }.
  constructor(view) { Object.assign(this, { view, corner: -1 }); }

  get open() { return Boolean(this.view.stage.points?.length) && !this.view.stage.closed; }

  get moving() { return this.view.stage.closed && this.corner >= 0; }

  // Another one begins. Whether there was one.
  forget() {
    const { stage, tool } = this.view, had = Boolean(stage.points?.length);
    Object.assign(stage, { points: tool === "polygon" ? [] : null, closed: false });
    stage.drawLines();
    return had;
  }

  down(x, y) {
    const { stage } = this.view;
    this.corner = stage.points.findIndex((point) => Math.hypot(x - point[0], y - point[1]) * stage.scale < NEAR);
    if (this.moving) return;
    if (stage.closed) this.forget();
    if (!this.corner && stage.points.length > 2) return this.close();
    stage.points.push([x, y]);
    stage.drawLines();
  }

  drag(x, y) {
    if (!this.moving) return;
    this.view.stage.points[this.corner] = [x, y];
    this.view.draw(this.paint());
    this.view.stage.drawLines();
  }

  up() {
    if (!this.moving) return;
    this.corner = -1;
    this.view.finish("polygon", this.paint());
  }

  // The clicks of a double click are corners already.
  twice() {
    if (!this.open) return;
    this.view.stage.points.pop();
    this.close();
  }

  close() {
    const { view } = this;
    if (view.stage.points.length < 3) return this.forget();
    Object.assign(this, { corner: -1, before: view.labels.slice(), value: view.classes.value });
    view.stage.closed = true;
    view.finish("polygon", this.paint());
    view.stage.drawLines();
  }

  // Returns the box to draw: all, as the polygon may have covered more before.
  paint() {
    const { labels, width, height, stage } = this.view;
    labels.set(this.before);
    paint.polygon(labels, width, height, stage.points, this.value);
    return [0, 0, width, height];
  }
}
