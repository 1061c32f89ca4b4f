// The picture with its mask, heat, outlines and lines; and what the pointer and the keyboard do on it.

import { outlines, strokeOutlines } from "./outlines.js";
import { clamp } from "./page.js";

const MOST = 48; // times the picture's size on the screen
const LARGE = 4e6; // pixels whose outlines take longer than a frame

export class Stage {
  // parts: elements by name. handlers: down, drag, up, hover, use and twice, which get x and y in pixels of the picture.
  constructor(parts, handlers) {
    Object.assign(this, parts, { handlers });
    this.width = this.height = 0;
    this.zoom = 0; // 0: the whole picture is seen
    this.outlined = true;
    this.whiteEdges = false; // over heat, in whose colours those of classes are lost
    this.cross = [0, 0];
    this.paths = new Map(); // outlines of the mask
    new ResizeObserver(() => this.layout()).observe(parts.stage);
    this.listen();
  }

  listen() {
    const { stage } = this;
    const call = (name, event) => this.handlers[name](...this.at(event));
    stage.onpointerdown = (event) => {
      if (!this.width) return;
      stage.setPointerCapture(event.pointerId);
      if (event.button === 1 || this.space) {
        event.preventDefault(); // no scrolling by itself
        return this.pan([event.clientX, event.clientY]);
      }
      if (event.button !== 0) return;
      this.pressed = true;
      this.place(event);
      call("down", event);
    };
    stage.onpointermove = (event) => {
      if (!this.width) return;
      if (this.panning) {
        const [x, y] = this.panning;
        this.panning = [event.clientX, event.clientY];
        return this.shift(event.clientX - x, event.clientY - y);
      }
      this.place(event);
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
    stage.ondblclick = (event) => call("twice", event);
    stage.onkeydown = (event) => this.key(event);
    stage.onkeyup = (event) => {
      if (event.key !== " " || !this.space) return;
      if (this.space === "pressed") this.handlers.use(this.cross[0] + 0.5, this.cross[1] + 0.5);
      this.space = "";
    };
    stage.onblur = () => { this.space = ""; };
  }

  // The picture follows the pointer, from where it is; null: no more.
  pan(from) {
    this.panning = from;
    if (from && this.space) this.space = "dragged";
    this.stage.classList.toggle("panning", Boolean(from));
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
      this.handlers.hover();
    } else if (event.key === " ") {
      this.space ||= "pressed"; // the tool is used when it is let go, unless the picture was dragged meanwhile
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }

  // The cross is moved by keys: it stays in sight.
  keepCross() {
    const outside = (at, room) => Math.max(0, 16 - at) - Math.max(0, at - (room - 16));
    const x = outside(this.left + this.cross[0] * this.scale, this.stage.clientWidth);
    const y = outside(this.top + this.cross[1] * this.scale, this.stage.clientHeight);
    if (this.zoom && (x || y)) this.shift(x, y);
  }

  at(event) {
    const { left, top } = this.layers.getBoundingClientRect();
    return [(event.clientX - left) / this.scale, (event.clientY - top) / this.scale];
  }

  place(event) { this.moveCross(...this.at(event).map(Math.floor)); }

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

  layout() {
    if (!this.width) return;
    const room = [this.stage.clientWidth, this.stage.clientHeight];
    const fit = Math.min(room[0] / this.width, room[1] / this.height);
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
    const box = this.stage.getBoundingClientRect();
    const [x, y] = [clientX - box.left, clientY - box.top];
    const fit = Math.min(this.stage.clientWidth / this.width, this.stage.clientHeight / this.height);
    const scale = clamp(this.scale * factor, fit / 2, Math.max(MOST, 2 * fit));
    const by = scale / this.scale;
    this.zoom = Math.abs(scale - fit) < fit / 1000 ? 0 : scale;
    this.left = x - (x - this.left) * by;
    this.top = y - (y - this.top) * by;
    this.layout();
  }

  zoomBy(factor) {
    const box = this.stage.getBoundingClientRect();
    if (factor) return this.zoomAt(factor, box.left + box.width / 2, box.top + box.height / 2);
    this.zoom = 0;
    return this.layout();
  }

  // Draw a label map, or a box [left, top, right, bottom) of it. Its outlines follow in the next frame.
  drawLabels(labels, colours, box = [0, 0, this.width, this.height]) {
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
    this.outline(labels, colours);
  }

  outline(labels, colours) {
    Object.assign(this, { drawn: labels, colours });
    if (this.pressed && labels.length > LARGE) return; // once the stroke is done
    this.waiting ||= requestAnimationFrame(() => {
      this.waiting = 0;
      this.paths = outlines(this.drawn, this.width, this.height);
      this.drawEdges();
    });
  }

  drawEdges() {
    const context = this.inPixels(this.edges);
    if (this.outlined) strokeOutlines(context, this.paths, this.whiteEdges ? [] : this.colours, this.scale);
  }

  // An emptied canvas over the whole stage, to draw on in pixels of the picture.
  inPixels(canvas) {
    const context = canvas.getContext("2d"), scale = this.ratio * this.scale;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, canvas.width, canvas.height);
    context.setTransform(scale, 0, 0, scale, this.ratio * this.left, this.ratio * this.top);
    return context;
  }

