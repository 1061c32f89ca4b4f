// The view of the grid: its filters, its list, and changes of one or many samples. main.js shows it.

import { keepAddress } from "./address.js";
import { act, post } from "./api.js";
import { Bulk } from "./bulk.js";
import { ShownVersion } from "./changes.js";
import { Filters } from "./filters.js";
import { Grid } from "./grid.js";
import { $, tell } from "./page.js";
import { SampleList } from "./samples.js";
import { set } from "./set.js";

const SIDE = 148; // pixels of a tile, unless the person chose otherwise

export class Browse {
  turn = 0; // counts requests for lists: only the last answer is shown

  // page: of main.js. changes: Changes, shared with SampleView.
  constructor(page, changes) {
    this.changes = changes;
    this.bulk = new Bulk(this);
    this.grid = new Grid($("grid"), $("grid-inner"), {
      open: page.open,
      act: (key, at) => this.judge(key, at),
      failed: (error) => (error.status === 410 ? this.refresh({ keep: true }) : tell(error)),
      moved: () => keepAddress({ later: 300 }),
      chose: () => this.bulk.show(),
    });
    this.filters = new Filters($("filters"), () => {
      this.refresh();
      keepAddress();
    });
    $("with-labels").onchange = (event) => {
      this.grid.labels = event.target.checked;
      this.grid.clear();
      this.grid.draw();
    };
    $("tile-size").oninput = () => {
      this.resize($("tile-size").value);
      this.grid.select(this.grid.active);
    };
    $("tile-size").onchange = () => keepAddress();
    $("select-all").onclick = () => this.grid.chooseAll();
  }

  get list() { return this.grid.list; }

  // What the address keeps of the grid; "" for the usual values.
  values() {
    const { least, active } = this.grid;
    return { ...this.filters.values(), size: least === SIDE ? "" : least, at: active || "" };
  }

  // Show the list that an address describes. wanted: what `values` returned.
  async restore(wanted) {
    this.resize(Number(wanted.size) || SIDE);
    if (this.filters.set(wanted) || !this.list.view) await this.refresh();
  }

  resize(side) {
    $("tile-size").value = side;
    this.grid.least = Number($("tile-size").value);
    this.grid.measure();
  }

  // Show the list that the filters describe. options: of `Grid.show`.
  async refresh(options = {}) {
    const turn = ++this.turn;
    const query = this.filters.query();
    try {
      const found = await post("/api/views", query);
      if (turn !== this.turn) return;
      this.filters.showCounts(found);
      $("shown").textContent = `${found.count.toLocaleString()} of ${set.count.toLocaleString()} shown`;
      this.grid.show(new SampleList(found.view, found.count, query.sort), options);
    } catch (error) {
      tell(error);
    }
  }

  // Act on the sample at a place, or on all selected samples. The next key is about the next sample, even before this
  // one is saved.
  judge(key, at) {
    const { grid, list, changes } = this;
    const action = { a: "accept", x: "reject", r: "reset", z: "undo", y: "redo" }[key];
    if (grid.chosen.size && key !== "z" && key !== "y") return this.bulk.act(action);
    if (!list.has(at)) return;
    const asked = list.sampleAt(at);
    if (key === "a" || key === "x") grid.select(at + 1);
    const shown = new ShownVersion(undefined, changes.last.then(() => asked)); // after all earlier changes
    changes.enqueue(shown, async (version) => act((await asked).index, { action, version }));
  }
}
