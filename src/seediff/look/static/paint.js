// Painting on label maps, one byte a pixel.

import { clamp } from "./page.js";

export const join = (a, b) => {
  if (!a || !b) return a || b;
  return [Math.min(a[0], b[0]), Math.min(a[1], b[1]), Math.max(a[2], b[2]), Math.max(a[3], b[3])];
};

// Returns the changed box [left, top, right, bottom), or null.
export function stroke(labels, width, height, x0, y0, x1, y1, radius, value) {
  const box = [
    Math.max(0, Math.floor(Math.min(x0, x1) - radius)), Math.max(0, Math.floor(Math.min(y0, y1) - radius)),
    Math.min(width, Math.ceil(Math.max(x0, x1) + radius) + 1), Math.min(height, Math.ceil(Math.max(y0, y1) + radius) + 1),
  ];
  if (box[0] >= box[2] || box[1] >= box[3]) return null;
  const [dx, dy] = [x1 - x0, y1 - y0];
  const length = dx * dx + dy * dy;
  for (let y = box[1]; y < box[3]; y++) {
    for (let x = box[0]; x < box[2]; x++) {
      const [px, py] = [x + 0.5 - x0, y + 0.5 - y0];
      const along = length ? clamp((px * dx + py * dy) / length, 0, 1) : 0;
      const [ex, ey] = [px - along * dx, py - along * dy];
      if (ex * ex + ey * ey <= radius * radius) labels[y * width + x] = value;
    }
  }
  return box;
}

// Returns how many pixels were changed.
export function fill(labels, width, height, x, y, value) {
  const from = labels[y * width + x];
  if (from === value) return 0;
  const waiting = [y * width + x];
  let count = 0;
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
    count += right + 1 - left;
  }
  return count;
}

// By the even-odd rule, of pixels' middles.
export function polygon(labels, width, height, points, value) {
  for (let y = 0; y < height; y++) {
    const crossings = [];
    const at = y + 0.5;
    points.forEach(([x0, y0], i) => {
      const [x1, y1] = points[(i + 1) % points.length];
      if ((y0 <= at) !== (y1 <= at)) crossings.push(x0 + ((at - y0) / (y1 - y0)) * (x1 - x0));
    });
    crossings.sort((a, b) => a - b);
    for (let i = 0; i + 1 < crossings.length; i += 2) {
      const left = Math.max(0, Math.ceil(crossings[i] - 0.5));
      const right = Math.min(width, Math.ceil(crossings[i + 1] - 0.5));
      if (left < right) labels.fill(value, y * width + left, y * width + right);
    }
  }
}

// To the background, if all their pixels have the class already. segments: of each pixel. numbers: a Set of those to change.
export function segment(labels, segments, numbers, value) {
  const whole = labels.every((label, i) => label === value || !numbers.has(segments[i]));
  const given = whole ? 0 : value;
  for (let i = 0; i < labels.length; i++) if (numbers.has(segments[i])) labels[i] = given;
}

// Those mostly in the box.
export function inBox(segments, width, height, box) {
  const excess = new Map(); // of pixels in the box over those outside
  const [left, top, right, bottom] = box.map((side) => Math.round(side));
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const number = segments[y * width + x];
      const isInside = x >= left && x < right && y >= top && y < bottom;
      excess.set(number, (excess.get(number) || 0) + (isInside ? 1 : -1));
    }
  }
  return new Set([...excess.keys()].filter((number) => number && excess.get(number) > 0));
}
