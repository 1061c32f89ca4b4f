// The mask in colours of its objects in place of its classes, where nobody paints.

import { pixels } from "./api.js";

const BRIGHT = 200, GREYS = 54; // colours of objects, and, from 201, of segments without a name beside named ones

export class Objects {
  // view: SampleView. box: the checkbox that turns them on.
  constructor(view, box) {
    Object.assign(this, { view, box, values: null, turn: 0 });
    box.checked = view.set.byObject;
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
    const { view } = this, { base, labels } = view, turn = (this.turn += 1);
    if (!this.box.checked) return this.leave();
    try {
      await view.changes.last;
      const { values, version } = await pixels(`/api/samples/${base.number}/pieces`);
      if (turn !== this.turn || base !== view.base || !labels || version !== base.version) return; // another one follows
      const unnamed = view.set.classes.length > 1 ? view.set.classes.indexOf("segment") + 1 : 0;
      this.values = Uint8Array.from(values, (number, i) => {
        if (!number) return labels[i] === 255 ? 255 : 0;
        if (!unnamed) return 1 + ((number - 1) % BRIGHT);
        return labels[i] === unnamed ? 201 + ((number - 1) % GREYS) : labels[i];
      });
      view.draw();
    } catch (error) {
      view.page.notice(error.message);
    }
  }
}
