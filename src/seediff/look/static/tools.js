// The tools: what the pointer does on the picture. The stage calls the chosen tool with x and y in its pixels:
//
//   down, drag …, up     while the pointer is pressed; down and up, when the space bar uses the tool at the cross
//   hover                the pointer is moved, or keys move the cross
//   twice                a double click, after its two clicks
//   draw                 the tool's marks and the cross

import { $ } from "./page.js";
import * as paint from "./paint.js";

export class Tool {
  help = ""; // what to do with it

  // name: in keys.js, and for the server. view: the SampleView.
  constructor(view, name) { Object.assign(this, { view, name }); }

  enter() {} // it is chosen, or another sample is shown
  leave() { this.cancel(); } // another tool is chosen, or another sample is on its way
  down() {}
  drag() {}
  up() {}
  hover() {}
  twice() {}
  cancel() { return false; } // Esc; whether there was something to give up
  accept() { return false; } // Enter; whether there was something to accept
  draw(pen, x, y) { pen.cross(x, y); }
}

// Shows where the pixel at the cross attends.
export class Look extends Tool {
  down() { this.point(true); }
  drag() { this.point(true); }
  hover() { this.point(false); }
  point(fixed) { this.view.attention.point(...this.view.stage.cross, fixed); }
}

// The brush, and the eraser, which paints with the background.
export class Brush extends Tool {
  from = null; // during a stroke: where it is
  box = null; // and what it changed

  get radius() { return $("brush-size").value / 2; }

  down(x, y) {
    if (!this.view.startPainting()) return;
    Object.assign(this, { from: [x, y], box: null });
    this.drag(x, y);
  }

  drag(x, y) {
    const { from, radius, view } = this;
    if (!from) return;
    const value = this.name === "eraser" ? 0 : view.classes.value;
    const box = paint.stroke(view.labels, view.width, view.height, ...from, x, y, radius, value);
    Object.assign(this, { from: [x, y], box: paint.join(this.box, box) });
    if (box) view.draw(box);
  }

  up() {
    if (!this.from) return;
    this.from = null;
    this.view.finish(this.name, this.box);
  }

  leave() { this.up(); }

  draw(pen, x, y) { pen.circle(x, y, this.radius); }
}

export class Fill extends Tool {
  down() {
    const { view } = this;
    if (!view.startPainting()) return;
    const { labels, width, height, classes, stage } = view;
    view.finish(this.name, paint.fill(labels, width, height, ...stage.cross, classes.value));
  }
}
