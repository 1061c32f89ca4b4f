// Draws lines of the same width at any zoom, with a dark rim, so that they are seen on any picture.

export class Pen {
  // context: of a canvas, in pixels of the picture. scale: pixels of the screen in one of them.
  constructor(context, scale) { Object.assign(this, { context, scale }); }

  // Stroke what draw() adds to the path.
  trace(draw) {
    const { context } = this;
    for (const [colour, width] of [["#000", 3], ["#fff", 1]]) {
      context.strokeStyle = colour;
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

  circle(x, y, radius) {
    this.trace((context) => context.arc(x, y, Math.max(1.5 / this.scale, radius), 0, 2 * Math.PI));
  }

  // Lines from point to point [x, y]; closed: and back to the first, with a square at each.
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

  // Dashed, unlike outlines.
  box(left, top, right, bottom) {
    const { context, scale } = this;
    context.lineWidth = 3 / scale;
    for (const [colour, dash] of [["#000", []], ["#fff", [9, 6]]]) {
      context.strokeStyle = colour;
      context.setLineDash(dash.map((length) => length / scale));
      context.strokeRect(left, top, right - left, bottom - top);
    }
    context.setLineDash([]);
  }

  // Stroke paths by label, each in its label's colour; white without one.
  outlines(paths, colours = []) {
    const { context } = this;
    context.lineCap = "square";
    for (const size of [4, 2]) {
      context.lineWidth = size / this.scale;
      for (const [label, path] of paths) {
        const colour = colours[label] ?? 0xffffff;
        context.strokeStyle = size > 2 ? "#0009" : `rgb(${colour & 255} ${(colour >> 8) & 255} ${(colour >> 16) & 255})`;
        context.stroke(path);
      }
    }
  }
}
