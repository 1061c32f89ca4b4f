// Another set's masks of the same pictures (--compare).

import { get, pixels } from "./api.js";
import { $, IGNORED, choice, counted, element } from "./page.js";
import { Stage } from "./stage.js";

const HERE = 1, THERE = 2, ANOTHER = 3; // labels of a difference
const COLOURS = new Uint32Array(256);
COLOURS.set([0, 0xff2b8ce6, 0xffe0782b, 0xffc13bd6]);

// How two labels of a pixel differ.
const kind = (here, there) => (here === there || here === IGNORED || there === IGNORED ? 0 : here && there ? ANOTHER : here ? HERE : THERE);

export class Compare {
  // view: SampleView.
  constructor(view) {
    const other = view.set.compared; // { name, classes }, or none
    Object.assign(this, { view, other, mode: "here", there: null, boxes: {} });
    $("compared").hidden = !other;
    if (!other) return;
    $("compared-name").textContent = other.name;
    for (const [mode, text] of [["here", "this set"], ["there", other.name], ["both", "side by side"], ["difference", "difference"]]) {
      const { label, box } = choice("radio", "compare", mode, text, { more: "span" });
      this.boxes[mode] = box;
      box.onchange = () => this.choose(mode);
      $("compare").append(label);
    }
    this.boxes.here.checked = true;
    this.twin = this.stageBeside();
  }

  // A second stage that shows the other masks at the same place.
  stageBeside() {
    const [photo, mask, edges, lines] = [1, 2, 3, 4].map(() => element("canvas")), stage = $("twin"), layers = element("div", { className: "layers" }, photo, mask);
    stage.append(layers, edges, lines);
    return new Stage({ stage, layers, photo, mask, edges, lines }, null);
  }

  // Another sample. photo: its picture.
  enter(photo) {
    this.there = null;
    if (!this.other) return;
    const { view } = this;
    this.twin.setPicture(photo, view.height, view.width);
    this.fetch(view.number);
    this.count();
  }

  // The set has another class.
  update() {
    if (!this.other) return;
    this.other = this.view.set.compared;
    if (!this.view.labels) return;
    this.fetch(this.view.number);
    this.count();
  }

  async fetch(number) {
    $("compared-shown").textContent = "";
    try {
      const { values } = await pixels(`/api/samples/${number}/other`);
      if (number !== this.view.number) return;
      this.there = values;
    } catch (error) {
      if (number === this.view.number) $("compared-shown").textContent = error.message;
    }
    this.choose(this.mode);
  }

  // How much agrees, of this sample and of all.
  async count() {
    if (!this.other) return;
    const { number } = this.view, found = await get(`/api/samples/${number}/compared`).catch(() => null); // `fetch` tells why
    if (number !== this.view.number) return;
    $("compared").querySelector("table").hidden = !found;
    if (!found) return;
    const { one, all } = found;
    const percent = (value) => (value == null ? "" : `${(100 * value).toFixed(1)} %`), of = (scores, id) => scores.classes.find((row) => row.id === id)?.iou;
    const rows = all.classes.map(({ id, name }) => [name, percent(of(one, id)), percent(of(all, id))]);
    $("compared-rows").replaceChildren(...[...rows, ["mean", percent(one.miou), percent(all.miou)]].map(([name, ...ious]) => (
      element("tr", {}, element("th", { scope: "row", textContent: name }), ...ious.map((text) => element("td", { textContent: text }))))));
    $("compared-shown").textContent = `${percent(one.different)} of the pixels differ; ${counted(all.compared, "sample")} compared${all.missing ? `, ${all.missing.toLocaleString()} not in the other set` : ""}.`;
  }

  choose(mode) {
    this.mode = mode;
    if (this.other) this.boxes[mode].checked = true;
    $("twin").hidden = mode !== "both";
    document.querySelector(".picture").classList.toggle("both", mode === "both");
    this.view.stage.twin = mode === "both" ? this.twin : null;
    if (mode === "both" && this.there) this.twin.drawLabels(this.there, this.view.page.colours);
    this.view.stage.layout();
    this.view.draw();
  }

  next() {
    const modes = Object.keys(this.boxes);
    if (this.other) this.choose(modes[(modes.indexOf(this.mode) + 1) % modes.length]);
  }

  // Tools are for masks of this set, which are to be seen.
  paintable() {
    if (this.mode === "there") this.choose("here");
  }

  // What is drawn where these labels would be, and its colours.
  over(labels) {
    if (this.there && this.mode === "there") return [this.there, this.view.page.colours];
    if (this.there && this.mode === "difference") return [labels.map((label, i) => kind(label, this.there[i])), COLOURS];
    return [labels, this.view.page.colours];
  }

  // What is at a pixel.
  told(at) {
    const { view, there } = this, here = view.nameOf((view.shownLabels || view.labels)?.[at]);
    if (!there || this.mode === "here") return here;
    return `${here}; ${this.other.name}: ${view.nameOf(there[at])}`;
  }
}
