// The picture with its mask, a map of attention and lines over it; from the pointer and the keyboard to pixels.

export class Stage {
  // parts: { stage, layers, photo, mask, heat, lines, pixel }. handlers: { down, drag, up, hover, use }, each called with (x, y, event).
  constructor(parts, handlers) {
    Object.assign(this, parts, { handlers });
    this.width = this.height = 0;
    this.zoom = 0;
    this.opacity = 0.5;
    this.cross = [0, 0];
    this.links = []; // pixels between which there are lines
    const { stage } = parts;
    stage.addEventListener("pointerdown", (event) => {
      if (event.button !== 0 || !this.width) return;
      stage.setPointerCapture(event.pointerId);
      this.pressed = true;
      this.place(event);
      handlers.down(...this.at(event), event);
    });
    stage.addEventListener("pointermove", (event) => {
      if (!this.width) return;
      this.place(event);
      const every = this.pressed && event.getCoalescedEvents ? event.getCoalescedEvents() : [];
      for (const one of every.length ? every : [event]) (this.pressed ? handlers.drag : handlers.hover)(...this.at(one), one);
    });
    for (const kind of ["pointerup", "pointercancel"]) {
      stage.addEventListener(kind, (event) => {
        if (this.pressed) handlers.up(...this.at(event), event);
        this.pressed = false;
      });
    }
    stage.addEventListener("wheel", (event) => {
      if (!event.ctrlKey) return;
      event.preventDefault();
      this.zoomBy(event.deltaY < 0 ? 1.25 : 0.8);
    }, { passive: false });
    stage.addEventListener("keydown", (event) => this.key(event));
    new ResizeObserver(() => this.layout()).observe(stage);
  }

  key(event) {
    const step = event.shiftKey ? 1 : Math.max(1, Math.round(this.width / 48));
    const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key in moves) {
      this.cross = [this.cross[0] + moves[event.key][0], this.cross[1] + moves[event.key][1]];
      this.cross = [Math.max(0, Math.min(this.width - 1, this.cross[0])), Math.max(0, Math.min(this.height - 1, this.cross[1]))];
      this.say();
      this.drawLines();
      this.handlers.hover(this.cross[0] + 0.5, this.cross[1] + 0.5, event);
    } else if (event.key === " ") {
      this.handlers.use(this.cross[0] + 0.5, this.cross[1] + 0.5, event);
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }

  at(event) {
    const box = this.layers.getBoundingClientRect();
    return [((event.clientX - box.left) / box.width) * this.width, ((event.clientY - box.top) / box.height) * this.height];
  }

  place(event) {
    const [x, y] = this.at(event);
    this.cross = [Math.max(0, Math.min(this.width - 1, Math.floor(x))), Math.max(0, Math.min(this.height - 1, Math.floor(y)))];
    this.say();
    this.drawLines();
  }

  say() {
    this.pixel.textContent = `${this.cross[0]}, ${this.cross[1]}${this.told ? `: ${this.told(...this.cross)}` : ""}`;
  }

  // A picture of a size, or none: then its label map says the size.
  setPicture(picture, height, width) {
    Object.assign(this, { width, height });
    this.cross = [Math.floor(width / 2), Math.floor(height / 2)];
    for (const canvas of [this.photo, this.mask]) { canvas.width = width; canvas.height = height; }
    const context = this.photo.getContext("2d");
    context.fillStyle = "#808080";
    context.fillRect(0, 0, width, height);
    if (picture) context.drawImage(picture, 0, 0, width, height);
    this.layout();
  }

