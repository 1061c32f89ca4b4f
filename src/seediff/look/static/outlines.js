// The borders between the labels of a label map, as paths in pixels of the picture.

const MOST = 8; // lines per pixel of the picture's width and height; a mask like noise has more, and nothing to outline

// Label → Path2D of its borders with lesser labels; none for a mask like noise.
export function outlines(labels, width, height) {
  const paths = new Map();
  let room = MOST * (width + height);
  const line = (value, x0, y0, x1, y1) => {
    if (!paths.has(value)) paths.set(value, new Path2D());
    const path = paths.get(value);
    path.moveTo(x0, y0);
    path.lineTo(x1, y1);
  };
  // Along each row and each column of borders, pieces of the same label are one line.
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

// Stroke paths with a dark rim, each in its colour or white. scale: the context's, for lines of the same width.
export function strokeOutlines(context, paths, colours, scale) {
  context.lineCap = "square";
  for (const size of [4, 2]) {
    context.lineWidth = size / scale;
    for (const [value, path] of paths) {
      const colour = colours[value] ?? 0xffffff;
      context.strokeStyle = size > 2 ? "#0009" : `rgb(${colour & 255} ${(colour >> 8) & 255} ${(colour >> 16) & 255})`;
      context.stroke(path);
    }
  }
}
