// The picture with mask, heat, outlines and the tool's marks. The pointer uses the tool, or moves and zooms it.

import { decode } from "./api.js";
import { $, clamp, hint } from "./page.js";
import { Pen, findOutlines } from "./pen.js";
import { fill } from "./paint.js";
import { colours, css } from "./set.js";

const MOST = 48;
const DIMMED = Uint32Array.from(colours, (colour, label) => (label ? colour & 0x99ffffff : 0xff000000));
const LEAST = [0, 32, 128, 512, 2048]; // pixels of the pieces with an outline: as few as can be drawn
const DONE = 65535; // above all labels
const LARGE = 4e6; // pixels of a picture whose outlines take longer than a frame
const PARTS = ["layers", "photo", "mask", "heat", "edges", "lines", "pixel"];

export class Stage {
  tool = null;
  width = 0;
  height = 0;
  zoom = 0; // pixels of the screen in one of the picture; 0 to show all
  cross = [0, 0]; // the pixel under the pointer, or where keys moved it
  paths = new Map();
  named = []; // pieces
  pressed = false;
  pointer = 0;
  fingers = new Map();

  constructor(nameAt, isReady) {
    this.frame = $("stage");
    Object.assign(this, { nameAt, isReady }, Object.fromEntries(PARTS.map((id) => [id, $(id)])));
    new ResizeObserver(() => this.layout()).observe(this.frame);
    this.listen();
  }

  listen() {
    const stage = this.frame;
    stage.onpointerdown = (event) => this.pointerPressed(event);
    stage.onpointermove = (event) => this.pointerMoved(event);
    stage.onpointerup = stage.onpointercancel = ({ type, pointerId }) => {
      this.fingers.delete(pointerId);
      if (type === "pointercancel") this.abort();
      else if (pointerId === this.pointer) this.release();
      this.pan(null);
    };
    stage.onwheel = (event) => {
      event.preventDefault(); // ctrl: two fingers on a touchpad, which move less
      const pixels = event.deltaY * [1, 16, 400][event.deltaMode];
      this.zoomAt(Math.exp(-pixels * (event.ctrlKey ? 0.01 : 0.002)), event.clientX, event.clientY);
    };
    stage.ondblclick = () => this.tool.twice();
    stage.oncontextmenu = (event) => event.preventDefault(); // the right button erases
    stage.onkeydown = (event) => event.key === "Alt" && event.preventDefault(); // so does Alt: no menu opens
    document.addEventListener("keyup", (event) => {
      if (event.key !== " " || !this.space) return;
      if (this.space === "pressed") this.useTool();
      this.space = "";
    });
    stage.onblur = () => { this.space = ""; };
  }

  // Tools are off until what they work on is drawn.
  isOff() {
    const off = !this.isReady();
    if (off) hint("Not drawn yet: please wait.");
    return off;
  }

  pointerPressed(event) {
    if (!this.width) return void this.isOff();
    this.frame.setPointerCapture(event.pointerId);
    if (event.pointerType === "touch") this.fingers.set(event.pointerId, [event.clientX, event.clientY]);
    if (this.fingers.size > 1) return this.abort();
    if (this.pressed) return; // a hand beside the pen
    if (event.button === 1 || this.space) {
      event.preventDefault(); // the browser would scroll
      return this.pan([event.clientX, event.clientY]);
    }
    if (![0, 2, 5].includes(event.button) || this.isOff()) return; // 5: the other end of a pen
    this.pressed = true;
    this.pointer = event.pointerId;
    Object.assign(this.tool, { erasing: event.button > 0 || event.altKey, joining: event.shiftKey });
    this.moveCrossTo(event);
    this.tool.down(...this.pointerAt(event));
  }

  pointerMoved(event) {
    if (!this.width) return;
    if (this.fingers.size > 1) return this.pinch(event);
    if (this.panning) {
      const [x, y] = this.panning;
      this.pan([event.clientX, event.clientY]);
      return this.shift(event.clientX - x, event.clientY - y);
    }
    if (this.pressed && event.pointerId !== this.pointer) return;
    this.moveCrossTo(event);
    if (this.pressed) this.tool.drag(...this.pointerAt(event));
    else this.tool.hover();
  }

