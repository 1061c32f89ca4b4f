// The grid's view: its filters, its list, and changes of one or many samples.

import { keepAddress } from "./address.js";
import { act } from "./api.js";
import { Bulk } from "./bulk.js";
import { Filters, USUAL } from "./filters.js";
import { Grid } from "./grid.js";
import { select } from "./matches.js";
import { $, hint } from "./page.js";
import { SampleList, all } from "./samples.js";
import { set } from "./set.js";

const SIDE = 148;

export class Browse {
  constructor(page, changes) {
    Object.assign(this, { page, changes });
    this.bulk = new Bulk(this);
    this.grid = new Grid($("grid"), $("grid-inner"), {
      open: page.open,
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
    $("review").onclick = () => this.review();
    $("review").textContent = USUAL === "order" ? "Review the next" : "Review the most doubtful first";
  }

  get list() { return this.grid.list; }

  values() {
    const { least, active } = this.grid;
    return { ...this.filters.values(), size: least === SIDE ? "" : least, at: active || "" };
  }

  restore(wanted) {
    this.resize(Number(wanted.size) || SIDE);
    if (this.filters.set(wanted) || $("browse").inert) this.refresh();
  }

  resize(side) {
    $("tile-size").value = side;
    this.grid.least = Number($("tile-size").value);
    this.grid.measure();
  }

  refresh(options = {}) {
    const query = this.filters.query();
    const found = select(query);
    const { length } = found.samples;
    this.filters.showCounts(found);
    $("shown").textContent = `${length.toLocaleString()} of ${all.length.toLocaleString()} shown`;
    $("empty").hidden = length > 0;
    $("empty-clear").hidden = !all.length;
    $("empty-said").textContent = all.length ? "No sample matches the filters." : "There are no samples.";
    $("browse").inert = false;
    this.count();
    this.grid.show(new SampleList(found.samples, query.sort), options);
  }

  update(sample) {
    this.grid.update(sample);
    clearTimeout(this.counting);
    this.counting = setTimeout(() => {
      this.count();
      if (!$("browse").hidden) this.filters.showCounts(select(this.filters.query()));
    }, 150);
  }

  count() {
    const count = (wanted) => all.filter(({ verdict }) => verdict === wanted).length;
    const [accepted, rejected] = ["accepted", "rejected"].map(count);
    const done = accepted + rejected;
    $("reviewed").textContent = `${done.toLocaleString()} of ${all.length.toLocaleString()} reviewed`;
    $("progress").style = `--accepted: ${(100 * accepted) / all.length}%; --done: ${(100 * done) / all.length}%`;
    $("review").hidden = done === all.length;
  }

  // Within the filters, if they show anything to review.
  review() {
    const next = () => this.list.samples.findIndex(({ verdict }) => !verdict);
    $("sort").value = USUAL;
    this.refresh();
    if (next() < 0) $("reset-filters").click();
    this.page.open(next());
  }

  // The next key is about the next sample, even before this one is saved.
  judge(action) {
    const { grid, changes } = this;
    if (set.readOnly) return hint(set.readOnly);
    if (action === "relabel" || grid.chosen.size) return this.bulk.act(action);
    const { active: at, current } = grid;
    if (!current) return;
    if (action !== "reset") grid.select(at + 1);
    const { index: number, name } = current;
    changes.make({ number, name, base: current, verdict: true, send: (version) => act(number, { action, ...version }) });
  }
}
