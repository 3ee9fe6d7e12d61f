"""The page of a trace in a Chromium without a window; skipped where there is none."""

import itertools
import shutil

import pytest

from parallelize import ProcessPoolExecutor, ThreadPoolExecutor, trace, wait
from parallelize.insight.html import page
from parallelize.tracing.recording import Lane, TaskRecord, find_places
from tasks import double, refuse
from test_trace import spin

playwright = pytest.importorskip("playwright.sync_api")

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]

SECOND = 10**9
DESK, PHONE = (1280, 900), (390, 844)


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        try:
            browser = driver.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        except playwright.Error as error:
            pytest.skip(f"no chromium: {str(error).splitlines()[0]}")
        yield browser
        browser.close()


@pytest.fixture
def opened(browser, tmp_path):
    """Open the page of some records, at a size; nothing else is asked for, no error."""
    contexts, asked, errors = [], [], []

    def open_page(text, size=DESK, scheme="light"):
        path = tmp_path / f"run{len(contexts)}.html"
        path.write_text(text, encoding="utf-8")
        width, height = size
        contexts.append(
            browser.new_context(
                viewport={"width": width, "height": height},
                color_scheme=scheme,
                has_touch=size == PHONE,
            )
        )
        tab = contexts[-1].new_page()
        tab.on("request", lambda request: asked.append(request.url))
        tab.on("pageerror", lambda error: errors.append(str(error)))
        tab.on("console", lambda message: errors.append(message.text))
        tab.goto(path.as_uri())
        assert asked.pop() == path.as_uri()
        return tab

    yield open_page
    for each in contexts:
        each.close()
    assert asked == errors == []


def task(name, lane, begin, end, **more):
    """A record, whose moments are seconds."""
    record = TaskRecord(lane.kind, name, 1)
    record.lane, record.outcome = lane, "done"
    record.submitted = record.queued = int(more.pop("submitted", begin) * SECOND) + 1
    record.sent = record.started = int(begin * SECOND) + 1
    record.ended = record.returned = int(end * SECOND) + 1
    for key, value in more.items():
        setattr(record, key, value)
    return record


def threads(count, seconds=10.0, each=3):
    """Some tasks on this many threads."""
    lanes = [Lane("threads", n, f"ThreadPoolExecutor-0_{n}") for n in range(count)]
    length = seconds / each
    return [
        task(f"module.function_{n % 5}", lane, n * length, (n + 0.9) * length)
        for lane in lanes
        for n in range(each)
    ]


def page_of(records):
    find_places(records)
    return page(records, (0, max(r.ended for r in records)))


def shown(tab):
    view = tab.locator("#view")
    return tuple(float(view.get_attribute(f"data-{end}")) for end in ("from", "to"))


def test_a_run(opened, tmp_path):
    """Lanes, totals, advice; zoom, move and a look at a task."""
    with (
        ProcessPoolExecutor(2) as executor,
        ThreadPoolExecutor(1) as pool,
        trace() as t,
    ):
        futures = [executor.submit(spin, 0.01) for _ in range(4)]
        futures += [pool.submit(spin, 0.005), executor.submit(refuse, 1)]
        wait(futures, timeout=30)
        list(executor.map(double, range(100), chunksize=50))
    t.to_html(tmp_path / "made.html")
    tab = opened((tmp_path / "made.html").read_text(encoding="utf-8"))
    assert tab.locator("#lanes tr").count() == 1 + 3
    assert "test_trace.spin" in tab.locator("#functions").inner_text()
    assert "for a worker" in tab.locator("#waits").inner_text()
    assert "workers" in tab.locator("#head").inner_text()
    assert tab.locator("#advice").inner_text()
    whole = shown(tab)
    tab.click("#in")
    zoomed = shown(tab)
    assert zoomed[1] - zoomed[0] == pytest.approx((whole[1] - whole[0]) / 2)
    box = tab.locator("#view").bounding_box()
    tab.mouse.move(box["x"] + 600, box["y"] + 30)
    tab.mouse.wheel(0, -200)
    tab.wait_for_function("before => +view.dataset.to !== before", arg=zoomed[1])
    narrow = shown(tab)
    assert narrow[1] - narrow[0] < zoomed[1] - zoomed[0]
    tab.mouse.move(box["x"] + 600, box["y"] + 90)
    tab.mouse.down()
    tab.mouse.move(box["x"] + 500, box["y"] + 90)
    tab.mouse.up()
    assert shown(tab)[0] > narrow[0]
    tab.keyboard.press("0")
    assert shown(tab) == whole
    # Where the first call of a worker is drawn, in the page's own measure.
    place = tab.evaluate(
        "() => [x((lanes[0][0][STARTED] + lanes[0][0][ENDED]) / 2), y(0) + 5]"
    )
    tab.mouse.move(box["x"] + place[0], box["y"] + place[1])
    tip = tab.locator("#tip").inner_text()
    for word in ("submitted", "pickled", "started", "returned", "bytes"):
        assert word in tip
    tab.mouse.down()
    tab.mouse.up()
    assert tab.evaluate("() => chosen === lanes[0][0]")


