// The mask with a colour for each object, not for each class, until somebody paints. The tool Cut always shows it.

import { pixels } from "./api.js";
import { $, tell } from "./page.js";
import { set } from "./set.js";

export class Objects {
  values = null;
  turn = 0;

  constructor(view, box) {
    Object.assign(this, { view, box });
    box.checked = set.byObject;
    box.onchange = () => this.fetch();
  }

  leave() {
    this.turn += 1;
    $("sample").classList.remove("by-object");
    if (!this.values) return;
    this.values = null;
    this.view.draw();
  }

  async fetch() {
    const turn = ++this.turn;
    const { view } = this;
    const { number, tool } = view;
    if (!view.labels || (!this.box.checked && tool.name !== "cut")) return this.leave();
    try {
      await view.changes.last;
      const { values, version } = await pixels(`/api/samples/${number}/pieces`);
      const late = turn !== this.turn || number !== view.number || version !== view.record.version;
      if (late || !view.labels) return; // another request follows
      this.values = values;
      $("sample").classList.toggle("by-object", !set.byObject);
      view.draw();
    } catch (error) {
      tell(error);
    }
  }
}
