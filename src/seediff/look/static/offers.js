// What can be made of the review: rejected samples are drawn again, in a job.

import { get } from "./api.js";

const $ = (id) => document.getElementById(id);

export class Offers {
  // page: { jobs, set, notice(text), by(), refresh() }
  constructor(page) {
    Object.assign(this, { page, asked: 0 });
    $("wanted").value = page.set.count;
    $("wanted").addEventListener("input", () => this.tell());
    $("redraw").addEventListener("click", () => page.jobs.start("/api/job/redraw", { count: this.count }));
  }

  // review: how many samples of the set are accepted and rejected.
  async show(review) {
    const turn = (this.asked += 1), any = review.rejected || review.drawing;
    const offers = any ? await get("/api/offers").catch(() => ({})) : {};
    if (turn !== this.asked) return;
    Object.assign(this, { review, offers });
    this.tell();
  }

  tell() {
    const { redraw } = this.offers, { accepted, rejected } = this.review;
    $("offers").hidden = !redraw;
    $("redraw-line").hidden = !redraw;
    if (redraw) {
      const undecided = this.page.set.count - accepted - rejected, wanted = Math.floor(Number($("wanted").value));
      this.count = redraw.refused ? 0 : Math.max(0, Math.min(redraw.count, wanted - accepted - (undecided - (redraw.count - rejected))));
      $("redraw").disabled = !this.count;
      $("redraw").textContent = `Draw ${this.count} again`;
      $("redraw-text").textContent = redraw.refused || `${redraw.count} rejected, ${accepted} accepted, ${undecided - (redraw.count - rejected)} not reviewed.`;
    }
  }
}