@pytest.mark.parametrize("modifier", ["ctrlKey", "altKey", "metaKey"])
def test_keys_with_modifiers_are_those_of_the_browser(opened, modifier):
    tab = opened(page_of(threads(2)))
    tab.focus("#view")
    tab.keyboard.press("ArrowDown")
    tab.keyboard.press("+")
    before = shown(tab)
    # Made by the page, as pressed they might lead the browser away from it.
    kept = tab.evaluate(
        """modifier => ["0", "+", "-", "ArrowLeft", "ArrowDown", "Enter", "Escape"].map(
             key => !view.dispatchEvent(new KeyboardEvent("keydown", {
               key, bubbles: true, cancelable: true, [modifier]: true})))""",
        modifier,
    )
    assert kept == [False] * 7
    assert shown(tab) == before
    assert tab.evaluate("chosen === lanes[0][1]")


@pytest.mark.parametrize("seconds", [0.003, 1.3, 59, 47_000, 10**6])
@pytest.mark.parametrize("size", [DESK, PHONE])
def test_digits_follow_what_is_shown(opened, seconds, size):
    tab = opened(page_of(threads(2, seconds)), size)
    for _ in range(40):
        labels = [label for _, label in tab.evaluate("ticks()")]
        assert len(set(labels)) == len(labels)
        begin, end = tab.locator("#shown").inner_text().split(", ")[0].split(" to ")
        assert begin != end
        assert not any("e+" in each for each in (*labels, begin, end))
        tab.keyboard.press("+")
    assert shown(tab)[1] - shown(tab)[0] < 1


def test_lanes_scroll_by_wheel_and_then_the_page(opened):
    tab = opened(page_of(threads(64)))
    whole = shown(tab)
    box = tab.locator("#frame").bounding_box()
    tab.mouse.move(box["x"] + 500, box["y"] + 200)
    tab.mouse.wheel(0, 300)
    tab.wait_for_function("() => frame.scrollTop > 0")
    while not tab.evaluate("scrollY"):
        tab.mouse.wheel(0, 2000)
    tab.wait_for_function(
        "() => frame.scrollTop + frame.clientHeight > frame.scrollHeight - 2"
    )
    assert shown(tab) == whole


def swipe(tab, *fingers):
    """Move some fingers at once, each from a place to another."""
    session = tab.context.new_cdp_session(tab)

    def touch(kind, share):
        points = [
            {"x": x + (to_x - x) * share, "y": y + (to_y - y) * share, "id": n}
            for n, ((x, y), (to_x, to_y)) in enumerate(fingers)
        ]
        event = {"type": kind, "touchPoints": [] if kind == "touchEnd" else points}
        session.send("Input.dispatchTouchEvent", event)

    touch("touchStart", 0)
    for step in range(1, 21):
        touch("touchMove", step / 20)
    touch("touchEnd", 1)


