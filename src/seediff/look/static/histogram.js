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
    for (const field of [low, high]) field.oninput = () => this.greyBars();
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
    if (this.low.value === low && this.high.value === high) return;
    this.low.value = low;
    this.high.value = high;
    this.low.dispatchEvent(new Event("input", { bubbles: true }));
  }

  show(counts) {
    const most = Math.max(1, ...counts);
    while (this.bars.children.length < counts.length) this.bars.append(element("i"));
    counts.forEach((count, i) => {
      this.bars.children[i].style.height = count ? `${Math.max(8, (100 * count) / most)}%` : "0";
    });
    this.greyBars();
  }

  greyBars() {
    const low = Number(this.low.value || -Infinity);
    const high = Number(this.high.value || Infinity);
    [...this.bars.children].forEach((bar, i) => {
      bar.classList.toggle("out", Number(this.edge(i + 1)) <= low || Number(this.edge(i)) >= high);
    });
  }
}
