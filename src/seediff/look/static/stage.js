// The picture with its mask, heat, outlines and the tool's marks. Pointer and keyboard move and zoom it, and use the tool.

import { outlines } from "./outlines.js";
import { $, clamp } from "./page.js";
import { Pen } from "./pen.js";
import { colours } from "./set.js";

const MOST = 48; // times the picture's size on the screen
const LARGE = 4e6; // pixels whose outlines take longer than a frame
const PARTS = ["layers", "beside", "photo", "mask", "heat", "edges", "lines", "pixel"];

export class Stage {
  tool = null; // what the pointer does, a Tool
  width = 0; // pixels of the picture; 0 before the first
  height = 0;
  zoom = 0; // pixels of the screen in one of the picture; 0: the whole picture is seen
  cross = [0, 0];
  paths = new Map(); // outlines of the mask

  // nameAt(x, y): what the mask has there.
  constructor(nameAt) {
    this.frame = $("stage");
    Object.assign(this, { nameAt }, Object.fromEntries(PARTS.map((id) => [id, $(id)])));
    new ResizeObserver(() => this.layout()).observe(this.frame);
    this.listen();
  }

  listen() {
    const stage = this.frame;
    const call = (name, event) => this.tool[name](...this.at(event));
    stage.onpointerdown = (event) => {
      if (!this.width) return;
      stage.setPointerCapture(event.pointerId);
      if (event.button === 1 || this.space) {
        event.preventDefault(); // no scrolling by itself
        return this.pan([event.clientX, event.clientY]);
      }
      if (event.button !== 0) return;
      this.pressed = true;
      this.point(event);
      call("down", event);
    };
    stage.onpointermove = (event) => {
      if (!this.width) return;
      if (this.panning) {
        const [x, y] = this.panning;
        this.panning = [event.clientX, event.clientY];
        return this.shift(event.clientX - x, event.clientY - y);
      }
      this.point(event);
      call(this.pressed ? "drag" : "hover", event);
    };
    stage.onpointerup = stage.onpointercancel = (event) => {
      const { pressed } = this;
      this.pressed = false;
      if (pressed) call("up", event);
      this.pan(null);
    };
    stage.onwheel = (event) => {
      event.preventDefault(); // ctrl: two fingers on a touchpad, which move less
      const pixels = event.deltaY * [1, 16, 400][event.deltaMode];
      this.zoomAt(Math.exp(-pixels * (event.ctrlKey ? 0.01 : 0.002)), event.clientX, event.clientY);
    };
    stage.ondblclick = () => this.tool.twice();
    stage.onkeydown = (event) => this.key(event);
    stage.onkeyup = (event) => {
      if (event.key !== " " || !this.space) return;
      if (this.space === "pressed") this.use();
      this.space = "";
    };
    stage.onblur = () => { this.space = ""; };
  }

  // Where the tool marks the cross: the middle of its pixel.
  get middle() { return this.cross.map((at) => at + 0.5); }

  use() {
    this.tool.down(...this.middle);
    this.tool.up();
  }

  // The picture follows the pointer, from where it is; null: no more.
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
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const step = event.shiftKey ? 1 : Math.max(1, Math.round(this.width / 48));
    const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
    if (event.key in moves) {
      this.moveCross(this.cross[0] + moves[event.key][0], this.cross[1] + moves[event.key][1]);
      this.keepCross();
      this.tool.hover();
    } else if (event.key === " ") {
      this.space ||= "pressed"; // the tool is used when it is let go, unless the picture was dragged meanwhile
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }

  // The cross is moved by keys: it stays in sight.
  keepCross() {
    const outside = (at, room) => Math.max(0, 16 - at) - Math.max(0, at - (room - 16));
    const x = outside(this.left + this.cross[0] * this.scale, this.frame.clientWidth);
    const y = outside(this.top + this.cross[1] * this.scale, this.frame.clientHeight);
    if (this.zoom && (x || y)) this.shift(x, y);
  }

  at(event) {
    const { left, top } = this.layers.getBoundingClientRect();
    return [(event.clientX - left) / this.scale, (event.clientY - top) / this.scale];
  }

  point(event) { this.moveCross(...this.at(event).map(Math.floor)); }

