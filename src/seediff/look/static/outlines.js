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