def test_lanes_scroll_by_finger_and_two_of_them_zoom(opened):
    tab = opened(page_of(threads(64)), PHONE)
    whole = shown(tab)
    tab.evaluate("frame.scrollIntoView()")
    swipe(tab, ((200, 500), (205, 200)))
    tab.wait_for_function("() => frame.scrollTop > 100")
    assert shown(tab) == whole
    swipe(tab, ((150, 400), (60, 400)), ((200, 400), (330, 400)))
    close = shown(tab)
    assert close[1] - close[0] < whole[1] / 2
    assert 0 < close[0]
    swipe(tab, ((250, 400), (100, 402)))
    assert shown(tab)[0] > close[0]
    swipe(tab, ((200, 300), (200, 390)), ((200, 500), (200, 410)))
    assert shown(tab)[1] - shown(tab)[0] > close[1] - close[0]


def test_tasks_are_chosen_by_keys(opened):
    tab = opened(page_of(threads(64)))
    tab.focus("#view")
    tip, said = tab.locator("#tip"), tab.locator("#said")
    for _ in range(40):
        tab.keyboard.press("ArrowDown")
    assert tab.evaluate("chosen[LANE]") == 39
    assert tab.evaluate("frame.scrollTop") > 0
    top, frame = tab.evaluate("y(39)"), tab.evaluate("high")
    assert 0 < top < frame
    assert tip.is_visible()
    assert "ThreadPoolExecutor-0_39" in said.inner_text()
    before = tab.evaluate("chosen[STARTED]")
    tab.keyboard.press(".")
    assert tab.evaluate("chosen[STARTED]") > before
    tab.keyboard.press("Enter")
    assert shown(tab)[1] - shown(tab)[0] < 5 * SECOND / 1000
    for key in (",", ",", ",", "ArrowUp"):
        tab.keyboard.press(key)
    assert tab.evaluate("lanes[38].indexOf(chosen)") == 0
    tab.keyboard.press("+")
    assert tip.is_visible()  # what is chosen stays in sight
    tab.keyboard.press("Escape")
    assert not tip.is_visible()


def test_a_tap_shows_the_tip(opened):
    tab = opened(page_of(threads(3)), PHONE)
    place = tab.evaluate(
        """() => { const box = view.getBoundingClientRect(), task = lanes[1][1];
             return [box.left + x((task[STARTED] + task[ENDED]) / 2),
                     box.top + y(1) + 10]; }"""
    )
    tab.touchscreen.tap(*place)
    tip = tab.locator("#tip")
    assert "ThreadPoolExecutor-0_1" in tip.inner_text()
    box = tip.bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= PHONE[0]
    tab.touchscreen.tap(place[0], place[1] - 22)  # between the lanes
    assert not tip.is_visible()


def test_of_tasks_within_each_other_the_inner_one_is_found(opened):
    lane = Lane("serial", 1, "MainThread")
    tab = opened(page_of([task("outer", lane, 0, 10), task("inner", lane, 4, 6)]))
    assert tab.evaluate("taskAt(x(5e6), y(0) + 5)[STARTED]") > 1
    assert tab.evaluate("taskAt(x(2e6), y(0) + 5)[STARTED]") < 1
    tab.evaluate("show(8e6, 9e6)")
    assert tab.evaluate("taskAt(x(8.5e6), y(0) + 5)[STARTED]") < 1


# What is on a picture: texts with their boxes, as they are drawn.
BOXES = """() => {
  const boxes = [], write = CanvasRenderingContext2D.prototype.fillText;
  writeIn = () => {};  // within a task
  pen.fillText = function(label, px, py) {
    const size = pen.measureText(label).width;
    const begin = pen.textAlign === "center" ? px - size / 2 : px;
    boxes.push([label, begin, begin + size, py - 6, py + 6]);
  };
  draw();
  return boxes;
}"""