  release() {
    const { pressed } = this;
    this.pressed = false;
    if (pressed) this.tool.up();
    Object.assign(this.tool, { erasing: false, joining: false });
  }

  abort() {
    if (this.pressed) this.tool.abort();
    this.pressed = false;
    Object.assign(this.tool, { erasing: false, joining: false });
  }

  pinch(event) {
    if (!this.fingers.has(event.pointerId)) return;
    const measure = () => {
      const [[x0, y0], [x1, y1]] = this.fingers.values();
      return { x: (x0 + x1) / 2, y: (y0 + y1) / 2, apart: Math.max(1, Math.hypot(x1 - x0, y1 - y0)) };
    };
    const before = measure();
    this.fingers.set(event.pointerId, [event.clientX, event.clientY]);
    const { x, y, apart } = measure();
    this.zoomAt(apart / before.apart, x, y);
    this.shift(x - before.x, y - before.y);
  }

  get middle() { return this.cross.map((at) => at + 0.5); }

  useTool() {
    if (this.isOff()) return;
    this.tool.down(...this.middle);
    this.tool.up();
  }

  pan(from) {
    this.panning = from;
    if (from && this.space) this.space = "dragged";
    this.frame.classList.toggle("panning", Boolean(from));
  }

  shift(x, y) {
    this.zoom ||= this.scale;
    this.left += x;
    this.top += y;
    this.layout();
  }

  key(event) {
    const step = event.shiftKey ? 1 : Math.max(1, Math.round(this.width / 48));
    const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
    if (event.key in moves) {
      this.moveCross(this.cross[0] + moves[event.key][0], this.cross[1] + moves[event.key][1]);
      this.keepCross();
      this.tool.hover();
    } else this.space ||= "pressed"; // its release uses the tool, unless the picture was dragged
  }

  keepCross() {
    const outside = (at, room) => Math.max(0, 16 - at) - Math.max(0, at - (room - 16));
    const x = outside(this.left + this.cross[0] * this.scale, this.frame.clientWidth);
    const y = outside(this.top + this.cross[1] * this.scale, this.frame.clientHeight);
    if (this.zoom && (x || y)) this.shift(x, y);
  }

  pointerAt(event) {
    const { left, top } = this.layers.getBoundingClientRect();
    return [(event.clientX - left) / this.scale, (event.clientY - top) / this.scale];
  }

  moveCrossTo(event) { this.moveCross(...this.pointerAt(event).map(Math.floor)); }

  moveCross(x, y) {
    this.cross = [clamp(x, 0, this.width - 1), clamp(y, 0, this.height - 1)];
    this.drawLines();
    this.pixel.textContent = `${this.cross.join(", ")}: ${this.nameAt(...this.cross)}`;
  }

  setImage(image, height, width) {
    Object.assign(this, { width, height, zoom: $("keep-zoom").checked ? this.zoom : 0 });
    for (const canvas of [this.photo, this.mask]) Object.assign(canvas, { width, height });
    this.photo.getContext("2d").drawImage(image, 0, 0, width, height);
    this.layout();
    this.moveCross(Math.floor(width / 2), Math.floor(height / 2));
  }

  get fit() { return Math.min(this.frame.clientWidth / this.width, this.frame.clientHeight / this.height); }

  layout() {
    if (!this.width) return;
    const room = [this.frame.clientWidth, this.frame.clientHeight];
    const { fit } = this;
    const scale = this.zoom || fit;
    const size = [this.width * scale, this.height * scale];
    this.scale = scale;
    const within = (at, i) => (scale <= fit ? (room[i] - size[i]) / 2 : clamp(at, room[i] / 2 - size[i], room[i] / 2));
    this.left = within(this.left, 0);
    this.top = within(this.top, 1);
    Object.assign(this.layers.style, { left: `${this.left}px`, top: `${this.top}px`, width: `${size[0]}px`, height: `${size[1]}px` });
    this.layers.classList.toggle("near", scale > 2);
    this.ratio = Math.min(2, window.devicePixelRatio || 1);
    for (const canvas of [this.edges, this.lines]) {
      const [width, height] = room.map((side) => Math.round(side * this.ratio));
      if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    }
    this.drawEdges();
    this.drawLines();
  }

