// Thumbnails of the samples before and after the one that is open.

import { thumb } from "./api.js";
import { element } from "./page.js";

const AROUND = 6;

export class Strip {
  // grid: knows the samples. open(place).
  constructor(box, grid, open) { Object.assign(this, { box, grid, open, tiles: new Map() }); }

  async show(place) {
    this.place = place;
    const shown = [], tiles = new Map();
    for (let at = place - AROUND; at <= place + AROUND; at++) {
      const sample = at >= 0 && at < this.grid.count ? await this.grid.sampleAt(at) : null;
      if (place !== this.place) return;
      const tile = sample ? this.tiles.get(sample.index) || element("button", { tabIndex: -1 }, element("img", { alt: "" })) : element("span");
      shown.push(tile);
      if (!sample) continue;
      tiles.set(sample.index, tile);
      const wanted = thumb(sample, true), image = tile.firstChild;
      if (image.getAttribute("src") !== wanted) image.src = wanted;
      Object.assign(tile, { title: sample.name, onclick: () => this.open(at) });
      tile.dataset.verdict = sample.verdict || "";
      tile.setAttribute("aria-current", at === place);
    }
    this.tiles = tiles;
    this.box.replaceChildren(...shown);
  }
}