  moveCross(x, y) {
    this.cross = [clamp(x, 0, this.width - 1), clamp(y, 0, this.height - 1)];
    this.drawLines();
    this.pixel.textContent = `${this.cross.join(", ")}: ${this.nameAt(...this.cross)}`;
  }

  // The picture of a sample, and the size of its label map.
  setImage(image, height, width) {
    Object.assign(this, { width, height, zoom: 0 });
    this.cross = [Math.floor(width / 2), Math.floor(height / 2)];
    for (const canvas of [this.photo, this.mask]) Object.assign(canvas, { width, height });
    this.photo.getContext("2d").drawImage(image, 0, 0, width, height);
    this.layout();
    this.moveCross(...this.cross);
  }

  // The scale at which the whole picture is seen.
  get fit() { return Math.min(this.frame.clientWidth / this.width, this.frame.clientHeight / this.height); }

  layout() {
    if (!this.width) return;
    const room = [this.frame.clientWidth, this.frame.clientHeight];
    const { fit } = this;
    const scale = this.zoom || fit;
    const size = [this.width * scale, this.height * scale];
    this.scale = scale;
    // The middle of the room is never off the picture.
    const within = (at, i) => (scale <= fit ? (room[i] - size[i]) / 2 : clamp(at, room[i] / 2 - size[i], room[i] / 2));
    this.left = within(this.left, 0);
    this.top = within(this.top, 1);
    const place = { left: `${this.left}px`, top: `${this.top}px`, width: `${size[0]}px`, height: `${size[1]}px` };
    for (const layers of [this.layers, this.beside]) {
      Object.assign(layers.style, place);
      layers.classList.toggle("near", scale > 2);
    }
    this.ratio = Math.min(2, window.devicePixelRatio || 1);
    for (const canvas of [this.edges, this.lines]) {
      const [width, height] = room.map((side) => Math.round(side * this.ratio));
      if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    }
    this.drawEdges();
    this.drawLines();
  }

  // What is at a point of the window stays there.
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

  // Draw a label map, or a box [left, top, right, bottom) of it. Its outlines follow in the next frame.
  drawLabels(labels, box = [0, 0, this.width, this.height]) {
    const [left, top, right, bottom] = box;
    const data = new ImageData(right - left, bottom - top);
    const out = new Uint32Array(data.data.buffer);
    let to = 0;
    for (let y = top; y < bottom; y++) {
      for (let x = left; x < right; x++) {
        const label = labels[y * this.width + x];
        out[to++] = label ? colours[label] : 0;
      }
    }
    this.mask.getContext("2d").putImageData(data, left, top);
    this.outline(labels);
  }

  outline(labels) {
    this.drawn = labels;
    if (this.pressed && labels.length > LARGE) return; // once the stroke is done
    this.waiting ||= requestAnimationFrame(() => {
      this.waiting = 0;
      this.paths = outlines(this.drawn, this.width, this.height);
      this.drawEdges();
    });
  }

  drawEdges() {
    const pen = this.pen(this.edges);
    if ($("outlined").checked) pen.outlines(this.paths, colours);
  }

  drawLines() {
    if (this.width) this.tool.draw(this.pen(this.lines), ...this.middle);
  }

  // For an emptied canvas over the whole stage.
  pen(canvas) {
    const context = canvas.getContext("2d"), scale = this.ratio * this.scale;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, canvas.width, canvas.height);
    context.setTransform(scale, 0, 0, scale, this.ratio * this.left, this.ratio * this.top);
    return new Pen(context, this.scale);
  }

  // A map over the part [top, left, height, width] of the picture, and its levels' colours. null: none.
  drawHeat(map, ofLevels, part) {
    this.heat.hidden = !map;
    if (!map) return;
    paintHeat(this.heat, map, ofLevels);
    ["top", "left", "height", "width"].forEach((side, i) => {
      this.heat.style[side] = `${(part[i] / (i % 2 ? this.width : this.height)) * 100}%`;
    });
  }
}

// Draw a map { values, height, width } of levels 0 … 255 on a canvas.
export function paintHeat(canvas, map, colours) {
  canvas.width = map.width;
  canvas.height = map.height;
  const data = new ImageData(map.width, map.height);
  const out = new Uint32Array(data.data.buffer);
  for (let i = 0; i < out.length; i++) out[i] = colours[map.values[i]];
  canvas.getContext("2d").putImageData(data, 0, 0);
}
