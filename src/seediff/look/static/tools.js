// What the pointer does on the picture. stage.js calls the chosen tool with x and y in pixels of the picture:
//
// down, drag …, up  the pointer is pressed, moves, is released; Space calls down and up
// hover             it moves without being pressed, or keys move the cross
// twice             a double click, after its two clicks
// abort             a second finger was put down: the press before it does nothing

import { $, hint, percent } from "./page.js";
import * as paint from "./paint.js";
import { css } from "./set.js";

const ASKED = 0.95; // of the image

export class Tool {
  get help() { return ""; }
  erasing = false; // by the right button, a pen's other end, or Alt
  joining = false;

  constructor(view, name) { Object.assign(this, { view, name }); }

  enter() {}
  leave() { this.cancel(); }
  down() {}
  drag() {}
  up() {}
  hover() {}
  twice() {}
  cancel() { return false; }
  accept() { return false; }
  back() { return false; } // whether there was a step of its own to take back
  abort() {}
  draw(pen, x, y) { pen.cross(x, y); }

  redraw() { this.view.stage.drawLines(); }

  get unsaved() { return ""; }
  get value() { return this.erasing ? 0 : this.view.classes.value; } // -1 for nothing
}

export class Look extends Tool {
  get value() { return -1; }
  down() {
    this.point(true);
    if (!this.view.attention.info) hint("Look does not paint. B takes the brush.");
  }

  drag() { this.point(true); }
  hover() { this.point(false); }
  point(fixed) { this.view.attention.point(...this.view.stage.cross, fixed); }
}

// The eraser is a brush that paints the background.
export class Brush extends Tool {
  from = null;
  box = null;
  labels = null; // that it paints on
  before = null; // without the stroke
  end = null;

  get help() {
    const erases = this.name === "eraser" ? "Drag to erase." : "Right button or Alt: erase.";
    return `${erases} Shift: a line from the last stroke.`;
  }

  get radius() { return $("brush-size").value / 2; }

  get value() { return this.name === "eraser" ? 0 : super.value; }

  down(x, y) {
    if (!this.view.startPainting(this)) return;
    const from = (this.joining && this.end) || [x, y];
    Object.assign(this, { from, box: null, labels: this.view.labels, before: this.view.labels.slice() });
    this.drag(x, y);
  }

  drag(x, y) {
    const { from, radius, view } = this;
    if (!from) return;
    const box = paint.stroke(view.labels, view.width, view.height, ...from, x, y, radius, this.value);
    Object.assign(this, { from: [x, y], box: paint.join(this.box, box) });
    if (box) view.draw(box);
  }

  up() {
    if (!this.from) return;
    this.end = this.from;
    this.from = this.labels = this.before = null;
    this.view.finish(this.erasing ? "eraser" : this.name, this.box);
  }

  abort() {
    if (!this.from) return;
    this.labels.set(this.before); // not the view's: a newer one may have come
    this.from = this.labels = this.before = null;
    this.view.draw(this.box);
  }

  enter() { this.end = null; }

  leave() { this.up(); }

  draw(pen, x, y) { pen.circle(x, y, this.radius, this.value ? css(this.value) : "#fff"); }
}

export class Fill extends Tool {
  get help() { return "Click to paint all that is connected. Right button or Alt: erase it."; }

  down() { this.pressed = this.view.startPainting(this); }

  up() {
    const { view } = this;
    if (!this.pressed || !view.canPaint) return;
    this.pressed = false;
    const { labels, width, height, stage, whole } = view;
    const before = labels.slice();
    const count = paint.fill(labels, width, height, ...stage.cross, this.value);
    const share = percent(count / labels.length);
    if (count > ASKED * labels.length && !window.confirm(`This region is ${share} of the image. Fill it?`)) return labels.set(before);
    view.finish(this.name, count && whole);
    if (count) hint(`${share} of the image was filled.`, { undo: true });
  }

  abort() { this.pressed = false; }
}