  // A map of attention over the part [top, left, height, width] of the picture; null: none.
  drawHeat(map, colours, part, { whiteEdges = false } = {}) {
    this.heat.hidden = !map;
    if (whiteEdges !== this.whiteEdges) {
      this.whiteEdges = whiteEdges;
      this.drawEdges();
    }
    if (!map) return;
    paintHeat(this.heat, map, colours);
    ["top", "left", "height", "width"].forEach((side, i) => {
      this.heat.style[side] = `${(part[i] / (i % 2 ? this.width : this.height)) * 100}%`;
    });
  }

  drawLines() {
    if (!this.width) return;
    const context = this.inPixels(this.lines);
    const { scale } = this;
    const [x, y] = [this.cross[0] + 0.5, this.cross[1] + 0.5];
    if (this.shapes) strokeOutlines(context, this.shapes, [], scale);
    const trace = (draw) => {
      for (const [colour, width] of [["#000", 3], ["#fff", 1]]) {
        context.strokeStyle = colour;
        context.lineWidth = width / scale;
        context.beginPath();
        draw();
        context.stroke();
      }
    };
    if (this.points?.length) {
      trace(() => {
        context.moveTo(...this.points[0]);
        for (const point of this.points.slice(1)) context.lineTo(...point);
        if (!this.closed) context.lineTo(x, y);
        else context.closePath();
      });
      const half = 4 / scale;
      if (this.closed) {
        trace(() => {
          for (const [left, top] of this.points) context.rect(left - half, top - half, 2 * half, 2 * half);
        });
      }
    }
    if (this.box) this.drawBox(context, ...this.box);
    const arm = 7 / scale;
    if (this.radius) trace(() => context.arc(x, y, Math.max(1.5 / scale, this.radius), 0, 2 * Math.PI));
    else {
      trace(() => {
        context.moveTo(x - arm, y);
        context.lineTo(x + arm, y);
        context.moveTo(x, y - arm);
        context.lineTo(x, y + arm);
      });
    }
  }

  // Dashed, unlike outlines.
  drawBox(context, left, top, right, bottom) {
    context.lineWidth = 3 / this.scale;
    for (const [colour, dash] of [["#000", []], ["#fff", [9, 6]]]) {
      context.strokeStyle = colour;
      context.setLineDash(dash.map((length) => length / this.scale));
      context.strokeRect(left, top, right - left, bottom - top);
    }
    context.setLineDash([]);
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

// [r, g, b, r, …] as little-endian 32-bit colours.
export function packColours(flat) {
  const pack = (_, i) => 0xff000000 | flat[3 * i] | (flat[3 * i + 1] << 8) | (flat[3 * i + 2] << 16);
  return Uint32Array.from({ length: flat.length / 3 }, pack);
}
