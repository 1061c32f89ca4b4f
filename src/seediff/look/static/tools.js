// The tools: what the pointer does on the picture. sample.js owns them. stage.js calls the chosen one, `down`, `drag`
// and `draw` with x and y in pixels of the picture:
//
//   down, drag …, up     the pointer is pressed, moves, is released; Space calls down and up at the cross
//   hover                the pointer moves without being pressed, or keys move the cross
//   twice                a double click, after its two clicks
//   draw                 draws the tool's marks and the cross

import { $ } from "./page.js";
import * as paint from "./paint.js";

export class Tool {
  help = ""; // tells the person what to do

  // view: SampleView. name: in keys.js and for the server.
  constructor(view, name) { Object.assign(this, { view, name }); }

  enter() {} // the tool is chosen, or another sample is shown
  leave() { this.cancel(); } // another tool is chosen, or another sample is on its way
  down() {}
  drag() {}
  up() {}
  hover() {}
  twice() {}
  cancel() { return false; } // Esc. Returns whether there was something to give up
  accept() { return false; } // Enter. Returns whether there was something to accept
  draw(pen, x, y) { pen.cross(x, y); }
}

// Shows where the pixel at the cross attends. A click fixes the pixel.
export class Look extends Tool {
  down() { this.point(true); }
  drag() { this.point(true); }
  hover() { this.point(false); }
  point(fixed) { this.view.attention.point(...this.view.stage.cross, fixed); }
}

// The brush; the eraser is a brush that paints with the background.
export class Brush extends Tool {
  from = null; // [x, y] of the pointer during a stroke
  box = null; // the part that the stroke has changed

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