@pytest.mark.parametrize("width", [390, 480, 700, 1280])
@pytest.mark.parametrize("seconds", [0.0031, 9.7, 5000])
def test_labels_do_not_touch(opened, width, seconds):
    records = threads(9, seconds)
    records += [task("f", Lane("processes", n, f"process {n}"), 0, 1) for n in range(3)]
    records += [
        task("g", Lane("threads", 1, "a-very-long-name-of-a-thread-indeed"), 0, seconds)
        for _ in range(12)
    ]
    for record in records[-12:]:
        record.on_loop = True
    tab = opened(page_of(records), (width, 900))
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    for _ in range(12):
        boxes = tab.evaluate(BOXES)
        assert len(boxes) > 8
        for one, other in itertools.combinations(boxes, 2):
            beside = one[2] <= other[1] or other[2] <= one[1]
            assert beside or one[4] <= other[3] or other[4] <= one[3], (one, other)
        assert all(box[1] >= 0 and box[2] <= tab.evaluate("wide") for box in boxes)
        left = tab.evaluate("isNarrow ? wide : left")
        names = [box for box in boxes if box[3] > tab.evaluate("below()")]
        assert all(box[2] <= left for box in names)
        tab.keyboard.press("+")


CONTRASTS = """() => {
  const style = getComputedStyle(document.documentElement), found = {};
  const rgb = name => style.getPropertyValue("--" + name).match(/\\w\\w/g)
    .map(part => parseInt(part, 16));
  const contrast = (one, other) => {
    const [dark, light] = [luminance(one), luminance(other)].sort((a, b) => a - b);
    return (light + 0.05) / (dark + 0.05);
  };
  for (const name of ["text", "faint", "bad"])
    for (const back of ["back", "panel"])
      found[`${name} on ${back}`] = contrast(rgb(name), rgb(back));
  const inks = {"#000": [0, 0, 0], "#fff": [255, 255, 255]};
  for (let fn = 0; fn < 20; fn++)
    for (const fill of [colour(fn), mixed(colour(fn), ink.paper, 0.55)])
      found[`${fn} ${fill}`] = contrast(fill, inks[inkOn(fill)]);
  return found;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_has_enough_contrast(opened, scheme):
    tab = opened(page_of(threads(2)), scheme=scheme)
    contrasts = tab.evaluate(CONTRASTS)
    assert len(contrasts) > 40
    assert {name: n for name, n in contrasts.items() if n < 4.5} == {}


def test_what_a_screen_reader_is_given(opened):
    tab = opened(page_of(threads(2)))
    for name in ("Zoom in", "Zoom out", "Show all"):
        assert tab.get_by_role("button", name=name).count() == 1
    view = tab.get_by_role("application", name="A lane for each worker")
    assert view.get_attribute("aria-describedby") == "help"
    assert tab.locator("main table").count() == 3
    for table in tab.locator("main table").all():
        assert table.locator("caption").inner_text()
        assert table.locator("thead th:not([scope=col])").count() == 0
        rows = table.locator("tbody tr").count()
        assert table.locator("tbody th[scope=row]").count() == rows > 0
    for name in ("Functions", "What waited", "Utilisation"):
        assert tab.get_by_role("region", name=name).count() == 1
    bar = tab.get_by_role("img").first
    assert "running 100 %" in bar.get_attribute("aria-label")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESK, PHONE])
def test_many_lanes_and_many_tasks(opened, size, scheme):
    """64 threads, 300 coroutines, 50 000 tasks: the last lane is reached, and drawn."""
    records = threads(64, 20.0, each=776)
    loop = Lane("threads", 1, "loop")
    records += [task("ask", loop, 1, 2 + n / 300, on_loop=True) for n in range(300)]
    assert len(records) > 49_900
    tab = opened(page_of(records), size, scheme)
    assert tab.evaluate("lanes.length") == 364
    assert tab.evaluate("view.height") <= size[1]
    tab.evaluate("() => { frame.scrollTop = 1e6; }")
    tab.wait_for_function("() => frame.scrollTop > 1000")
    labels = [box[0] for box in tab.evaluate(BOXES)]
    assert "loop, coroutine 300" in labels
    assert len(labels) < 60
