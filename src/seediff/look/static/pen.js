// Lines over the picture, as wide at any zoom, with a dark and a light rim, so that they are seen on any colour; and names.

import { clamp } from "./page.js";

const LINES = [["#000", 7], ["#fff", 4.5], [null, 2]]; // colour, null for a line's own, and width
const TAG = 18; // pixels of a name's height
const MOST = 8; // outlines per pixel of width and height; only a mask like noise has more

export class Pen {
  constructor(context, scale) { Object.assign(this, { context, scale }); }

  trace(draw, inner = "#fff") {
    const { context } = this;
    for (const [colour, width] of LINES) {
      context.strokeStyle = colour ?? inner;
      context.lineWidth = width / this.scale;
      context.beginPath();
      draw(context);
      context.stroke();
    }
  }

  cross(x, y) {
    const arm = 7 / this.scale;
    this.trace((context) => {
      context.moveTo(x - arm, y);
      context.lineTo(x + arm, y);
      context.moveTo(x, y - arm);
      context.lineTo(x, y + arm);
    });
  }

  box(left, top, right, bottom) { this.trace((context) => context.rect(left, top, right - left, bottom - top)); }

  circle(x, y, radius, colour) {
    this.trace((context) => context.arc(x, y, Math.max(1.5 / this.scale, radius), 0, 2 * Math.PI), colour);
  }

  // closed: back to the first point, and with a square at each.
  polygon(points, closed) {
    this.trace((context) => {
      for (const point of points) context.lineTo(...point);
      if (closed) context.closePath();
    });
    if (!closed) return;
    const half = 4 / this.scale;
    this.trace((context) => {
      for (const [x, y] of points) context.rect(x - half, y - half, 2 * half, 2 * half);
    });
  }

  // Names above their pieces, in pixels of the screen, the first ones first. None covers another.
  tags(ratio, tags) {
    const { context } = this;
    const [width, height] = [context.canvas.width / ratio, context.canvas.height / ratio];
    const taken = [];
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    Object.assign(context, { font: "600 12px system-ui", textAlign: "center", lineWidth: 2 });
    for (const [name, colour, x, y] of tags) {
      const text = name.slice(0, 30);
      const half = context.measureText(text).width / 2 + 6;
      const middle = clamp(x, half, width - half), top = Math.max(1, y - TAG - 6);
      const isFree = taken.every((one) => Math.abs(one[0] - middle) > one[1] + half || Math.abs(one[2] - top) > TAG);
      if (!isFree || name === "segment" || x < 0 || y < 0 || x > width || y > height) continue;
      taken.push([middle, half, top]);
      context.beginPath();
      context.roundRect(middle - half, top, 2 * half, TAG, 4);
      Object.assign(context, { fillStyle: "#000", strokeStyle: colour });
      context.fill();
      context.stroke();
      context.fillStyle = "#fff";
      context.fillText(text, middle, top + 13);
    }
  }

  outlines(paths, colourOf = () => "#fff") {
    const { context } = this;
    context.lineCap = "square";
    for (const [line, width] of LINES) {
      context.lineWidth = width / this.scale;
      for (const [label, path] of paths) {
        context.strokeStyle = line ?? colourOf(label);
        context.stroke(path);
      }
    }
  }
}

// Label → Path2D of its borders with lower labels; empty for a mask like noise.
export function findOutlines(labels, width, height) {
  const paths = new Map();
  let room = MOST * (width + height);
  const line = (value, x0, y0, x1, y1) => {
    if (!paths.has(value)) paths.set(value, new Path2D());
    const path = paths.get(value);
    path.moveTo(x0, y0);
    path.lineTo(x1, y1);
  };
  // Pieces of the same label along a border are one line. Border i begins at i * stride; along: the step to the next pixel
  // beside it; across: the step over it.
  const scan = (count, length, stride, along, across, draw) => {
    for (let i = 1; i < count; i++) {
      let value = 0, begin = 0;
      for (let j = 0; j <= length; j++) {
        let now = 0;
        if (j < length) {
          const at = i * stride + j * along, a = labels[at], b = labels[at - across];
          if (a !== b) now = a > b ? a : b;
        }
        if (now === value) continue;
        if (value && --room < 0) return;
        if (value) draw(value, i, begin, j);
        value = now;
        begin = j;
      }
    }
  };
  scan(height, width, width, 1, width, (value, y, from, to) => line(value, from, y, to, y));
  scan(width, height, 1, width, 1, (value, x, from, to) => line(value, x, from, x, to));
  return room < 0 ? new Map() : paths;
}
