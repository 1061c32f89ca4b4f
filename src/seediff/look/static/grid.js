// A grid of any number of samples; only visible tiles exist. A place is a position in the list.

import { VERDICT, clamp, element, marksOf } from "./page.js";
import { SampleList, update } from "./samples.js";
import { css, set } from "./set.js";

const GAP = 8;
const CAPTION = 42; // as in look.css
const SETTLED = 70;
const LARGE = 416;
const range = (from, to) => Array.from({ length: to - from }, (_, i) => from + i);

export class Grid {
  least = 148;
  list = new SampleList();
  active = 0;
  anchor = 0;
  chosen = new Set();
  labels = true;
  tiles = new Map();
  columns = 1;

  constructor(box, inner, handlers) {
    Object.assign(this, { box, inner }, handlers);
    box.onscroll = () => this.drawSoon();
    inner.onclick = (event) => {
      const tile = event.target.closest(".tile");
      if (tile) this.click(Number(tile.dataset.place), event);
    };
    new ResizeObserver(() => this.measure()).observe(box);
  }

  show(list, { keep = false } = {}) {
    if (!list.equals(this.list)) this.choose([]);
    this.list = list;
    this.clear();
    if (!keep) this.active = this.anchor = this.box.scrollTop = 0;
    this.active = this.nearest(this.active);
    this.measure();
    this.chose();
  }

  get count() { return this.list.count; }

  get current() { return this.list.at(this.active); }

  nearest(place) { return clamp(place, 0, Math.max(0, this.count - 1)); }

  measure() {
    const width = this.box.clientWidth - GAP;
    if (width <= 0) return;
    this.columns = Math.max(1, Math.floor(width / (this.least + GAP)));
    this.side = Math.floor(width / this.columns) - GAP;
    this.step = this.side + CAPTION + GAP;
    this.inner.style.setProperty("--side", `${this.side}px`);
    this.inner.style.height = `${Math.ceil(this.count / this.columns) * this.step + GAP}px`;
    this.each("move");
    this.draw();
  }

  drawSoon() {
    this.waiting ||= requestAnimationFrame(() => {
      this.waiting = 0;
      this.draw();
    });
  }

  draw() {
    if (!this.step) return;
    const top = this.box.scrollTop;
    const first = Math.max(0, Math.floor(top / this.step) - 1) * this.columns;
    const last = Math.min(this.count, (Math.ceil((top + this.box.clientHeight) / this.step) + 1) * this.columns);
    for (const [place, tile] of this.tiles) {
      if (place < first || place >= last) this.remove(place, tile);
    }
    for (let place = first; place < last; place++) {
      if (!this.tiles.has(place)) this.addTile(place);
    }
    clearTimeout(this.settling);
    this.settling = setTimeout(() => this.each("write"), SETTLED);
  }

  update(state) {
    update(state);
    for (const [place, tile] of this.tiles) {
      if (this.list.at(place)?.index === state.index) this.write(place, tile);
    }
  }

  each(act) {
    for (const [place, tile] of this.tiles) this[act](place, tile);
  }

  addTile(place) {
    const facts = { className: "tile", id: `tile-${place}`, role: "option", ariaPosInSet: place + 1 };
    const tile = element("div", { ...facts, ariaSetSize: this.count },
      element("img", { alt: "", decoding: "async" }),
      element("div", { className: "name" }, element("bdi"), element("span")),
      element("div", { className: "more" }),
      element("span", { className: "tick" }));
    tile.dataset.place = place;
    this.inner.append(tile);
    this.tiles.set(place, tile);
    this.move(place, tile);
    this.mark(place, tile);
    this.write(place, tile, { images: false });
  }

  mark(place, tile) {
    tile.classList.toggle("active", place === this.active);
    tile.ariaSelected = this.chosen.has(place);
    if (place === this.active) this.box.setAttribute("aria-activedescendant", tile.id);
  }

  move(place, tile) {
    const [row, column] = [Math.floor(place / this.columns), place % this.columns];
    tile.style.transform = `translate(${GAP / 2 + column * (this.side + GAP)}px, ${row * this.step + GAP / 2}px)`;
  }

  write(place, tile, { images = true } = {}) {
    const sample = this.list.at(place);
    const [image, name, more] = tile.children;
    const verdict = sample.verdict || "";
    name.firstChild.textContent = sample.name;
    name.lastChild.textContent = VERDICT[verdict] || "";
    name.lastChild.className = tile.dataset.verdict = verdict;
    const swatches = sample.classes.map((id) => element("i", { className: "swatch", style: `background: ${css(id)}` }));
    more.replaceChildren(...swatches, this.caption(sample));
    tile.title = `${sample.name}\n${more.textContent}`;
    if (!images) return;
    const { index, version } = sample;
    const side = this.side > LARGE / 2 + 40 ? `&side=${LARGE}` : "";
    const wanted = `/api/samples/${index}/thumb?v=${version}&labels=${Number(this.labels)}${side}`;
    if (image.getAttribute("src") !== wanted) image.src = wanted;
  }

  caption(sample) {
    const { classes, flags } = sample;
    const { sort } = this.list;
    const number = set.scores.some(({ name }) => name === sort) ? sample[sort] : null;
    return [
      classes.map((id) => set.classes[id - 1]).join(", "),
      ...marksOf(sample),
      flags.length && `⚑ ${flags.length}`,
      number !== null && `${sort} ${number.toFixed(2)}`,
    ].filter(Boolean).join(" · ");
  }

  remove(place, tile) {
    tile.firstChild.removeAttribute("src"); // do not wait for a picture on its way
    tile.remove();
    this.tiles.delete(place);
  }

  clear() { this.each("remove"); }

  select(place) {
    this.active = this.nearest(place);
    const { box, step } = this;
    const top = Math.floor(this.active / this.columns) * step;
    box.scrollTop = clamp(box.scrollTop, top + step - box.clientHeight, top);
    this.draw();
    this.each("mark");
    this.moved();
  }

  choose(places) {
    this.chosen = new Set(places);
    this.each("mark");
    this.chose();
  }

  chooseAll() { this.choose(range(0, this.count)); }

  toggle(place) {
    if (!this.chosen.delete(place)) this.chosen.add(place);
    this.anchor = place;
    this.choose(this.chosen);
  }

  extend(place) {
    this.choose(range(Math.min(this.anchor, place), Math.max(this.anchor, place) + 1));
  }

  click(place, event) {
    const ticked = event.target.className === "tick" || event.ctrlKey || event.metaKey;
    if (!ticked && !event.shiftKey) return this.open(place);
    if (event.shiftKey) this.extend(place);
    else this.toggle(place);
    return this.select(place);
  }

  key(event) {
    if (!this.count) return;
    const rows = Math.max(1, Math.floor(this.box.clientHeight / this.step)) * this.columns;
    const moves = {
      ArrowLeft: -1, ArrowRight: 1, ArrowUp: -this.columns, ArrowDown: this.columns,
      PageUp: -rows, PageDown: rows, Home: -this.count, End: this.count,
    };
    this.select(this.active + moves[event.key]);
    if (event.shiftKey) this.extend(this.active);
    else this.anchor = this.active;
  }
}
