"""The page shows the most doubtful samples first, and those that somebody judged after the others."""

from in_chromium import needs_chromium, press, shown_sample, until, window
from look_server import running, write_set

from seediff.look.answers import Request, describe

FIRST = "() => [...document.querySelectorAll('.tile .name bdi')].map((one) => one.textContent)"


def doubtful_set(folder):
    """Four samples with falling support, so that the last one is the most doubtful; the second has another mask."""
    changes = [{"support": {"dog": 0.8 - 0.2 * number}} for number in range(4)]
    changes[1] = {"review": {"verdict": "accepted", "corrected": True}}
    return write_set(folder, 4, changes=changes)


def test_the_page_gets_a_number_for_each_sample(tmp_path):
    folder = doubtful_set(tmp_path / "pets")
    with running(folder) as (client, opened):
        store = opened.store
        assert [store.for_page(number)["doubt"] for number in range(4)] == [0.0, None, 0.3333, 0.6667]
        scores = {score["name"]: score["sure"] for score in describe(store, Request())["scores"]}
        assert scores == {"support": 1, "doubt": 0}
        assert store.changed_since() == 0
        client.act(3, "cleaned", 0, least=5000)
        assert store.for_page(3)["doubt"] is None
        assert store.changed_since() == 1


@needs_chromium
def test_the_most_doubtful_come_first(browser, tmp_path):
    with running(doubtful_set(tmp_path / "pets")) as (_, opened), window(browser, opened.url) as page:
        assert page.input_value("#sort") == "-doubt"
        names = [sample.name for sample in opened.store.samples]
        assert page.evaluate(FIRST) == [names[i] for i in (3, 2, 0, 1)]
        assert page.text_content("#reviewed") == "1 of 4 reviewed"
        page.get_by_label("✓ accepted").check()
        page.select_option("#sort", "order")
        until(page, "() => document.querySelectorAll('.tile').length === 1")
        page.click("#review")  # nothing of what is shown is left to review
        shown_sample(page, names[3])
        press(page, "a")
        shown_sample(page, names[2])
        page.click("#back")
        until(page, "() => document.querySelector('#reviewed').textContent === '2 of 4 reviewed'")
        page.click("#review")
        shown_sample(page, names[2])