  zoomAt(factor, clientX, clientY) {
    if (!this.width) return;
    const box = this.frame.getBoundingClientRect();
    const [x, y] = [clientX - box.left, clientY - box.top];
    const { fit } = this;
    const scale = clamp(this.scale * factor, fit / 2, Math.max(MOST, 2 * fit));
    const by = scale / this.scale;
    this.zoom = Math.abs(scale - fit) < fit / 1000 ? 0 : scale;
    this.left = x - (x - this.left) * by;
    this.top = y - (y - this.top) * by;
    this.layout();
  }

  zoomBy(factor) {
    const box = this.frame.getBoundingClientRect();
    if (factor) return this.zoomAt(factor, box.left + box.width / 2, box.top + box.height / 2);
    this.zoom = 0;
    return this.layout();
  }

  // box: [left, top, right, bottom) of it.
  drawLabels(labels, box = [0, 0, this.width, this.height]) {
    const [left, top, right, bottom] = box;
    const data = new ImageData(right - left, bottom - top);
    const out = new Uint32Array(data.data.buffer);
    const table = $("dimmed").checked ? DIMMED : colours;
    let to = 0;
    for (let y = top; y < bottom; y++) {
      for (let x = left; x < right; x++) out[to++] = table[labels[y * this.width + x]];
    }
    this.mask.getContext("2d").putImageData(data, left, top);
    this.outline(labels);
  }

  outline(labels) {
    this.drawn = labels;
    if (this.pressed && labels.length > LARGE) return;
    this.waiting ||= requestAnimationFrame(() => {
      this.waiting = 0;
      this.findEdges();
      this.drawEdges();
    });
  }

  findEdges() {
    const { drawn, width, height } = this;
    const rest = Uint16Array.from(drawn);
    const pieces = []; // connected ones, from the top
    rest.forEach((label, at) => {
      if (label === DONE) return;
      const place = [at % width, Math.floor(at / width)];
      pieces.push({ at, place, label, size: fill(rest, width, height, ...place, DONE) });
    });
    // Smaller pieces get what is beside them.
    const least = LEAST.find((pixels) => {
      const kept = drawn.slice();
      for (const { at, place, size } of pieces) {
        if (at && size < pixels) fill(kept, width, height, ...place, kept[place[0] ? at - 1 : at - width]);
      }
      this.paths = findOutlines(kept, width, height);
      return this.paths.size || pieces.length < 2;
    });
    $("outlined-from").textContent = least ? `≥ ${least} px` : "";
    const seen = new Set([0]);
    this.named = pieces.sort((a, b) => b.size - a.size).filter(({ label, size }) => {
      return label && (size > drawn.length / 50 || (!seen.has(label) && seen.add(label)));
    });
  }

  drawEdges() {
    const pen = this.pen(this.edges);
    if (!$("outlined").checked) return;
    pen.outlines(this.paths, css);
    const { left, top, scale } = this;
    pen.tags(this.ratio, this.named.map(({ label, place: [x, y] }) => [this.nameAt(x, y), css(label), left + x * scale, top + y * scale]));
  }

  drawLines() {
    if (this.width) this.tool.draw(this.pen(this.lines), ...this.middle);
  }

  pen(canvas) {
    const context = canvas.getContext("2d"), scale = this.ratio * this.scale;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, canvas.width, canvas.height);
    context.setTransform(scale, 0, 0, scale, this.ratio * this.left, this.ratio * this.top);
    return new Pen(context, this.scale);
  }

  // part: [top, left, height, width] of the picture. No map: none is shown.
  drawHeat(map, ofLevels, part) {
    this.heat.hidden = !map;
    if (!map) return;
    paintHeat(this.heat, map, ofLevels);
    ["top", "left", "height", "width"].forEach((side, i) => {
      this.heat.style[side] = `${(part[i] / (i % 2 ? this.width : this.height)) * 100}%`;
    });
  }
}

// map: { values or data, height, width }, levels from 0 to 255; data: the server's. colours: of the levels.
export function paintHeat(canvas, map, colours) {
  map.values ??= decode(map.data);
  canvas.width = map.width;
  canvas.height = map.height;
  const data = new ImageData(map.width, map.height);
  const out = new Uint32Array(data.data.buffer);
  for (let i = 0; i < out.length; i++) out[i] = colours[map.values[i]];
  canvas.getContext("2d").putImageData(data, 0, 0);
}
