// The view of the grid: its filters, its list, and changes of one or many samples. main.js shows it.

import { keepAddress } from "./address.js";
import { act, post } from "./api.js";
import { Bulk } from "./bulk.js";
import { ShownVersion } from "./changes.js";
import { Filters } from "./filters.js";
import { Grid } from "./grid.js";
import { $, hint, tell } from "./page.js";
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
      const used = this.filters.used();
      $("empty").hidden = found.count > 0;
      $("empty-clear").hidden = !used.length;
      $("empty-said").textContent = used.length ? `No sample matches ${used.join(", ")}.` : "There are no samples.";
      this.grid.show(new SampleList(found.view, found.count, query.sort), options);
    } catch (error) {
      tell(error);
    } finally {
      $("browse").inert = false; // until the first list, nothing can be pressed
    }
  }

  // Act on all selected samples, or on the active one. The next key is about the next sample, even before this one is
  // saved.
  judge(action) {
    const { grid, list, changes } = this;
    const moves = action === "undo" || action === "redo";
    if (action === "relabel" || (grid.chosen.size && !moves)) return this.bulk.act(action);
    if (set.readOnly) return hint(set.readOnly);
    const { active: at, current } = grid;
    if (!list.has(at)) return;
    if (moves && current && !current[action] && !changes.pendingOf(current.index)) {
      return hint(`There is nothing to ${action}.`);
    }
    const asked = list.sampleAt(at);
    if (action === "accept" || action === "reject") grid.select(at + 1);
    const shown = new ShownVersion(current?.index, changes.last.then(() => asked)); // after all earlier changes
    const made = current && action !== "undo" ? { number: current.index, name: current.name } : null;
    changes.enqueue(shown, async (about) => act((await asked).index, { action, ...about }), { made });
  }
}
