// Painting on label maps: plain functions on rows of pixels, one byte each. They return the box [left, top, right, bottom) that they
// changed, or null. Nothing here knows of the page.

const clip = (box, width, height) => {
  const [left, top, right, bottom] = [Math.max(0, box[0]), Math.max(0, box[1]), Math.min(width, box[2]), Math.min(height, box[3])];
  return left < right && top < bottom ? [left, top, right, bottom] : null;
};

export const join = (a, b) => {
  if (!a || !b) return a || b;
  return [Math.min(a[0], b[0]), Math.min(a[1], b[1]), Math.max(a[2], b[2]), Math.max(a[3], b[3])];
};

// All pixels whose middle is within `radius` of the line from (x0, y0) to (x1, y1).
export function stroke(labels, width, height, x0, y0, x1, y1, radius, value) {
  const box = clip([Math.floor(Math.min(x0, x1) - radius), Math.floor(Math.min(y0, y1) - radius),
    Math.ceil(Math.max(x0, x1) + radius) + 1, Math.ceil(Math.max(y0, y1) + radius) + 1], width, height);
  if (!box) return null;
  const [dx, dy] = [x1 - x0, y1 - y0], length = dx * dx + dy * dy, square = radius * radius;
  for (let y = box[1]; y < box[3]; y++) {
    for (let x = box[0]; x < box[2]; x++) {
      const [px, py] = [x + 0.5 - x0, y + 0.5 - y0];
      const along = length ? Math.max(0, Math.min(1, (px * dx + py * dy) / length)) : 0;
      const [ex, ey] = [px - along * dx, py - along * dy];
      if (ex * ex + ey * ey <= square) labels[y * width + x] = value;
    }
  }
  return box;
}

// The connected pixels (by edges) of the label under (x, y).
export function fill(labels, width, height, x, y, value) {
  const from = labels[y * width + x];
  if (from === value) return null;
  const waiting = [y * width + x];
  let box = null;
  while (waiting.length) {
    const at = waiting.pop();
    if (labels[at] !== from) continue;
    const row = Math.floor(at / width), begin = row * width;
    let left = at, right = at;
    while (left > begin && labels[left - 1] === from) left--;
    while (right < begin + width - 1 && labels[right + 1] === from) right++;
    for (const next of [-width, width]) {
      if (row * width + next < 0 || (row + 1) * width + next > width * height) continue;
      for (let one = left; one <= right; one++) {
        if (labels[one + next] === from && (one === left || labels[one + next - 1] !== from)) waiting.push(one + next);
      }
    }
    labels.fill(value, left, right + 1);
    box = join(box, [left - begin, row, right - begin + 1, row + 1]);
  }
  return box;
}

// Pixels whose middle is inside the polygon of points [[x, y], …], by the even-odd rule.
export function polygon(labels, width, height, points, value) {
  if (points.length < 3) return null;
  const xs = points.map((p) => p[0]), ys = points.map((p) => p[1]);
  const box = clip([Math.floor(Math.min(...xs)), Math.floor(Math.min(...ys)), Math.ceil(Math.max(...xs)), Math.ceil(Math.max(...ys))], width, height);
  if (!box) return null;
  for (let y = box[1]; y < box[3]; y++) {
    const crossings = [], at = y + 0.5;
    points.forEach(([x0, y0], i) => {
      const [x1, y1] = points[(i + 1) % points.length];
      if ((y0 <= at) !== (y1 <= at)) crossings.push(x0 + ((at - y0) / (y1 - y0)) * (x1 - x0));
    });
    crossings.sort((a, b) => a - b);
    for (let i = 0; i + 1 < crossings.length; i += 2) {
      const [left, right] = [Math.max(0, Math.ceil(crossings[i] - 0.5)), Math.min(width, Math.ceil(crossings[i + 1] - 0.5))];
      if (left < right) labels.fill(value, y * width + left, y * width + right);
    }
  }
  return box;
}

// Give a segment to a class; take it away (to the background) when all of it has the class already.
export function segment(labels, segments, number, value) {
  let whole = true;
  for (let i = 0; i < labels.length && whole; i++) whole = segments[i] !== number || labels[i] === value;
  const given = whole ? 0 : value;
  for (let i = 0; i < labels.length; i++) if (segments[i] === number) labels[i] = given;
  return given;
}
