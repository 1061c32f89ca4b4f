// A histogram over two fields, from and to: dragging over its bars fills them in.

import { clamp } from "./page.js";

export class Histogram {
  // element: for its bars. low, high: the fields, `scale` times the values, which are in [0, 1].
  constructor(element, low, high, scale) {
    Object.assign(this, { element, low, high, scale });
    element.onpointerdown = (event) => {
      element.setPointerCapture(event.pointerId);
      this.from = this.bar(event);
      this.choose(event);
    };
    element.onpointermove = (event) => { if (this.from !== undefined) this.choose(event); };
    element.onlostpointercapture = () => { this.from = undefined; };
    for (const field of [low, high]) field.oninput = () => this.mark();
  }

  bar(event) {
    const box = this.element.getBoundingClientRect();
    const count = this.element.children.length;
    return clamp(Math.floor(((event.clientX - box.left) / box.width) * count), 0, count - 1);
  }

  // A value's field text, of the edge before bar i.
  edge(i) { return String(Number(((i / this.element.children.length) * this.scale).toFixed(4))); }

  // The first bar also counts values below the bounds.
  choose(event) {
    const to = this.bar(event);
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
    while (this.element.children.length < counts.length) this.element.append(document.createElement("i"));
    counts.forEach((count, i) => {
      this.element.children[i].style.height = count ? `${Math.max(8, (100 * count) / most)}%` : "0";
    });
    this.mark();
  }

  mark() {
    const low = this.low.value === "" ? -Infinity : Number(this.low.value);
    const high = this.high.value === "" ? Infinity : Number(this.high.value);
    [...this.element.children].forEach((bar, i) => {
      bar.classList.toggle("out", Number(this.edge(i + 1)) <= low || Number(this.edge(i)) >= high);
    });
  }
}
