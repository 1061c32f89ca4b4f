// A histogram above two fields, from and to: dragging over its bars fills them in.

import { clamp, element } from "./page.js";

export class Histogram {
  constructor(bars, low, high, scale) {
    Object.assign(this, { bars, low, high, scale });
    bars.onpointerdown = (event) => {
      bars.setPointerCapture(event.pointerId);
      this.from = this.barAt(event);
      this.choose(event);
    };
    bars.onpointermove = (event) => { if (this.from !== undefined) this.choose(event); };
    bars.onlostpointercapture = () => { this.from = undefined; };
  }

  barAt(event) {
    const box = this.bars.getBoundingClientRect();
    const count = this.bars.children.length;
    return clamp(Math.floor(((event.clientX - box.left) / box.width) * count), 0, count - 1);
  }

  edge(i) { return String(Number(((i / this.bars.children.length) * this.scale).toFixed(4))); }

  // The first bar also counts lower values.
  choose(event) {
    const to = this.barAt(event);
    const first = Math.min(this.from, to);
    const low = first ? this.edge(first) : "";
    const high = this.edge(Math.max(this.from, to) + 1);
    this.low.value = low;
    this.high.value = high;
    this.low.dispatchEvent(new Event("input", { bubbles: true }));
  }

  show(counts) {
    const most = Math.max(1, ...counts);
    const heights = counts.map((count) => count && Math.max(8, (100 * count) / most));
    this.bars.replaceChildren(...heights.map((height) => element("i", { style: `height: ${height}%` })));
  }
}
