// What can be made of the review: a reading learnt from corrections, and rejected samples drawn again. Each is a job.

import { get, post } from "./api.js";

const $ = (id) => document.getElementById(id);
const TEN = 10;

export class Offers {
  // page: { jobs, set, notice(text), by(), refresh(), showChanges() }
  constructor(page) {
    Object.assign(this, { page, asked: 0 });
    $("wanted").value = page.set.count;
    $("wanted").addEventListener("input", () => this.tell());
    $("learn").addEventListener("click", () => page.jobs.start("/api/job/learn", {}));
    $("learn-show").addEventListener("click", () => page.showChanges());
    $("learn-use").addEventListener("click", () => page.jobs.start("/api/job/learnt", {}));
    $("learn-forget").addEventListener("click", () => post("/api/learnt/forget", {}).then(() => page.refresh({ keep: true })).catch((error) => page.notice(error.message)));
    $("redraw").addEventListener("click", () => page.jobs.start("/api/job/redraw", { count: this.count }));
  }

  // review: how many samples of the set are accepted, rejected and corrected.
  async show(review) {
    const turn = (this.asked += 1), any = review.rejected || review.drawing || review.corrected >= TEN;
    const offers = any ? await get("/api/offers").catch(() => ({})) : {};
    if (turn !== this.asked) return;
    Object.assign(this, { review, offers });
    this.tell();
  }

  tell() {
    const { learn, redraw } = this.offers, { accepted, rejected } = this.review;
    $("offers").hidden = !learn && !redraw;
    $("learn-line").hidden = !learn;
    $("redraw-line").hidden = !redraw;
    if (learn) {
      const { corrected, refused, gain, changed, of } = learn;
      const changes = gain && (changed ? ` ${changed} of ${of} masks that nobody reviewed would change.` : " No mask that nobody reviewed would change.");
      $("learn-text").textContent = gain ? `${gain}.${changes}` : refused || `${corrected} masks are corrected.`;
      $("learn").hidden = Boolean(refused || gain);
      $("learn-forget").hidden = !gain;
      $("learn-show").hidden = $("learn-use").hidden = !gain || !changed;
    }
    if (redraw) {
      const undecided = this.page.set.count - accepted - rejected, wanted = Math.floor(Number($("wanted").value));
      this.count = redraw.refused ? 0 : Math.max(0, Math.min(redraw.count, wanted - accepted - (undecided - (redraw.count - rejected))));
      $("redraw").disabled = !this.count;
      $("redraw").textContent = `Draw ${this.count} again`;
      $("redraw-text").textContent = redraw.refused || `${redraw.count} rejected, ${accepted} accepted, ${undecided - (redraw.count - rejected)} not reviewed.`;
    }
  }
}