  layout() {
    if (!this.width) return;
    const room = [this.stage.clientWidth, this.stage.clientHeight];
    const fit = Math.min(room[0] / this.width, room[1] / this.height);
    const scale = this.zoom ? this.zoom : fit;
    this.scale = scale;
    const [width, height] = [this.width * scale, this.height * scale];
    this.layers.style.width = `${width}px`;
    this.layers.style.height = `${height}px`;
    this.layers.style.marginLeft = `${Math.max(0, (room[0] - width) / 2)}px`;
    this.layers.style.marginTop = `${Math.max(0, (room[1] - height) / 2)}px`;
    const ratio = Math.min(2, window.devicePixelRatio || 1);
    this.lines.width = Math.min(4096, Math.round(width * ratio));
    this.lines.height = Math.min(4096, Math.round(height * ratio));
    this.drawLines();
  }

  zoomBy(factor) {
    this.zoom = factor ? Math.max(0.05, Math.min(32, this.scale * factor)) : 0;
    this.layout();
  }

  // Draw a label map, or a box of it: [left, top, right, bottom).
  drawLabels(labels, colours, box = [0, 0, this.width, this.height]) {
    const [width, height] = [box[2] - box[0], box[3] - box[1]];
    const data = new ImageData(width, height), out = new Uint32Array(data.data.buffer), alpha = Math.round(this.opacity * 255) << 24;
    for (let y = 0; y < height; y++) {
      let from = (box[1] + y) * this.width + box[0];
      for (let x = 0, to = y * width; x < width; x++, from++, to++) out[to] = labels[from] ? (colours[labels[from]] | alpha) >>> 0 : 0;
    }
    this.mask.getContext("2d").putImageData(data, box[0], box[1]);
  }

  // A map of attention over the part [top, left, height, width] of the picture; null: none.
  drawHeat(map, colours, part) {
    this.heat.hidden = !map;
    if (!map) return;
    paintHeat(this.heat, map, colours);
    this.heat.style.left = `${(part[1] / this.width) * 100}%`;
    this.heat.style.top = `${(part[0] / this.height) * 100}%`;
    this.heat.style.width = `${(part[3] / this.width) * 100}%`;
    this.heat.style.height = `${(part[2] / this.height) * 100}%`;
  }

  drawLines() {
    const context = this.lines.getContext("2d"), scale = this.lines.width / Math.max(1, this.width);
    context.clearRect(0, 0, this.lines.width, this.lines.height);
    const [x, y] = [(this.cross[0] + 0.5) * scale, (this.cross[1] + 0.5) * scale];
    const trace = (draw) => {
      for (const [colour, width] of [["#000", 3], ["#fff", 1]]) {
        context.strokeStyle = colour;
        context.lineWidth = width;
        context.beginPath();
        draw();
        context.stroke();
      }
    };
    for (const link of this.links) {
      trace(() => link.forEach(([column, row], i) => context[i ? "lineTo" : "moveTo"]((column + 0.5) * scale, (row + 0.5) * scale)));
    }
    if (this.points?.length) {
      trace(() => {
        context.moveTo(...this.points[0].map((v) => v * scale));
        for (const point of this.points.slice(1)) context.lineTo(...point.map((v) => v * scale));
        context.lineTo(x, y);
      });
    }
    if (this.radius) trace(() => context.arc(x, y, Math.max(1.5, this.radius * scale), 0, 2 * Math.PI));
    else trace(() => { context.moveTo(x - 7, y); context.lineTo(x + 7, y); context.moveTo(x, y - 7); context.lineTo(x, y + 7); });
  }
}

// Draw a map { values, height, width } of levels 0 … 255 on a canvas, one pixel a position.
export function paintHeat(canvas, map, colours) {
  canvas.width = map.width;
  canvas.height = map.height;
  const data = new ImageData(map.width, map.height), out = new Uint32Array(data.data.buffer);
  for (let i = 0; i < out.length; i++) out[i] = (colours[map.values[i]] | 0xff000000) >>> 0;
  canvas.getContext("2d").putImageData(data, 0, 0);
}

// [r, g, b, r, …] as little-endian 32-bit colours without opacity.
export const packColours = (flat) => Uint32Array.from({ length: flat.length / 3 }, (_, i) => flat[3 * i] | (flat[3 * i + 1] << 8) | (flat[3 * i + 2] << 16));
