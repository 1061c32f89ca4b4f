// The mask in colours of its objects in place of its classes, where nobody paints.

import { pixels } from "./api.js";
import { tell } from "./header.js";
import { set } from "./set.js";

export class Objects {
  values = null; // what to draw in place of the label map
  turn = 0; // counts what changes the values

  // view: SampleView. box: the checkbox that turns them on.
  constructor(view, box) {
    Object.assign(this, { view, box });
    box.checked = set.byObject;
    box.onchange = () => this.fetch();
  }

  // The label map is being changed.
  leave() {
    this.turn += 1;
    if (!this.values) return;
    this.values = null;
    this.view.draw();
  }

  // The label map is another one.
  async fetch() {
    const turn = ++this.turn;
    const { view } = this;
    const { shown } = view;
    if (!this.box.checked) return this.leave();
    try {
      await view.changes.last;
      const { values, version } = await pixels(`/api/samples/${shown.number}/pieces`);
      const late = turn !== this.turn || shown !== view.shown || version !== shown.version;
      if (late || !view.labels) return; // another one follows
      this.values = values;
      view.draw();
    } catch (error) {
      tell(error);
    }
  }
}
